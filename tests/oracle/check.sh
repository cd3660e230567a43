#!/bin/sh
# check.sh FBLC COMPARE OUT_DIR MODE CASE: runs one line of cases.txt and compares. MODE is cpu or cuda (compiled, f32) or interp (the double-precision interpreter).
# Prints the commands, so that a failure can be rerun by hand.
set -eu
fblc=$1 compare=$2 out=$3 mode=$4 case=$5
here=$(dirname "$0")
line=$(awk -v name="$case" '$2 == name' "$here/cases.txt")
[ -n "$line" ] || { echo "no case $case in cases.txt"; exit 2; }
set -- $line
kind=$1 file=$here/$3 loss=$4 inputs=$here/data/$5.safetensors weights=$here/data/$6.safetensors steps=$7 expected=$here/data/$8.safetensors
tolerance=$9 flag=
if [ "$mode" = interp ]; then tolerance=${10} flag=--interp; fi
if [ "$mode" = cuda ]; then flag=--target=cuda; fi
sets=${11}
mkdir -p "$out"
dump=$out/$case.$mode.safetensors
rm -f "$dump"
if [ "$kind" = loss ]; then
    set -- loss "$file" "$loss" --inputs "$inputs" --dump "$dump"
else
    set -- step "$file" --weights "$weights" --batch-file "$inputs" --steps "$steps" --dump "$dump"
fi
if [ "$sets" != - ]; then
    for pair in $(echo "$sets" | tr ',' ' '); do set -- "$@" --set "$pair"; done
fi
echo "$fblc $* $flag"
"$fblc" "$@" $flag
echo "$compare $expected $dump $tolerance"
exec "$compare" "$expected" "$dump" "$tolerance"
