#!/bin/sh
# Weights out and in again; the forms of --emit, explain, graph and report.
. "$(dirname "$0")/common.sh"
expect 0 "$fblc" run "$here/tiny.fbl" --quiet --epochs 1 --out "$out/run"
expect 0 "$fblc" export "$out/run" --last --safetensors "$out/w.safetensors"
expect 0 "$fblc" run "$here/tiny.fbl" --epochs 1 --max-steps 1 --init "$out/w.safetensors" --out "$out/next"
says '12 of 12 tensors set'
# PyTorch's file, with a table of what became of each tensor.
expect 0 "$fblc" run "$here/tiny.fbl" --epochs 1 --max-steps 1 --init tests/data/torch/tiny.pth --set 'reinit=["conv2.*"]' --out "$out/pth"
says '10 of 12 tensors set'
says '^  bn1  *set: 4, all of 4$'
says '^  linear  *set: 1 of 2$'
says '^  linear.bias  *starts anew: not in the file$'
says '^  conv2.weight  *starts anew: `reinit` names it$'
says '^  fc.weight  *not used: the program has no such tensor$'
! grep -q num_batches_tracked "$out/stderr" || fail "PyTorch's counters are in the table"
for form in graph kernels plan llvm asm; do
    expect 0 "$fblc" compile "$here/tiny.fbl" --emit $form
    [ -s "$out/stdout" ] || fail "--emit $form is empty"
done
expect 0 "$fblc" explain "$here/tiny.fbl"
grep -q 'tiny.fbl:' "$out/stdout" || fail "explain names no source line"
expect 0 "$fblc" explain "$here/tiny.fbl" --json --measure
grep -q '"measured_us":[0-9]' "$out/stdout" || fail "explain --measure has no time"
expect 0 "$fblc" profile "$here/tiny.fbl"
expect 0 "$fblc" graph "$here/tiny.fbl" --mode eval -o "$out/g.svg"
grep -q '</svg>' "$out/g.svg" || fail "no SVG"
expect 0 "$fblc" graph "$here/tiny.fbl" --fused -o "$out/g.dot"
expect 0 "$fblc" report "$out/run" "$out/next" -o "$out/r.html"
grep -q '"per_class"' "$out/r.html" || fail "the report has no classes"
# One file that needs no other: the data are in it, and nothing is loaded from elsewhere.
grep -q '__RUNS__' "$out/r.html" && fail "the report has no data"
grep -qE '(src|href)=|https?://' "$out/r.html" && fail "the report loads something: $(grep -oE '(src|href)=.{20}|https?://.{20}' "$out/r.html")"
tail -n 1 "$out/r.html" | grep -q '</html>' || fail "the report is cut off"
for file in source/tiny.fbl source/losses.fbl recipe.txt environment.txt program.fblx log_train.csv log_test.csv test_classes.json last.safetensors best.safetensors; do
    [ -s "$out/run/$file" ] || fail "the run directory has no $file"
done
# A run in the way is moved aside, not lost.
expect 0 "$fblc" run "$here/tiny.fbl" --quiet --max-steps 1 --out "$out/run"
[ -e "$out/run.1/last.safetensors" ] || fail "the first run is gone"
