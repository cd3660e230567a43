// phase 0: grid 256 x 1 x 1, block 32, 0 bytes of dynamic shared memory
// sum_sum_b716_5ee2b716
// from resnet_cifar.fbl:6 sum, resnet_cifar.fbl:6 sum
// b0 bf16 [64, 8, 8, 64] in
// b1 f32 [64, 64] in
// b2 bf16 [64, 8, 8, 64] in
// b3 f32 [64] in
// b4 f32 [64, 64] out
// b5 f32 [64, 64] out
// about 1097984 bytes, 1572864 operations
extern "C" __global__ void __launch_bounds__(32) sum_sum_b716_5ee2b716(const unsigned short *__restrict__ b0, const float *__restrict__ b1, const unsigned short *__restrict__ b2, const float *__restrict__ b3, float *__restrict__ b4, float *__restrict__ b5, const FblScalars *scalars) {
    const int tx = threadIdx.x % 2, ty = threadIdx.x / 2;
    const int item = blockIdx.x * 2 + tx;
    const int i1 = (item % 8) * 8; // channel
    const int i0 = item / 8; // batch
    FblMany<FblSum, 8> s0 = {{{0.0f}, {0.0f}, {0.0f}, {0.0f}, {0.0f}, {0.0f}, {0.0f}, {0.0f}}};
    FblMany<FblSum, 8> s1 = {{{0.0f}, {0.0f}, {0.0f}, {0.0f}, {0.0f}, {0.0f}, {0.0f}, {0.0f}}};
    {
        const FblPair<float4> v7 = *(const FblPair<float4> *)(b1 + i0 * 64 + i1);
        const FblPair<float4> v10 = *(const FblPair<float4> *)(b3 + i1);
        const float v12_0 = v10.low.x * 0.000244140625f;
        const float v12_1 = v10.low.y * 0.000244140625f;
        const float v12_2 = v10.low.z * 0.000244140625f;
        const float v12_3 = v10.low.w * 0.000244140625f;
        const float v12_4 = v10.high.x * 0.000244140625f;
        const float v12_5 = v10.high.y * 0.000244140625f;
        const float v12_6 = v10.high.z * 0.000244140625f;
        const float v12_7 = v10.high.w * 0.000244140625f;
        #pragma unroll 4
        for (int p = ty; p < 64; p += 16) {
            const int i3 = p % 8; // width
            const int i2 = p / 8; // height
            const FblPair<float4> v4 = fbl_load8_bf16(b0 + i0 * 4096 + i2 * 512 + i3 * 64 + i1);
            const bool v6_0 = v4.low.x <= 0.0f;
            const bool v6_1 = v4.low.y <= 0.0f;
            const bool v6_2 = v4.low.z <= 0.0f;
            const bool v6_3 = v4.low.w <= 0.0f;
            const bool v6_4 = v4.high.x <= 0.0f;
            const bool v6_5 = v4.high.y <= 0.0f;
            const bool v6_6 = v4.high.z <= 0.0f;
            const bool v6_7 = v4.high.w <= 0.0f;
            const float v8_0 = v6_0 ? 0.0f : v7.low.x;
            const float v8_1 = v6_1 ? 0.0f : v7.low.y;
            const float v8_2 = v6_2 ? 0.0f : v7.low.z;
            const float v8_3 = v6_3 ? 0.0f : v7.low.w;
            const float v8_4 = v6_4 ? 0.0f : v7.high.x;
            const float v8_5 = v6_5 ? 0.0f : v7.high.y;
            const float v8_6 = v6_6 ? 0.0f : v7.high.z;
            const float v8_7 = v6_7 ? 0.0f : v7.high.w;
            const FblPair<float4> v9 = fbl_load8_bf16(b2 + i0 * 4096 + i2 * 512 + i3 * 64 + i1);
            const float v13_0 = v9.low.x - v12_0;
            const float v13_1 = v9.low.y - v12_1;
            const float v13_2 = v9.low.z - v12_2;
            const float v13_3 = v9.low.w - v12_3;
            const float v13_4 = v9.high.x - v12_4;
            const float v13_5 = v9.high.y - v12_5;
            const float v13_6 = v9.high.z - v12_6;
            const float v13_7 = v9.high.w - v12_7;
            const float v14_0 = v8_0 * v13_0;
            const float v14_1 = v8_1 * v13_1;
            const float v14_2 = v8_2 * v13_2;
            const float v14_3 = v8_3 * v13_3;
            const float v14_4 = v8_4 * v13_4;
            const float v14_5 = v8_5 * v13_5;
            const float v14_6 = v8_6 * v13_6;
            const float v14_7 = v8_7 * v13_7;
            s0.v[0].take(FblSum{v8_0});
            s0.v[1].take(FblSum{v8_1});
            s0.v[2].take(FblSum{v8_2});
            s0.v[3].take(FblSum{v8_3});
            s0.v[4].take(FblSum{v8_4});
            s0.v[5].take(FblSum{v8_5});
            s0.v[6].take(FblSum{v8_6});
            s0.v[7].take(FblSum{v8_7});
            s1.v[0].take(FblSum{v14_0});
            s1.v[1].take(FblSum{v14_1});
            s1.v[2].take(FblSum{v14_2});
            s1.v[3].take(FblSum{v14_3});
            s1.v[4].take(FblSum{v14_4});
            s1.v[5].take(FblSum{v14_5});
            s1.v[6].take(FblSum{v14_6});
            s1.v[7].take(FblSum{v14_7});
        }
    }
    fbl_reduce<FblMany<FblSum, 8>, 2, 16>(s0, 0);
    const float r0_0 = s0.v[0].v;
    const float r0_1 = s0.v[1].v;
    const float r0_2 = s0.v[2].v;
    const float r0_3 = s0.v[3].v;
    const float r0_4 = s0.v[4].v;
    const float r0_5 = s0.v[5].v;
    const float r0_6 = s0.v[6].v;
    const float r0_7 = s0.v[7].v;
    fbl_reduce<FblMany<FblSum, 8>, 2, 16>(s1, 0);
    const float r1_0 = s1.v[0].v;
    const float r1_1 = s1.v[1].v;
    const float r1_2 = s1.v[2].v;
    const float r1_3 = s1.v[3].v;
    const float r1_4 = s1.v[4].v;
    const float r1_5 = s1.v[5].v;
    const float r1_6 = s1.v[6].v;
    const float r1_7 = s1.v[7].v;
    {
        if (ty == 0) {
            *(FblPair<float4> *)(b4 + i0 * 64 + i1) = FblPair<float4>{make_float4(r0_0, r0_1, r0_2, r0_3), make_float4(r0_4, r0_5, r0_6, r0_7)};
        }
        if (ty == 0) {
            *(FblPair<float4> *)(b5 + i0 * 64 + i1) = FblPair<float4>{make_float4(r1_0, r1_1, r1_2, r1_3), make_float4(r1_4, r1_5, r1_6, r1_7)};
        }
    }
}
