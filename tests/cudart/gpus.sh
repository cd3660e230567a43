#!/bin/sh
# Several GPUs that share a batch, on the software driver and NCCL: the numbers of one GPU, the same bits again and in every way to run, and what a user is
# told. gpus.sh FBLC OUT DRIVER
. "$(dirname "$0")/../e2e/common.sh"
. "$here/numbers.sh"
FBL_CUDA_DRIVER=$3
FBL_NVRTC=$3
FBL_NCCL=$3
FBL_SOFT_GPU=devices=4
export FBL_CUDA_DRIVER FBL_NVRTC FBL_NCCL FBL_SOFT_GPU
soft=$here/soft.fbl

# numbers GPUS OPTION...: a run on so many GPUs has the losses and accuracies of one on the CPU.
numbers() {
    gpus=$1
    shift
    "$fblc" run "$soft" --quiet --json "$@" --out "$out/cpu" > "$out/cpu.json"
    "$fblc" run "$soft" --quiet --json --target cuda --gpus "$gpus" "$@" --out "$out/many" > "$out/many.json"
    close_runs "$out/many.json" "$out/cpu.json"
    rm -r "$out/cpu" "$out/many"
}
# An odd last batch is done by every GPU as a whole, one of 86 images is not.
numbers 2
numbers 3 --batch 129
numbers 2 --set 'augment=[random_crop(32, pad=4), cutmix(1)]' --batch 138

"$fblc" run "$soft" --quiet --target cuda --gpus 2 --out "$out/whole"
logs "$out/whole" > "$out/whole.logs"
check() {
    same "$out/whole/last.safetensors" "$out/$1/last.safetensors"
    logs "$out/$1" > "$out/$1.logs"
    same "$out/whole.logs" "$out/$1.logs"
}
"$fblc" run "$soft" --quiet --target cuda --gpus 2 --out "$out/again"
check again
# Work of one GPU ahead of the other's.
FBL_SOFT_GPU=devices=4,eager=3 "$fblc" run "$soft" --quiet --target cuda --gpus 2 --out "$out/ahead"
check ahead
"$fblc" run "$soft" --quiet --target cuda --gpus 2 --max-steps 11 --out "$out/stopped"
"$fblc" run "$soft" --quiet --target cuda --gpus 2 --resume --save-steps 3 --out "$out/stopped"
check stopped
# Step by step, with images from the host, of which each GPU gets its share.
"$fblc" run "$soft" --quiet --target cuda --gpus 2 --check-finite --out "$out/single"
check single
# A file knows how many GPUs it is for.
FBL_CUDA_DRIVER=/nowhere/libcuda.so "$fblc" compile "$soft" --target cuda:sm_90 --gpus 2 -o "$out/soft.fblx" > "$out/stdout"
FBL_NVRTC=/nowhere/libnvrtc.so FBL_CACHE=off "$fblc" run "$out/soft.fblx" --quiet --out "$out/file"
check file
# For another number it is built again from the program inside; so is a run's, to be evaluated elsewhere.
"$fblc" run "$out/soft.fblx" --quiet --json --target cuda --gpus 1 --out "$out/one" > "$out/one.json"
"$fblc" run "$soft" --quiet --json --out "$out/cpu" > "$out/cpu.json"
close_runs "$out/one.json" "$out/cpu.json"
"$fblc" run "$out/soft.fblx" --quiet --json --gpus 5 --out "$out/five" > "$out/five.json" 2> "$out/stderr" && fail "five of four GPUs"
says 'error\[E0660\]: --gpus 5: the CUDA driver finds 4 GPUs'
"$fblc" eval "$out/whole" --json --quiet > "$out/eval.two"
"$fblc" eval "$out/whole" --json --quiet --target cuda > "$out/eval.one"
"$fblc" eval "$out/whole" --json --quiet --target cpu > "$out/eval.cpu"
for name in one cpu; do
    [ "$(cut -d, -f1-5 < "$out/eval.two")" = "$(cut -d, -f1-5 < "$out/eval.$name")" ] || fail "evaluations differ"
done
# What is exported is the program of one device.
for target in cuda cpu; do
    "$fblc" export "$out/whole" --quiet --target $target --onnx "$out/$target.onnx" > "$out/stdout"
done
"$fblc" export "$out/whole" --quiet --onnx "$out/whole.onnx" --safetensors "$out/whole.weights" > "$out/stdout"
same "$out/whole.onnx" "$out/cpu.onnx"
same "$out/whole.onnx" "$out/cuda.onnx"
expect 1 "$fblc" run "$soft" --quiet --target cuda --resume --out "$out/stopped"
says 'error\[E0718\]: .* was written by another program or recipe'
# Sets that the GPUs do not hold.
"$fblc" run "$soft" --quiet --target cuda --gpus 2 --set 'augment=[center_crop(32)]' --epochs 1 --out "$out/held"
"$fblc" run "$soft" --quiet --target cuda --gpus 2 --set 'augment=[resize(32), center_crop(32)]' --epochs 1 --out "$out/loaded"
for name in held loaded; do
    "$fblc" export "$out/$name" --last --quiet --safetensors "$out/$name.weights" > "$out/stdout"
done
same "$out/held.weights" "$out/loaded.weights"
same "$out/held/log_test.csv" "$out/loaded/log_test.csv"

# A loss that is not finite is traced to its line, although every GPU has only a part of the batch.
expect 1 "$fblc" run "$soft" --quiet --target cuda --gpus 2 --check-finite --set rate=1e30 --out "$out/nan"
says 'soft.fbl:[0-9]*\|losses.fbl:[0-9]*'

"$fblc" bench "$soft" --target cuda --gpus 2 --steps 2 --json > "$out/bench.json"
grep -q '"images_per_second":' "$out/bench.json" || fail "no bench"
"$fblc" profile "$soft" --target cuda --gpus 2 --steps 2 --json > "$out/profile.json"
grep -q '"kernel":"all_reduce' "$out/profile.json" || fail "profile names no collective"
"$fblc" compile "$soft" --target cuda:sm_90 --gpus 2 --emit cuda > "$out/soft.cu" 2> "$out/stderr"
grep -q '^// between 2 GPUs, by NCCL' "$out/soft.cu" || fail "no collective in the sources"

# What a user is told.
run() { expect "$1" "$fblc" run "$soft" --quiet --target cuda --gpus "$2" --max-steps 3 --out "$out/run"; }
FBL_SOFT_GPU=devices=1 run 3 2
says 'error\[E0660\]: --gpus 2: the CUDA driver finds 1 GPU$'
FBL_SOFT_GPU=devices=2,second_arch=80 run 3 2
says 'error\[E0661\]: --gpus 2: Soft GPU is sm_90 and Soft GPU is sm_80'
FBL_NCCL=/nowhere/libnccl.so.2 run 3 2
says 'error\[E0662\]: several GPUs need NCCL, which was not found: /nowhere/libnccl.so.2'
FBL_SOFT_NCCL=refuse run 3 2
says 'error\[E0663\]: NCCL cannot connect 2 GPUs: unhandled system error'
run 1 65
says 'error\[E0664\]: --gpus takes 1 to 64, not 65'
run 1 4
says 'error\[E0665\]: a batch of 130 images cannot be divided evenly among 4 GPUs'
says 'one of 128 or 132 can (--batch N)'
expect 1 "$fblc" run "$soft" --quiet --gpus 2 --out "$out/run"
says 'error\[E0664\]: --gpus 2 needs --target cuda'
FBL_SOFT_GPU=devices=2,memory=2000000 run 3 2
says 'error\[E0644\]: not enough memory on Soft GPU'
FBL_SOFT_GPU=devices=2,fault=30 run 3 2
says 'error\[E0645\]: kernel [a-z0-9_]* of `train` failed on Soft GPU: CUDA_ERROR_ILLEGAL_ADDRESS'
