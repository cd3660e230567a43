#!/bin/sh
# Plain matrix products by a cuBLASLt of our own (soft_cublaslt.c): which products, in which layouts; the recorded algorithm is used again; where the library
# is missing, refuses or is wrong the kernels do the work. library.sh FBLC OUT DRIVER CUBLASLT
. "$(dirname "$0")/../e2e/common.sh"
FBL_CUDA_DRIVER=$3
FBL_NVRTC=$3
FBL_CUBLASLT=$4
export FBL_CUDA_DRIVER FBL_NVRTC FBL_CUBLASLT
gemm=$here/gemm.fbl
run() {
    name=$1 && shift
    "$fblc" run "$@" --quiet --target cuda --max-steps 3 --out "$out/$name" 2> "$out/stderr" || { cat "$out/stderr" && fail "run $name"; }
}
same_run() { same "$out/$1/last.safetensors" "$out/$2/last.safetensors"; }
other_run() { if cmp -s "$out/$1/last.safetensors" "$out/$2/last.safetensors"; then fail "$1 and $2 have the same bits"; fi; }

# Each product runs once for its check and once a step, in the layout that memory has: nothing is transposed before. The strided convolution is none of them.
FBL_SOFT_LT=algorithm=1,report=$out/report run first "$gemm"
sort "$out/report" | uniq -c | sed 's/^ *//' > "$out/products"
cat > "$out/wanted" << 'END'
4 algorithm 1 NN 12 x 64 x 8 batch 1 beta 0
4 algorithm 1 NN 8 x 4 x 10 batch 1 beta 0
4 algorithm 1 NT 12 x 8 x 64 batch 1 beta 0
4 algorithm 1 NT 3 x 12 x 64 batch 1 beta 0
4 algorithm 1 NT 8 x 10 x 4 batch 1 beta 0
4 algorithm 1 TN 10 x 4 x 8 batch 1 beta 0 bias
4 algorithm 1 TN 12 x 64 x 3 batch 1 beta 0
4 algorithm 1 TN 8 x 64 x 12 batch 1 beta 0
END
same "$out/wanted" "$out/products"

# Another algorithm has other bits here; what a compiled file has recorded stays, whatever the library would choose today.
FBL_SOFT_LT=algorithm=2 run second "$gemm"
other_run first second
FBL_SOFT_LT=algorithm=2 run recorded "$out/first/program.fblx"
same_run first recorded

# No library, a library without an algorithm, one that would add in place, one that does not start: fblc's own kernels.
run off "$gemm" --library-gemm=off
other_run off first
FBL_CUBLASLT=/nowhere/libcublasLt.so run missing "$gemm"
same_run off missing
for setting in none inplace start; do
    FBL_SOFT_LT=$setting run $setting "$gemm"
    same_run off $setting
done
FBL_CUBLASLT=/nowhere/libcublasLt.so "$fblc" explain "$gemm" --target cuda > "$out/stdout"
grep -q '^8 kernels are plain matrix products, none done by cuBLASLt: /nowhere/libcublasLt.so: ' "$out/stdout" || fail "explain does not say that the library is missing"
"$fblc" profile "$gemm" --target cuda --steps 1 > "$out/stdout"
grep -q '^8 of 8 kernels that are plain matrix products are done by cuBLASLt 13.1.0$' "$out/stdout" || fail "profile does not say who does the products"
# A recorded algorithm that is refused, or whose library is gone: said, and done without.
FBL_SOFT_LT=refuse run refused "$out/first/program.fblx"
says 'note\[E0654\]: 11 matrix products run on fblc.s own kernels instead of cuBLASLt'
says 'the library refuses the recorded algorithm'
same_run off refused
FBL_CUBLASLT=/nowhere/libcublasLt.so run gone "$out/first/program.fblx"
says 'note\[E0654\]: 11 matrix products'
same_run off gone
# Wrong results are found before they are used.
FBL_SOFT_LT=wrong run wrong "$gemm"
says 'warning\[E0655\]: cuBLASLt 13.1.0: algorithm 3, tile 1, stages 1, 1 split gives another result than kernel'
same_run off wrong
# A search times the library beside the tiles; the table then decides. Linear layers are in no table and stay with it.
tuned() { # NAME CHARGE PRODUCTS
    FBL_CACHE=off FBL_SOFT_CHARGE=$2 expect 0 "$fblc" compile "$gemm" --target cuda --tune=search --tune-tiles 2 --tune-file "$out/$1.tune" -o "$out/$1.fblx"
    rm -f "$out/report"
    FBL_SOFT_LT=report=$out/report run "$1" "$out/$1.fblx"
    [ "$(sort -u "$out/report" | wc -l)" = "$3" ] || { sort -u "$out/report" && fail "not $3 different products by the library"; }
}
tuned faster cublaslt=900 8
[ "$(grep -c ' : cublaslt  # 900.00 us instead of ' "$out/faster.tune")" = 5 ] || { cat "$out/faster.tune" && fail "the library did not win"; }
tuned slower cublaslt=5000 3
expect 1 "$fblc" run "$gemm" --quiet --target cuda --library-gemm=never --out "$out/never"
says 'error\[E0656\]: --library-gemm takes auto or off, not `never`'
