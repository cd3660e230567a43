#!/bin/sh
# What a user is told when a GPU, its driver or its compiler is missing or fails. failures.sh FBLC OUT DRIVER
. "$(dirname "$0")/../e2e/common.sh"
FBL_CUDA_DRIVER=$3
FBL_NVRTC=$3
export FBL_CUDA_DRIVER FBL_NVRTC
soft=$here/soft.fbl
run() { expect "$1" "$fblc" run "$soft" --quiet --target cuda --max-steps 3 --out "$out/run"; }

FBL_CUDA_DRIVER=/nowhere/libcuda.so.1 run 3
says 'error\[E0640\]: no CUDA driver: /nowhere/libcuda.so.1'
says 'fblc compile --target cuda:sm_90'
# A library that is no driver.
FBL_CUDA_DRIVER=libm.so.6 run 3
says 'error\[E0641\]: the CUDA driver is too old: libm.so.6 has no cuInit'
FBL_SOFT_GPU=no_device run 3
says 'error\[E0642\]: the CUDA driver finds no GPU: CUDA_ERROR_NO_DEVICE: no CUDA-capable device is detected'
FBL_SOFT_GPU=version=11040 run 3
says 'error\[E0641\]: the CUDA driver is too old: it is for CUDA 11.4'
FBL_SOFT_GPU=arch=60 run 3
says 'error\[E0643\]: Soft GPU is sm_60; code can be generated for sm_75 and newer'
FBL_SOFT_GPU=arch=80 expect 3 "$fblc" run "$soft" --quiet --target cuda:sm_90 --max-steps 3 --out "$out/run"
says 'error\[E0643\]: code for sm_90 does not run on Soft GPU, which is sm_80'

# Targets and precisions that do not exist.
expect 1 "$fblc" compile "$soft" --target cuda:90 -o "$out/a.fblx"
says 'error\[E0649\]: --target takes cpu, cuda or cuda:sm_90, not `cuda:90`'
expect 3 "$fblc" compile "$soft" --target cuda:sm_61 -o "$out/a.fblx"
says 'error\[E0649\]: code can be generated for sm_75 and newer, not for sm_61'
expect 1 "$fblc" compile "$soft" --target cuda:sm_90 --precision f8 -o "$out/a.fblx"
says 'error\[E0649\]: --precision takes f32, tf32, bf16 or f16, not `f8`'
expect 1 "$fblc" compile "$soft" --target cuda:sm_90 --gemm mna -o "$out/a.fblx"
says 'error\[E0649\]: --gemm takes auto, mma, wgmma or tma, not `mna`'
expect 2 "$fblc" compile "$soft" --emit cuda
says 'emit cuda goes with --target cuda:sm_90'

# Memory: for the step, with the batch that would fit; for the model.
FBL_SOFT_GPU=memory=2000000 run 3
says 'error\[E0644\]: not enough memory on Soft GPU: the step needs .* MB besides the model.s state, .* of 2.0 MB are free'
says 'images a batch fit instead of 130 (--batch '
FBL_SOFT_GPU=memory=1000 run 3
says 'error\[E0644\]: not enough memory on Soft GPU: the model.s state needs'

# A fault: in the first step the kernel and its line are named; later with FBL_CUDA_SYNC=1.
FBL_SOFT_GPU=fault=4 run 3
says 'error\[E0645\]: kernel [a-z0-9_]* of `train` failed on Soft GPU: CUDA_ERROR_ILLEGAL_ADDRESS'
says 'it computes .*\.fbl:[0-9]'
FBL_SOFT_GPU=fault=80 run 3
says 'error\[E0645\]: .* failed on Soft GPU: CUDA_ERROR_ILLEGAL_ADDRESS'
FBL_CUDA_SYNC=1 FBL_SOFT_GPU=fault=80 run 3
says 'error\[E0645\]: kernel [a-z0-9_]* of `[a-z]*` failed on Soft GPU'

# No compiler: with nothing cached said so, with everything cached not needed.
FBL_CACHE=off FBL_NVRTC=/nowhere/libnvrtc.so run 3
says 'error\[E0648\]: no CUDA compiler'
FBL_NVRTC=/nowhere/libnvrtc.so run 0

# Text needs no compiler, machine code does.
FBL_CACHE=off FBL_NVRTC=/nowhere/libnvrtc.so expect 0 "$fblc" compile "$soft" --target cuda:sm_90 --emit cuda -o "$out/soft.cu"
grep -q '__global__ void __launch_bounds__' "$out/soft.cu" || fail "no CUDA C"
FBL_CACHE=off FBL_NVRTC=/nowhere/libnvrtc.so expect 3 "$fblc" compile "$soft" --target cuda:sm_90 --emit cubin -o "$out/soft.cubin"
says 'error\[E0648\]: no CUDA compiler'
expect 3 "$fblc" compile "$soft" --target cuda:sm_75 --precision tf32 --emit cuda -o "$out/soft.cu"
says 'error\[E0650\]: kernel .* has no tensor cores for this precision'

# A file for another architecture: compiled again where there is a compiler, refused where there is none.
expect 0 "$fblc" compile "$soft" --target cuda:sm_80 -o "$out/soft80.fblx"
expect 0 "$fblc" run "$out/soft80.fblx" --quiet --max-steps 1 --out "$out/run80"
says 'was compiled for another processor or by another build; compiling it for this one (cuda sm_90 f32)'
FBL_CACHE=off FBL_NVRTC=/nowhere/libnvrtc.so expect 3 "$fblc" run "$out/soft80.fblx" --quiet --max-steps 1 --out "$out/run80"
says 'error\[E0648\]: no CUDA compiler'

# A loss that is not finite: told with its step, and step by step with its cause.
expect 1 "$fblc" run "$soft" --quiet --target cuda --set rate=1e30 --epochs 1 --out "$out/nan"
says 'error\[E0716\]: the loss or a gradient is not finite'
expect 1 "$fblc" run "$soft" --quiet --target cuda --set rate=1e30 --epochs 1 --check-finite --out "$out/nan"
says 'error\[E0716\]: .* not finite'
