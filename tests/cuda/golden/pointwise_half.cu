// phase 0: grid 512 x 1 x 1, block 256, 0 bytes of dynamic shared memory
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
    const int i3 = (point % 2) * 8; // channel
    const int i2 = point / 2 % 32; // width
    const int i1 = point / 64 % 32; // height
    const int i0 = point / 2048; // batch
    const FblPair<float4> v4 = fbl_load8_bf16(b0 + i0 * 16384 + i1 * 512 + i2 * 16 + i3);
    const FblPair<float4> v5 = *(const FblPair<float4> *)(b1 + i3);
    const float v7_0 = v5.low.x * 1.52587891e-05f;
    const float v7_1 = v5.low.y * 1.52587891e-05f;
    const float v7_2 = v5.low.z * 1.52587891e-05f;
    const float v7_3 = v5.low.w * 1.52587891e-05f;
    const float v7_4 = v5.high.x * 1.52587891e-05f;
    const float v7_5 = v5.high.y * 1.52587891e-05f;
    const float v7_6 = v5.high.z * 1.52587891e-05f;
    const float v7_7 = v5.high.w * 1.52587891e-05f;
    const float v8_0 = v4.low.x - v7_0;
    const float v8_1 = v4.low.y - v7_1;
    const float v8_2 = v4.low.z - v7_2;
    const float v8_3 = v4.low.w - v7_3;
    const float v8_4 = v4.high.x - v7_4;
    const float v8_5 = v4.high.y - v7_5;
    const float v8_6 = v4.high.z - v7_6;
    const float v8_7 = v4.high.w - v7_7;
    const FblPair<float4> v9 = *(const FblPair<float4> *)(b2 + i3);
    const float v10_0 = v8_0 * v9.low.x;
    const float v10_1 = v8_1 * v9.low.y;
    const float v10_2 = v8_2 * v9.low.z;
    const float v10_3 = v8_3 * v9.low.w;
    const float v10_4 = v8_4 * v9.high.x;
    const float v10_5 = v8_5 * v9.high.y;
    const float v10_6 = v8_6 * v9.high.z;
    const float v10_7 = v8_7 * v9.high.w;
    const FblPair<float4> v11 = *(const FblPair<float4> *)(b3 + i3);
    const float v12_0 = v10_0 + v11.low.x;
    const float v12_1 = v10_1 + v11.low.y;
    const float v12_2 = v10_2 + v11.low.z;
    const float v12_3 = v10_3 + v11.low.w;
    const float v12_4 = v10_4 + v11.high.x;
    const float v12_5 = v10_5 + v11.high.y;
    const float v12_6 = v10_6 + v11.high.z;
    const float v12_7 = v10_7 + v11.high.w;
    const bool v14_0 = v12_0 <= 0.0f;
    const bool v14_1 = v12_1 <= 0.0f;
    const bool v14_2 = v12_2 <= 0.0f;
    const bool v14_3 = v12_3 <= 0.0f;
    const bool v14_4 = v12_4 <= 0.0f;
    const bool v14_5 = v12_5 <= 0.0f;
    const bool v14_6 = v12_6 <= 0.0f;
    const bool v14_7 = v12_7 <= 0.0f;
    const float v15_0 = v14_0 ? 0.0f : v12_0;
    const float v15_1 = v14_1 ? 0.0f : v12_1;
    const float v15_2 = v14_2 ? 0.0f : v12_2;
    const float v15_3 = v14_3 ? 0.0f : v12_3;
    const float v15_4 = v14_4 ? 0.0f : v12_4;
    const float v15_5 = v14_5 ? 0.0f : v12_5;
    const float v15_6 = v14_6 ? 0.0f : v12_6;
    const float v15_7 = v14_7 ? 0.0f : v12_7;
    fbl_store8_bf16(b4 + i0 * 16384 + i1 * 512 + i2 * 16 + i3, FblPair<float4>{make_float4(v15_0, v15_1, v15_2, v15_3), make_float4(v15_4, v15_5, v15_6, v15_7)});
}
