#!/bin/sh
# On a GPU machine: the GPU tests and the times against PyTorch in one go of under ten minutes; writes gpu.json.
#     bench/gpu.sh [--results DIR] [--build build/cuda]
# Needs the source folder, the program of `cmake --preset cuda` (it may have been built elsewhere), the CUDA toolkit for NVRTC and compute-sanitizer, and
# for the comparison Python with PyTorch. What is missing is left out and listed under "skipped"; a test that fails is listed under "failed" (exit 1).
set -u
root=$(cd "$(dirname "$0")/.." && pwd)
results=$root/bench/results
build=$root/build/cuda
while [ $# -gt 0 ]; do
    case $1 in
    --results) results=$2 && shift 2 ;;
    --build) build=$2 && shift 2 ;;
    *) echo "gpu.sh: no such option: $1" >&2 && exit 2 ;;
    esac
done
cd "$root" || exit 3
fblc=$build/fblc
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
FBL_CACHE=$work/cache
export FBL_CACHE
PATH=$PATH:/usr/local/cuda/bin
skipped= failed= passed=
start=$(date +%s)
left() { echo $((570 - $(date +%s) + start)); }
quote() { printf %s "$1" | tr '\n\t' '  ' | sed 's/[\\"]/\\&/g'; }
skip() { skipped="$skipped${skipped:+, }\"$(quote "$1")\"" && echo "skipped: $1" >&2; }
# try NAME SECONDS COMMAND...: a test; its output is kept in $work/NAME.log.
try() {
    name=$1 limit=$2 && shift 2
    room=$(left)
    [ "$limit" -le "$room" ] || limit=$room
    if [ "$limit" -lt 5 ]; then
        skip "$name: no time left"
    elif timeout "$limit" "$@" > "$work/$name.log" 2>&1; then
        passed="$passed${passed:+, }\"$name\"" && echo "passed: $name" >&2
    else
        code=$?
        failed="$failed${failed:+, }\"$name: exit $code: $(quote "$(tail -c 400 "$work/$name.log")")\"" && echo "FAILED: $name (exit $code)" >&2
        tail -5 "$work/$name.log" >&2
    fi
}
# row NAME COMMAND...: a measurement whose last line of output is a JSON object.
rows=
row() {
    name=$1 && shift
    if timeout "$(left)" "$@" > "$work/$name.log" 2>&1 && line=$(grep '^{' "$work/$name.log" | tail -1) && [ -n "$line" ]; then
        rows="$rows${rows:+,
  }\"$name\": $line" && echo "$name: $line" >&2
    else
        skip "$name: $(tail -c 300 "$work/$name.log")"
    fi
}

[ -x "$fblc" ] || { echo "gpu.sh: no $fblc; cmake --preset cuda && cmake --build --preset cuda makes it" >&2 && exit 3; }
gpu=
command -v nvidia-smi > /dev/null && gpu=$(nvidia-smi --query-gpu=name,driver_version --format=csv,noheader 2> /dev/null | head -1)
arch=90
if [ -n "$gpu" ]; then
    arch=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader | head -1 | tr -d .)
fi

# What needs no GPU: the program by itself, its compiler.
try check 60 "$fblc" check models/cifar10_lt.fbl
try compile 200 "$fblc" compile tests/e2e/tiny.fbl --target "cuda:sm_$arch" -o "$work/tiny.fblx"
python=
for candidate in python3 /usr/bin/python3; do
    if [ -z "$python" ] && command -v $candidate > /dev/null && $candidate -c 'import torch' 2> /dev/null; then
        python=$candidate
    fi
done
[ -n "$python" ] || skip "PyTorch: no Python that has it"

if [ -z "$gpu" ] && [ -z "${FBL_CUDA_DRIVER:-}" ]; then
    skip "everything that runs on a GPU: nvidia-smi finds none"
else
    products=
    # Warpgroup products against mma.sync: same factors, other orders of sums. Not checked on hardware before: tiles are searched without
    # them when they fail here, as a fault would end the search.
    if [ "$arch" = 90 ]; then
        before=$failed
        for gemm in wgmma tma; do
            try "launches_bf16_$gemm" 60 "$build/gpu_launches" tests/oracle/resnet20_fbl.fbl bf16 4 $gemm
        done
        try launches_tf32_tma 60 "$build/gpu_launches" tests/oracle/resnet20_fbl.fbl tf32 4 tma
        for gemm in mma wgmma tma; do
            try "train_$gemm" 100 "$fblc" run models/demo_lt.fbl --target cuda --precision bf16 --gemm=$gemm --epochs 1 --quiet --json --out "$work/$gemm"
        done
        # Training amplifies rounding; a wrong product is off by the size of the loss.
        for gemm in wgmma tma; do
            try "losses_$gemm" 10 sh -c 'get() { sed -n "s/.*\"train_loss\":\([^,]*\),.*/\1/p" "$1" | tail -1; }
                awk -v a="$(get "$0/train_mma.log")" -v b="$(get "$0/train_$1.log")" "BEGIN { print a, b; d = a - b; d = d < 0 ? -d : d; exit !(a > 0 && d <= 0.02 * a) }"' "$work" $gemm
        done
        [ "$failed" = "$before" ] || products=--gemm=mma
    else
        skip "warpgroup products: they are for sm_90"
    fi
    # Tiles of the programs that are timed, in a bounded time; the table is a result, to be looked at and bundled (codegen/cuda/bundled.tune).
    mkdir -p "$results"
    tiles=$results/gpu.tune
    tune() {
        name=$1 && shift
        try "$name" 70 "$fblc" bench "$@" $products --target cuda --steps 2 --tune=search --tune-file "$tiles" --tune-seconds "${GPU_SH_TUNE:-40}"
    }
    # Times first, while the machine is quiet.
    printf 'import "%s/models/resnet_cifar.fbl"\nimport "%s/models/losses.fbl"\n\ntrain {\n    model     = resnet_cifar(blocks=5)\n    loss      = feature_balanced(lambda=60)\n    optimizer = sgd(momentum=0.9, weight_decay=2e-4)\n    rate      = 0.01\n    batch     = 64\n    epochs    = 200\n}\n' "$root" "$root" > "$work/resnet32.fbl"
    if [ "${GPU_SH_TUNE:-40}" != 0 ]; then
        tune tune_resnet32_tf32 "$work/resnet32.fbl" --precision tf32 --set class=10
        tune tune_resnet50_bf16 models/imagenet_lt.fbl --precision bf16 --batch 256
    fi
    if [ "${GPU_SH_TIMES:-1}" = 1 ]; then
        for precision in f32 tf32 bf16 f16; do
            row "fblc_resnet32_64_$precision" "$fblc" bench "$work/resnet32.fbl" --target cuda --precision $precision --set class=10 --json
        done
        [ ! -s "$tiles" ] || row fblc_resnet32_64_tf32_tuned "$fblc" bench "$work/resnet32.fbl" --target cuda --precision tf32 --set class=10 --tune-file "$tiles" --json
        [ ! -s "$tiles" ] || row fblc_resnet50_256_bf16_tuned "$fblc" bench models/imagenet_lt.fbl --target cuda --precision bf16 --batch 256 --steps 10 --tune-file "$tiles" --json
        row fblc_resnet50_256_bf16 "$fblc" bench models/imagenet_lt.fbl --target cuda --precision bf16 --batch 256 --steps 10 --json
        row fblc_resnet50_256_bf16_cached "$fblc" bench models/imagenet_lt.fbl --target cuda --precision bf16 --batch 256 --steps 10 --json
        for gemm in wgmma tma; do
            [ "$arch$products" != 90 ] || row "fblc_resnet50_256_bf16_$gemm" "$fblc" bench models/imagenet_lt.fbl --target cuda --precision bf16 --gemm=$gemm --batch 256 --steps 10 --json
        done
        # What sums in the kernels of convolutions gain.
        row fblc_resnet50_256_bf16_sums_apart "$fblc" bench models/imagenet_lt.fbl --target cuda --precision bf16 --epilogue-sums=false --batch 256 --steps 10 --json
        row fblc_resnet32_64_tf32_sums_apart "$fblc" bench "$work/resnet32.fbl" --target cuda --precision tf32 --epilogue-sums=false --set class=10 --json
        if [ -n "$python" ]; then
            row torch_resnet32_64_tf32 "$python" bench/gpu_torch.py resnet32 64 tf32
            row torch_resnet50_256_bf16 "$python" bench/gpu_torch.py resnet50 256 bf16
            "$python" bench/gpu_torch.py make_cifar "$work/cifar" && row fblc_recipe_cifar10_lt "$fblc" run models/cifar10_lt.fbl --target cuda --precision tf32 --data "$work/cifar" --out "$work/recipe" --quiet --json
            if [ -d "$work/recipe" ]; then # an epoch's own seconds, summed: what the whole run took
                seconds=$(grep -o '"seconds":[0-9.]*' "$work/fblc_recipe_cifar10_lt.log" | cut -d: -f2 | awk '{ s += $1 } END { print s + 0, NR }')
                rows="$rows,
  \"fblc_recipe_seconds_and_epochs\": \"$seconds\""
            fi
        fi
    fi
    # The conformance suite, a process a class of ops.
    for class in 0 1 2 3 4 5 6 7; do
        try "conformance_$class" 150 "$build/gpu_conformance" $class
    done
    # A step launch by launch against what each must store.
    for precision in f32 tf32 bf16 f16; do
        try "launches_$precision" 60 "$build/gpu_launches" tests/oracle/resnet20_fbl.fbl $precision 4 mma
    done
    # The recorded PyTorch values.
    wrong=0 cases=0
    : > "$work/oracle.log"
    for case in $(awk '!/^#/ { print $2 }' tests/oracle/cases.txt); do
        [ "$(left)" -gt 60 ] || { skip "oracle from $case on: no time left" && break; }
        cases=$((cases + 1))
        timeout 60 tests/oracle/check.sh "$fblc" "$build/compare_tensors" "$work/oracle" cuda "$case" >> "$work/oracle.log" 2>&1 || { wrong=$((wrong + 1)) && echo "FAILED $case" >> "$work/oracle.log"; }
    done
    if [ $wrong = 0 ]; then passed="$passed${passed:+, }\"oracle: $cases cases\""; else failed="$failed${failed:+, }\"oracle: $wrong of $cases: $(quote "$(grep ^FAILED "$work/oracle.log" | head -20)")\""; fi
    # The same bits twice, and with stops.
    try first 100 "$fblc" run models/demo_lt.fbl --target cuda --epochs 2 --quiet --out "$work/a"
    try second 100 "$fblc" run models/demo_lt.fbl --target cuda --epochs 2 --quiet --out "$work/b"
    try same_bits 10 cmp "$work/a/last.safetensors" "$work/b/last.safetensors"
    try single 100 "$fblc" run models/demo_lt.fbl --target cuda --epochs 2 --quiet --check-finite --out "$work/c"
    try same_bits_single 10 cmp "$work/a/last.safetensors" "$work/c/last.safetensors"
    # Two GPUs that share a batch: the losses of one but for the order of sums, and the same bits twice.
    count=$(nvidia-smi -L 2> /dev/null | wc -l)
    if [ "${GPU_SH_GPUS:-$count}" -ge 2 ]; then
        for run in d e; do
            try "two_gpus_$run" 100 "$fblc" run models/demo_lt.fbl --target cuda --gpus 2 --epochs 2 --quiet --out "$work/$run"
        done
        try same_bits_two_gpus 10 cmp "$work/d/last.safetensors" "$work/e/last.safetensors"
        # Training amplifies rounding; a batch divided wrongly is off by the size of the loss.
        try losses_two_gpus 10 sh -c 'last() { tail -1 "$1/log_train.csv" | cut -d, -f2; }
            awk -v a="$(last "$0/a")" -v b="$(last "$0/d")" "BEGIN { print a, b; d = a - b; d = d < 0 ? -d : d; exit !(a > 0 && d <= 0.02 * a) }"' "$work"
        [ "${GPU_SH_TIMES:-1}" != 1 ] || row fblc_resnet50_512_bf16_two_gpus "$fblc" bench models/imagenet_lt.fbl --target cuda --precision bf16 --batch 512 --gpus 2 --steps 10 --json
    else
        skip "several GPUs: there is one"
    fi
    # The sanitizer over a step.
    if command -v compute-sanitizer > /dev/null; then
        try memcheck 120 compute-sanitizer --tool memcheck --error-exitcode 9 "$fblc" run models/demo_lt.fbl --target cuda --max-steps 2 --quiet --out "$work/m"
        try racecheck 120 compute-sanitizer --tool racecheck --error-exitcode 9 "$fblc" run models/demo_lt.fbl --target cuda --max-steps 1 --quiet --out "$work/r"
    else
        skip "memcheck and racecheck: no compute-sanitizer"
    fi
fi

mkdir -p "$results"
printf '{\n  "gpu": "%s",\n  "fblc": "%s",\n  "seconds": %d,\n  "passed": [%s],\n  "failed": [%s],\n  "skipped": [%s],\n  "rows": {%s}\n}\n' "$(quote "${gpu:-none}")" \
    "$(quote "$("$fblc" --version | head -1)")" $(($(date +%s) - start)) "$passed" "$failed" "$skipped" "$rows" > "$results/gpu.json"
echo "$results/gpu.json" >&2
[ -z "$failed" ]
