#!/bin/sh
# Stages of a train block: they begin at their epochs with their own sampler, rate and loss, leave what is frozen as it is to the bit, start anew what they
# say, and resume exactly, wherever the run was stopped.  stages.sh FBLC OUT TENSORS
. "$(dirname "$0")/common.sh"
tensors=$3
recipe=$here/stages.fbl

# list RUN NAME...: the lines of tensors whose names begin so.
list() {
    file=$1/last.safetensors
    shift
    for name in "$@"; do
        "$tensors" "$file" | grep "^$name" || fail "$file has no $name"
    done
}

# One thread, so that a busy machine does not slow what waits for the other; one of the resumed runs has two.
expect 0 "$fblc" run "$recipe" --json --threads 1 --out "$out/whole"
says 'stage classifier: 2 epochs from epoch 2 on'
says 'stage scale: 1 epochs from epoch 4 on'
# The cosine of the second stage starts at its own epoch 0; 988 images, and 4000 where classes take turns, decide the length of an epoch.
printf '0,0.05\n1,0.05\n2,0.1\n3,0.05\n4,0.2\n' > "$out/rates"
grep -v '^epoch' "$out/whole/log_train.csv" | cut -d, -f1,4 > "$out/seen"
same "$out/rates" "$out/seen"
logs "$out/whole" > "$out/whole.logs"

# Stopped in the first stage, at its end, in the second, at its end, in the third: 21, 21, 63, 63 and 21 steps an epoch.
for steps in 30 42 60 168 180; do
    expect 0 "$fblc" run "$recipe" --quiet --threads 1 --max-steps $steps --out "$out/stopped"
    [ $steps != 42 ] || cp -r "$out/stopped" "$out/first"
    [ $steps != 168 ] || cp -r "$out/stopped" "$out/second"
    threads=1
    [ $steps != 60 ] || threads=2
    expect 0 "$fblc" run "$recipe" --quiet --resume --threads $threads --out "$out/stopped"
    same "$out/whole/last.safetensors" "$out/stopped/last.safetensors"
    same "$out/whole/best.safetensors" "$out/stopped/best.safetensors"
    logs "$out/stopped" > "$out/stopped.logs"
    same "$out/whole.logs" "$out/stopped.logs"
done

# Killed as soon as there is a checkpoint, several times over.
for pause in 0 0.1 0.2 0.3; do
    "$fblc" run "$recipe" --quiet --threads 1 --resume --save-steps 5 --out "$out/killed" > /dev/null 2>&1 &
    pid=$!
    wait_for "$out/killed/last.safetensors" $pid
    sleep $pause
    kill -9 $pid 2> /dev/null || true
    wait $pid 2> /dev/null || true
done
expect 0 "$fblc" run "$recipe" --quiet --threads 1 --resume --out "$out/killed"
same "$out/whole/last.safetensors" "$out/killed/last.safetensors"

# The trunk, its running statistics among it, does not move in the second and third stage; the classifier does, then only its scale.
trunk='conv1 bn1 conv2 bn2'
# shellcheck disable=SC2086 # several names
for run in first second whole; do list "$out/$run" $trunk > "$out/$run.trunk"; done
[ "$(wc -l < "$out/first.trunk")" = 10 ] || fail "the trunk has 10 tensors: $(cat "$out/first.trunk")"
same "$out/first.trunk" "$out/second.trunk"
same "$out/first.trunk" "$out/whole.trunk"
for run in first second whole; do list "$out/$run" linear.weight linear.bias > "$out/$run.head"; done
cmp -s "$out/first.head" "$out/second.head" && fail "the classifier did not learn in its stage"
same "$out/second.head" "$out/whole.head"
list "$out/whole" linear.scale > /dev/null

# What `reinit` names starts anew: without learning, a stage that leaves it out keeps the classifier, one that names it does not.
short='--threads 1 --max-steps 52 --set scale.epochs=1 --set classifier.rate=0'
# shellcheck disable=SC2086
expect 0 "$fblc" run "$recipe" --quiet $short --out "$out/anew"
# shellcheck disable=SC2086
expect 0 "$fblc" run "$recipe" --quiet $short --set 'classifier.reinit=[]' --out "$out/kept"
list "$out/anew" linear.weight > "$out/anew.head"
list "$out/kept" linear.weight > "$out/kept.head"
grep linear.weight "$out/first.head" > "$out/first.weight"
same "$out/first.weight" "$out/kept.head"
cmp -s "$out/first.weight" "$out/anew.head" && fail "reinit changed nothing"

# Each checkpoint is evaluated by the program of its stage: the numbers of its epoch come back. Fields of log_test.csv: epoch, loss, top1.
expect 0 "$fblc" eval "$out/whole" --last --json --quiet
top1=$(tail -n 1 "$out/whole/log_test.csv" | cut -d, -f3)
[ "$(tr ',{' '\n\n' < "$out/stdout" | sed -n 's/"top1":\(.\{6\}\).*/\1/p')" = "$(echo "$top1" | cut -c1-6)" ] || fail "eval --last: $(head -c 100 "$out/stdout"), not $top1"
expect 0 "$fblc" export "$out/second" --last --safetensors "$out/w.safetensors"

# A compiled file runs the same stages.
expect 0 "$fblc" compile "$recipe" -o "$out/stages.fblx"
expect 0 "$fblc" run "$out/stages.fblx" --quiet --threads 1 --out "$out/compiled"
same "$out/whole/log_test.csv" "$out/compiled/log_test.csv"

# One stage by itself, from weights; settings for one stage, for the block itself, for all.
expect 0 "$fblc" run "$recipe" --quiet --stage classifier --init "$out/w.safetensors" --max-steps 3 --out "$out/alone"
expect 0 "$fblc" run "$recipe" --quiet --threads 1 --epochs 1 --set train.rate=0.01 --set scale.rate=0.02 --out "$out/short"
printf '0,0.01\n1,0.1\n2,0.02\n' > "$out/rates"
grep -v '^epoch' "$out/short/log_train.csv" | cut -d, -f1,4 > "$out/seen"
same "$out/rates" "$out/seen"
# A later stage's mistake shows before the run begins.
expect 1 "$fblc" run "$recipe" --quiet --set 'scale.freeze=["fc.*"]' --out "$out/wrong"
says E0165
[ ! -e "$out/wrong" ] || fail "the run began in spite of the mistake"
# Another recipe in a later stage is another run.
expect 1 "$fblc" run "$recipe" --quiet --resume --set scale.epochs=2 --out "$out/whole"
says E0718
