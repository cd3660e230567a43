#!/bin/sh
# The whole way in a few minutes: builds fblc, trains a small ResNet on the bundled long-tailed sample with cross-entropy and
# with the feature-balanced loss, and compares head, medium and tail classes. EPOCHS=N shortens it.
set -eu
cd "$(dirname "$0")/.."
scripts/packages.sh
cmake --preset release > /dev/null
cmake --build --preset release --target fblc
fblc=build/release/fblc
out=${OUT:-runs/demo}
rm -rf "$out"
mkdir -p "$out"
epochs=${EPOCHS:+--epochs $EPOCHS}
for loss in ce feature_balanced; do
    echo
    echo "== $loss"
    # shellcheck disable=SC2086 # an option or nothing
    "$fblc" run models/demo_lt.fbl --set loss=$loss --out "$out/$loss" $epochs
done
"$fblc" report "$out/ce" "$out/feature_balanced" -o "$out/report.html"
echo
printf '%-18s %8s %8s %8s %8s   (top-1, percent; classes with more than 100, 20 to 100, fewer than 20 training images)\n' loss all head medium tail
for loss in ce feature_balanced; do
    "$fblc" eval "$out/$loss" --last --json --quiet | tr '{,' '\n\n' | awk -F: -v loss=$loss '
        { gsub(/[" ]/, "", $1); if (!($1 in value)) value[$1] = $2 == "null" ? "-" : sprintf("%.2f", 100 * $2) }
        END { printf "%-18s %8s %8s %8s %8s\n", loss, value["top1"], value["many"], value["medium"], value["few"] }'
done
echo
echo "curves, classes and confusion: $out/report.html"
