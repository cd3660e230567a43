// phase 0: grid 256 x 1 x 1, block 32, 0 bytes of dynamic shared memory
// sum_ddf9_0c8bddf9
// from resnet_cifar.fbl:25 sum
// b0 bf16 [64, 8, 8, 64] in
// b1 f32 [64, 64] out
// about 540672 bytes, 262144 operations
extern "C" __global__ void __launch_bounds__(32) sum_ddf9_0c8bddf9(const unsigned short *__restrict__ b0, float *__restrict__ b1, const FblScalars *scalars) {
    const int tx = threadIdx.x % 2, ty = threadIdx.x / 2;
    const int item = blockIdx.x * 2 + tx;
    const int i1 = (item % 8) * 8; // channel
    const int i0 = item / 8; // batch
    FblMany<FblSum, 8> s0 = {{{0.0f}, {0.0f}, {0.0f}, {0.0f}, {0.0f}, {0.0f}, {0.0f}, {0.0f}}};
    {
        #pragma unroll 4
        for (int p = ty; p < 64; p += 16) {
            const int i3 = p % 8; // width
            const int i2 = p / 8; // height
            const FblPair<float4> v4 = fbl_load8_bf16(b0 + i0 * 4096 + i2 * 512 + i3 * 64 + i1);
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
    fbl_reduce<FblMany<FblSum, 8>, 2, 16>(s0, 0);
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
            *(FblPair<float4> *)(b1 + i0 * 64 + i1) = FblPair<float4>{make_float4(r0_0, r0_1, r0_2, r0_3), make_float4(r0_4, r0_5, r0_6, r0_7)};
        }
    }
}
