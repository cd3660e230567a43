#!/bin/sh
# Damaged and foreign files are refused with a message, never a crash.
. "$(dirname "$0")/common.sh"
expect 0 "$fblc" compile "$here/tiny.fbl" -o "$out/tiny.fblx"
size=$(wc -c < "$out/tiny.fblx")
for at in 3 9 20 60 $((size / 2)) $((size - 1)); do
    cp "$out/tiny.fblx" "$out/bad.fblx"
    flip "$out/bad.fblx" "$at"
    expect 1 "$fblc" run "$out/bad.fblx" --quiet --out "$out/bad"
    grep -q 'E060[123]' "$out/stderr" || fail "no E060x for a bit flipped at $at"
done
for length in 0 7 50 $((size - 10)); do
    head -c "$length" "$out/tiny.fblx" > "$out/bad.fblx"
    expect 1 "$fblc" run "$out/bad.fblx" --quiet --out "$out/bad"
done
# A damaged last checkpoint: the best one is taken, with a warning; both damaged: an error.
expect 0 "$fblc" run "$here/tiny.fbl" --quiet --epochs 1 --out "$out/run"
size=$(wc -c < "$out/run/last.safetensors")
flip "$out/run/last.safetensors" $((size / 2))
expect 0 "$fblc" eval "$out/run" --last --json --quiet
says warning
flip "$out/run/best.safetensors" $((size / 2))
expect 1 "$fblc" eval "$out/run" --json --quiet
# A damaged entry of the kernel cache is compiled anew.
for entry in "$out"/cache/*; do
    flip "$entry" 100
done
expect 0 "$fblc" compile "$here/tiny.fbl" -o "$out/again.fblx" --json
grep -q '"cached":0' "$out/stdout" || fail "damaged entries of the cache were used: $(cat "$out/stdout")"
