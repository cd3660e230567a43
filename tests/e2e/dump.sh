#!/bin/sh
# --dump-dir writes every phase, and --start-from goes on from each to the same kernels and the same plan (source lines apart, which texts don't keep).
. "$(dirname "$0")/common.sh"
plain() {
    sed -e 's/ note "[^"]*"//' -e '/^ *launch/s/"[^"]*"//' "$1"
}
expect 0 "$fblc" compile "$here/tiny.fbl" --dump-dir="$out/dump" --emit plan
plain "$out/stdout" > "$out/plan"
count=0
for file in "$out"/dump/*.module "$out"/dump/*.plan; do
    expect 0 "$fblc" compile "$here/tiny.fbl" --start-from="$file" --emit plan
    plain "$out/stdout" > "$out/again"
    same "$out/plan" "$out/again"
    count=$((count + 1))
done
[ "$count" = 10 ] || fail "$count phases were dumped"
for suffix in kernel ll s; do
    [ -n "$(ls "$out"/dump/kernels/*.$suffix)" ] || fail "no kernels/*.$suffix"
done
expect 1 "$fblc" compile "$here/tiny.fbl" --start-from="$here/tiny.fbl"
says E0407
expect 1 "$fblc" compile "$here/tiny.fbl" --stop-after=grad
says E0408
