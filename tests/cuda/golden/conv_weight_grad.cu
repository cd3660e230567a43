// phase 0: grid 256 x 1 x 1, block 256, 0 bytes of dynamic shared memory
// phase 1: grid 36 x 16 x 1, block 64, 15360 bytes of dynamic shared memory
// phase 2: grid 72 x 1 x 1, block 128, 0 bytes of dynamic shared memory
// conv2d_weight_grad_6412_12fb6412
// from resnet_cifar.fbl:6 conv2d_weight_grad (backward)
// b0 f32 [64, 8, 8, 64] in
// b1 f32 [64] in
// b2 f32 [64] in
// b3 f32 [64] in
// b4 f32 [64, 8, 8, 64] in
// b5 f32 [64, 64] in
// b6 f32 [64] in
// b7 f32 [64, 8, 8, 64] in
// b8 f32 [64] in
// b9 f32 [64] in
// b10 f32 [64] in
// b11 f32 [64, 64, 3, 3] out
// conv2d weight gradient
// about 3311360 bytes, 301989888 operations
FBL_DEVICE float4 conv2d_weight_grad_6412_12fb6412_a(const float *__restrict__ b0, const float *__restrict__ b1, const float *__restrict__ b2, const float *__restrict__ b3, const float *__restrict__ b4, const float *__restrict__ b5, const float *__restrict__ b6, const float *__restrict__ b7, const float *__restrict__ b8, const float *__restrict__ b9, const float *__restrict__ b10, float *__restrict__ b11, const FblScalars *scalars, int i0, int i1, int i2, int i3) {
    const float4 v20 = *(const float4 *)(b4 + i0 * 4096 + i2 * 512 + i3 * 64 + i1);
    const bool v22_0 = v20.x <= 0.0f;
    const bool v22_1 = v20.y <= 0.0f;
    const bool v22_2 = v20.z <= 0.0f;
    const bool v22_3 = v20.w <= 0.0f;
    const float4 v23 = *(const float4 *)(b5 + i0 * 64 + i1);
    const float v24_0 = v22_0 ? 0.0f : v23.x;
    const float v24_1 = v22_1 ? 0.0f : v23.y;
    const float v24_2 = v22_2 ? 0.0f : v23.z;
    const float v24_3 = v22_3 ? 0.0f : v23.w;
    const float4 v25 = *(const float4 *)(b6 + i1);
    const float v26_0 = v24_0 * v25.x;
    const float v26_1 = v24_1 * v25.y;
    const float v26_2 = v24_2 * v25.z;
    const float v26_3 = v24_3 * v25.w;
    const float4 v27 = *(const float4 *)(b7 + i0 * 4096 + i2 * 512 + i3 * 64 + i1);
    const float4 v28 = *(const float4 *)(b8 + i1);
    const float v30_0 = v28.x * 0.000244140625f;
    const float v30_1 = v28.y * 0.000244140625f;
    const float v30_2 = v28.z * 0.000244140625f;
    const float v30_3 = v28.w * 0.000244140625f;
    const float v31_0 = v27.x - v30_0;
    const float v31_1 = v27.y - v30_1;
    const float v31_2 = v27.z - v30_2;
    const float v31_3 = v27.w - v30_3;
    const float4 v32 = *(const float4 *)(b9 + i1);
    const float v33_0 = v31_0 * v32.x;
    const float v33_1 = v31_1 * v32.y;
    const float v33_2 = v31_2 * v32.z;
    const float v33_3 = v31_3 * v32.w;
    const float v34_0 = v26_0 + v33_0;
    const float v34_1 = v26_1 + v33_1;
    const float v34_2 = v26_2 + v33_2;
    const float v34_3 = v26_3 + v33_3;
    const float4 v35 = *(const float4 *)(b10 + i1);
    const float v36_0 = v35.x * v25.x;
    const float v36_1 = v35.y * v25.y;
    const float v36_2 = v35.z * v25.z;
    const float v36_3 = v35.w * v25.w;
    const float v38_0 = v36_0 * (-0.000244140625f);
    const float v38_1 = v36_1 * (-0.000244140625f);
    const float v38_2 = v36_2 * (-0.000244140625f);
    const float v38_3 = v36_3 * (-0.000244140625f);
    const float v39_0 = v34_0 + v38_0;
    const float v39_1 = v34_1 + v38_1;
    const float v39_2 = v34_2 + v38_2;
    const float v39_3 = v34_3 + v38_3;
    return make_float4(v39_0, v39_1, v39_2, v39_3);
}
FBL_DEVICE float4 conv2d_weight_grad_6412_12fb6412_b(const float *__restrict__ b0, const float *__restrict__ b1, const float *__restrict__ b2, const float *__restrict__ b3, const float *__restrict__ b4, const float *__restrict__ b5, const float *__restrict__ b6, const float *__restrict__ b7, const float *__restrict__ b8, const float *__restrict__ b9, const float *__restrict__ b10, float *__restrict__ b11, const FblScalars *scalars, int i0, int i1, int i2, int i3) {
    const float4 v4 = *(const float4 *)(b0 + i0 * 4096 + i2 * 512 + i3 * 64 + i1);
    const float4 v5 = *(const float4 *)(b1 + i1);
    const float v7_0 = v5.x * 0.000244140625f;
    const float v7_1 = v5.y * 0.000244140625f;
    const float v7_2 = v5.z * 0.000244140625f;
    const float v7_3 = v5.w * 0.000244140625f;
    const float v8_0 = v4.x - v7_0;
    const float v8_1 = v4.y - v7_1;
    const float v8_2 = v4.z - v7_2;
    const float v8_3 = v4.w - v7_3;
    const float4 v9 = *(const float4 *)(b2 + i1);
    const float v10_0 = v8_0 * v9.x;
    const float v10_1 = v8_1 * v9.y;
    const float v10_2 = v8_2 * v9.z;
    const float v10_3 = v8_3 * v9.w;
    const float4 v11 = *(const float4 *)(b3 + i1);
    const float v12_0 = v10_0 + v11.x;
    const float v12_1 = v10_1 + v11.y;
    const float v12_2 = v10_2 + v11.z;
    const float v12_3 = v10_3 + v11.w;
    const bool v14_0 = v12_0 <= 0.0f;
    const bool v14_1 = v12_1 <= 0.0f;
    const bool v14_2 = v12_2 <= 0.0f;
    const bool v14_3 = v12_3 <= 0.0f;
    const float v15_0 = v14_0 ? 0.0f : v12_0;
    const float v15_1 = v14_1 ? 0.0f : v12_1;
    const float v15_2 = v14_2 ? 0.0f : v12_2;
    const float v15_3 = v14_3 ? 0.0f : v12_3;
    return make_float4(v15_0, v15_1, v15_2, v15_3);
}
FBL_DEVICE void conv2d_weight_grad_6412_12fb6412_store(const float *__restrict__ b0, const float *__restrict__ b1, const float *__restrict__ b2, const float *__restrict__ b3, const float *__restrict__ b4, const float *__restrict__ b5, const float *__restrict__ b6, const float *__restrict__ b7, const float *__restrict__ b8, const float *__restrict__ b9, const float *__restrict__ b10, float *__restrict__ b11, const FblScalars *scalars, const float4 acc, int i0, int i1, int i2, int i3) {
    b11[i0 * 576 + i1 * 9 + i2 * 3 + i3] = acc.x;
    b11[i0 * 576 + i1 * 9 + i2 * 3 + i3 + 9] = acc.y;
    b11[i0 * 576 + i1 * 9 + i2 * 3 + i3 + 18] = acc.z;
    b11[i0 * 576 + i1 * 9 + i2 * 3 + i3 + 27] = acc.w;
}
extern "C" __global__ void __launch_bounds__(256) conv2d_weight_grad_6412_12fb6412(const float *__restrict__ b0, const float *__restrict__ b1, const float *__restrict__ b2, const float *__restrict__ b3, const float *__restrict__ b4, const float *__restrict__ b5, const float *__restrict__ b6, const float *__restrict__ b7, const float *__restrict__ b8, const float *__restrict__ b9, const float *__restrict__ b10, float *__restrict__ b11, float *__restrict__ workspace, const FblScalars *scalars) {
    int q = blockIdx.x * 256 + threadIdx.x;
    if (q < 65536) {
        const int z = q % 16 * 4 / 64, c = q % 16 * 4 % 64, pixel = q / 16;
        *(float4 *)(workspace + 0 + q * 4) = conv2d_weight_grad_6412_12fb6412_b(b0, b1, b2, b3, b4, b5, b6, b7, b8, b9, b10, b11, scalars, pixel / 64, z * 64 + c, pixel / 8 % 8, pixel % 8);
        return;
    }
    q -= 65536;
}
// product 64 x 576 x 4096, tile 32 x 32 x 16, 3 stages, 16 runs of the sum
extern "C" __global__ void __launch_bounds__(64, 8) conv2d_weight_grad_6412_12fb6412_1(const float *__restrict__ b0, const float *__restrict__ b1, const float *__restrict__ b2, const float *__restrict__ b3, const float *__restrict__ b4, const float *__restrict__ b5, const float *__restrict__ b6, const float *__restrict__ b7, const float *__restrict__ b8, const float *__restrict__ b9, const float *__restrict__ b10, float *__restrict__ b11, float *__restrict__ workspace, const FblScalars *scalars) {
    FBL_DYNAMIC_SHARED;
    unsigned *a_tile = fbl_shared, *b_tile = fbl_shared + 1920;
    const int tid = threadIdx.x;
    const int n0 = blockIdx.x % 18 * 32, m0 = blockIdx.x / 18 % 2 * 32, z = blockIdx.x / 36;
    const int first = blockIdx.y * 16, last = fbl_imin(first + 16, 256);
    const int tm = tid / 8, tn = tid % 8;
    float sum[4][4] = {};
    float4 a_next[2];
    auto fetch = [&](int step, int stage) { // from memory, to registers or on the way to shared memory
        {
        const int row = m0 + tid % 8 * 4;
        #pragma unroll
        for (int i = 0; i < 2; i++) {
            const int k = step * 16 + tid / 8 + i * 8;
            const int n = k / 64, oh = k / 8 % 8, ow = k % 8;
            const bool inside = k < 4096 && row < 64;
            a_next[i] = inside ? conv2d_weight_grad_6412_12fb6412_a(b0, b1, b2, b3, b4, b5, b6, b7, b8, b9, b10, b11, scalars, n, row, oh, ow) : make_float4(0.0f, 0.0f, 0.0f, 0.0f);
        }
        }
        {
        const int row = n0 + tid % 8 * 4;
        const int tap = row / 64, c = row % 64;
        const int kh = tap / 3, kw = tap % 3;
        #pragma unroll
        for (int i = 0; i < 2; i++) {
            const int k = step * 16 + tid / 8 + i * 8;
            const int n = k / 64, oh = k / 8 % 8, ow = k % 8;
            const int h = oh * 1 - 1 + kh * 1, w = ow * 1 - 1 + kw * 1;
            const bool inside = k < 4096 && row < 576 && (unsigned)h < 8u && (unsigned)w < 8u;
            fbl_copy_async(b_tile + stage * 640 + (tid / 8 + i * 8) * 40 + tid % 8 * 4, inside ? workspace + 0 + ((n * 8 + h) * 8 + w) * 64 + z * 64 + c : workspace, inside);
        }
        }
    };
    auto put = [&](int stage) { // from registers to shared memory
        #pragma unroll
        for (int i = 0; i < 2; i++) {
            unsigned *to = a_tile + stage * 640 + (tid / 8 + i * 8) * 40 + tid % 8 * 4;
            *(float4 *)to = a_next[i];
        }
    };
    auto multiply = [&](int stage) {
        const unsigned *a_now = a_tile + stage * 640, *b_now = b_tile + stage * 640;
        #pragma unroll
        for (int at = 0; at < 16; at += 4) {
            float fa[4][4], fb[4][4];
            #pragma unroll
            for (int i = 0; i < 4; i += 4) {
                #pragma unroll
                for (int q = 0; q < 4; q++) {
                    const float4 v = *(const float4 *)(a_now + (at + q) * 40 + i / 4 * 32 + tm * 4 + i % 4);
                    fa[i][q] = v.x;
                    fa[i + 1][q] = v.y;
                    fa[i + 2][q] = v.z;
                    fa[i + 3][q] = v.w;
                }
            }
            #pragma unroll
            for (int i = 0; i < 4; i += 4) {
                #pragma unroll
                for (int q = 0; q < 4; q++) {
                    const float4 v = *(const float4 *)(b_now + (at + q) * 40 + i / 4 * 32 + tn * 4 + i % 4);
                    fb[i][q] = v.x;
                    fb[i + 1][q] = v.y;
                    fb[i + 2][q] = v.z;
                    fb[i + 3][q] = v.w;
                }
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
            results[(i / 4 * 32 + tm * 4 + i % 4) * 36 + j / 4 * 32 + tn * 4 + j % 4] = sum[i][j];
        }
    }
    __syncthreads();
    for (int q = tid; q < 256; q += 64) {
        const int row = q / 8, column = q % 8 * 4, m = m0 + row, n = n0 + column;
        if (m < 64 && n < 576) {
            const float4 acc = *(const float4 *)(results + row * 36 + column);
            *(float4 *)(workspace + 262144 + (((long long)blockIdx.y * 1 + z) * 64 + m) * 576 + n) = acc;
        }
    }
}
extern "C" __global__ void __launch_bounds__(128) conv2d_weight_grad_6412_12fb6412_2(const float *__restrict__ b0, const float *__restrict__ b1, const float *__restrict__ b2, const float *__restrict__ b3, const float *__restrict__ b4, const float *__restrict__ b5, const float *__restrict__ b6, const float *__restrict__ b7, const float *__restrict__ b8, const float *__restrict__ b9, const float *__restrict__ b10, float *__restrict__ b11, float *__restrict__ workspace, const FblScalars *scalars) {
    const int q = blockIdx.x * 128 + threadIdx.x;
    if (q >= 9216) {
        return;
    }
    const int n = q % 144 * 4, m = q / 144 % 64, z = q / 9216;
    const float *from = workspace + 262144 + (long long)q * 4;
    float4 acc = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
    #pragma unroll 4
    for (int run = 0; run < 16; run++) {
        const float4 part = *(const float4 *)(from + (long long)run * 36864);
        acc.x += part.x;
        acc.y += part.y;
        acc.z += part.z;
        acc.w += part.w;
    }
    const int tap = n / 64, c = n % 64;
    conv2d_weight_grad_6412_12fb6412_store(b0, b1, b2, b3, b4, b5, b6, b7, b8, b9, b10, b11, scalars, acc, z * 64 + m, c, tap / 3, tap % 3);
}
