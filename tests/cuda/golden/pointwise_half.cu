// phase 0: grid 1024 x 1 x 1, block 256, 0 bytes of dynamic shared memory
// select_c669_2670c669
// from resnet_cifar.fbl:18 select
// b0 bf16 [64, 32, 32, 16] in
// b1 f32 [16] in
// b2 f32 [16] in
// b3 f32 [16] in
// b4 bf16 [64, 32, 32, 16] out
// about 4194496 bytes, 5242880 operations
extern "C" __global__ void __launch_bounds__(256) select_c669_2670c669(const unsigned short *__restrict__ b0, const float *__restrict__ b1, const float *__restrict__ b2, const float *__restrict__ b3, unsigned short *__restrict__ b4, const FblScalars *scalars) {
    const int point = blockIdx.x * 256 + threadIdx.x;
    const int i3 = (point % 4) * 4; // channel
    const int i2 = point / 4 % 32; // width
    const int i1 = point / 128 % 32; // height
    const int i0 = point / 4096; // batch
    const float4 v4 = fbl_load_bf16(b0 + i0 * 16384 + i1 * 512 + i2 * 16 + i3);
    const float4 v5 = *(const float4 *)(b1 + i3);
    const float v7_0 = v5.x * 1.52587891e-05f;
    const float v7_1 = v5.y * 1.52587891e-05f;
    const float v7_2 = v5.z * 1.52587891e-05f;
    const float v7_3 = v5.w * 1.52587891e-05f;
    const float v8_0 = v4.x - v7_0;
    const float v8_1 = v4.y - v7_1;
    const float v8_2 = v4.z - v7_2;
    const float v8_3 = v4.w - v7_3;
    const float4 v9 = *(const float4 *)(b2 + i3);
    const float v10_0 = v8_0 * v9.x;
    const float v10_1 = v8_1 * v9.y;
    const float v10_2 = v8_2 * v9.z;
    const float v10_3 = v8_3 * v9.w;
    const float4 v11 = *(const float4 *)(b3 + i3);
    const float v12_0 = v10_0 + v11.x;
    const float v12_1 = v10_1 + v11.y;
    const float v12_2 = v10_2 + v11.z;
    const float v12_3 = v10_3 + v11.w;
    const bool v14_0 = v12_0 <= 0.0f;
    const bool v14_1 = v12_1 <= 0.0f;
    const bool v14_2 = v12_2 <= 0.0f;
    const bool v14_3 = v12_3 <= 0.0f;
    const float v15_0 = v14_0 ? 0.0f : v12_0;
    const float v15_1 = v14_1 ? 0.0f : v12_1;
    const float v15_2 = v14_2 ? 0.0f : v12_2;
    const float v15_3 = v14_3 ? 0.0f : v12_3;
    fbl_store_bf16(b4 + i0 * 16384 + i1 * 512 + i2 * 16 + i3, make_float4(v15_0, v15_1, v15_2, v15_3));
}
