// phase 0: grid 128 x 1 x 1, block 1024, 0 bytes of dynamic shared memory
// sum_sum_3f36_b3233f36
// from resnet_cifar.fbl:18 sum, resnet_cifar.fbl:18 sum
// b0 bf16 [64, 32, 32, 16] in
// b1 f32 [64, 16] out
// b2 f32 [64, 16] out
// about 2105344 bytes, 5242880 operations
extern "C" __global__ void __launch_bounds__(1024) sum_sum_3f36_b3233f36(const unsigned short *__restrict__ b0, float *__restrict__ b1, float *__restrict__ b2, const FblScalars *scalars) {
    __shared__ float parts[256];
    const int tx = threadIdx.x % 8, ty = threadIdx.x / 8;
    const int item = blockIdx.x * 8 + tx;
    const int i1 = item % 16; // channel
    const int i0 = item / 16; // batch
    FblSum s0 = {0.0f};
    {
        #pragma unroll 8
        for (int p = ty; p < 1024; p += 128) {
            const int i3 = p % 32; // width
            const int i2 = p / 32; // height
            const float v4 = fbl_from_bf16(b0[i0 * 16384 + i2 * 512 + i3 * 16 + i1]);
            s0.take(FblSum{v4});
        }
    }
    fbl_reduce<FblSum, 8, 128>(s0, parts);
    const float r0 = s0.v;
    {
        if (ty == 0) {
            b1[i0 * 16 + i1] = r0;
        }
    }
    FblSum s1 = {0.0f};
    {
        const float v15 = r0 / 1024.0f;
        #pragma unroll 8
        for (int p = ty; p < 1024; p += 128) {
            const int i3 = p % 32; // width
            const int i2 = p / 32; // height
            const float v12 = fbl_from_bf16(b0[i0 * 16384 + i2 * 512 + i3 * 16 + i1]);
            const float v16 = v12 - v15;
            const float v17 = v16 * v16;
            s1.take(FblSum{v17});
        }
    }
    fbl_reduce<FblSum, 8, 128>(s1, parts);
    const float r1 = s1.v;
    {
        if (ty == 0) {
            b2[i0 * 16 + i1] = r1;
        }
    }
}
