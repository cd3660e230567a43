// phase 0: grid 320 x 1 x 1, block 128, 0 bytes of dynamic shared memory
// contract_add_8a99_52d68a99
// from resnet_cifar.fbl:30 contract, resnet_cifar.fbl:30 add
// b0 f32 [64, 64] in
// b1 f32 [10, 64] in
// b2 f32 [10] in
// b3 f32 [64, 10] out
// about 21544 bytes, 82560 operations
extern "C" __global__ void __launch_bounds__(128) contract_add_8a99_52d68a99(const float *__restrict__ b0, const float *__restrict__ b1, const float *__restrict__ b2, float *__restrict__ b3, const FblScalars *scalars) {
    __shared__ float parts[8];
    const int tx = threadIdx.x % 2, ty = threadIdx.x / 2;
    const int item = blockIdx.x * 2 + tx;
    const int i1 = item % 64; // batch
    const int i0 = item / 64; // class
    FblSum s0 = {0.0f};
    {
        for (int p = ty; p < 64; p += 64) {
            const int i2 = p; // dim
            const float v3 = b0[i1 * 64 + i2];
            const float v4 = b1[i0 * 64 + i2];
            const float v5 = v3 * v4;
            s0.take(FblSum{v5});
        }
    }
    fbl_reduce<FblSum, 2, 64>(s0, parts);
    const float r0 = s0.v;
    {
        const float v9 = b2[i0];
        const float v10 = r0 + v9;
        if (ty == 0) {
            b3[i1 * 10 + i0] = v10;
        }
    }
}
