#!/bin/sh
# Searching tiles on the software driver, whose events tell a made-up time: a planted faster tile wins, one within the margin does not, one that computes
# something else is refused; the table then gives the same bits each time, also from a compiled file. tune.sh FBLC OUT DRIVER
. "$(dirname "$0")/../e2e/common.sh"
FBL_CUDA_DRIVER=$3
FBL_NVRTC=$3
export FBL_CUDA_DRIVER FBL_NVRTC
tune=$here/tune.fbl
conv='sm_90 f32 conv n4 c3 h32 w32 o8 k8x8 s8x8 p0x0 d1x1 g1 packed packed'
weight='sm_90 f32 conv_weight n4 c3 h32 w32 o8 k8x8 s8x8 p0x0 d1x1 g1 computed packed'
search() { FBL_CACHE=off expect 0 "$fblc" compile "$tune" --target cuda --tune=search --tune-tiles 3 --tune-file "$out/$1.tune" -o "$out/$1.fblx"; }

# Every phase of another kernel takes 1000 us: 4 % less is a win, 1.5 % is none. The file is what it is to the byte.
FBL_SOFT_CHARGE='fma 32x32x16 by 4x4=960;fma 16x64x16 by 4x4=985' search planted
{
    echo '# Tiles of contractions, measured by fblc on this machine; codegen/cuda/tune.h explains the lines.'
    echo "$conv : fma 32x32x16 by 4x4 stages 3 splits 16  # 2880.00 us instead of 3000.00, Soft GPU"
    echo "$weight : default  # 2000.00 us, the best of 2 others 1970.00, Soft GPU"
} > "$out/wanted"
same "$out/wanted" "$out/planted.tune"
# What the file has is not searched again, and so needs neither compiler nor GPU.
FBL_CUDA_DRIVER=/nowhere/libcuda.so expect 0 "$fblc" compile "$tune" --target cuda:sm_90 --tune=search --tune-file "$out/planted.tune" -o "$out/again.fblx"
same "$out/wanted" "$out/planted.tune"

# The fastest tile multiplies wrongly.
FBL_SOFT_SPOIL='tuned: fma 32x32x16' FBL_SOFT_CHARGE='fma 32x32x16 by 4x4=10' search spoiled
says "warning\[E0653\]: the tile \`fma 32x32x16 by 4x4 stages 3 splits 16\` gives another result than the default for \`$conv\` and is not used"
grep -q "^$conv : default  # 3000.00 us, the best of 1 others 3000.00, Soft GPU" "$out/spoiled.tune" || fail "a wrong tile was kept"

# The table decides the code: named in it, keyed by it, kept in compiled files.
"$fblc" compile "$tune" --target cuda:sm_90 --emit cuda --tune-file "$out/planted.tune" > "$out/tuned.cu"
"$fblc" compile "$tune" --target cuda:sm_90 --emit cuda > "$out/plain.cu"
[ "$(grep -c '^// tuned: ' "$out/tuned.cu")" = 1 ] || fail "not one tuned kernel"
grep -q 'tile 32 x 32 x 16, 3 stages, 16 runs' "$out/tuned.cu" || fail "the tuned tile is not used"
if grep -q '^// tuned: ' "$out/plain.cu"; then fail "a tuned tile without a table"; fi
for name in plain tuned again; do
    file=
    [ $name = plain ] || file="--tune-file $out/planted.tune"
    # shellcheck disable=SC2086 # two words
    "$fblc" run "$tune" --quiet --target cuda $file --max-steps 3 --out "$out/$name"
done
same "$out/tuned/last.safetensors" "$out/again/last.safetensors"
grep -q '^target cuda sm_90 f32 tiles [0-9a-f]*$' "$out/tuned/environment.txt" || fail "the table is not recorded"
grep -q '^target cuda sm_90 f32$' "$out/plain/environment.txt" || fail "a table is recorded where there is none"
# The compiled file brings its tiles along: no compiler, no table, the same bits.
FBL_NVRTC=/nowhere/libnvrtc.so FBL_CACHE=off "$fblc" run "$out/tuned/program.fblx" --quiet --max-steps 3 --out "$out/file"
same "$out/tuned/last.safetensors" "$out/file/last.safetensors"

# Warpgroup products are tried beside mma.sync, checked like any other tile, and then a kernel's choice.
FBL_SOFT_CHARGE='wgmma =300' FBL_CACHE=off expect 0 "$fblc" compile "$tune" --target cuda --precision bf16 --tune=search --tune-tiles 3 --tune-file "$out/wide.tune" -o "$out/wide.fblx"
grep -q '^sm_90 bf16 conv n4 .* : wgmma [0-9x]* by [12]x1 stages [0-9] splits' "$out/wide.tune" || fail "no warpgroup product won"
"$fblc" compile "$tune" --target cuda:sm_90 --precision bf16 --tune-file "$out/wide.tune" --emit cuda > "$out/wide.cu"
grep -q 'fbl_wgmma_bf16<' "$out/wide.cu" || fail "the tuned warpgroup product is not used"
"$fblc" compile "$tune" --target cuda:sm_90 --precision bf16 --gemm=mma --tune-file "$out/wide.tune" --emit cuda > "$out/narrow.cu"
if grep -q 'fbl_wgmma_bf16<' "$out/narrow.cu"; then fail "--gemm=mma does not exclude them"; fi

# Mistakes, word for word.
bad() {
    printf '%s\n' "$1" > "$out/bad.tune"
    expect 1 "$fblc" compile "$tune" --target cuda:sm_90 --tune-file "$out/bad.tune" -o "$out/bad.fblx"
    sed "s|$out|OUT|" "$out/stderr" >> "$out/messages"
}
bad "sm_90 f32 conv n4 c3"
bad "sm_9O f32 matmul"
bad "sm_90 f32 matmul z1 m64 n10 k64 plain plain : fma 64x16x16 by 4x4 stages 1 splits 1"
bad "sm_90 f32 matmul z1 m64 n10 k64 plain plain : mma 100x16x32 by 4x1 stages 3 splits 1"
bad "sm_90 f32 matmul z1 m64 n10 k064 plain plain : default"
bad "sm_90 f32 matmul z1 m64 n10 k64 plain plain : default now"
bad "$conv : default
# between
$conv : default # again"
same "$here/tune.expect" "$out/messages"
expect 1 "$fblc" compile "$tune" --target cuda:sm_90 --tune=search -o "$out/bad.fblx"
says 'error\[E0652\]: --tune=search needs a file for what it finds'
expect 1 "$fblc" compile "$tune" --target cuda:sm_90 --tune=often -o "$out/bad.fblx"
says 'error\[E0652\]: --tune takes file, search or off, not `often`'
expect 3 "$fblc" compile "$tune" --target cuda:sm_90 --tune-file "$out/none.tune" -o "$out/bad.fblx"
