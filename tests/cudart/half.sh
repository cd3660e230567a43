#!/bin/sh
# Training with --precision f16 on the software driver: the losses of f32, the same bits resumed and step by step, and a scale of the loss that is far too
# large: steps are skipped without a trace until it fits.
# half.sh FBLC OUT DRIVER TENSORS
. "$(dirname "$0")/../e2e/common.sh"
FBL_CUDA_DRIVER=$3
FBL_NVRTC=$3
export FBL_CUDA_DRIVER FBL_NVRTC
tensors=$4
soft=$here/soft.fbl
run() { "$fblc" run "$soft" --quiet --json --epochs 1 --target cuda "$@"; }
value() { sed "s/.*\"$2\":\([^,]*\),.*/\1/" "$1"; }

# scale FILE EXPONENT: a file of weights that has the loss scale 2^EXPONENT and nothing else. The number's bits are (127 + EXPONENT) << 23.
scale() {
    header='{"optimizer.loss_scale":{"dtype":"F32","shape":[],"data_offsets":[0,4]}}'
    bits=$((127 + $2))
    # shellcheck disable=SC2059 # the formats are bytes
    { printf "\\$(printf %o ${#header})\\0\\0\\0\\0\\0\\0\\0%s" "$header" && printf "\\0\\0\\$(printf %o $((bits % 2 * 128)))\\$(printf %o $((bits / 2)))"; } > "$1"
}
# state RUN NAME: the line of a tensor of a run's last checkpoint, without its name.
state() { "$tensors" "$out/$1/last.safetensors" | sed -n "s/^$2 //p"; }

run --out "$out/f32" > "$out/f32.json"
run --precision f16 --out "$out/f16" > "$out/f16.json"
# Seven steps; what is stored and multiplied is rounded by up to 2^-12 of itself. Averages of a thousand losses move by far less: 2e-3 is allowed, and an
# epoch at twice the rate moves them by more than ten times that.
for key in train_loss test_loss; do
    awk -v a="$(value "$out/f16.json" $key)" -v b="$(value "$out/f32.json" $key)" 'BEGIN { d = a - b; d = d < 0 ? -d : d; exit !(a > 0 && d <= 2e-3 * b) }' ||
        fail "$key is $(value "$out/f16.json" $key) in f16 and $(value "$out/f32.json" $key) in f32"
done
[ "$("$tensors" "$out/f16/last.safetensors" | grep -c '^optimizer\.')" = 4 ] || fail "the checkpoint does not hold the state of the loss scaling"
[ "$("$tensors" "$out/f32/last.safetensors" | grep -c '^optimizer\.')" = 0 ] || fail "f32 scales its loss"
scale "$out/initial" 16
[ "$(state f16 optimizer.loss_scale)" = "$("$tensors" "$out/initial" | cut -d' ' -f2-)" ] || fail "the scale is not 2^16"

# The same bits stopped and resumed, and step by step through the host.
run --precision f16 --max-steps 3 --out "$out/stopped" > /dev/null
run --precision f16 --resume --check-finite --out "$out/stopped" > /dev/null
same "$out/f16/last.safetensors" "$out/stopped/last.safetensors"

# From 2^100 every gradient overflows: two steps change no parameter and no slot, only the scale, the count of skipped steps, and the running statistics.
scale "$out/large" 100
for steps in 1 2; do
    run --precision f16 --init "$out/large" --max-steps $steps --out "$out/large$steps" > /dev/null
    "$tensors" "$out/large$steps/last.safetensors" | grep -v '^run\.\|^bn\.\(running\|num\)\|^optimizer\.\(loss_scale\|skipped_steps\)' > "$out/large$steps.txt"
    scale "$out/halved" $((100 - steps))
    [ "$(state large$steps optimizer.loss_scale)" = "$("$tensors" "$out/halved" | cut -d' ' -f2-)" ] || fail "the scale is not halved after step $steps"
done
grep -q '^opt\.conv\.weight\.momentum' "$out/large1.txt" || fail "the checkpoint has no slots"
same "$out/large1.txt" "$out/large2.txt"
[ "$(state large1 bn.running_mean)" != "$(state large2 bn.running_mean)" ] || fail "running statistics stand still"

# From a scale a little too large training recovers: some steps are skipped, then it learns.
scale "$out/some" 29
run --precision f16 --init "$out/some" --out "$out/recovered" > "$out/recovered.json"
[ "$(state recovered optimizer.skipped_steps)" != "$(state f16 optimizer.skipped_steps)" ] || fail "no step was skipped"
[ "$(state recovered optimizer.applied)" = "$(state f16 optimizer.applied)" ] || fail "the last step was skipped"
[ "$(state recovered conv.weight)" != "$(state large1 conv.weight)" ] || fail "nothing was learnt"

# Checkpoints of one precision are evaluated in another; a run goes on in f16 or without, as it began.
"$fblc" eval "$out/f16" --target cpu --quiet --json > "$out/eval.json"
"$fblc" eval "$out/f32" --target cuda --precision f16 --quiet --json > "$out/eval.json"
expect 1 run --resume --precision f16 --out "$out/f32"
says "was written by another program or recipe"
