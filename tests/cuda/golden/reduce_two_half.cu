// phase 0: grid 64 x 1 x 1, block 512, 0 bytes of dynamic shared memory
// sum_sum_3f36_b3233f36
// from resnet_cifar.fbl:18 sum, resnet_cifar.fbl:18 sum
// b0 bf16 [64, 32, 32, 16] in
// b1 f32 [64, 16] out
// b2 f32 [64, 16] out
// about 2105344 bytes, 5242880 operations
extern "C" __global__ void __launch_bounds__(512) sum_sum_3f36_b3233f36(const unsigned short *__restrict__ b0, float *__restrict__ b1, float *__restrict__ b2, const FblScalars *scalars) {
    __shared__ float parts[256];
    const int tx = threadIdx.x % 2, ty = threadIdx.x / 2;
    const int item = blockIdx.x * 2 + tx;
    const int i1 = (item % 2) * 8; // channel
    const int i0 = item / 2; // batch
    FblMany<FblSum, 8> s0 = {{{0.0f}, {0.0f}, {0.0f}, {0.0f}, {0.0f}, {0.0f}, {0.0f}, {0.0f}}};
    {
        #pragma unroll 4
        for (int p = ty; p < 1024; p += 256) {
            const int i3 = p % 32; // width
            const int i2 = p / 32; // height
            const FblPair<float4> v4 = fbl_load8_bf16(b0 + i0 * 16384 + i2 * 512 + i3 * 16 + i1);
            s0.v[0].take(FblSum{v4.low.x});
            s0.v[1].take(FblSum{v4.low.y});
            s0.v[2].take(FblSum{v4.low.z});
            s0.v[3].take(FblSum{v4.low.w});
            s0.v[4].take(FblSum{v4.high.x});
            s0.v[5].take(FblSum{v4.high.y});
            s0.v[6].take(FblSum{v4.high.z});
            s0.v[7].take(FblSum{v4.high.w});
        }
    }
    fbl_reduce<FblMany<FblSum, 8>, 2, 256>(s0, parts);
    const float r0_0 = s0.v[0].v;
    const float r0_1 = s0.v[1].v;
    const float r0_2 = s0.v[2].v;
    const float r0_3 = s0.v[3].v;
    const float r0_4 = s0.v[4].v;
    const float r0_5 = s0.v[5].v;
    const float r0_6 = s0.v[6].v;
    const float r0_7 = s0.v[7].v;
    {
        if (ty == 0) {
            *(FblPair<float4> *)(b1 + i0 * 16 + i1) = FblPair<float4>{make_float4(r0_0, r0_1, r0_2, r0_3), make_float4(r0_4, r0_5, r0_6, r0_7)};
        }
    }
    FblMany<FblSum, 8> s1 = {{{0.0f}, {0.0f}, {0.0f}, {0.0f}, {0.0f}, {0.0f}, {0.0f}, {0.0f}}};
    {
        const float v15_0 = r0_0 / 1024.0f;
        const float v15_1 = r0_1 / 1024.0f;
        const float v15_2 = r0_2 / 1024.0f;
        const float v15_3 = r0_3 / 1024.0f;
        const float v15_4 = r0_4 / 1024.0f;
        const float v15_5 = r0_5 / 1024.0f;
        const float v15_6 = r0_6 / 1024.0f;
        const float v15_7 = r0_7 / 1024.0f;
        #pragma unroll 4
        for (int p = ty; p < 1024; p += 256) {
            const int i3 = p % 32; // width
            const int i2 = p / 32; // height
            const FblPair<float4> v12 = fbl_load8_bf16(b0 + i0 * 16384 + i2 * 512 + i3 * 16 + i1);
            const float v16_0 = v12.low.x - v15_0;
            const float v16_1 = v12.low.y - v15_1;
            const float v16_2 = v12.low.z - v15_2;
            const float v16_3 = v12.low.w - v15_3;
            const float v16_4 = v12.high.x - v15_4;
            const float v16_5 = v12.high.y - v15_5;
            const float v16_6 = v12.high.z - v15_6;
            const float v16_7 = v12.high.w - v15_7;
            const float v17_0 = v16_0 * v16_0;
            const float v17_1 = v16_1 * v16_1;
            const float v17_2 = v16_2 * v16_2;
            const float v17_3 = v16_3 * v16_3;
            const float v17_4 = v16_4 * v16_4;
            const float v17_5 = v16_5 * v16_5;
            const float v17_6 = v16_6 * v16_6;
            const float v17_7 = v16_7 * v16_7;
            s1.v[0].take(FblSum{v17_0});
            s1.v[1].take(FblSum{v17_1});
            s1.v[2].take(FblSum{v17_2});
            s1.v[3].take(FblSum{v17_3});
            s1.v[4].take(FblSum{v17_4});
            s1.v[5].take(FblSum{v17_5});
            s1.v[6].take(FblSum{v17_6});
            s1.v[7].take(FblSum{v17_7});
        }
    }
    fbl_reduce<FblMany<FblSum, 8>, 2, 256>(s1, parts);
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
            *(FblPair<float4> *)(b2 + i0 * 16 + i1) = FblPair<float4>{make_float4(r1_0, r1_1, r1_2, r1_3), make_float4(r1_4, r1_5, r1_6, r1_7)};
        }
    }
}
