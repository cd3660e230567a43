# Shared by scripts that compare runs whose sums have different orders, after e2e/common.sh.

# close A B: two numbers. 16 steps at the rates of soft.fbl leave relative differences below 1e-6 between orders of sums, so 1e-5 is room for other
# orders and still far below what a wrong image or scalar would cause.
close() {
    awk -v a="$1" -v b="$2" 'BEGIN { d = a - b; d = d < 0 ? -d : d; exit !(d <= 1e-5 * (b < 0 ? -b : b)) }' || fail "$1 and $2 are not close"
}

# value FILE LINE KEY: the number of a line of JSON.
value() { sed -n "$2p" "$1" | sed "s/.*\"$3\":\([^,]*\),.*/\1/"; }

# close_runs A B: two epochs of two runs have the same losses, nearly, and the same accuracies.
close_runs() {
    for epoch in 1 2; do
        for key in train_loss test_loss; do
            close "$(value "$1" $epoch $key)" "$(value "$2" $epoch $key)"
        done
        [ "$(value "$1" $epoch train_top1)" = "$(value "$2" $epoch train_top1)" ] || fail "other accuracies in $1 than in $2"
    done
}
