// phase 0: grid 137 x 1 x 1, block 256, 0 bytes of dynamic shared memory
// phase 1: grid 128 x 1 x 1, block 128, 38400 bytes of dynamic shared memory
// conv2d_data_grad_select_11f7_d90611f7
// from resnet_cifar.fbl:5 conv2d_data_grad (backward), resnet_cifar.fbl:7 select (backward)
// b0 bf16 [64, 8, 8, 64] in
// b1 f32 [64] in
// b2 f32 [64] in
// b3 f32 [64] in
// b4 bf16 [64, 8, 8, 64] in
// b5 f32 [64] in
// b6 f32 [64] in
// b7 f32 [64, 32, 3, 3] in
// b8 bf16 [64, 16, 16, 32] in
// b9 bf16 [64, 8, 8, 64] in
// b10 f32 [64, 64] in
// b11 bf16 [64, 16, 16, 32] out
// conv2d data gradient
// about 3761408 bytes, 150994944 operations
FBL_DEVICE FblPair<float4> conv2d_data_grad_select_11f7_d90611f7_a(const unsigned short *__restrict__ b0, const float *__restrict__ b1, const float *__restrict__ b2, const float *__restrict__ b3, const unsigned short *__restrict__ b4, const float *__restrict__ b5, const float *__restrict__ b6, const float *__restrict__ b7, const unsigned short *__restrict__ b8, const unsigned short *__restrict__ b9, const float *__restrict__ b10, unsigned short *__restrict__ b11, const FblScalars *scalars, int i0, int i1, int i2, int i3) {
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
    const FblPair<float4> v15 = fbl_load8_bf16(b4 + i0 * 4096 + i2 * 512 + i3 * 64 + i1);
    const float v16_0 = v14_0 ? 0.0f : v15.low.x;
    const float v16_1 = v14_1 ? 0.0f : v15.low.y;
    const float v16_2 = v14_2 ? 0.0f : v15.low.z;
    const float v16_3 = v14_3 ? 0.0f : v15.low.w;
    const float v16_4 = v14_4 ? 0.0f : v15.high.x;
    const float v16_5 = v14_5 ? 0.0f : v15.high.y;
    const float v16_6 = v14_6 ? 0.0f : v15.high.z;
    const float v16_7 = v14_7 ? 0.0f : v15.high.w;
    const float v17_0 = v16_0 * v9.low.x;
    const float v17_1 = v16_1 * v9.low.y;
    const float v17_2 = v16_2 * v9.low.z;
    const float v17_3 = v16_3 * v9.low.w;
    const float v17_4 = v16_4 * v9.high.x;
    const float v17_5 = v16_5 * v9.high.y;
    const float v17_6 = v16_6 * v9.high.z;
    const float v17_7 = v16_7 * v9.high.w;
    const FblPair<float4> v18 = *(const FblPair<float4> *)(b5 + i1);
    const float v19_0 = v8_0 * v18.low.x;
    const float v19_1 = v8_1 * v18.low.y;
    const float v19_2 = v8_2 * v18.low.z;
    const float v19_3 = v8_3 * v18.low.w;
    const float v19_4 = v8_4 * v18.high.x;
    const float v19_5 = v8_5 * v18.high.y;
    const float v19_6 = v8_6 * v18.high.z;
    const float v19_7 = v8_7 * v18.high.w;
    const float v20_0 = v17_0 + v19_0;
    const float v20_1 = v17_1 + v19_1;
    const float v20_2 = v17_2 + v19_2;
    const float v20_3 = v17_3 + v19_3;
    const float v20_4 = v17_4 + v19_4;
    const float v20_5 = v17_5 + v19_5;
    const float v20_6 = v17_6 + v19_6;
    const float v20_7 = v17_7 + v19_7;
    const FblPair<float4> v21 = *(const FblPair<float4> *)(b6 + i1);
    const float v22_0 = v21.low.x * v9.low.x;
    const float v22_1 = v21.low.y * v9.low.y;
    const float v22_2 = v21.low.z * v9.low.z;
    const float v22_3 = v21.low.w * v9.low.w;
    const float v22_4 = v21.high.x * v9.high.x;
    const float v22_5 = v21.high.y * v9.high.y;
    const float v22_6 = v21.high.z * v9.high.z;
    const float v22_7 = v21.high.w * v9.high.w;
    const float v24_0 = v22_0 * (-0.000244140625f);
    const float v24_1 = v22_1 * (-0.000244140625f);
    const float v24_2 = v22_2 * (-0.000244140625f);
    const float v24_3 = v22_3 * (-0.000244140625f);
    const float v24_4 = v22_4 * (-0.000244140625f);
    const float v24_5 = v22_5 * (-0.000244140625f);
    const float v24_6 = v22_6 * (-0.000244140625f);
    const float v24_7 = v22_7 * (-0.000244140625f);
    const float v25_0 = v20_0 + v24_0;
    const float v25_1 = v20_1 + v24_1;
    const float v25_2 = v20_2 + v24_2;
    const float v25_3 = v20_3 + v24_3;
    const float v25_4 = v20_4 + v24_4;
    const float v25_5 = v20_5 + v24_5;
    const float v25_6 = v20_6 + v24_6;
    const float v25_7 = v20_7 + v24_7;
    return {make_float4(v25_0, v25_1, v25_2, v25_3), make_float4(v25_4, v25_5, v25_6, v25_7)};
}
FBL_DEVICE FblPair<float4> conv2d_data_grad_select_11f7_d90611f7_b(const unsigned short *__restrict__ b0, const float *__restrict__ b1, const float *__restrict__ b2, const float *__restrict__ b3, const unsigned short *__restrict__ b4, const float *__restrict__ b5, const float *__restrict__ b6, const float *__restrict__ b7, const unsigned short *__restrict__ b8, const unsigned short *__restrict__ b9, const float *__restrict__ b10, unsigned short *__restrict__ b11, const FblScalars *scalars, int i0, int i1, int i2, int i3) {
    const float v30_0 = b7[i0 * 288 + i1 * 9 + i2 * 3 + i3];
    const float v30_1 = b7[i0 * 288 + i1 * 9 + i2 * 3 + i3 + 288];
    const float v30_2 = b7[i0 * 288 + i1 * 9 + i2 * 3 + i3 + 576];
    const float v30_3 = b7[i0 * 288 + i1 * 9 + i2 * 3 + i3 + 864];
    const float v30_4 = b7[i0 * 288 + i1 * 9 + i2 * 3 + i3 + 1152];
    const float v30_5 = b7[i0 * 288 + i1 * 9 + i2 * 3 + i3 + 1440];
    const float v30_6 = b7[i0 * 288 + i1 * 9 + i2 * 3 + i3 + 1728];
    const float v30_7 = b7[i0 * 288 + i1 * 9 + i2 * 3 + i3 + 2016];
    return {make_float4(v30_0, v30_1, v30_2, v30_3), make_float4(v30_4, v30_5, v30_6, v30_7)};
}
FBL_DEVICE void conv2d_data_grad_select_11f7_d90611f7_store(const unsigned short *__restrict__ b0, const float *__restrict__ b1, const float *__restrict__ b2, const float *__restrict__ b3, const unsigned short *__restrict__ b4, const float *__restrict__ b5, const float *__restrict__ b6, const float *__restrict__ b7, const unsigned short *__restrict__ b8, const unsigned short *__restrict__ b9, const float *__restrict__ b10, unsigned short *__restrict__ b11, const FblScalars *scalars, const float4 acc, int i0, int i1, int i2, int i3) {
    const float4 v36 = fbl_load_bf16(b8 + i0 * 8192 + i2 * 512 + i3 * 32 + i1);
    const bool v38_0 = v36.x <= 0.0f;
    const bool v38_1 = v36.y <= 0.0f;
    const bool v38_2 = v36.z <= 0.0f;
    const bool v38_3 = v36.w <= 0.0f;
    const int v40 = i2 / 2;
    const int v41 = i2 % 2;
    const bool v43 = v41 == 0;
    const int v45 = i2 * (-1);
    const int v47 = v45 + 14;
    const bool v48 = 0 <= v47;
    const bool v49 = v48 && v43;
    const int v50 = i3 / 2;
    const int v51 = i3 % 2;
    const bool v52 = v51 == 0;
    const int v53 = i3 * (-1);
    const int v54 = v53 + 14;
    const bool v55 = 0 <= v54;
    const bool v56 = v55 && v52;
    const bool v57 = v49 && v56;
    const int v59 = i1 + 16;
    const float4 v60 = v57 ? fbl_load_bf16(b9 + i0 * 4096 + v40 * 512 + v50 * 64 + v59) : make_float4(0.0f, 0.0f, 0.0f, 0.0f);
    const bool v61_0 = v60.x <= 0.0f;
    const bool v61_1 = v60.y <= 0.0f;
    const bool v61_2 = v60.z <= 0.0f;
    const bool v61_3 = v60.w <= 0.0f;
    const float4 v62 = v57 ? *(const float4 *)(b10 + i0 * 64 + v59) : make_float4(0.0f, 0.0f, 0.0f, 0.0f);
    const float v63_0 = v61_0 ? 0.0f : v62.x;
    const float v63_1 = v61_1 ? 0.0f : v62.y;
    const float v63_2 = v61_2 ? 0.0f : v62.z;
    const float v63_3 = v61_3 ? 0.0f : v62.w;
    const float v64_0 = v56 ? v63_0 : 0.0f;
    const float v64_1 = v56 ? v63_1 : 0.0f;
    const float v64_2 = v56 ? v63_2 : 0.0f;
    const float v64_3 = v56 ? v63_3 : 0.0f;
    const float v65_0 = v49 ? v64_0 : 0.0f;
    const float v65_1 = v49 ? v64_1 : 0.0f;
    const float v65_2 = v49 ? v64_2 : 0.0f;
    const float v65_3 = v49 ? v64_3 : 0.0f;
    const float v66_0 = v65_0 + acc.x;
    const float v66_1 = v65_1 + acc.y;
    const float v66_2 = v65_2 + acc.z;
    const float v66_3 = v65_3 + acc.w;
    const float v67_0 = v38_0 ? 0.0f : v66_0;
    const float v67_1 = v38_1 ? 0.0f : v66_1;
    const float v67_2 = v38_2 ? 0.0f : v66_2;
    const float v67_3 = v38_3 ? 0.0f : v66_3;
    fbl_store_bf16(b11 + i0 * 8192 + i2 * 512 + i3 * 32 + i1, make_float4(v67_0, v67_1, v67_2, v67_3));
}
extern "C" __global__ void __launch_bounds__(256) conv2d_data_grad_select_11f7_d90611f7(const unsigned short *__restrict__ b0, const float *__restrict__ b1, const float *__restrict__ b2, const float *__restrict__ b3, const unsigned short *__restrict__ b4, const float *__restrict__ b5, const float *__restrict__ b6, const float *__restrict__ b7, const unsigned short *__restrict__ b8, const unsigned short *__restrict__ b9, const float *__restrict__ b10, unsigned short *__restrict__ b11, float *__restrict__ workspace, const FblScalars *scalars) {
    int q = blockIdx.x * 256 + threadIdx.x;
    if (q < 32768) {
        const int z = q % 8 * 8 / 64, c = q % 8 * 8 % 64, pixel = q / 8;
        const FblPair<float4> v = conv2d_data_grad_select_11f7_d90611f7_a(b0, b1, b2, b3, b4, b5, b6, b7, b8, b9, b10, b11, scalars, pixel / 64, z * 64 + c, pixel / 8 % 8, pixel % 8);
        fbl_store8_bf16((unsigned short *)(workspace + 0) + q * 8, v);
        return;
    }
    q -= 32768;
    if (q < 2304) {
        const int k = q % 72 * 8, row = q / 72 % 32, z = q / 2304;
        const int tap = k / 64, c = k % 64;
        const FblPair<float4> v = conv2d_data_grad_select_11f7_d90611f7_b(b0, b1, b2, b3, b4, b5, b6, b7, b8, b9, b10, b11, scalars, z * 64 + c, row, tap / 3, tap % 3);
        fbl_store8_bf16((unsigned short *)(workspace + 131072) + q * 8, v);
        return;
    }
    q -= 2304;
}
// product 4 parts, the largest 4096 x 32 x 256, tile 128 x 32 x 32, 3 stages, 1 runs of the sum
// 75497472 multiply-adds in tiles
extern "C" __global__ void __launch_bounds__(128, 4) conv2d_data_grad_select_11f7_d90611f7_1(const unsigned short *__restrict__ b0, const float *__restrict__ b1, const float *__restrict__ b2, const float *__restrict__ b3, const unsigned short *__restrict__ b4, const float *__restrict__ b5, const float *__restrict__ b6, const float *__restrict__ b7, const unsigned short *__restrict__ b8, const unsigned short *__restrict__ b9, const float *__restrict__ b10, unsigned short *__restrict__ b11, float *__restrict__ workspace, const FblScalars *scalars) {
    FBL_DYNAMIC_SHARED;
    unsigned *a_tile = fbl_shared, *b_tile = fbl_shared + 7680;
    const int tid = threadIdx.x;
    const int n0 = blockIdx.x % 1 * 32, m0 = blockIdx.x / 4 % 32 * 128, z = blockIdx.x / 128;
    const int part = blockIdx.x / 1 % 4;
    const int part_h = part / 2; // pixels from_h, from_h + 2, ...; taps first_h, first_h + 2, ...
    const int first_h = part_h, from_h = (first_h * 1 + 1) % 2;
    const int base_h = (from_h + 1 - first_h * 1) / 2;
    const int taps_h = part_h < 2 ? (4 - part_h) / 2 : 0;
    const int part_w = part % 2; // pixels from_w, from_w + 2, ...; taps first_w, first_w + 2, ...
    const int first_w = part_w, from_w = (first_w * 1 + 1) % 2;
    const int base_w = (from_w + 1 - first_w * 1) / 2;
    const int taps_w = part_w < 2 ? (4 - part_w) / 2 : 0;
    const int rows = 64 * 8 * 8, depth = taps_h * taps_w * 64;
    const int first = 0, last = (depth + 31) / 32;
    if (m0 >= rows) {
        return;
    }
    const int lane = tid % 32, warp_m = tid / 32 / 1 * 32, warp_n = tid / 32 % 1 * 32;
    float sum[2][4][4] = {};
    int a_n[4], a_h[4], a_w[4];
    #pragma unroll
    for (int i = 0; i < 4; i++) {
        const int m = m0 + tid / 4 + i * 32;
        a_n[i] = m / 64;
        a_h[i] = m < rows ? m / 8 % 8 + base_h : -1073741824;
        a_w[i] = m % 8 + base_w;
    }
    auto fetch = [&](int step, int stage) { // from memory, to registers or on the way to shared memory
        {
        const int k = step * 32 + tid % 4 * 8;
        const int tap = k / 64, c = k % 64;
        const int kh = taps_w == 1 ? tap / 1 : tap / 2, kw = tap - kh * taps_w;
        #pragma unroll
        for (int i = 0; i < 4; i++) {
            const int h = a_h[i] - kh * 1;
            const int w = a_w[i] - kw * 1;
            const bool inside = k < depth && (unsigned)h < 8u && (unsigned)w < 8u;
            fbl_copy_async(a_tile + stage * 2560 + (tid / 4 + i * 32) * 20 + tid % 4 * 4, inside ? (const float *)((const unsigned short *)(workspace + 0) + ((a_n[i] * 8 + h) * 8 + w) * 64 + z * 64 + c) : workspace, inside);
        }
        }
        {
        const int k = step * 32 + tid % 4 * 8;
        const int tap = k / 64, c = k % 64;
        const int kh = taps_w == 1 ? tap / 1 : tap / 2, kw = tap - kh * taps_w;
        #pragma unroll
        for (int i = 0; i < 1; i++) {
            const int row = n0 + tid / 4 + i * 32;
            const bool inside = k < depth && row < 32;
            fbl_copy_async(b_tile + stage * 640 + (tid / 4 + i * 32) * 20 + tid % 4 * 4, inside ? (const float *)((const unsigned short *)(workspace + 131072) + (z * 32 + row) * 576 + ((first_h + kh * 2) * 3 + first_w + kw * 2) * 64 + c) : workspace, inside);
        }
        }
    };
    auto put = [&](int stage) { // from registers to shared memory
    };
    auto multiply = [&](int stage) {
        const unsigned *a_now = a_tile + stage * 2560, *b_now = b_tile + stage * 640;
        #pragma unroll
        for (int at = 0; at < 16; at += 8) {
            unsigned fa[2][4], fb[4][2];
            #pragma unroll
            for (int i = 0; i < 2; i++) {
                const int row = warp_m + i * 16 + lane / 4;
                fa[i][0] = (a_now[(row) * 20 + at + lane % 4]);
                fa[i][1] = (a_now[(row + 8) * 20 + at + lane % 4]);
                fa[i][2] = (a_now[(row) * 20 + at + lane % 4 + 4]);
                fa[i][3] = (a_now[(row + 8) * 20 + at + lane % 4 + 4]);
            }
            #pragma unroll
            for (int j = 0; j < 4; j++) {
                const int column = warp_n + j * 8 + lane / 4;
                fb[j][0] = (b_now[(column) * 20 + at + lane % 4]);
                fb[j][1] = (b_now[(column) * 20 + at + lane % 4 + 4]);
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
            float *to = results + (warp_m + i * 16 + lane / 4) * 36 + warp_n + j * 8 + lane % 4 * 2;
            to[0] = sum[i][j][0];
            to[1] = sum[i][j][1];
            to[288] = sum[i][j][2];
            to[289] = sum[i][j][3];
        }
    }
    __syncthreads();
    for (int q = tid; q < 1024; q += 128) {
        const int row = q / 8, column = q % 8 * 4, m = m0 + row, n = n0 + column;
        if (m < rows && n < 32) {
            const float4 acc = *(const float4 *)(results + row * 36 + column);
            conv2d_data_grad_select_11f7_d90611f7_store(b0, b1, b2, b3, b4, b5, b6, b7, b8, b9, b10, b11, scalars, acc, m / 64, z * 32 + n, m / 8 % 8 * 2 + from_h, m % 8 * 2 + from_w);
        }
    }
}
