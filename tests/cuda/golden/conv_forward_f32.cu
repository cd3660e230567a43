// phase 0: grid 3 x 1 x 1, block 256, 0 bytes of dynamic shared memory
// phase 1: grid 512 x 1 x 1, block 128, 34560 bytes of dynamic shared memory
// conv2d_sum_sum_3fb5_c9f33fb5
// from resnet_cifar.fbl:5 conv2d, resnet_cifar.fbl:5 sum, resnet_cifar.fbl:5 sum
// b0 f32 [64, 32, 32, 16] in
// b1 f32 [16, 16, 3, 3] in
// b2 f32 [64, 32, 32, 16] out
// b3 f32 [1024, 16] out
// b4 f32 [1024, 16] out
// conv2d
// about 8528896 bytes, 307232768 operations
FBL_DEVICE const float *conv2d_sum_sum_3fb5_c9f33fb5_a(const float *__restrict__ b0, const float *__restrict__ b1, float *__restrict__ b2, float *__restrict__ b3, float *__restrict__ b4, const FblScalars *scalars, int i0, int i1, int i2, int i3) {
    return b0 + (i0 * 16384 + i2 * 512 + i3 * 16 + i1);
}
FBL_DEVICE float4 conv2d_sum_sum_3fb5_c9f33fb5_b(const float *__restrict__ b0, const float *__restrict__ b1, float *__restrict__ b2, float *__restrict__ b3, float *__restrict__ b4, const FblScalars *scalars, int i0, int i1, int i2, int i3) {
    const float v9_0 = b1[i0 * 144 + i1 * 9 + i2 * 3 + i3];
    const float v9_1 = b1[i0 * 144 + i1 * 9 + i2 * 3 + i3 + 9];
    const float v9_2 = b1[i0 * 144 + i1 * 9 + i2 * 3 + i3 + 18];
    const float v9_3 = b1[i0 * 144 + i1 * 9 + i2 * 3 + i3 + 27];
    return make_float4(v9_0, v9_1, v9_2, v9_3);
}
FBL_DEVICE void conv2d_sum_sum_3fb5_c9f33fb5_store(const float *__restrict__ b0, const float *__restrict__ b1, float *__restrict__ b2, float *__restrict__ b3, float *__restrict__ b4, const FblScalars *scalars, const float4 acc, int i0, int i1, int i2, int i3) {
    *(float4 *)(b2 + i0 * 16384 + i2 * 512 + i3 * 16 + i1) = make_float4(acc.x, acc.y, acc.z, acc.w);
}
extern "C" __global__ void __launch_bounds__(256) conv2d_sum_sum_3fb5_c9f33fb5(const float *__restrict__ b0, const float *__restrict__ b1, float *__restrict__ b2, float *__restrict__ b3, float *__restrict__ b4, float *__restrict__ workspace, const FblScalars *scalars) {
    int q = blockIdx.x * 256 + threadIdx.x;
    if (q < 576) {
        const int k = q % 36 * 4, row = q / 36 % 16, z = q / 576;
        const int tap = k / 16, c = k % 16;
        *(float4 *)(workspace + 0 + q * 4) = conv2d_sum_sum_3fb5_c9f33fb5_b(b0, b1, b2, b3, b4, scalars, z * 16 + row, c, tap / 3, tap % 3);
        return;
    }
    q -= 576;
}
// product 65536 x 16 x 144, tile 128 x 16 x 16, 3 stages, 1 runs of the sum
extern "C" __global__ void __launch_bounds__(128, 4) conv2d_sum_sum_3fb5_c9f33fb5_1(const float *__restrict__ b0, const float *__restrict__ b1, float *__restrict__ b2, float *__restrict__ b3, float *__restrict__ b4, float *__restrict__ workspace, const FblScalars *scalars) {
    FBL_DYNAMIC_SHARED;
    unsigned *a_tile = fbl_shared, *b_tile = fbl_shared + 7680;
    const int tid = threadIdx.x;
    const int n0 = blockIdx.x % 1 * 16, m0 = blockIdx.x / 1 % 512 * 128, z = blockIdx.x / 512;
    const int first = 0, last = 9;
    const int tm = tid / 4, tn = tid % 4;
    float sum[4][4] = {};
    int a_n[4], a_h[4], a_w[4];
    #pragma unroll
    for (int i = 0; i < 4; i++) {
        const int m = m0 + tid / 4 + i * 32;
        a_n[i] = m / 1024;
        a_h[i] = m < 65536 ? m / 32 % 32 * 1 - 1 : -1073741824;
        a_w[i] = m % 32 * 1 - 1;
    }
    auto fetch = [&](int step, int stage) { // from memory, to registers or on the way to shared memory
        {
        const int k = step * 16 + tid % 4 * 4;
        const int tap = k / 16, c = k % 16;
        const int kh = tap / 3, kw = tap % 3;
        #pragma unroll
        for (int i = 0; i < 4; i++) {
            const int h = a_h[i] + kh * 1, w = a_w[i] + kw * 1;
            const bool inside = k < 144 && (unsigned)h < 32u && (unsigned)w < 32u;
            fbl_copy_async(a_tile + stage * 2560 + (tid / 4 + i * 32) * 20 + tid % 4 * 4, inside ? conv2d_sum_sum_3fb5_c9f33fb5_a(b0, b1, b2, b3, b4, scalars, a_n[i], c, h, w) : b0, inside);
        }
        }
        {
        const int k = step * 16 + tid % 4 * 4;
        const int tap = k / 16, c = k % 16;
        const int kh = tap / 3, kw = tap % 3;
        #pragma unroll
        for (int i = 0; i < 1; i++) {
            if (tid + i * 128 >= 64) {
                continue;
            }
            const int row = n0 + tid / 4 + i * 32;
            const bool inside = k < 144 && row < 16;
            fbl_copy_async(b_tile + stage * 320 + (tid / 4 + i * 32) * 20 + tid % 4 * 4, inside ? workspace + 0 + (z * 16 + row) * 144 + k : workspace, inside);
        }
        }
    };
    auto put = [&](int stage) { // from registers to shared memory
    };
    auto multiply = [&](int stage) {
        const unsigned *a_now = a_tile + stage * 2560, *b_now = b_tile + stage * 320;
        #pragma unroll
        for (int at = 0; at < 16; at += 4) {
            float fa[4][4], fb[4][4];
            #pragma unroll
            for (int i = 0; i < 4; i++) {
                const float4 v = *(const float4 *)(a_now + (tm + i * 32) * 20 + at);
                fa[i][0] = v.x;
                fa[i][1] = v.y;
                fa[i][2] = v.z;
                fa[i][3] = v.w;
            }
            #pragma unroll
            for (int i = 0; i < 4; i++) {
                const float4 v = *(const float4 *)(b_now + (tn + i * 4) * 20 + at);
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
            results[(tm + i * 32) * 20 + tn + j * 4] = sum[i][j];
        }
    }
    __syncthreads();
    for (int q = tid; q < 512; q += 128) {
        const int row = q / 4, column = q % 4 * 4, m = m0 + row, n = n0 + column;
        if (m < 65536 && n < 16) {
            const float4 acc = *(const float4 *)(results + row * 20 + column);
            conv2d_sum_sum_3fb5_c9f33fb5_store(b0, b1, b2, b3, b4, scalars, acc, m / 1024, z * 16 + n, m / 32 % 32, m % 32);
        }
    }
    for (int q = tid; q < 128; q += 128) { // parts of 64 rows
        const int own = q / 32 / 2, share = q / 8 % 4;
        const int column = (q / 32 % 2 * 8 + q % 8) * 1;
        const bool live = m0 / 64 + own < 1024 && n0 + column < 16 && share == 0;
        const int part = fbl_imin(m0 / 64 + own, 1023), channel = z * 16 + fbl_imin(n0 + column, 15);
        const float *at = results + own * 1280 + column;
        float s0[1][2] = {};
        #pragma unroll
        for (int k = 0; k < 16; k++) {
            const int row = k / 2 * 8 + share * 2 + k % 2;
            const float acc = *(const float *)(at + row * 20);
            s0[0][k % 2] += acc;
        }
        const float r0 = fbl_sum_shares(s0[0][0] + s0[0][1]);
        float s1[1][2] = {};
        const float v39 = r0 / 64.0f;
        #pragma unroll
        for (int k = 0; k < 16; k++) {
            const int row = k / 2 * 8 + share * 2 + k % 2;
            const float acc = *(const float *)(at + row * 20);
            const float v40 = acc - v39;
            const float v41 = v40 * v40;
            s1[0][k % 2] += v41;
        }
        const float r1 = fbl_sum_shares(s1[0][0] + s1[0][1]);
        if (live) {
            b3[part * 16 + channel] = r0;
            b4[part * 16 + channel] = r1;
        }
    }
}
