#!/bin/sh
# Convolutions by a cuDNN of our own (soft_cudnn.c): only by a line of the table of tuned tiles; forward, data and weight gradients of every form; the recorded engine is
# used again; where the library is missing, refuses or is wrong the kernels do the work. cudnn.sh FBLC OUT DRIVER CUDNN COMPARE_TENSORS
. "$(dirname "$0")/../e2e/common.sh"
FBL_CUDA_DRIVER=$3
FBL_NVRTC=$3
FBL_CUDNN=$4
export FBL_CUDA_DRIVER FBL_NVRTC FBL_CUDNN
compare=$5
conv=$here/conv.fbl
run() {
    name=$1 && shift
    "$fblc" run "$@" --quiet --threads 1 --target cuda --max-steps 2 --out "$out/$name" 2> "$out/stderr" || { cat "$out/stderr" && fail "run $name"; }
}
same_run() { same "$out/$1/last.safetensors" "$out/$2/last.safetensors"; }
other_run() { if cmp -s "$out/$1/last.safetensors" "$out/$2/last.safetensors"; then fail "$1 and $2 have the same bits"; fi; }
near_run() { "$compare" "$out/$1/last.safetensors" "$out/$2/last.safetensors" "$3" > "$out/stdout" || { cat "$out/stdout" && fail "$1 and $2"; }; }
reported() { sort "$out/report" | uniq -c | sed 's/^ *//' > "$out/convolutions"; }

# Every convolution of the program to cuDNN.
while read -r problem; do
    for precision in f32 bf16; do
        echo "sm_90 $precision $problem : cudnn" >> "$out/$precision.tune"
    done
done << 'END'
conv n2 c3 h8 w8 o8 k3x3 s1x1 p1x1 d1x1 g1 packed packed
conv n2 c8 h8 w8 o8 k3x3 s1x1 p2x2 d2x2 g2 plain packed
conv n2 c8 h8 w8 o12 k3x3 s2x2 p1x1 d1x1 g1 plain packed
conv n2 c8 h8 w8 o12 k3x3 s2x2 p1x1 d1x1 g1 packed packed
conv_data n2 c8 h8 w8 o8 k3x3 s1x1 p2x2 d2x2 g2 packed packed
conv_data n2 c8 h8 w8 o12 k3x3 s2x2 p1x1 d1x1 g1 packed packed
conv_weight n2 c3 h8 w8 o8 k3x3 s1x1 p1x1 d1x1 g1 computed packed
conv_weight n2 c8 h8 w8 o8 k3x3 s1x1 p2x2 d2x2 g2 computed plain
conv_weight n2 c8 h8 w8 o12 k3x3 s2x2 p1x1 d1x1 g1 computed packed
END

# Once for the check and once a step; forward once more in the evaluation. f32 takes the first engine that is deterministic and multiplies in f32; bf16
# takes one on tensor cores, and stores halves where the kernel does and f32 for weight gradients and before an epilogue.
cat > "$out/wanted_f32" << 'END'
3 engine 3 data gradient 2x8x8x8 by 12x8x3x3 s2 p1 of f32 to f32
3 engine 3 data gradient 2x8x8x8 by 8x4x3x3 s1 p2 of f32 to f32
4 engine 3 forward 2x3x8x8 by 8x3x3x3 s1 p1 of f32 to f32
4 engine 3 forward 2x8x8x8 by 12x8x3x3 s2 p1 of f32 to f32
4 engine 3 forward 2x8x8x8 by 8x4x3x3 s1 p2 of f32 to f32
3 engine 3 weight gradient 2x3x8x8 by 8x3x3x3 s1 p1 of f32 to f32
3 engine 3 weight gradient 2x8x8x8 by 12x8x3x3 s2 p1 of f32 to f32
3 engine 3 weight gradient 2x8x8x8 by 8x4x3x3 s1 p2 of f32 to f32
END
cat > "$out/wanted_bf16" << 'END'
3 engine 2 data gradient 2x8x8x8 by 12x8x3x3 s2 p1 of bf16 to bf16
3 engine 2 forward 2x3x8x8 by 8x3x3x3 s1 p1 of bf16 to bf16
4 engine 2 forward 2x8x8x8 by 12x8x3x3 s2 p1 of bf16 to bf16
3 engine 2 forward 2x8x8x8 by 8x4x3x3 s1 p2 of bf16 to bf16
3 engine 3 data gradient 2x8x8x8 by 8x4x3x3 s1 p2 of bf16 to f32
1 engine 3 forward 2x3x8x8 by 8x3x3x3 s1 p1 of bf16 to f32
1 engine 3 forward 2x8x8x8 by 8x4x3x3 s1 p2 of bf16 to f32
3 engine 3 weight gradient 2x3x8x8 by 8x3x3x3 s1 p1 of bf16 to f32
3 engine 3 weight gradient 2x8x8x8 by 12x8x3x3 s2 p1 of bf16 to f32
3 engine 3 weight gradient 2x8x8x8 by 8x4x3x3 s1 p2 of bf16 to f32
END
# f32: sums in another order, 1e-6 is usual. bf16: the same rounding, but for results that are at a tie (1e-7 is usual).
for precision in f32:1e-5 bf16:1e-4; do
    allowed=${precision#*:}
    precision=${precision%:*}
    rm -f "$out/report"
    FBL_SOFT_DNN=report=$out/report run own_$precision "$conv" --precision $precision
    if [ -e "$out/report" ]; then fail "cuDNN was used without a line for it"; fi
    FBL_SOFT_DNN=report=$out/report run $precision "$conv" --precision $precision --tune-file "$out/$precision.tune"
    reported
    same "$out/wanted_$precision" "$out/convolutions"
    near_run $precision own_$precision "$allowed"
done
other_run f32 own_f32
grep -q '^target cuda sm_90 f32 tiles [0-9a-f]*$' "$out/f32/environment.txt" || fail "the table is not recorded"

# On two GPUs each has the library and its plans for itself: one check, two steps on two GPUs.
sed 's/ n2 / n1 /' "$out/f32.tune" > "$out/two.tune"
FBL_NCCL=$3 FBL_SOFT_GPU=devices=2 run own_two "$conv" --gpus 2
rm -f "$out/report"
FBL_NCCL=$3 FBL_SOFT_GPU=devices=2 FBL_SOFT_DNN=report=$out/report run two "$conv" --gpus 2 --tune-file "$out/two.tune"
[ "$(grep -c '^engine 3 weight gradient 1x8x8x8 by 12x8x3x3' "$out/report")" = 5 ] || fail "not both GPUs used the library"
near_run two own_two 1e-5

# Another engine has other bits; what a compiled file has recorded, engine and knob, stays, whatever the library would propose today. No compiler and no table are needed.
FBL_SOFT_DNN=engine=4 run fourth "$conv" --tune-file "$out/f32.tune"
other_run fourth f32
FBL_NVRTC=/nowhere/libnvrtc.so FBL_CACHE=off FBL_SOFT_DNN=engine=4 run recorded "$out/f32/program.fblx"
same_run f32 recorded

# No library, one that does not start, one without proposals, one with none but a not deterministic engine, one that makes no plans: fblc's own kernels.
FBL_CUDNN=/nowhere/libcudnn.so.9 run missing "$conv" --tune-file "$out/f32.tune"
same_run own_f32 missing
run off "$conv" --tune-file "$out/f32.tune" --library-conv=off
same_run own_f32 off
for setting in start none engine=1 refuse; do
    FBL_SOFT_DNN=$setting run $setting "$conv" --tune-file "$out/f32.tune"
    same_run own_f32 $setting
done
# A recorded engine that is refused, or whose library is gone: said, and done without.
FBL_SOFT_DNN=refuse run refused "$out/f32/program.fblx"
says 'note\[E0654\]: 11 convolutions run on fblc.s own kernels instead of cuDNN, which they were compiled with'
says 'the library refuses the recorded algorithm'
same_run own_f32 refused
FBL_CUDNN=/nowhere/libcudnn.so.9 run gone "$out/f32/program.fblx"
says 'note\[E0654\]: 11 convolutions'
same_run own_f32 gone
# Wrong results are found before they are used.
FBL_SOFT_DNN=wrong run wrong "$conv" --tune-file "$out/f32.tune"
says 'warning\[E0655\]: cuDNN 9.19.0: engine 3, knobs 7=5 gives another result than kernel'
same_run own_f32 wrong

"$fblc" explain "$conv" --target cuda --tune-file "$out/f32.tune" > "$out/stdout"
grep -q '^11 convolutions; cuDNN is there for those that the table of tuned tiles leaves to it' "$out/stdout" || fail "explain does not say that the library is there"
FBL_CUDNN=/nowhere/libcudnn.so.9 "$fblc" explain "$conv" --target cuda --tune-file "$out/f32.tune" > "$out/stdout"
grep -q '^11 convolutions, none done by cuDNN, to which the table of tuned tiles leaves some: /nowhere/libcudnn.so.9: ' "$out/stdout" || fail "explain does not say that the library is missing"
"$fblc" profile "$conv" --target cuda --steps 1 --tune-file "$out/f32.tune" > "$out/stdout"
grep -q '^11 of 11 convolutions are done by cuDNN 9.19.0$' "$out/stdout" || fail "profile does not say who does the convolutions"

# A search times the library beside the tiles, its arrays included: it wins, loses, or is refused. Every kernel takes 1000 us here: the forward convolution's two arrays and
# the library less than fblc's three phases, the weight gradient's three phases around the library more than fblc's two.
search() { # NAME CHARGE
    FBL_SOFT_CHARGE=cudnn=$2 expect 0 "$fblc" compile "$here/tune.fbl" --threads 1 --target cuda --tune=search --tune-tiles 2 --tune-file "$out/$1.tune" -o "$out/$1.fblx"
}
search faster 100
{
    echo '# Tiles of contractions, measured by fblc on this machine; codegen/cuda/tune.h explains the lines.'
    echo 'sm_90 f32 conv n4 c3 h32 w32 o8 k8x8 s8x8 p0x0 d1x1 g1 packed packed : cudnn  # 2100.00 us instead of 3000.00, Soft GPU'
    echo 'sm_90 f32 conv_weight n4 c3 h32 w32 o8 k8x8 s8x8 p0x0 d1x1 g1 computed packed : default  # 2000.00 us, the best of 2 others 2000.00, Soft GPU'
} > "$out/wanted"
same "$out/wanted" "$out/faster.tune"
search slower 9000
if grep -q ' : cudnn' "$out/slower.tune"; then fail "the library won"; fi
FBL_SOFT_DNN=wrong search spoiled 100
says 'warning\[E0655\]: cuDNN 9.19.0: engine 3, knobs 7=5 gives another result than the default for `sm_90 f32 conv n4 c3 h32 w32 o8'
if grep -q ' : cudnn' "$out/spoiled.tune"; then fail "a wrong library was kept"; fi

expect 1 "$fblc" run "$conv" --quiet --target cuda --library-conv=never --out "$out/never"
says 'error\[E0656\]: --library-conv takes auto or off, not `never`'
