#!/bin/sh
# Parameters by pattern: with a rate of 0 for all, the loss of one batch stays as it is; with a rate for one layer it does not, and the others keep their bits.
. "$(dirname "$0")/common.sh"
data=tests/oracle/data
losses() {
    grep -o '"loss":[-0-9.e]*' "$out/stdout" | sort -u | wc -l
}
step() {
    expect 0 "$fblc" step tests/oracle/resnet8_fbl.fbl --weights $data/resnet8.weights.safetensors --batch-file $data/resnet8.in.safetensors --steps 3 --json "$@"
}
step --dump "$out/all.safetensors"
[ "$(losses)" = 3 ] || fail "training changes nothing: $(cat "$out/stdout")"
step --dump "$out/none.safetensors" --set 'groups=[group("*", rate=0)]'
[ "$(losses)" = 1 ] || fail "a rate of 0 changes the loss: $(cat "$out/stdout")"
step --dump "$out/linear.safetensors" --set 'groups=[group("*", rate=0), group("linear.*", rate=1)]'
[ "$(losses)" = 3 ] || fail "the last group that matches does not count: $(cat "$out/stdout")"
expect 1 "$fblc" check tests/oracle/resnet8_fbl.fbl --set 'groups=[group("*", speed=0)]'
says E0136
