#!/bin/sh
# What a change recompiles: nothing for a number of the loss, the loss's kernels alone for its formula.
. "$(dirname "$0")/common.sh"
cp "$here/tiny.fbl" "$here/edited.fbl" "$out/"
count() {
    tr '{,' '\n\n' < "$out/stdout" | awk -F: -v key="\"$1\"" '$1 == key { print $2 + 0 }'
}
expect 0 "$fblc" compile "$out/edited.fbl" -o "$out/a.fblx" --json
kernels=$(count kernels)
[ "$kernels" -gt 5 ] || fail "only $kernels kernels"
[ "$(count cached)" = 0 ] || fail "the cache was not empty"
expect 0 "$fblc" compile "$out/edited.fbl" -o "$out/a.fblx" --json
[ "$(count cached)" = "$kernels" ] || fail "compiling again was not from the cache: $(cat "$out/stdout")"
expect 0 "$fblc" compile "$out/edited.fbl" -o "$out/b.fblx" --json --set loss.weight=3
[ "$(count cached)" = "$kernels" ] || fail "a run-time number recompiled kernels: $(cat "$out/stdout")"
sed -i 's/score \* 2/score * score/' "$out/edited.fbl"
expect 0 "$fblc" compile "$out/edited.fbl" -o "$out/c.fblx" --json
new=$(($(count kernels) - $(count cached)))
[ "$new" -ge 1 ] || fail "another formula compiled nothing"
[ "$new" -le 8 ] || fail "another formula recompiled $new of $(count kernels) kernels"
