#!/bin/sh
# Products in half precision by a cuBLASLt of our own (soft_cublaslt.c): activations in halves as they lie, weights packed to halves before the call, and, where a
# table says so, operands that are computed on the way. library_half.sh FBLC OUT DRIVER CUBLASLT COMPARE_TENSORS
. "$(dirname "$0")/../e2e/common.sh"
FBL_CUDA_DRIVER=$3
FBL_NVRTC=$3
FBL_CUBLASLT=$4
export FBL_CUDA_DRIVER FBL_NVRTC FBL_CUBLASLT
compare=$5
gemm=$here/gemm.fbl
norm=$here/gemm_norm.fbl
run() {
    name=$1 && shift
    "$fblc" run "$@" --quiet --threads 1 --target cuda --max-steps 2 --out "$out/$name" 2> "$out/stderr" || { cat "$out/stderr" && fail "run $name"; }
}
same_run() { same "$out/$1/last.safetensors" "$out/$2/last.safetensors"; }
# Both round the same factors in the same way and store results rounded in the same way, unless a sum in another order falls on the other side of a tie. So
# parameters and slots after two steps are within 1e-4 of each other (1e-7 is usual); f32 instead of bf16 moves them by up to 7e-3.
near_run() { "$compare" "$out/$1/last.safetensors" "$out/$2/last.safetensors" 1e-4 > "$out/stdout" || { cat "$out/stdout" && fail "$1 and $2"; }; }
products() { sort "$out/report" | uniq -c | sed 's/^ *//' > "$out/products"; }

# Each once for its check and once a step. Weight gradients have factors in halves and a result in f32; in f16 they are also scaled back by the loss's scale, which
# is no product's part. The linear layer keeps to f32.
cat > "$out/wanted_bf16" << 'END'
3 algorithm 3 NN 12 x 64 x 8 batch 1 beta 0 of bf16
3 algorithm 3 NN 8 x 4 x 10 batch 1 beta 0
3 algorithm 3 NT 12 x 8 x 64 batch 1 beta 0 of bf16 to f32
3 algorithm 3 NT 3 x 12 x 64 batch 1 beta 0 of bf16 to f32
3 algorithm 3 NT 8 x 10 x 4 batch 1 beta 0
3 algorithm 3 TN 10 x 4 x 8 batch 1 beta 0 bias
3 algorithm 3 TN 12 x 64 x 3 batch 1 beta 0 of bf16
3 algorithm 3 TN 8 x 64 x 12 batch 1 beta 0 of bf16
END
cat > "$out/wanted_f16" << 'END'
3 algorithm 3 NN 12 x 64 x 8 batch 1 beta 0 of f16
3 algorithm 3 NN 8 x 4 x 10 batch 1 beta 0
3 algorithm 3 TN 10 x 4 x 8 batch 1 beta 0 bias
3 algorithm 3 TN 12 x 64 x 3 batch 1 beta 0 of f16
3 algorithm 3 TN 8 x 64 x 12 batch 1 beta 0 of f16
END
for precision in bf16 f16; do
    rm -f "$out/report"
    FBL_SOFT_LT=report=$out/report run $precision "$gemm" --precision $precision
    products
    same "$out/wanted_$precision" "$out/products"
    run off_$precision "$gemm" --precision $precision --library-gemm=off
    near_run $precision off_$precision
done
# What the file has recorded, phases that pack weights included, is used again: without a compiler, to the same bits. Gone: fblc's own kernels.
FBL_NVRTC=/nowhere/libnvrtc.so FBL_CACHE=off run recorded "$out/bf16/program.fblx" --precision bf16
same_run bf16 recorded
FBL_CUBLASLT=/nowhere/libcublasLt.so run gone "$out/bf16/program.fblx" --precision bf16
says 'note\[E0654\]: 11 matrix products run on fblc.s own kernels instead of cuBLASLt'
same_run off_bf16 gone
# Wrong halves are found, though no more than neighbours of the right ones: there are too many of them.
FBL_SOFT_LT=wrong run wrong "$gemm" --precision bf16
says 'warning\[E0655\]: cuBLASLt 13.1.0: algorithm 3, tile 1, stages 1, 1 split gives another result than kernel'
same_run off_bf16 wrong

# Prologues become arrays only where the table says that this pays: a normalised image, the gradient of a normalisation.
rm -f "$out/report"
FBL_SOFT_LT=report=$out/report run plain "$norm" --precision bf16
if grep -q 'N[NT] .* of bf16' "$out/report"; then fail "an image was packed without being asked for"; fi
mv "$out/report" "$out/plain_report"
for problem in 'conv n4 c8 h4 w4 o16 k1x1 s1x1 p0x0 d1x1 g1 computed computed' 'conv_data n4 c8 h4 w4 o16 k1x1 s1x1 p0x0 d1x1 g1 computed packed' \
    'conv_weight n4 c8 h4 w4 o16 k1x1 s1x1 p0x0 d1x1 g1 computed computed'; do
    echo "sm_90 bf16 $problem : cublaslt"
done > "$out/norm.tune"
FBL_SOFT_LT=report=$out/report run tuned "$norm" --precision bf16 --tune-file "$out/norm.tune"
sort "$out/report" > "$out/tuned_products"
sort "$out/plain_report" > "$out/plain_products"
comm -23 "$out/tuned_products" "$out/plain_products" | uniq -c | sed 's/^ *//' > "$out/products"
cat > "$out/wanted" << 'END'
3 algorithm 3 NN 8 x 64 x 16 batch 1 beta 0 of bf16
3 algorithm 3 NT 8 x 16 x 64 batch 1 beta 0 of bf16 to f32
3 algorithm 3 TN 16 x 64 x 8 batch 1 beta 0 of bf16
END
same "$out/wanted" "$out/products"
run own "$norm" --precision bf16 --library-gemm=off
near_run tuned own
