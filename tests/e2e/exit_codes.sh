#!/bin/sh
# Exit codes and what is said: 0 ok, 1 the program, 2 usage, 3 the system.
. "$(dirname "$0")/common.sh"
expect 0 "$fblc" --version
expect 0 "$fblc" --help
expect 0 "$fblc" run --help
expect 0 "$fblc" check "$here/tiny.fbl" --json
grep -q '^{"parameters":[0-9]*,.*"flops_forward_per_image":[0-9]*,"flops_train_step":[0-9]*,"memory_bytes":[0-9]*,"memory_lower_bound_bytes":[0-9]*}$' "$out/stdout" ||
    fail "check --json printed $(cat "$out/stdout")"
# 3*8*9 + 16 + 8*16*9 + 32 + 16*10 + 10 parameters
grep -q '"parameters":1586,' "$out/stdout" || fail "tiny.fbl has 1586 parameters: $(cat "$out/stdout")"

expect 2 "$fblc"
expect 2 "$fblc" chekc "$here/tiny.fbl"
says 'did you mean `check`'
expect 2 "$fblc" check "$here/tiny.fbl" --jsno
says 'did you mean --json'
expect 2 "$fblc" check
expect 2 "$fblc" check "$here/tiny.fbl" --threads many
expect 2 "$fblc" check "$here/tiny.fbl" --resume
says 'option of: run'
expect 2 "$fblc" compile "$here/tiny.fbl" --emit nonsense

printf 'train {\n    batch = nothing\n}\n' > "$out/wrong.fbl"
expect 1 "$fblc" check "$out/wrong.fbl"
says 'wrong.fbl:2'
expect 1 "$fblc" check "$out/wrong.fbl" --diag=json
says '"line":2'
expect 1 "$fblc" run "$here/tiny.fbl" --quiet --set loss.lamda=3 --out "$out/r"
says lambda
expect 1 "$fblc" eval "$out"
says E0707

code=0
"$fblc" run "$here/tiny.fbl" --quiet --data "$out/nowhere" --out "$out/r" 2> "$out/stderr" || code=$?
[ "$code" = 1 ] || [ "$code" = 3 ] || fail "missing data: exit code $code"
says nowhere
expect 3 "$fblc" check "$out/nothing.fbl"
says 'nothing.fbl'
expect 3 "$fblc" run "$here/tiny.fbl" --quiet --max-steps 1 --out /dev/null/run
says /dev/null
expect 3 "$fblc" compile "$here/tiny.fbl" -o "$out/nowhere/tiny.fblx"
if [ -e /dev/full ]; then
    code=0
    "$fblc" check "$here/tiny.fbl" --json > /dev/full 2> "$out/stderr" || code=$?
    [ "$code" = 3 ] || fail "full disk: exit code $code"
fi
# More threads than cores: a warning, and it runs.
expect 0 "$fblc" run "$here/tiny.fbl" --quiet --max-steps 2 --threads 64 --out "$out/many"
says E0503
