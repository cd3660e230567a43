#!/bin/sh
# Runs that are stopped and resumed end with the bits of an undisturbed one: stopped by --max-steps in mid-epoch, killed, interrupted.
. "$(dirname "$0")/common.sh"
"$fblc" run "$here/tiny.fbl" --quiet --out "$out/whole"
logs "$out/whole" > "$out/whole.logs"
check() {
    same "$out/whole/last.safetensors" "$out/$1/last.safetensors"
    same "$out/whole/best.safetensors" "$out/$1/best.safetensors"
    logs "$out/$1" > "$out/$1.logs"
    same "$out/whole.logs" "$out/$1.logs"
}
# 988 images in batches of 48 are 21 steps an epoch: 30 is in the second.
"$fblc" run "$here/tiny.fbl" --quiet --max-steps 30 --out "$out/stopped"
"$fblc" run "$here/tiny.fbl" --quiet --resume --out "$out/stopped"
check stopped

# Killed as soon as there is a checkpoint, several times over.
for pause in 0 0.05 0.1; do
    "$fblc" run "$here/tiny.fbl" --quiet --resume --save-steps 4 --out "$out/killed" &
    pid=$!
    wait_for "$out/killed/last.safetensors" $pid
    sleep $pause
    kill -9 $pid 2> /dev/null || true
    wait $pid 2> /dev/null || true
done
"$fblc" run "$here/tiny.fbl" --quiet --resume --out "$out/killed"
check killed

# Interrupted: a long run, exit code 130; then the same length as the others from its own checkpoint is another recipe: refused.
"$fblc" run "$here/tiny.fbl" --quiet --epochs 100000 --save-steps 5 --out "$out/long" 2> "$out/stderr" &
pid=$!
wait_for "$out/long/last.safetensors" $pid
kill -INT $pid
code=0
wait $pid || code=$?
[ $code = 130 ] || fail "interrupted run exited with $code"
says "resume"
cp "$out/long/recipe.txt" "$out/recipe.txt"
expect 1 "$fblc" run "$here/tiny.fbl" --quiet --resume --out "$out/long"
says E0718
same "$out/recipe.txt" "$out/long/recipe.txt"
expect 0 "$fblc" run "$here/tiny.fbl" --quiet --epochs 100000 --max-steps 60 --resume --out "$out/long"
