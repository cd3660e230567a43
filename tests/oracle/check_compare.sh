#!/bin/sh
# The comparer itself: a file equals itself, and differs from one with other numbers, other shapes or fewer tensors.
set -u
compare=$1
data=$(dirname "$0")/data
"$compare" "$data/op_exp.out.safetensors" "$data/op_exp.out.safetensors" 0 || exit 1
"$compare" "$data/op_exp.out.safetensors" "$data/op_sin.out.safetensors" 1e-3 && exit 1
"$compare" "$data/op_exp.out.safetensors" "$data/op_conv2d_0.out.safetensors" 1e9 && exit 1
"$compare" "$data/op_power.out.safetensors" "$data/op_exp.out.safetensors" 1e9 && exit 1
exit 0
