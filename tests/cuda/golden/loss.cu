// phase 0: grid 64 x 1 x 1, block 64, 0 bytes of dynamic shared memory
// sum_sum_26fe_478326fe
// from resnet_cifar.fbl:18 sum, resnet_cifar.fbl:18 sum
// b0 f32 [1024, 16] in
// b1 f32 [32, 16] out
// b2 f32 [1024, 16] in
// b3 f32 [32, 16] out
// about 135168 bytes, 131072 operations
extern "C" __global__ void __launch_bounds__(64) sum_sum_26fe_478326fe(const float *__restrict__ b0, float *__restrict__ b1, const float *__restrict__ b2, float *__restrict__ b3, const FblScalars *scalars) {
    __shared__ float parts[16];
    const int tx = threadIdx.x % 8, ty = threadIdx.x / 8;
    const int item = blockIdx.x * 8 + tx;
    const int i1 = item % 16; // channel
    const int i0 = item / 16; // batch.group
    FblSum s0 = {0.0f};
    {
        const int v5 = i0 * 32;
        #pragma unroll 8
        for (int p = ty; p < 32; p += 8) {
            const int i2 = p; // batch.within
            const int v6 = v5 + i2;
            const float v7 = b0[v6 * 16 + i1];
            s0.take(FblSum{v7});
        }
    }
    fbl_reduce<FblSum, 8, 8>(s0, parts);
    const float r0 = s0.v;
    {
        if (ty == 0) {
            b1[i0 * 16 + i1] = r0;
        }
    }
    FblSum s1 = {0.0f};
    {
        const int v16 = i0 * 32;
        const float v24 = r0 / 2048.0f;
        #pragma unroll 8
        for (int p = ty; p < 32; p += 8) {
            const int i2 = p; // batch.within
            const int v17 = v16 + i2;
            const float v18 = b2[v17 * 16 + i1];
            const float v19 = b0[v17 * 16 + i1];
            const float v21 = v19 / 64.0f;
            const float v25 = v21 - v24;
            const float v26 = v25 * v25;
            const float v27 = v26 * 64.0f;
            const float v28 = v18 + v27;
            s1.take(FblSum{v28});
        }
    }
    fbl_reduce<FblSum, 8, 8>(s1, parts);
    const float r1 = s1.v;
    {
        if (ty == 0) {
            b3[i0 * 16 + i1] = r1;
        }
    }
}
