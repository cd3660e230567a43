// phase 0: grid 128 x 1 x 1, block 128, 23040 bytes of dynamic shared memory
// conv2d_data_grad_6f94_33eb6f94
// from resnet_cifar.fbl:6 conv2d_data_grad (backward)
// b0 f32 [64, 8, 8, 64] in
// b1 f32 [64, 64, 3, 3] in
// b2 f32 [64, 8, 8, 64] out
// conv2d data gradient
// about 2244608 bytes, 301989888 operations
FBL_DEVICE const float *conv2d_data_grad_6f94_33eb6f94_a(const float *__restrict__ b0, const float *__restrict__ b1, float *__restrict__ b2, const FblScalars *scalars, int i0, int i1, int i2, int i3) {
    return b0 + (i0 * 4096 + i2 * 512 + i3 * 64 + i1);
}
FBL_DEVICE float4 conv2d_data_grad_6f94_33eb6f94_b(const float *__restrict__ b0, const float *__restrict__ b1, float *__restrict__ b2, const FblScalars *scalars, int i0, int i1, int i2, int i3) {
    const float v9_0 = b1[i0 * 576 + i1 * 9 + i2 * 3 + i3];
    const float v9_1 = b1[i0 * 576 + i1 * 9 + i2 * 3 + i3 + 576];
    const float v9_2 = b1[i0 * 576 + i1 * 9 + i2 * 3 + i3 + 1152];
    const float v9_3 = b1[i0 * 576 + i1 * 9 + i2 * 3 + i3 + 1728];
    return make_float4(v9_0, v9_1, v9_2, v9_3);
}
FBL_DEVICE void conv2d_data_grad_6f94_33eb6f94_store(const float *__restrict__ b0, const float *__restrict__ b1, float *__restrict__ b2, const FblScalars *scalars, const float4 acc, int i0, int i1, int i2, int i3) {
    *(float4 *)(b2 + i0 * 4096 + i2 * 512 + i3 * 64 + i1) = make_float4(acc.x, acc.y, acc.z, acc.w);
}
// product 4096 x 64 x 576, tile 64 x 32 x 16, 1 runs of the sum
extern "C" __global__ void __launch_bounds__(128) conv2d_data_grad_6f94_33eb6f94(const float *__restrict__ b0, const float *__restrict__ b1, float *__restrict__ b2, const FblScalars *scalars) {
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
    float4 b_next[1];
    auto fetch = [&](int step, int stage) { // from memory, to registers or on the way to shared memory
        {
        const int k = step * 16 + tid % 4 * 4;
        const int tap = k / 64, c = k % 64;
        const int kh = tap / 3, kw = tap % 3;
        #pragma unroll
        for (int i = 0; i < 2; i++) {
            const int at_h = a_h[i] - kh * 1, at_w = a_w[i] - kw * 1;
            const int h = at_h / 1, w = at_w / 1;
            const bool inside = k < 576 && at_h >= 0 && at_w >= 0 && h < 8 && w < 8;
            fbl_copy_async(a_tile + stage * 1280 + (tid / 4 + i * 32) * 20 + tid % 4 * 4, inside ? conv2d_data_grad_6f94_33eb6f94_a(b0, b1, b2, scalars, a_n[i], c, h, w) : b0, inside);
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
            b_next[i] = inside ? conv2d_data_grad_6f94_33eb6f94_b(b0, b1, b2, scalars, c, row, kh, kw) : make_float4(0.0f, 0.0f, 0.0f, 0.0f);
        }
        }
    };
    auto put = [&](int stage) { // from registers to shared memory
        #pragma unroll
        for (int i = 0; i < 1; i++) {
            unsigned *to = b_tile + stage * 640 + (tid / 4 + i * 32) * 20 + tid % 4 * 4;
            *(float4 *)to = b_next[i];
        }
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
            conv2d_data_grad_6f94_33eb6f94_store(b0, b1, b2, scalars, acc, m / 64, z * 64 + n, m / 8 % 8, m % 8);
        }
    }
}
