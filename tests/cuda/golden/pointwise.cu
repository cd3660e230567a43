// phase 0: grid 1024 x 1 x 1, block 256, 0 bytes of dynamic shared memory
// sub_e12b_e86ce12b
// from resnet_cifar.fbl:18 sub
// b0 f32 [64, 32, 32, 16] in
// b1 f32 [16] in
// b2 f32 [64, 32, 32, 16] out
// about 8388672 bytes, 2097152 operations
extern "C" __global__ void __launch_bounds__(256) sub_e12b_e86ce12b(const float *__restrict__ b0, const float *__restrict__ b1, float *__restrict__ b2, const FblScalars *scalars) {
    const int point = blockIdx.x * 256 + threadIdx.x;
    const int i3 = (point % 4) * 4; // channel
    const int i2 = point / 4 % 32; // width
    const int i1 = point / 128 % 32; // height
    const int i0 = point / 4096; // batch
    const float4 v4 = *(const float4 *)(b0 + i0 * 16384 + i1 * 512 + i2 * 16 + i3);
    const float4 v5 = *(const float4 *)(b1 + i3);
    const float v7_0 = v5.x * 1.52587891e-05f;
    const float v7_1 = v5.y * 1.52587891e-05f;
    const float v7_2 = v5.z * 1.52587891e-05f;
    const float v7_3 = v5.w * 1.52587891e-05f;
    const float v8_0 = v4.x - v7_0;
    const float v8_1 = v4.y - v7_1;
    const float v8_2 = v4.z - v7_2;
    const float v8_3 = v4.w - v7_3;
    *(float4 *)(b2 + i0 * 16384 + i1 * 512 + i2 * 16 + i3) = make_float4(v8_0, v8_1, v8_2, v8_3);
}
