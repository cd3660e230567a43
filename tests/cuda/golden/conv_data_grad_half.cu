// phase 0: grid 146 x 1 x 1, block 256, 0 bytes of dynamic shared memory
// phase 1: grid 64 x 1 x 1, block 128, 30720 bytes of dynamic shared memory
// conv2d_data_grad_sum_sum_f80e_edb8f80e
// from resnet_cifar.fbl:6 conv2d_data_grad (backward), resnet_cifar.fbl:5 sum, resnet_cifar.fbl:5 sum
// b0 bf16 [64, 8, 8, 64] in
// b1 f32 [64, 64] in
// b2 f32 [64] in
// b3 bf16 [64, 8, 8, 64] in
// b4 f32 [64] in
// b5 f32 [64] in
// b6 f32 [64] in
// b7 f32 [64, 64, 3, 3] in
// b8 bf16 [64, 8, 8, 64] out
// b9 bf16 [64, 8, 8, 64] in
// b10 f32 [64] in
// b11 f32 [64] in
// b12 f32 [64] in
// b13 f32 [64, 64] out
// b14 f32 [64, 64] out
// conv2d data gradient
// about 2295552 bytes, 304087040 operations
FBL_DEVICE FblPair<float4> conv2d_data_grad_sum_sum_f80e_edb8f80e_a(const unsigned short *__restrict__ b0, const float *__restrict__ b1, const float *__restrict__ b2, const unsigned short *__restrict__ b3, const float *__restrict__ b4, const float *__restrict__ b5, const float *__restrict__ b6, const float *__restrict__ b7, unsigned short *__restrict__ b8, const unsigned short *__restrict__ b9, const float *__restrict__ b10, const float *__restrict__ b11, const float *__restrict__ b12, float *__restrict__ b13, float *__restrict__ b14, const FblScalars *scalars, int i0, int i1, int i2, int i3) {
    const FblPair<float4> v4 = fbl_load8_bf16(b0 + i0 * 4096 + i2 * 512 + i3 * 64 + i1);
    const bool v6_0 = v4.low.x <= 0.0f;
    const bool v6_1 = v4.low.y <= 0.0f;
    const bool v6_2 = v4.low.z <= 0.0f;
    const bool v6_3 = v4.low.w <= 0.0f;
    const bool v6_4 = v4.high.x <= 0.0f;
    const bool v6_5 = v4.high.y <= 0.0f;
    const bool v6_6 = v4.high.z <= 0.0f;
    const bool v6_7 = v4.high.w <= 0.0f;
    const FblPair<float4> v7 = *(const FblPair<float4> *)(b1 + i0 * 64 + i1);
    const float v8_0 = v6_0 ? 0.0f : v7.low.x;
    const float v8_1 = v6_1 ? 0.0f : v7.low.y;
    const float v8_2 = v6_2 ? 0.0f : v7.low.z;
    const float v8_3 = v6_3 ? 0.0f : v7.low.w;
    const float v8_4 = v6_4 ? 0.0f : v7.high.x;
    const float v8_5 = v6_5 ? 0.0f : v7.high.y;
    const float v8_6 = v6_6 ? 0.0f : v7.high.z;
    const float v8_7 = v6_7 ? 0.0f : v7.high.w;
    const FblPair<float4> v9 = *(const FblPair<float4> *)(b2 + i1);
    const float v10_0 = v8_0 * v9.low.x;
    const float v10_1 = v8_1 * v9.low.y;
    const float v10_2 = v8_2 * v9.low.z;
    const float v10_3 = v8_3 * v9.low.w;
    const float v10_4 = v8_4 * v9.high.x;
    const float v10_5 = v8_5 * v9.high.y;
    const float v10_6 = v8_6 * v9.high.z;
    const float v10_7 = v8_7 * v9.high.w;
    const FblPair<float4> v11 = fbl_load8_bf16(b3 + i0 * 4096 + i2 * 512 + i3 * 64 + i1);
    const FblPair<float4> v12 = *(const FblPair<float4> *)(b4 + i1);
    const float v14_0 = v12.low.x * 0.000244140625f;
    const float v14_1 = v12.low.y * 0.000244140625f;
    const float v14_2 = v12.low.z * 0.000244140625f;
    const float v14_3 = v12.low.w * 0.000244140625f;
    const float v14_4 = v12.high.x * 0.000244140625f;
    const float v14_5 = v12.high.y * 0.000244140625f;
    const float v14_6 = v12.high.z * 0.000244140625f;
    const float v14_7 = v12.high.w * 0.000244140625f;
    const float v15_0 = v11.low.x - v14_0;
    const float v15_1 = v11.low.y - v14_1;
    const float v15_2 = v11.low.z - v14_2;
    const float v15_3 = v11.low.w - v14_3;
    const float v15_4 = v11.high.x - v14_4;
    const float v15_5 = v11.high.y - v14_5;
    const float v15_6 = v11.high.z - v14_6;
    const float v15_7 = v11.high.w - v14_7;
    const FblPair<float4> v16 = *(const FblPair<float4> *)(b5 + i1);
    const float v17_0 = v15_0 * v16.low.x;
    const float v17_1 = v15_1 * v16.low.y;
    const float v17_2 = v15_2 * v16.low.z;
    const float v17_3 = v15_3 * v16.low.w;
    const float v17_4 = v15_4 * v16.high.x;
    const float v17_5 = v15_5 * v16.high.y;
    const float v17_6 = v15_6 * v16.high.z;
    const float v17_7 = v15_7 * v16.high.w;
    const float v18_0 = v10_0 + v17_0;
    const float v18_1 = v10_1 + v17_1;
    const float v18_2 = v10_2 + v17_2;
    const float v18_3 = v10_3 + v17_3;
    const float v18_4 = v10_4 + v17_4;
    const float v18_5 = v10_5 + v17_5;
    const float v18_6 = v10_6 + v17_6;
    const float v18_7 = v10_7 + v17_7;
    const FblPair<float4> v19 = *(const FblPair<float4> *)(b6 + i1);
    const float v20_0 = v19.low.x * v9.low.x;
    const float v20_1 = v19.low.y * v9.low.y;
    const float v20_2 = v19.low.z * v9.low.z;
    const float v20_3 = v19.low.w * v9.low.w;
    const float v20_4 = v19.high.x * v9.high.x;
    const float v20_5 = v19.high.y * v9.high.y;
    const float v20_6 = v19.high.z * v9.high.z;
    const float v20_7 = v19.high.w * v9.high.w;
    const float v22_0 = v20_0 * (-0.000244140625f);
    const float v22_1 = v20_1 * (-0.000244140625f);
    const float v22_2 = v20_2 * (-0.000244140625f);
    const float v22_3 = v20_3 * (-0.000244140625f);
    const float v22_4 = v20_4 * (-0.000244140625f);
    const float v22_5 = v20_5 * (-0.000244140625f);
    const float v22_6 = v20_6 * (-0.000244140625f);
    const float v22_7 = v20_7 * (-0.000244140625f);
    const float v23_0 = v18_0 + v22_0;
    const float v23_1 = v18_1 + v22_1;
    const float v23_2 = v18_2 + v22_2;
    const float v23_3 = v18_3 + v22_3;
    const float v23_4 = v18_4 + v22_4;
    const float v23_5 = v18_5 + v22_5;
    const float v23_6 = v18_6 + v22_6;
    const float v23_7 = v18_7 + v22_7;
    return {make_float4(v23_0, v23_1, v23_2, v23_3), make_float4(v23_4, v23_5, v23_6, v23_7)};
}
FBL_DEVICE FblPair<float4> conv2d_data_grad_sum_sum_f80e_edb8f80e_b(const unsigned short *__restrict__ b0, const float *__restrict__ b1, const float *__restrict__ b2, const unsigned short *__restrict__ b3, const float *__restrict__ b4, const float *__restrict__ b5, const float *__restrict__ b6, const float *__restrict__ b7, unsigned short *__restrict__ b8, const unsigned short *__restrict__ b9, const float *__restrict__ b10, const float *__restrict__ b11, const float *__restrict__ b12, float *__restrict__ b13, float *__restrict__ b14, const FblScalars *scalars, int i0, int i1, int i2, int i3) {
    const float v28_0 = b7[i0 * 576 + i1 * 9 + i2 * 3 + i3];
    const float v28_1 = b7[i0 * 576 + i1 * 9 + i2 * 3 + i3 + 576];
    const float v28_2 = b7[i0 * 576 + i1 * 9 + i2 * 3 + i3 + 1152];
    const float v28_3 = b7[i0 * 576 + i1 * 9 + i2 * 3 + i3 + 1728];
    const float v28_4 = b7[i0 * 576 + i1 * 9 + i2 * 3 + i3 + 2304];
    const float v28_5 = b7[i0 * 576 + i1 * 9 + i2 * 3 + i3 + 2880];
    const float v28_6 = b7[i0 * 576 + i1 * 9 + i2 * 3 + i3 + 3456];
    const float v28_7 = b7[i0 * 576 + i1 * 9 + i2 * 3 + i3 + 4032];
    return {make_float4(v28_0, v28_1, v28_2, v28_3), make_float4(v28_4, v28_5, v28_6, v28_7)};
}
FBL_DEVICE void conv2d_data_grad_sum_sum_f80e_edb8f80e_store(const unsigned short *__restrict__ b0, const float *__restrict__ b1, const float *__restrict__ b2, const unsigned short *__restrict__ b3, const float *__restrict__ b4, const float *__restrict__ b5, const float *__restrict__ b6, const float *__restrict__ b7, unsigned short *__restrict__ b8, const unsigned short *__restrict__ b9, const float *__restrict__ b10, const float *__restrict__ b11, const float *__restrict__ b12, float *__restrict__ b13, float *__restrict__ b14, const FblScalars *scalars, const float4 acc, int i0, int i1, int i2, int i3) {
    fbl_store_bf16(b8 + i0 * 4096 + i2 * 512 + i3 * 64 + i1, make_float4(acc.x, acc.y, acc.z, acc.w));
}
extern "C" __global__ void __launch_bounds__(256) conv2d_data_grad_sum_sum_f80e_edb8f80e(const unsigned short *__restrict__ b0, const float *__restrict__ b1, const float *__restrict__ b2, const unsigned short *__restrict__ b3, const float *__restrict__ b4, const float *__restrict__ b5, const float *__restrict__ b6, const float *__restrict__ b7, unsigned short *__restrict__ b8, const unsigned short *__restrict__ b9, const float *__restrict__ b10, const float *__restrict__ b11, const float *__restrict__ b12, float *__restrict__ b13, float *__restrict__ b14, float *__restrict__ workspace, const FblScalars *scalars) {
    int q = blockIdx.x * 256 + threadIdx.x;
    if (q < 32768) {
        const int z = q % 8 * 8 / 64, c = q % 8 * 8 % 64, pixel = q / 8;
        const FblPair<float4> v = conv2d_data_grad_sum_sum_f80e_edb8f80e_a(b0, b1, b2, b3, b4, b5, b6, b7, b8, b9, b10, b11, b12, b13, b14, scalars, pixel / 64, z * 64 + c, pixel / 8 % 8, pixel % 8);
        fbl_store8_bf16((unsigned short *)(workspace + 0) + q * 8, v);
        return;
    }
    q -= 32768;
    if (q < 4608) {
        const int k = q % 72 * 8, row = q / 72 % 64, z = q / 4608;
        const int tap = k / 64, c = k % 64;
        const FblPair<float4> v = conv2d_data_grad_sum_sum_f80e_edb8f80e_b(b0, b1, b2, b3, b4, b5, b6, b7, b8, b9, b10, b11, b12, b13, b14, scalars, z * 64 + c, row, tap / 3, tap % 3);
        fbl_store8_bf16((unsigned short *)(workspace + 131072) + q * 8, v);
        return;
    }
    q -= 4608;
}
// product 4096 x 64 x 576, tile 64 x 64 x 32, 3 stages, 1 runs of the sum
extern "C" __global__ void __launch_bounds__(128, 4) conv2d_data_grad_sum_sum_f80e_edb8f80e_1(const unsigned short *__restrict__ b0, const float *__restrict__ b1, const float *__restrict__ b2, const unsigned short *__restrict__ b3, const float *__restrict__ b4, const float *__restrict__ b5, const float *__restrict__ b6, const float *__restrict__ b7, unsigned short *__restrict__ b8, const unsigned short *__restrict__ b9, const float *__restrict__ b10, const float *__restrict__ b11, const float *__restrict__ b12, float *__restrict__ b13, float *__restrict__ b14, float *__restrict__ workspace, const FblScalars *scalars) {
    FBL_DYNAMIC_SHARED;
    unsigned *a_tile = fbl_shared, *b_tile = fbl_shared + 3840;
    const int tid = threadIdx.x;
    const int n0 = blockIdx.x % 1 * 64, m0 = blockIdx.x / 1 % 64 * 64, z = blockIdx.x / 64;
    const int first = 0, last = 18;
    const int lane = tid % 32, warp_m = tid / 32 / 2 * 32, warp_n = tid / 32 % 2 * 32;
    float sum[2][4][4] = {};
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
        const int k = step * 32 + tid % 4 * 8;
        const int tap = k / 64, c = k % 64;
        const int kh = tap / 3, kw = tap % 3;
        #pragma unroll
        for (int i = 0; i < 2; i++) {
            const int h = a_h[i] - kh * 1;
            const int w = a_w[i] - kw * 1;
            const bool inside = k < 576 && (unsigned)h < 8u && (unsigned)w < 8u;
            fbl_copy_async(a_tile + stage * 1280 + (tid / 4 + i * 32) * 20 + tid % 4 * 4, inside ? (const float *)((const unsigned short *)(workspace + 0) + ((a_n[i] * 8 + h) * 8 + w) * 64 + z * 64 + c) : workspace, inside);
        }
        }
        {
        const int k = step * 32 + tid % 4 * 8;
        const int tap = k / 64, c = k % 64;
        const int kh = tap / 3, kw = tap % 3;
        #pragma unroll
        for (int i = 0; i < 2; i++) {
            const int row = n0 + tid / 4 + i * 32;
            const bool inside = k < 576 && row < 64;
            fbl_copy_async(b_tile + stage * 1280 + (tid / 4 + i * 32) * 20 + tid % 4 * 4, inside ? (const float *)((const unsigned short *)(workspace + 131072) + (z * 64 + row) * 576 + k) : workspace, inside);
        }
        }
    };
    auto put = [&](int stage) { // from registers to shared memory
    };
    auto multiply = [&](int stage) {
        const unsigned *a_now = a_tile + stage * 1280, *b_now = b_tile + stage * 1280;
        #pragma unroll
        for (int at = 0; at < 16; at += 8) {
            unsigned fa[2][4], fb[4][2];
            #pragma unroll
            for (int i = 0; i < 2; i++) {
                const int row = warp_m + i * 16 + lane / 4;
                fa[i][0] = (a_now[(row) * 20 + at + lane % 4]);
                fa[i][1] = (a_now[(row + 8) * 20 + at + lane % 4]);
                fa[i][2] = (a_now[(row) * 20 + at + lane % 4 + 4]);
                fa[i][3] = (a_now[(row + 8) * 20 + at + lane % 4 + 4]);
            }
            #pragma unroll
            for (int j = 0; j < 4; j++) {
                const int column = warp_n + j * 8 + lane / 4;
                fb[j][0] = (b_now[(column) * 20 + at + lane % 4]);
                fb[j][1] = (b_now[(column) * 20 + at + lane % 4 + 4]);
            }
            #pragma unroll
            for (int i = 0; i < 2; i++) {
                #pragma unroll
                for (int j = 0; j < 4; j++) {
                    fbl_mma_bf16(sum[i][j], fa[i], fb[j]);
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
    for (int i = 0; i < 2; i++) {
        #pragma unroll
        for (int j = 0; j < 4; j++) {
            float *to = results + (warp_m + i * 16 + lane / 4) * 68 + warp_n + j * 8 + lane % 4 * 2;
            to[0] = sum[i][j][0];
            to[1] = sum[i][j][1];
            to[544] = sum[i][j][2];
            to[545] = sum[i][j][3];
        }
    }
    __syncthreads();
    for (int q = tid; q < 1024; q += 128) {
        const int row = q / 16, column = q % 16 * 4, m = m0 + row, n = n0 + column;
        if (m < 4096 && n < 64) {
            const float4 acc = *(const float4 *)(results + row * 68 + column);
            conv2d_data_grad_sum_sum_f80e_edb8f80e_store(b0, b1, b2, b3, b4, b5, b6, b7, b8, b9, b10, b11, b12, b13, b14, scalars, acc, m / 64, z * 64 + n, m / 8 % 8, m % 8);
        }
    }
    for (int q = tid; q < 64; q += 128) { // parts of 64 rows
        const int own = q / 32 / 2, share = q / 8 % 4;
        const int column = (q / 32 % 2 * 8 + q % 8) * 4;
        const bool live = m0 / 64 + own < 64 && n0 + column < 64 && share == 0;
        const int part = fbl_imin(m0 / 64 + own, 63), channel = z * 64 + fbl_imin(n0 + column, 60);
        const float *at = results + own * 4352 + column;
        float s0[4][2] = {};
        float s1[4][2] = {};
        const float4 v46 = *(const float4 *)(b10 + channel);
        const float v48_0 = v46.x * 0.000244140625f;
        const float v48_1 = v46.y * 0.000244140625f;
        const float v48_2 = v46.z * 0.000244140625f;
        const float v48_3 = v46.w * 0.000244140625f;
        const float4 v50 = *(const float4 *)(b11 + channel);
        const float4 v52 = *(const float4 *)(b12 + channel);
        #pragma unroll 4
        for (int k = 0; k < 16; k++) {
            const int row = k / 2 * 8 + share * 2 + k % 2;
            const float4 acc = *(const float4 *)(at + row * 68);
            const float4 v45 = fbl_load_bf16(b9 + ((part * 64 + row) / 64) * 4096 + ((part * 64 + row) / 8 % 8) * 512 + ((part * 64 + row) % 8) * 64 + channel);
            const float v49_0 = v45.x - v48_0;
            const float v49_1 = v45.y - v48_1;
            const float v49_2 = v45.z - v48_2;
            const float v49_3 = v45.w - v48_3;
            const float v51_0 = v49_0 * v50.x;
            const float v51_1 = v49_1 * v50.y;
            const float v51_2 = v49_2 * v50.z;
            const float v51_3 = v49_3 * v50.w;
            const float v53_0 = v51_0 + v52.x;
            const float v53_1 = v51_1 + v52.y;
            const float v53_2 = v51_2 + v52.z;
            const float v53_3 = v51_3 + v52.w;
            const bool v55_0 = v53_0 <= 0.0f;
            const bool v55_1 = v53_1 <= 0.0f;
            const bool v55_2 = v53_2 <= 0.0f;
            const bool v55_3 = v53_3 <= 0.0f;
            const float v56_0 = fbl_from_bf16(fbl_to_bf16(acc.x));
            const float v56_1 = fbl_from_bf16(fbl_to_bf16(acc.y));
            const float v56_2 = fbl_from_bf16(fbl_to_bf16(acc.z));
            const float v56_3 = fbl_from_bf16(fbl_to_bf16(acc.w));
            const float v57_0 = v55_0 ? 0.0f : v56_0;
            const float v57_1 = v55_1 ? 0.0f : v56_1;
            const float v57_2 = v55_2 ? 0.0f : v56_2;
            const float v57_3 = v55_3 ? 0.0f : v56_3;
            const float v58_0 = v57_0 * v49_0;
            const float v58_1 = v57_1 * v49_1;
            const float v58_2 = v57_2 * v49_2;
            const float v58_3 = v57_3 * v49_3;
            s0[0][k % 2] += v57_0;
            s0[1][k % 2] += v57_1;
            s0[2][k % 2] += v57_2;
            s0[3][k % 2] += v57_3;
            s1[0][k % 2] += v58_0;
            s1[1][k % 2] += v58_1;
            s1[2][k % 2] += v58_2;
            s1[3][k % 2] += v58_3;
        }
        const float r0_0 = fbl_sum_shares(s0[0][0] + s0[0][1]);
        const float r0_1 = fbl_sum_shares(s0[1][0] + s0[1][1]);
        const float r0_2 = fbl_sum_shares(s0[2][0] + s0[2][1]);
        const float r0_3 = fbl_sum_shares(s0[3][0] + s0[3][1]);
        const float r1_0 = fbl_sum_shares(s1[0][0] + s1[0][1]);
        const float r1_1 = fbl_sum_shares(s1[1][0] + s1[1][1]);
        const float r1_2 = fbl_sum_shares(s1[2][0] + s1[2][1]);
        const float r1_3 = fbl_sum_shares(s1[3][0] + s1[3][1]);
        if (live) {
            *(float4 *)(b13 + part * 64 + channel) = make_float4(r0_0, r0_1, r0_2, r0_3);
            *(float4 *)(b14 + part * 64 + channel) = make_float4(r1_0, r1_1, r1_2, r1_3);
        }
    }
}
