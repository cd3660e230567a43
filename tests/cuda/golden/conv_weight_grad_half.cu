// phase 0: grid 128 x 1 x 1, block 256, 0 bytes of dynamic shared memory
// phase 1: grid 5 x 16 x 1, block 256, 39936 bytes of dynamic shared memory
// phase 2: grid 72 x 1 x 1, block 128, 0 bytes of dynamic shared memory
// conv2d_weight_grad_3947_13853947
// from resnet_cifar.fbl:6 conv2d_weight_grad (backward)
// b0 bf16 [64, 8, 8, 64] in
// b1 f32 [64] in
// b2 f32 [64] in
// b3 f32 [64] in
// b4 bf16 [64, 8, 8, 64] in
// b5 f32 [64, 64] in
// b6 f32 [64] in
// b7 bf16 [64, 8, 8, 64] in
// b8 f32 [64] in
// b9 f32 [64] in
// b10 f32 [64] in
// b11 f32 [64, 64, 3, 3] out
// conv2d weight gradient
// about 1738496 bytes, 301989888 operations
FBL_DEVICE float4 conv2d_weight_grad_3947_13853947_a(const unsigned short *__restrict__ b0, const float *__restrict__ b1, const float *__restrict__ b2, const float *__restrict__ b3, const unsigned short *__restrict__ b4, const float *__restrict__ b5, const float *__restrict__ b6, const unsigned short *__restrict__ b7, const float *__restrict__ b8, const float *__restrict__ b9, const float *__restrict__ b10, float *__restrict__ b11, const FblScalars *scalars, int i0, int i1, int i2, int i3) {
    const float4 v20 = fbl_load_bf16(b4 + i0 * 4096 + i2 * 512 + i3 * 64 + i1);
    const bool v22_0 = v20.x <= 0.0f;
    const bool v22_1 = v20.y <= 0.0f;
    const bool v22_2 = v20.z <= 0.0f;
    const bool v22_3 = v20.w <= 0.0f;
    const float4 v23 = *(const float4 *)(b5 + i0 * 64 + i1);
    const float v24_0 = v22_0 ? 0.0f : v23.x;
    const float v24_1 = v22_1 ? 0.0f : v23.y;
    const float v24_2 = v22_2 ? 0.0f : v23.z;
    const float v24_3 = v22_3 ? 0.0f : v23.w;
    const float4 v25 = *(const float4 *)(b6 + i1);
    const float v26_0 = v24_0 * v25.x;
    const float v26_1 = v24_1 * v25.y;
    const float v26_2 = v24_2 * v25.z;
    const float v26_3 = v24_3 * v25.w;
    const float4 v27 = fbl_load_bf16(b7 + i0 * 4096 + i2 * 512 + i3 * 64 + i1);
    const float4 v28 = *(const float4 *)(b8 + i1);
    const float v30_0 = v28.x * 0.000244140625f;
    const float v30_1 = v28.y * 0.000244140625f;
    const float v30_2 = v28.z * 0.000244140625f;
    const float v30_3 = v28.w * 0.000244140625f;
    const float v31_0 = v27.x - v30_0;
    const float v31_1 = v27.y - v30_1;
    const float v31_2 = v27.z - v30_2;
    const float v31_3 = v27.w - v30_3;
    const float4 v32 = *(const float4 *)(b9 + i1);
    const float v33_0 = v31_0 * v32.x;
    const float v33_1 = v31_1 * v32.y;
    const float v33_2 = v31_2 * v32.z;
    const float v33_3 = v31_3 * v32.w;
    const float v34_0 = v26_0 + v33_0;
    const float v34_1 = v26_1 + v33_1;
    const float v34_2 = v26_2 + v33_2;
    const float v34_3 = v26_3 + v33_3;
    const float4 v35 = *(const float4 *)(b10 + i1);
    const float v36_0 = v35.x * v25.x;
    const float v36_1 = v35.y * v25.y;
    const float v36_2 = v35.z * v25.z;
    const float v36_3 = v35.w * v25.w;
    const float v38_0 = v36_0 * (-0.000244140625f);
    const float v38_1 = v36_1 * (-0.000244140625f);
    const float v38_2 = v36_2 * (-0.000244140625f);
    const float v38_3 = v36_3 * (-0.000244140625f);
    const float v39_0 = v34_0 + v38_0;
    const float v39_1 = v34_1 + v38_1;
    const float v39_2 = v34_2 + v38_2;
    const float v39_3 = v34_3 + v38_3;
    return make_float4(v39_0, v39_1, v39_2, v39_3);
}
FBL_DEVICE FblPair<float4> conv2d_weight_grad_3947_13853947_b(const unsigned short *__restrict__ b0, const float *__restrict__ b1, const float *__restrict__ b2, const float *__restrict__ b3, const unsigned short *__restrict__ b4, const float *__restrict__ b5, const float *__restrict__ b6, const unsigned short *__restrict__ b7, const float *__restrict__ b8, const float *__restrict__ b9, const float *__restrict__ b10, float *__restrict__ b11, const FblScalars *scalars, int i0, int i1, int i2, int i3) {
    const FblPair<float4> v4 = fbl_load8_bf16(b0 + i0 * 4096 + i2 * 512 + i3 * 64 + i1);
    const FblPair<float4> v5 = *(const FblPair<float4> *)(b1 + i1);
    const float v7_0 = v5.low.x * 0.000244140625f;
    const float v7_1 = v5.low.y * 0.000244140625f;
    const float v7_2 = v5.low.z * 0.000244140625f;
    const float v7_3 = v5.low.w * 0.000244140625f;
    const float v7_4 = v5.high.x * 0.000244140625f;
    const float v7_5 = v5.high.y * 0.000244140625f;
    const float v7_6 = v5.high.z * 0.000244140625f;
    const float v7_7 = v5.high.w * 0.000244140625f;
    const float v8_0 = v4.low.x - v7_0;
    const float v8_1 = v4.low.y - v7_1;
    const float v8_2 = v4.low.z - v7_2;
    const float v8_3 = v4.low.w - v7_3;
    const float v8_4 = v4.high.x - v7_4;
    const float v8_5 = v4.high.y - v7_5;
    const float v8_6 = v4.high.z - v7_6;
    const float v8_7 = v4.high.w - v7_7;
    const FblPair<float4> v9 = *(const FblPair<float4> *)(b2 + i1);
    const float v10_0 = v8_0 * v9.low.x;
    const float v10_1 = v8_1 * v9.low.y;
    const float v10_2 = v8_2 * v9.low.z;
    const float v10_3 = v8_3 * v9.low.w;
    const float v10_4 = v8_4 * v9.high.x;
    const float v10_5 = v8_5 * v9.high.y;
    const float v10_6 = v8_6 * v9.high.z;
    const float v10_7 = v8_7 * v9.high.w;
    const FblPair<float4> v11 = *(const FblPair<float4> *)(b3 + i1);
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
    return {make_float4(v15_0, v15_1, v15_2, v15_3), make_float4(v15_4, v15_5, v15_6, v15_7)};
}
FBL_DEVICE void conv2d_weight_grad_3947_13853947_store(const unsigned short *__restrict__ b0, const float *__restrict__ b1, const float *__restrict__ b2, const float *__restrict__ b3, const unsigned short *__restrict__ b4, const float *__restrict__ b5, const float *__restrict__ b6, const unsigned short *__restrict__ b7, const float *__restrict__ b8, const float *__restrict__ b9, const float *__restrict__ b10, float *__restrict__ b11, const FblScalars *scalars, const float4 acc, int i0, int i1, int i2, int i3) {
    b11[i0 * 576 + i1 * 9 + i2 * 3 + i3] = acc.x;
    b11[i0 * 576 + i1 * 9 + i2 * 3 + i3 + 9] = acc.y;
    b11[i0 * 576 + i1 * 9 + i2 * 3 + i3 + 18] = acc.z;
    b11[i0 * 576 + i1 * 9 + i2 * 3 + i3 + 27] = acc.w;
}
extern "C" __global__ void __launch_bounds__(256) conv2d_weight_grad_3947_13853947(const unsigned short *__restrict__ b0, const float *__restrict__ b1, const float *__restrict__ b2, const float *__restrict__ b3, const unsigned short *__restrict__ b4, const float *__restrict__ b5, const float *__restrict__ b6, const unsigned short *__restrict__ b7, const float *__restrict__ b8, const float *__restrict__ b9, const float *__restrict__ b10, float *__restrict__ b11, float *__restrict__ workspace, const FblScalars *scalars) {
    int q = blockIdx.x * 256 + threadIdx.x;
    if (q < 32768) {
        const int z = q % 8 * 8 / 64, c = q % 8 * 8 % 64, pixel = q / 8;
        const FblPair<float4> v = conv2d_weight_grad_3947_13853947_b(b0, b1, b2, b3, b4, b5, b6, b7, b8, b9, b10, b11, scalars, pixel / 64, z * 64 + c, pixel / 8 % 8, pixel % 8);
        fbl_store8_bf16((unsigned short *)(workspace + 0) + q * 8, v);
        return;
    }
    q -= 32768;
}
// product 64 x 576 x 4096, tile 64 x 128 x 32, 3 stages, 16 runs of the sum
extern "C" __global__ void __launch_bounds__(256, 2) conv2d_weight_grad_3947_13853947_1(const unsigned short *__restrict__ b0, const float *__restrict__ b1, const float *__restrict__ b2, const float *__restrict__ b3, const unsigned short *__restrict__ b4, const float *__restrict__ b5, const float *__restrict__ b6, const unsigned short *__restrict__ b7, const float *__restrict__ b8, const float *__restrict__ b9, const float *__restrict__ b10, float *__restrict__ b11, float *__restrict__ workspace, const FblScalars *scalars) {
    FBL_DYNAMIC_SHARED;
    unsigned *a_tile = fbl_shared, *b_tile = fbl_shared + 3456;
    const int tid = threadIdx.x;
    const int n0 = blockIdx.x % 5 * 128, m0 = blockIdx.x / 5 % 1 * 64, z = blockIdx.x / 5;
    const int first = blockIdx.y * 8, last = fbl_imin(first + 8, 128);
    const int lane = tid % 32, warp_m = tid / 32 / 4 * 32, warp_n = tid / 32 % 4 * 32;
    float sum[2][4][4] = {};
    uint4 a_next[1];
    auto fetch = [&](int step, int stage) { // from memory, to registers or on the way to shared memory
        {
        const int row = m0 + tid % 16 * 4;
        #pragma unroll
        for (int i = 0; i < 1; i++) {
            const int pair = step * 32 + (tid / 16 + i * 16) * 2;
            float4 both[2];
            #pragma unroll
            for (int half = 0; half < 2; half++) {
                const int k = pair + half;
                const int n = k / 64, oh = k / 8 % 8, ow = k % 8;
                const bool inside = k < 4096 && row < 64;
                both[half] = inside ? conv2d_weight_grad_3947_13853947_a(b0, b1, b2, b3, b4, b5, b6, b7, b8, b9, b10, b11, scalars, n, row, oh, ow) : make_float4(0.0f, 0.0f, 0.0f, 0.0f);
            }
            a_next[i] = make_uint4(fbl_pack_bf16(both[0].x, both[1].x), fbl_pack_bf16(both[0].y, both[1].y), fbl_pack_bf16(both[0].z, both[1].z), fbl_pack_bf16(both[0].w, both[1].w));
        }
        }
        {
        const int row = n0 + tid % 16 * 8;
        const int tap = row / 64, c = row % 64;
        const int kh = tap / 3, kw = tap % 3;
        #pragma unroll
        for (int i = 0; i < 2; i++) {
            const int k = step * 32 + tid / 16 + i * 16;
            const int n = k / 64, oh = k / 8 % 8, ow = k % 8;
            const int h = oh * 1 - 1 + kh * 1, w = ow * 1 - 1 + kw * 1;
            const bool inside = k < 4096 && row < 576 && (unsigned)h < 8u && (unsigned)w < 8u;
            fbl_copy_async(b_tile + stage * 2176 + (tid / 16 + i * 16) * 68 + tid % 16 * 4, inside ? (const float *)((const unsigned short *)(workspace + 0) + ((n * 8 + h) * 8 + w) * 64 + z * 64 + c) : workspace, inside);
        }
        }
    };
    auto put = [&](int stage) { // from registers to shared memory
        #pragma unroll
        for (int i = 0; i < 1; i++) {
            unsigned *to = a_tile + stage * 1152 + (tid / 16 + i * 16) * 72 + tid % 16 * 4;
            *(uint4 *)to = a_next[i];
        }
    };
    auto multiply = [&](int stage) {
        const unsigned *a_now = a_tile + stage * 1152, *b_now = b_tile + stage * 2176;
        #pragma unroll
        for (int at = 0; at < 16; at += 8) {
            unsigned fa[2][4], fb[4][2];
            #pragma unroll
            for (int i = 0; i < 2; i++) {
                const int row = warp_m + i * 16 + lane / 4;
                fa[i][0] = (a_now[(at + lane % 4) * 72 + row]);
                fa[i][1] = (a_now[(at + lane % 4) * 72 + row + 8]);
                fa[i][2] = (a_now[(at + lane % 4 + 4) * 72 + row]);
                fa[i][3] = (a_now[(at + lane % 4 + 4) * 72 + row + 8]);
            }
            #pragma unroll
            for (int j = 0; j < 4; j++) {
                fbl_turn2(fb[j], (const unsigned short *)b_now + (at * 2 + lane % 16) * 136 + warp_n + j * 8);
            }
            #pragma unroll
            for (int i = 0; i < 2; i++) {
                #pragma unroll
                for (int j = 0; j < 4; j++) {
                    fbl_mma_bf16(sum[i][j], fa[i], fb[j]);
                }
            }
        }
    };
    for (int ahead = 0; ahead < 2; ahead++) {
        if (first + ahead < last) {
            fetch(first + ahead, ahead);
            put(ahead);
        }
        fbl_copy_commit();
    }
    for (int step = first; step < last; step++) {
        fbl_copy_wait<1>();
        __syncthreads();
        const int next = step + 2, stage = (next - first) % 3;
        if (next < last) {
            fetch(next, stage);
        }
        fbl_copy_commit();
        multiply((step - first) % 3);
        if (next < last) {
            put(stage);
        }
    }
    fbl_copy_wait<0>();
    __syncthreads();
    float *results = (float *)fbl_shared;
    #pragma unroll
    for (int i = 0; i < 2; i++) {
        #pragma unroll
        for (int j = 0; j < 4; j++) {
            float *to = results + (warp_m + i * 16 + lane / 4) * 132 + warp_n + j * 8 + lane % 4 * 2;
            to[0] = sum[i][j][0];
            to[1] = sum[i][j][1];
            to[1056] = sum[i][j][2];
            to[1057] = sum[i][j][3];
        }
    }
    __syncthreads();
    for (int q = tid; q < 2048; q += 256) {
        const int row = q / 32, column = q % 32 * 4, m = m0 + row, n = n0 + column;
        if (m < 64 && n < 576) {
            const float4 acc = *(const float4 *)(results + row * 132 + column);
            *(float4 *)(workspace + 131072 + (((long long)blockIdx.y * 1 + z) * 64 + m) * 576 + n) = acc;
        }
    }
}
extern "C" __global__ void __launch_bounds__(128) conv2d_weight_grad_3947_13853947_2(const unsigned short *__restrict__ b0, const float *__restrict__ b1, const float *__restrict__ b2, const float *__restrict__ b3, const unsigned short *__restrict__ b4, const float *__restrict__ b5, const float *__restrict__ b6, const unsigned short *__restrict__ b7, const float *__restrict__ b8, const float *__restrict__ b9, const float *__restrict__ b10, float *__restrict__ b11, float *__restrict__ workspace, const FblScalars *scalars) {
    const int q = blockIdx.x * 128 + threadIdx.x;
    if (q >= 9216) {
        return;
    }
    const int n = q % 144 * 4, m = q / 144 % 64, z = q / 9216;
    const float *from = workspace + 131072 + (long long)q * 4;
    float4 acc = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
    #pragma unroll 4
    for (int run = 0; run < 16; run++) {
        const float4 part = *(const float4 *)(from + (long long)run * 36864);
        acc.x += part.x;
        acc.y += part.y;
        acc.z += part.z;
        acc.w += part.w;
    }
    const int tap = n / 64, c = n % 64;
    conv2d_weight_grad_3947_13853947_store(b0, b1, b2, b3, b4, b5, b6, b7, b8, b9, b10, b11, scalars, acc, z * 64 + m, c, tap / 3, tap % 3);
}
