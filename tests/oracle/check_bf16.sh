#!/bin/sh
# check_bf16.sh FBLC COMPARE OUT_DIR VECTOR_BYTES: one train step of the recorded ResNet-20 with --precision bf16, emulated.
set -eu
fblc=$1 compare=$2 out=$3 bytes=$4
here=$(dirname "$0")
data=$here/data
mkdir -p "$out"
dump=$out/resnet20_bf16_v$bytes.safetensors
rm -f "$dump"
"$fblc" step "$here/resnet20_fbl.fbl" --weights "$data/resnet20.weights.safetensors" --batch-file "$data/resnet20.in.safetensors" --steps 1 \
    --precision bf16 --emulate-bf16 --vector-bytes="$bytes" --dump "$dump"
# The statistics behind the first four convolutions against the same rounding in double (bf16_reference.py). There a number
# falls to the other neighbour only where f32 and double lie on two sides of a midpoint; what that moves, layer by layer, is
# 5e-8 to 4e-6. The rounding itself moves them by 5e-5 to 6e-4 (against resnet20_step.out).
"$compare" "$data/resnet20_bf16_first.out.safetensors" "$dump" 1e-5
# Later layers amplify those few until all roundings differ: two samples of the same error, not one. It is 2e-3 for the
# features, 4e-3 for the scores (the reference against resnet20_step.out); two that are independent differ by 1.4 times
# that, and twice as much is allowed.
"$compare" "$data/resnet20_bf16.out.safetensors" "$dump" 1.2e-2
# The gradients against double without rounding: the reference is off by up to 0.2 of the norm, since what the rounding moves
# over a ReLU's zero counts whole. A wrong or missing term would give about 1; half of that is allowed.
"$compare" "$data/resnet20_step.out.safetensors" "$dump" 0.5
