// phase 0: grid 128 x 1 x 1, block 512, 0 bytes of dynamic shared memory
// sum_sum_0eda_50890eda
// from resnet_cifar.fbl:6 sum, resnet_cifar.fbl:6 sum
// b0 f32 [64, 8, 8, 64] in
// b1 f32 [64, 8, 8, 64] in
// b2 f32 [64, 64] out
// b3 f32 [64, 64] out
// about 2129920 bytes, 786432 operations
extern "C" __global__ void __launch_bounds__(512) sum_sum_0eda_50890eda(const float *__restrict__ b0, const float *__restrict__ b1, float *__restrict__ b2, float *__restrict__ b3, const FblScalars *scalars) {
    __shared__ float parts[512];
    const int tx = threadIdx.x % 32, ty = threadIdx.x / 32;
    const int item = blockIdx.x * 32 + tx;
    const int i1 = item % 64; // channel
    const int i0 = item / 64; // batch
    FblSum s0 = {0.0f};
    FblSum s1 = {0.0f};
    {
        #pragma unroll 4
        for (int p = ty; p < 64; p += 16) {
            const int i3 = p % 8; // width
            const int i2 = p / 8; // height
            const float v4 = b0[i0 * 4096 + i2 * 512 + i3 * 64 + i1];
            const float v5 = b1[i0 * 4096 + i2 * 512 + i3 * 64 + i1];
            const float v6 = v4 * v5;
            s0.take(FblSum{v4});
            s1.take(FblSum{v6});
        }
    }
    fbl_reduce<FblSum, 32, 16>(s0, parts);
    const float r0 = s0.v;
    fbl_reduce<FblSum, 32, 16>(s1, parts);
    const float r1 = s1.v;
    {
        if (ty == 0) {
            b2[i0 * 64 + i1] = r0;
        }
        if (ty == 0) {
            b3[i0 * 64 + i1] = r1;
        }
    }
}
