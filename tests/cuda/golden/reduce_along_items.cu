// phase 0: grid 32 x 1 x 1, block 1024, 0 bytes of dynamic shared memory
// sum_c470_ad54c470
// from resnet_cifar.fbl:18 sum
// b0 f32 [64, 32, 32, 16] in
// b1 f32 [64, 16] out
// about 4198400 bytes, 1048576 operations
extern "C" __global__ void __launch_bounds__(1024) sum_c470_ad54c470(const float *__restrict__ b0, float *__restrict__ b1, const FblScalars *scalars) {
    __shared__ float parts[1024];
    const int tx = threadIdx.x % 32, ty = threadIdx.x / 32;
    const int item = blockIdx.x * 32 + tx;
    const int i1 = item % 16; // channel
    const int i0 = item / 16; // batch
    FblSum s0 = {0.0f};
    {
        #pragma unroll 4
        for (int p = ty; p < 1024; p += 32) {
            const int i3 = p % 32; // width
            const int i2 = p / 32; // height
            const float v4 = b0[i0 * 16384 + i2 * 512 + i3 * 16 + i1];
            s0.take(FblSum{v4});
        }
    }
    fbl_reduce<FblSum, 32, 32>(s0, parts);
    const float r0 = s0.v;
    {
        if (ty == 0) {
            b1[i0 * 16 + i1] = r0;
        }
    }
}
