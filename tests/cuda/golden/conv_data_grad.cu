// phase 0: grid 292 x 1 x 1, block 256, 0 bytes of dynamic shared memory
// phase 1: grid 128 x 1 x 1, block 128, 23040 bytes of dynamic shared memory
// conv2d_data_grad_sum_sum_e7c5_757de7c5
// from resnet_cifar.fbl:6 conv2d_data_grad (backward), resnet_cifar.fbl:5 sum, resnet_cifar.fbl:5 sum
// b0 f32 [64, 8, 8, 64] in
// b1 f32 [64, 64] in
// b2 f32 [64] in
// b3 f32 [64, 8, 8, 64] in
// b4 f32 [64] in
// b5 f32 [64] in
// b6 f32 [64] in
// b7 f32 [64, 64, 3, 3] in
// b8 f32 [64, 8, 8, 64] out
// b9 f32 [64, 8, 8, 64] in
// b10 f32 [64] in
// b11 f32 [64] in
// b12 f32 [64] in
// b13 f32 [64, 64] out
// b14 f32 [64, 64] out
// conv2d data gradient
// about 4392704 bytes, 304087040 operations
FBL_DEVICE float4 conv2d_data_grad_sum_sum_e7c5_757de7c5_a(const float *__restrict__ b0, const float *__restrict__ b1, const float *__restrict__ b2, const float *__restrict__ b3, const float *__restrict__ b4, const float *__restrict__ b5, const float *__restrict__ b6, const float *__restrict__ b7, float *__restrict__ b8, const float *__restrict__ b9, const float *__restrict__ b10, const float *__restrict__ b11, const float *__restrict__ b12, float *__restrict__ b13, float *__restrict__ b14, const FblScalars *scalars, int i0, int i1, int i2, int i3) {
    const float4 v4 = *(const float4 *)(b0 + i0 * 4096 + i2 * 512 + i3 * 64 + i1);
    const bool v6_0 = v4.x <= 0.0f;
    const bool v6_1 = v4.y <= 0.0f;
    const bool v6_2 = v4.z <= 0.0f;
    const bool v6_3 = v4.w <= 0.0f;
    const float4 v7 = *(const float4 *)(b1 + i0 * 64 + i1);
    const float v8_0 = v6_0 ? 0.0f : v7.x;
    const float v8_1 = v6_1 ? 0.0f : v7.y;
    const float v8_2 = v6_2 ? 0.0f : v7.z;
    const float v8_3 = v6_3 ? 0.0f : v7.w;
    const float4 v9 = *(const float4 *)(b2 + i1);
    const float v10_0 = v8_0 * v9.x;
    const float v10_1 = v8_1 * v9.y;
    const float v10_2 = v8_2 * v9.z;
    const float v10_3 = v8_3 * v9.w;
    const float4 v11 = *(const float4 *)(b3 + i0 * 4096 + i2 * 512 + i3 * 64 + i1);
    const float4 v12 = *(const float4 *)(b4 + i1);
    const float v14_0 = v12.x * 0.000244140625f;
    const float v14_1 = v12.y * 0.000244140625f;
    const float v14_2 = v12.z * 0.000244140625f;
    const float v14_3 = v12.w * 0.000244140625f;
    const float v15_0 = v11.x - v14_0;
    const float v15_1 = v11.y - v14_1;
    const float v15_2 = v11.z - v14_2;
    const float v15_3 = v11.w - v14_3;
    const float4 v16 = *(const float4 *)(b5 + i1);
    const float v17_0 = v15_0 * v16.x;
    const float v17_1 = v15_1 * v16.y;
    const float v17_2 = v15_2 * v16.z;
    const float v17_3 = v15_3 * v16.w;
    const float v18_0 = v10_0 + v17_0;
    const float v18_1 = v10_1 + v17_1;
    const float v18_2 = v10_2 + v17_2;
    const float v18_3 = v10_3 + v17_3;
    const float4 v19 = *(const float4 *)(b6 + i1);
    const float v20_0 = v19.x * v9.x;
    const float v20_1 = v19.y * v9.y;
    const float v20_2 = v19.z * v9.z;
    const float v20_3 = v19.w * v9.w;
    const float v22_0 = v20_0 * (-0.000244140625f);
    const float v22_1 = v20_1 * (-0.000244140625f);
    const float v22_2 = v20_2 * (-0.000244140625f);
    const float v22_3 = v20_3 * (-0.000244140625f);
    const float v23_0 = v18_0 + v22_0;
    const float v23_1 = v18_1 + v22_1;
    const float v23_2 = v18_2 + v22_2;
    const float v23_3 = v18_3 + v22_3;
    return make_float4(v23_0, v23_1, v23_2, v23_3);
}
FBL_DEVICE float4 conv2d_data_grad_sum_sum_e7c5_757de7c5_b(const float *__restrict__ b0, const float *__restrict__ b1, const float *__restrict__ b2, const float *__restrict__ b3, const float *__restrict__ b4, const float *__restrict__ b5, const float *__restrict__ b6, const float *__restrict__ b7, float *__restrict__ b8, const float *__restrict__ b9, const float *__restrict__ b10, const float *__restrict__ b11, const float *__restrict__ b12, float *__restrict__ b13, float *__restrict__ b14, const FblScalars *scalars, int i0, int i1, int i2, int i3) {
    const float v28_0 = b7[i0 * 576 + i1 * 9 + i2 * 3 + i3];
    const float v28_1 = b7[i0 * 576 + i1 * 9 + i2 * 3 + i3 + 576];
    const float v28_2 = b7[i0 * 576 + i1 * 9 + i2 * 3 + i3 + 1152];
    const float v28_3 = b7[i0 * 576 + i1 * 9 + i2 * 3 + i3 + 1728];
    return make_float4(v28_0, v28_1, v28_2, v28_3);
}
FBL_DEVICE void conv2d_data_grad_sum_sum_e7c5_757de7c5_store(const float *__restrict__ b0, const float *__restrict__ b1, const float *__restrict__ b2, const float *__restrict__ b3, const float *__restrict__ b4, const float *__restrict__ b5, const float *__restrict__ b6, const float *__restrict__ b7, float *__restrict__ b8, const float *__restrict__ b9, const float *__restrict__ b10, const float *__restrict__ b11, const float *__restrict__ b12, float *__restrict__ b13, float *__restrict__ b14, const FblScalars *scalars, const float4 acc, int i0, int i1, int i2, int i3) {
    *(float4 *)(b8 + i0 * 4096 + i2 * 512 + i3 * 64 + i1) = make_float4(acc.x, acc.y, acc.z, acc.w);
}
extern "C" __global__ void __launch_bounds__(256) conv2d_data_grad_sum_sum_e7c5_757de7c5(const float *__restrict__ b0, const float *__restrict__ b1, const float *__restrict__ b2, const float *__restrict__ b3, const float *__restrict__ b4, const float *__restrict__ b5, const float *__restrict__ b6, const float *__restrict__ b7, float *__restrict__ b8, const float *__restrict__ b9, const float *__restrict__ b10, const float *__restrict__ b11, const float *__restrict__ b12, float *__restrict__ b13, float *__restrict__ b14, float *__restrict__ workspace, const FblScalars *scalars) {
    int q = blockIdx.x * 256 + threadIdx.x;
    if (q < 65536) {
        const int z = q % 16 * 4 / 64, c = q % 16 * 4 % 64, pixel = q / 16;
        *(float4 *)(workspace + 0 + q * 4) = conv2d_data_grad_sum_sum_e7c5_757de7c5_a(b0, b1, b2, b3, b4, b5, b6, b7, b8, b9, b10, b11, b12, b13, b14, scalars, pixel / 64, z * 64 + c, pixel / 8 % 8, pixel % 8);
        return;
    }
    q -= 65536;
    if (q < 9216) {
        const int k = q % 144 * 4, row = q / 144 % 64, z = q / 9216;
        const int tap = k / 64, c = k % 64;
        *(float4 *)(workspace + 262144 + q * 4) = conv2d_data_grad_sum_sum_e7c5_757de7c5_b(b0, b1, b2, b3, b4, b5, b6, b7, b8, b9, b10, b11, b12, b13, b14, scalars, z * 64 + c, row, tap / 3, tap % 3);
        return;
    }
    q -= 9216;
}
// product 4096 x 64 x 576, tile 64 x 32 x 16, 3 stages, 1 runs of the sum
extern "C" __global__ void __launch_bounds__(128, 4) conv2d_data_grad_sum_sum_e7c5_757de7c5_1(const float *__restrict__ b0, const float *__restrict__ b1, const float *__restrict__ b2, const float *__restrict__ b3, const float *__restrict__ b4, const float *__restrict__ b5, const float *__restrict__ b6, const float *__restrict__ b7, float *__restrict__ b8, const float *__restrict__ b9, const float *__restrict__ b10, const float *__restrict__ b11, const float *__restrict__ b12, float *__restrict__ b13, float *__restrict__ b14, float *__restrict__ workspace, const FblScalars *scalars) {
    FBL_DYNAMIC_SHARED;
    unsigned *a_tile = fbl_shared, *b_tile = fbl_shared + 3840;
    const int tid = threadIdx.x;
    const int n0 = blockIdx.x % 2 * 32, m0 = blockIdx.x / 2 % 64 * 64, z = blockIdx.x / 128;
    const int first = 0, last = 36;
    const int tm = tid / 8, tn = tid % 8;
    float sum[4][4] = {};
    int a_n[2], a_h[2], a_w[2];
    #pragma unroll
    for (int i = 0; i < 2; i++) {
        const int m = m0 + tid / 4 + i * 32;
        a_n[i] = m / 64;
        a_h[i] = m < 4096 ? m / 8 % 8 + 1 : -1073741824;
        a_w[i] = m % 8 + 1;
    }
    auto fetch = [&](int step, int stage) { // from memory, to registers or on the way to shared memory
        {
        const int k = step * 16 + tid % 4 * 4;
        const int tap = k / 64, c = k % 64;
        const int kh = tap / 3, kw = tap % 3;
        #pragma unroll
        for (int i = 0; i < 2; i++) {
            const int h = a_h[i] - kh * 1;
            const int w = a_w[i] - kw * 1;
            const bool inside = k < 576 && (unsigned)h < 8u && (unsigned)w < 8u;
            fbl_copy_async(a_tile + stage * 1280 + (tid / 4 + i * 32) * 20 + tid % 4 * 4, inside ? workspace + 0 + ((a_n[i] * 8 + h) * 8 + w) * 64 + z * 64 + c : workspace, inside);
        }
        }
        {
        const int k = step * 16 + tid % 4 * 4;
        const int tap = k / 64, c = k % 64;
        const int kh = tap / 3, kw = tap % 3;
        #pragma unroll
        for (int i = 0; i < 1; i++) {
            const int row = n0 + tid / 4 + i * 32;
            const bool inside = k < 576 && row < 64;
            fbl_copy_async(b_tile + stage * 640 + (tid / 4 + i * 32) * 20 + tid % 4 * 4, inside ? workspace + 262144 + (z * 64 + row) * 576 + k : workspace, inside);
        }
        }
    };
    auto put = [&](int stage) { // from registers to shared memory
    };
    auto multiply = [&](int stage) {
        const unsigned *a_now = a_tile + stage * 1280, *b_now = b_tile + stage * 640;
        #pragma unroll
        for (int at = 0; at < 16; at += 4) {
            float fa[4][4], fb[4][4];
            #pragma unroll
            for (int i = 0; i < 4; i++) {
                const float4 v = *(const float4 *)(a_now + (tm + i * 16) * 20 + at);
                fa[i][0] = v.x;
                fa[i][1] = v.y;
                fa[i][2] = v.z;
                fa[i][3] = v.w;
            }
            #pragma unroll
            for (int i = 0; i < 4; i++) {
                const float4 v = *(const float4 *)(b_now + (tn + i * 8) * 20 + at);
                fb[i][0] = v.x;
                fb[i][1] = v.y;
                fb[i][2] = v.z;
                fb[i][3] = v.w;
            }
            #pragma unroll
            for (int q = 0; q < 4; q++) {
                #pragma unroll
                for (int i = 0; i < 4; i++) {
                    #pragma unroll
                    for (int j = 0; j < 4; j++) {
                        sum[i][j] = fmaf(fa[i][q], fb[j][q], sum[i][j]);
                    }
                }
            }
        }
    };
    for (int ahead = 0; ahead < 2; ahead++) {
        if (first + ahead < last) {
            fetch(first + ahead, ahead);
            put(ahead);
        }
        fbl_copy_commit();
    }
    for (int step = first; step < last; step++) {
        fbl_copy_wait<1>();
        __syncthreads();
        const int next = step + 2, stage = (next - first) % 3;
        if (next < last) {
            fetch(next, stage);
        }
        fbl_copy_commit();
        multiply((step - first) % 3);
        if (next < last) {
            put(stage);
        }
    }
    fbl_copy_wait<0>();
    __syncthreads();
    float *results = (float *)fbl_shared;
    #pragma unroll
    for (int i = 0; i < 4; i++) {
        #pragma unroll
        for (int j = 0; j < 4; j++) {
            results[(tm + i * 16) * 36 + tn + j * 8] = sum[i][j];
        }
    }
    __syncthreads();
    for (int q = tid; q < 512; q += 128) {
        const int row = q / 8, column = q % 8 * 4, m = m0 + row, n = n0 + column;
        if (m < 4096 && n < 64) {
            const float4 acc = *(const float4 *)(results + row * 36 + column);
            conv2d_data_grad_sum_sum_e7c5_757de7c5_store(b0, b1, b2, b3, b4, b5, b6, b7, b8, b9, b10, b11, b12, b13, b14, scalars, acc, m / 64, z * 64 + n, m / 8 % 8, m % 8);
        }
    }
    for (int q = tid; q < 128; q += 128) { // parts of 64 rows
        const int own = q / 32 / 4, share = q / 8 % 4;
        const int column = (q / 32 % 4 * 8 + q % 8) * 1;
        const bool live = m0 / 64 + own < 64 && n0 + column < 64 && share == 0;
        const int part = fbl_imin(m0 / 64 + own, 63), channel = z * 64 + fbl_imin(n0 + column, 63);
        const float *at = results + own * 2304 + column;
        float s0[1][2] = {};
        float s1[1][2] = {};
        const float v46 = b10[channel];
        const float v48 = v46 * 0.000244140625f;
        const float v50 = b11[channel];
        const float v52 = b12[channel];
        #pragma unroll 4
        for (int k = 0; k < 16; k++) {
            const int row = k / 2 * 8 + share * 2 + k % 2;
            const float acc = *(const float *)(at + row * 36);
            const float v45 = b9[((part * 64 + row) / 64) * 4096 + ((part * 64 + row) / 8 % 8) * 512 + ((part * 64 + row) % 8) * 64 + channel];
            const float v49 = v45 - v48;
            const float v51 = v49 * v50;
            const float v53 = v51 + v52;
            const bool v55 = v53 <= 0.0f;
            const float v56 = v55 ? 0.0f : acc;
            const float v57 = v56 * v49;
            s0[0][k % 2] += v56;
            s1[0][k % 2] += v57;
        }
        const float r0 = fbl_sum_shares(s0[0][0] + s0[0][1]);
        const float r1 = fbl_sum_shares(s1[0][0] + s1[0][1]);
        if (live) {
            b13[part * 64 + channel] = r0;
            b14[part * 64 + channel] = r1;
        }
    }
}
