#!/bin/sh
# A compiled file needs neither its sources nor the place where it was made: the program for the last, smaller batch of an epoch is built from the
# sources inside it when the data was not there at compile time. Two imports of one file name are told apart.
. "$(dirname "$0")/common.sh"
fblc=$(cd "$(dirname "$fblc")" && pwd)/$(basename "$fblc")
out=$(cd "$out" && pwd)
FBL_CACHE=$out/cache
root=$(pwd)
mkdir -p "$out/project/parts"
printf 'import "parts/more.fbl"\nconst slope = quarter\n' > "$out/project/more.fbl"
printf 'const quarter = 0.25\n' > "$out/project/parts/more.fbl"
sed -e 's|"models/data/cifar10_lt_sample"|"elsewhere"|' -e 's|^import "losses.fbl"|import "losses.fbl"\nimport "more.fbl"|' -e 's|rate      = 0.05|rate      = 0.2 * slope|' \
    "$here/tiny.fbl" > "$out/project/tiny.fbl"
expect 0 "$fblc" compile "$out/project/tiny.fbl" -o "$out/tiny.fblx"
expect 0 "$fblc" run "$out/project/tiny.fbl" --quiet --epochs 2 --data "$root/models/data/cifar10_lt_sample" --out "$out/source"
mv "$out/project" "$out/gone"
cd "$out"
expect 0 "$fblc" run tiny.fblx --quiet --epochs 2 --data "$root/models/data/cifar10_lt_sample" --out compiled
same source/last.safetensors compiled/last.safetensors
for name in tiny.fbl losses.fbl prelude.fbl more.fbl; do
    [ -s "compiled/source/$name" ] || fail "no copy of $name in the run"
done
[ "$(ls compiled/source | grep -c more.fbl)" = 2 ] || fail "the two files more.fbl: $(ls compiled/source)"
# A number of the loss, set on the compiled file, reaches the last batch as well.
mv gone project
expect 0 "$fblc" run project/tiny.fbl --quiet --epochs 1 --set loss.lambda=7 --data "$root/models/data/cifar10_lt_sample" --out source7
mv project gone
expect 0 "$fblc" run tiny.fblx --quiet --epochs 1 --set loss.lambda=7 --data "$root/models/data/cifar10_lt_sample" --out compiled7
same source7/last.safetensors compiled7/last.safetensors
# Another kind of processor: compiled from the program inside, with a message.
expect 0 "$fblc" compile gone/tiny.fbl --vector-bytes=16 -o narrow.fblx
expect 0 "$fblc" run narrow.fblx --quiet --max-steps 1 --data "$root/models/data/cifar10_lt_sample" --out narrow
says 'another processor'
# The precision goes with the file: without options it runs as the source does with them, and not as in f32.
expect 0 "$fblc" compile gone/tiny.fbl --precision bf16 --emulate-bf16 -o half.fblx
expect 0 "$fblc" run half.fblx --quiet --max-steps 2 --data "$root/models/data/cifar10_lt_sample" --out half
expect 0 "$fblc" run gone/tiny.fbl --quiet --max-steps 2 --precision bf16 --emulate-bf16 --data "$root/models/data/cifar10_lt_sample" --out half_source
same half_source/last.safetensors half/last.safetensors
expect 0 "$fblc" run half.fblx --quiet --max-steps 2 --precision f32 --data "$root/models/data/cifar10_lt_sample" --out whole
! cmp -s whole/last.safetensors half/last.safetensors || fail "--precision f32 changes nothing"
