#!/bin/sh
# every_loss.sh FBLC OUT SEED...: every loss of models/losses.fbl on the bundled long-tailed sample, 20 epochs of ResNet-8 each and for each seed, one
# thread; then the table of docs/results.md on stdout. Run from the source root. Runs that OUT already holds complete are not repeated.
set -eu
[ $# -ge 3 ] || { sed -n '2,3s/^# //p' "$0" >&2; exit 2; }
fblc=$1 out=$2
shift 2
epochs=20
rate='0.1 * (if epoch < 3 then (epoch + 1) / 3 else if epoch >= 18 then 0.01 else if epoch >= 14 then 0.1 else 1)'
cosine='--set model=resnet_cifar_cosine'

# name | arguments. What a published value was chosen for 200 epochs or thousands of classes is set to what that means here:
# deferred weights start with the first drop of the rate, and "rare" is a class with less than 2 % of the images.
list='ce |
ce, mixup | --set loss=ce --set mixup=1
ce_inverse |
class_balanced |
drw | --set loss.start=14
focal |
focal_full |
focal_class_balanced |
ldam | '$cosine'
ldam_drw | '$cosine' --set loss.start=14
balanced_softmax |
logit_adjustment |
feature_balanced | --set loss.lambda=10
feature_balanced_weighted | --set loss.lambda=10
gaussian_clouded | '$cosine'
equalization | --set loss.threshold=0.02
seesaw |
label_aware_smoothing |'

folder() { echo "$out/$(echo "$1" | tr -d ' ' | tr ',' '_')-seed$2"; }

for seed in "$@"; do
    echo "$list" | while IFS='|' read -r name arguments; do
        name=$(echo "$name" | sed 's/ *$//')
        run=$(folder "$name" "$seed")
        [ "$(wc -l 2> /dev/null < "$run/log_test.csv" || echo 0)" -gt $epochs ] && continue
        rm -rf "$run"
        # shellcheck disable=SC2086 # the arguments are several words
        "$fblc" run models/demo_lt.fbl --quiet --threads 1 --seed "$seed" --epochs $epochs --set "rate=$rate" --set "loss=${name%%,*}" $arguments --set model.blocks=1 \
            --out "$run" > /dev/null
    done
done

echo '| loss | settings | top-1 | many | medium | few | top-1 of each seed |'
echo '|---|---|---|---|---|---|---|'
echo "$list" | while IFS='|' read -r name arguments; do
    name=$(echo "$name" | sed 's/ *$//')
    shown=$(echo "$arguments" | sed 's/--set //g; s/loss=ce //; s/model=resnet_cifar_cosine/cosine head,/; s/loss\.//; s/^ *//; s/[ ,]*$//')
    for seed in "$@"; do
        tail -n 1 "$(folder "$name" "$seed")/log_test.csv"
    done | awk -F, -v name="$name" -v shown="$shown" '
        { top += $3; many += $5; medium += $6; few += $7; each = each (NR > 1 ? ", " : "") sprintf("%.1f", 100 * $3) }
        END { printf "| `%s` | %s | %.1f | %.1f | %.1f | %.1f | %s |\n", name, shown, 100 * top / NR, 100 * many / NR, 100 * medium / NR, 100 * few / NR, each }'
done
