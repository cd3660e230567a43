#!/bin/sh
# Whole runs with --target cuda on the software driver: results of the CPU, the same bits again, resumed, step by step, and from a compiled file.
# run.sh FBLC OUT DRIVER
. "$(dirname "$0")/../e2e/common.sh"
. "$here/numbers.sh"
FBL_CUDA_DRIVER=$3
FBL_NVRTC=$3
export FBL_CUDA_DRIVER FBL_NVRTC
soft=$here/soft.fbl

"$fblc" run "$soft" --quiet --json --out "$out/cpu" > "$out/cpu.json"
"$fblc" run "$soft" --quiet --json --target cuda --out "$out/whole" > "$out/whole.json"
close_runs "$out/whole.json" "$out/cpu.json"
logs "$out/whole" > "$out/whole.logs"
check() {
    same "$out/whole/last.safetensors" "$out/$1/last.safetensors"
    logs "$out/$1" > "$out/$1.logs"
    same "$out/whole.logs" "$out/$1.logs"
}

"$fblc" run "$soft" --quiet --target cuda --out "$out/again"
check again
# Stopped in mid-epoch and resumed; saved on the way.
"$fblc" run "$soft" --quiet --target cuda --max-steps 11 --out "$out/stopped"
"$fblc" run "$soft" --quiet --target cuda --resume --save-steps 3 --out "$out/stopped"
check stopped
# Step by step, with images augmented on the CPU: the same bits, so the GPU's augmentation is the CPU's.
"$fblc" run "$soft" --quiet --target cuda --check-finite --out "$out/single"
check single
# The checkpoint of one target is evaluated by the other.
"$fblc" eval "$out/whole" --json --quiet > "$out/eval.cuda"
"$fblc" eval "$out/whole" --json --quiet --target cpu > "$out/eval.cpu"
[ "$(cut -d, -f1-5 < "$out/eval.cuda")" = "$(cut -d, -f1-5 < "$out/eval.cpu")" ] || fail "evaluations differ"

# Mixed on the GPU as the loader mixes, which is what a run step by step takes its images from.
mixed() { # AUGMENT MIXUP
    for way in together single; do
        check=
        [ $way = together ] || check=--check-finite
        # shellcheck disable=SC2086 # nothing or one word
        "$fblc" run "$soft" --quiet --target cuda --set "augment=$1" --set mixup=$2 --epochs 1 $check --out "$out/mixed_$way"
    done
    same "$out/mixed_together/last.safetensors" "$out/mixed_single/last.safetensors"
    rm -r "$out/mixed_together" "$out/mixed_single"
}
mixed '[random_crop(32, pad=4), random_flip()]' 1
mixed '[random_crop(32, pad=4), cutmix(1)]' 0
mixed '[random_flip(), cutmix(1)]' 0.4

# Warpgroup products: the other instruction's losses. Both round the same factors; orders of sums differ.
for gemm in mma wgmma tma; do
    "$fblc" run "$soft" --quiet --json --target cuda --precision bf16 --gemm=$gemm --epochs 1 --out "$out/$gemm" > "$out/$gemm.json"
done
"$fblc" compile "$soft" --target cuda:sm_90 --precision bf16 --gemm=wgmma --emit cuda > "$out/wgmma.cu" 2> "$out/stderr"
grep -q 'fbl_wgmma_bf16' "$out/wgmma.cu" || fail "--gemm=wgmma makes no warpgroup products"
for gemm in wgmma tma; do
    close "$(value "$out/$gemm.json" 1 train_loss)" "$(value "$out/mma.json" 1 train_loss)"
    close "$(value "$out/$gemm.json" 1 test_loss)" "$(value "$out/mma.json" 1 test_loss)"
done
# A file knows its instructions.
"$fblc" compile "$soft" --target cuda:sm_90 --precision bf16 --gemm=tma -o "$out/tma.fblx" > "$out/stdout"
FBL_NVRTC=/nowhere/libnvrtc.so FBL_CACHE=off "$fblc" run "$out/tma.fblx" --quiet --epochs 1 --out "$out/tma_file"
same "$out/tma/last.safetensors" "$out/tma_file/last.safetensors"

# Sets that the GPU does not hold come from the loader, batch by batch beside the one before, in training and evaluation. A resize to the size that images have
# changes no pixel, but is not done on the GPU: the same bits.
"$fblc" run "$soft" --quiet --target cuda --set 'augment=[center_crop(32)]' --set mixup=1 --epochs 1 --out "$out/held"
"$fblc" run "$soft" --quiet --target cuda --set 'augment=[resize(32), center_crop(32)]' --set mixup=1 --epochs 1 --out "$out/loaded"
# The second stream, which copies, runs ahead of the first as far as it may.
FBL_SOFT_GPU=eager=2 "$fblc" run "$soft" --quiet --target cuda --set 'augment=[resize(32), center_crop(32)]' --set mixup=1 --epochs 1 --out "$out/ahead"
for name in held loaded ahead; do # checkpoints name their recipe
    "$fblc" export "$out/$name" --last --quiet --safetensors "$out/$name.weights" > "$out/stdout"
done
same "$out/held.weights" "$out/loaded.weights"
same "$out/loaded.weights" "$out/ahead.weights"
same "$out/held/log_test.csv" "$out/loaded/log_test.csv"
same "$out/held/test_classes.json" "$out/loaded/test_classes.json"

# Compiled where there is no GPU, run where there is no compiler.
FBL_CUDA_DRIVER=/nowhere/libcuda.so "$fblc" compile "$soft" --target cuda:sm_90 -o "$out/soft.fblx" > "$out/stdout"
FBL_NVRTC=/nowhere/libnvrtc.so FBL_CACHE=off "$fblc" run "$out/soft.fblx" --quiet --out "$out/file"
check file

# The other verbs.
"$fblc" bench "$soft" --target cuda --steps 2 --json > "$out/bench.json"
grep -q '"device":"cuda sm_90 f32"' "$out/bench.json" || fail "bench does not name the device"
"$fblc" profile "$soft" --target cuda --steps 2 --json > "$out/profile.json"
grep -q '"kernel":"conv2d' "$out/profile.json" || fail "profile names no convolution"
