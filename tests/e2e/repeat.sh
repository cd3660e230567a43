#!/bin/sh
# The same run twice, on one and on two threads, from source and from a compiled file: the same bits everywhere.
. "$(dirname "$0")/common.sh"
"$fblc" run "$here/tiny.fbl" --quiet --threads 1 --out "$out/one"
"$fblc" run "$here/tiny.fbl" --quiet --threads 2 --out "$out/two"
"$fblc" compile "$here/tiny.fbl" -o "$out/tiny.fblx" > "$out/compiled"
"$fblc" run "$out/tiny.fblx" --quiet --threads 2 --out "$out/three"
for run in two three; do
    same "$out/one/last.safetensors" "$out/$run/last.safetensors"
    same "$out/one/best.safetensors" "$out/$run/best.safetensors"
    logs "$out/one" > "$out/a"
    logs "$out/$run" > "$out/b"
    same "$out/a" "$out/b"
done
# Another seed is another run.
"$fblc" run "$here/tiny.fbl" --quiet --seed 1 --out "$out/four"
! cmp -s "$out/one/last.safetensors" "$out/four/last.safetensors" || fail "the seed changes nothing"
# Training helps, and evaluation of the run agrees with its log.
awk -F, 'NR == 2 { first = $2 } { last = $2 } END { exit !(last < first) }' "$out/one/log_train.csv" || fail "the loss did not fall"
"$fblc" eval "$out/one" --last --json --quiet > "$out/eval"
top1=$(tail -1 "$out/one/log_test.csv" | cut -d, -f3)
awk -F'[:,]' -v want="$top1" '{ exit !(($2 - want) ^ 2 < 1e-12) }' "$out/eval" || fail "eval says $(cut -c1-60 "$out/eval"), the log $top1"
# The simplest code, one kernel an operation, row-major and narrow, trains alike: the losses of an epoch agree to 1e-3 (rounding, through 21 steps).
"$fblc" run "$here/tiny.fbl" --quiet --epochs 1 --fuse=false --block-layouts=false --vector-bytes=16 --out "$out/plain"
"$fblc" run "$here/tiny.fbl" --quiet --epochs 1 --out "$out/fused"
a=$(tail -1 "$out/plain/log_train.csv" | cut -d, -f2)
b=$(tail -1 "$out/fused/log_train.csv" | cut -d, -f2)
awk -v a="$a" -v b="$b" 'BEGIN { exit !((a - b) ^ 2 < 1e-6 * b * b) }' || fail "unfused code has the loss $a, fused code $b"
