// phase 0: grid 256 x 1 x 1, block 256, 0 bytes of dynamic shared memory
// sum_ddf9_0c8bddf9
// from resnet_cifar.fbl:25 sum
// b0 bf16 [64, 8, 8, 64] in
// b1 f32 [64, 64] out
// about 540672 bytes, 262144 operations
extern "C" __global__ void __launch_bounds__(256) sum_ddf9_0c8bddf9(const unsigned short *__restrict__ b0, float *__restrict__ b1, const FblScalars *scalars) {
    __shared__ float parts[128];
    const int tx = threadIdx.x % 16, ty = threadIdx.x / 16;
    const int item = blockIdx.x * 16 + tx;
    const int i1 = item % 64; // channel
    const int i0 = item / 64; // batch
    FblSum s0 = {0.0f};
    {
        #pragma unroll 8
        for (int p = ty; p < 64; p += 16) {
            const int i3 = p % 8; // width
            const int i2 = p / 8; // height
            const float v4 = fbl_from_bf16(b0[i0 * 4096 + i2 * 512 + i3 * 64 + i1]);
            s0.take(FblSum{v4});
        }
    }
    fbl_reduce<FblSum, 16, 16>(s0, parts);
    const float r0 = s0.v;
    {
        if (ty == 0) {
            b1[i0 * 64 + i1] = r0;
        }
    }
}
