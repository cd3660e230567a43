#!/bin/sh
# half_bytes.sh FBLC: what docs/cuda.md says that half precision saves, counted anew: the bytes that the kernels of a step of ResNet-50
# touch and the memory for what lives between them.
set -eu
fblc=$1
file=models/imagenet_lt.fbl

touched() { "$fblc" explain --target cuda:sm_90 --precision "$1" "$file" | sed -n 's/.*MFLOP; \([0-9]*\)\.[0-9]* MB touched.*/\1/p'; }
arena() { "$fblc" compile --target cuda:sm_90 --precision "$1" --emit plan "$file" | sed -n 's/^  region arena \([0-9]*\)$/\1/p'; }

for what in touched arena; do
    full=$($what f32)
    for precision in bf16 f16; do
        half=$($what $precision)
        echo "$what: f32 $full, $precision $half"
        # Images, masks of integers, numbers a channel and parameters stay as they are: a few percent more than half.
        [ $((half * 100)) -gt $((full * 49)) ] && [ $((half * 100)) -lt $((full * 53)) ] || { echo "not about half"; exit 1; }
    done
done
