#!/bin/sh
# A loss that is not finite ends the run with the line of the first bad value; nothing is overwritten.
. "$(dirname "$0")/common.sh"
expect 1 "$fblc" run "$here/nonfinite.fbl" --quiet --out "$out/run"
says E0716
says 'nonfinite.fbl:5'
[ ! -e "$out/run/last.safetensors" ] || fail "a checkpoint of a broken run was written"
