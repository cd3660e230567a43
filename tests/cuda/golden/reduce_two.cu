// phase 0: grid 256 x 1 x 1, block 256, 0 bytes of dynamic shared memory
// sum_sum_ebeb_2d0eebeb
// from resnet_cifar.fbl:6 sum, resnet_cifar.fbl:6 sum
// b0 f32 [64, 8, 8, 64] in
// b1 f32 [64, 64] in
// b2 f32 [64, 8, 8, 64] in
// b3 f32 [64] in
// b4 f32 [64, 64] out
// b5 f32 [64, 64] out
// about 2146560 bytes, 1572864 operations
extern "C" __global__ void __launch_bounds__(256) sum_sum_ebeb_2d0eebeb(const float *__restrict__ b0, const float *__restrict__ b1, const float *__restrict__ b2, const float *__restrict__ b3, float *__restrict__ b4, float *__restrict__ b5, const FblScalars *scalars) {
    __shared__ float parts[128];
    const int tx = threadIdx.x % 16, ty = threadIdx.x / 16;
    const int item = blockIdx.x * 16 + tx;
    const int i1 = item % 64; // channel
    const int i0 = item / 64; // batch
    FblSum s0 = {0.0f};
    FblSum s1 = {0.0f};
    {
        const float v7 = b1[i0 * 64 + i1];
        const float v10 = b3[i1];
        const float v12 = v10 * 0.000244140625f;
        #pragma unroll 8
        for (int p = ty; p < 64; p += 16) {
            const int i3 = p % 8; // width
            const int i2 = p / 8; // height
            const float v4 = b0[i0 * 4096 + i2 * 512 + i3 * 64 + i1];
            const bool v6 = v4 <= 0.0f;
            const float v8 = v6 ? 0.0f : v7;
            const float v9 = b2[i0 * 4096 + i2 * 512 + i3 * 64 + i1];
            const float v13 = v9 - v12;
            const float v14 = v8 * v13;
            s0.take(FblSum{v8});
            s1.take(FblSum{v14});
        }
    }
    fbl_reduce<FblSum, 16, 16>(s0, parts);
    const float r0 = s0.v;
    fbl_reduce<FblSum, 16, 16>(s1, parts);
    const float r1 = s1.v;
    {
        if (ty == 0) {
            b4[i0 * 64 + i1] = r0;
        }
        if (ty == 0) {
            b5[i0 * 64 + i1] = r1;
        }
    }
}
