// phase 0: grid 8 x 1 x 1, block 128, 0 bytes of dynamic shared memory
// reduce_max_sum_add_4f88_df164f88
// from losses.fbl:100 reduce_max, losses.fbl:100 sum, losses.fbl:100 add (backward)
// b0 f32 [64, 10] in
// b1 f32 [10] in
// b2 f32 [64] in
// b3 f32 [64] out
// b4 f32 [64] out
// b5 i32 [64] in
// b6 f32 [64, 10] out
// about 6184 bytes, 10240 operations
extern "C" __global__ void __launch_bounds__(128) reduce_max_sum_add_4f88_df164f88(const float *__restrict__ b0, const float *__restrict__ b1, const float *__restrict__ b2, float *__restrict__ b3, float *__restrict__ b4, const int *__restrict__ b5, float *__restrict__ b6, const FblScalars *scalars) {
    __shared__ float parts[32];
    const int tx = threadIdx.x % 8, ty = threadIdx.x / 8;
    const int item = blockIdx.x * 8 + tx;
    const int i0 = item; // batch
    FblMax s0 = {-FBL_INF};
    {
        const float v4 = b2[i0];
        for (int p = ty; p < 10; p += 16) {
            const int i1 = p; // class
            const float v2 = b0[i0 * 10 + i1];
            const float v3 = b1[i1];
            const float v5 = v3 / v4;
            const float v6 = v2 - v5;
            s0.take(FblMax{v6});
        }
    }
    fbl_reduce<FblMax, 8, 16>(s0, parts);
    const float r0 = s0.v;
    {
        if (ty == 0) {
            b3[i0] = r0;
        }
    }
    FblSum s1 = {0.0f};
    {
        const float v13 = b2[i0];
        for (int p = ty; p < 10; p += 16) {
            const int i1 = p; // class
            const float v11 = b0[i0 * 10 + i1];
            const float v12 = b1[i1];
            const float v14 = v12 / v13;
            const float v15 = v11 - v14;
            const float v17 = v15 - r0;
            const float v18 = expf(v17);
            s1.take(FblSum{v18});
        }
    }
    fbl_reduce<FblSum, 8, 16>(s1, parts);
    const float r1 = s1.v;
    {
        if (ty == 0) {
            b4[i0] = r1;
        }
    }
    {
        const int v23 = b5[i0];
        const float v30 = 0.015625f / r1;
        const float v33 = b2[i0];
        for (int p = ty; p < 10; p += 16) {
            const int i1 = p; // class
            const bool v24 = v23 == i1;
            const float v27 = v24 ? (-0.015625f) : 0.0f;
            const float v31 = b0[i0 * 10 + i1];
            const float v32 = b1[i1];
            const float v34 = v32 / v33;
            const float v35 = v31 - v34;
            const float v37 = v35 - r0;
            const float v38 = expf(v37);
            const float v39 = v30 * v38;
            const float v40 = v27 + v39;
            b6[i0 * 10 + i1] = v40;
        }
    }
}
