// phase 0: grid 36 x 16 x 1, block 64, 15360 bytes of dynamic shared memory
// phase 1: grid 72 x 1 x 1, block 128, 0 bytes of dynamic shared memory
// conv2d_weight_grad_2c9f_d4dd2c9f
// from resnet_cifar.fbl:6 conv2d_weight_grad (backward)
// b0 f32 [64, 8, 8, 64] in
// b1 f32 [64, 8, 8, 64] in
// b2 f32 [64, 64, 3, 3] out
// conv2d weight gradient
// about 2244608 bytes, 301989888 operations
FBL_DEVICE const float *conv2d_weight_grad_2c9f_d4dd2c9f_a(const float *__restrict__ b0, const float *__restrict__ b1, float *__restrict__ b2, const FblScalars *scalars, int i0, int i1, int i2, int i3) {
    return b1 + (i0 * 4096 + i2 * 512 + i3 * 64 + i1);
}
FBL_DEVICE const float *conv2d_weight_grad_2c9f_d4dd2c9f_b(const float *__restrict__ b0, const float *__restrict__ b1, float *__restrict__ b2, const FblScalars *scalars, int i0, int i1, int i2, int i3) {
    return b0 + (i0 * 4096 + i2 * 512 + i3 * 64 + i1);
}
FBL_DEVICE void conv2d_weight_grad_2c9f_d4dd2c9f_store(const float *__restrict__ b0, const float *__restrict__ b1, float *__restrict__ b2, const FblScalars *scalars, const float4 acc, int i0, int i1, int i2, int i3) {
    b2[i0 * 576 + i1 * 9 + i2 * 3 + i3] = acc.x;
    b2[i0 * 576 + i1 * 9 + i2 * 3 + i3 + 9] = acc.y;
    b2[i0 * 576 + i1 * 9 + i2 * 3 + i3 + 18] = acc.z;
    b2[i0 * 576 + i1 * 9 + i2 * 3 + i3 + 27] = acc.w;
}
// product 64 x 576 x 4096, tile 32 x 32 x 16, 16 runs of the sum
extern "C" __global__ void __launch_bounds__(64) conv2d_weight_grad_2c9f_d4dd2c9f(const float *__restrict__ b0, const float *__restrict__ b1, float *__restrict__ b2, float *__restrict__ workspace, const FblScalars *scalars) {
    FBL_DYNAMIC_SHARED;
    unsigned *a_tile = fbl_shared, *b_tile = fbl_shared + 1920;
    const int tid = threadIdx.x;
    const int n0 = blockIdx.x % 18 * 32, m0 = blockIdx.x / 18 % 2 * 32, z = blockIdx.x / 36;
    const int first = blockIdx.y * 16, last = fbl_imin(first + 16, 256);
    const int tm = tid / 8, tn = tid % 8;
    float sum[4][4] = {};
    auto fetch = [&](int step, int stage) { // from memory, to registers or on the way to shared memory
        {
        const int row = m0 + tid % 8 * 4;
        #pragma unroll
        for (int i = 0; i < 2; i++) {
            const int k = step * 16 + tid / 8 + i * 8;
            const int n = k / 64, oh = k / 8 % 8, ow = k % 8;
            const bool inside = k < 4096 && row < 64;
            fbl_copy_async(a_tile + stage * 640 + (tid / 8 + i * 8) * 40 + tid % 8 * 4, inside ? conv2d_weight_grad_2c9f_d4dd2c9f_a(b0, b1, b2, scalars, n, row, oh, ow) : b1, inside);
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
            fbl_copy_async(b_tile + stage * 640 + (tid / 8 + i * 8) * 40 + tid % 8 * 4, inside ? conv2d_weight_grad_2c9f_d4dd2c9f_b(b0, b1, b2, scalars, n, c, h, w) : b0, inside);
        }
        }
    };
    auto put = [&](int stage) { // from registers to shared memory
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
            *(float4 *)(workspace + (((long long)blockIdx.y * 1 + z) * 64 + m) * 576 + n) = acc;
        }
    }
}
extern "C" __global__ void __launch_bounds__(128) conv2d_weight_grad_2c9f_d4dd2c9f_1(const float *__restrict__ b0, const float *__restrict__ b1, float *__restrict__ b2, float *__restrict__ workspace, const FblScalars *scalars) {
    const int q = blockIdx.x * 128 + threadIdx.x;
    if (q >= 9216) {
        return;
    }
    const int n = q % 144 * 4, m = q / 144 % 64, z = q / 9216;
    float4 acc = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
    #pragma unroll 4
    for (int run = 0; run < 16; run++) {
        const float4 part = *(const float4 *)(workspace + ((long long)run * 9216 + q) * 4);
        acc.x += part.x;
        acc.y += part.y;
        acc.z += part.z;
        acc.w += part.w;
    }
    const int tap = n / 64, c = n % 64;
    conv2d_weight_grad_2c9f_d4dd2c9f_store(b0, b1, b2, scalars, acc, z * 64 + m, c, tap / 3, tap % 3);
}
