#!/bin/sh
# The recipes on lists of images, end to end on stand-ins in the published layout: imagenet_lt.fbl, inat2018.fbl and places_lt.fbl train (a narrow network on
# small pictures), the loss falls, a stopped run resumes to the same bits, and the frozen trunk of Places stays as it was loaded.
#   lists.sh FBLC OUT TENSORS STANDINS
# The class counts of Places come from the real list when FBL_DATA or ../shared/data has it.
. "$(dirname "$0")/common.sh"
tensors=$3 standins=$4
small='--set model.planes=8 --set model.size=32 --set augment=[random_resized_crop(32),random_flip()] --batch 64 --epochs 1'

# falls FILE: of the JSON lines of steps, the last ten have a lower mean loss than the first ten.
falls() {
    grep '"step"' "$1" | sed 's/.*"loss":\([^,}]*\).*/\1/' > "$out/losses"
    awk '{ v[NR] = $1 } END { if (NR < 20) exit 1; for (i = 1; i <= 10; i++) { a += v[i]; b += v[NR + 1 - i] } print "mean loss of ten steps:", a / 10, "->", b / 10; exit !(b < a) }' "$out/losses" ||
        fail "the loss does not fall: $(tr '\n' ' ' < "$out/losses")"
}

# train NAME RECIPE LISTS TEST ARGUMENT...: a whole run, and one that is stopped and resumed.
train() {
    name=$1 recipe=$2 lists=$3 test=$4
    shift 4
    data=$out/$name
    # shellcheck disable=SC2086 # words
    set -- "models/$recipe" $small --data "$data/images" --set "dataset.train=$data/${lists}_train.txt" --set "dataset.test=$data/${lists}_$test.txt" "$@"
    expect 0 "$fblc" run "$@" --json --log-steps --threads 1 --out "$out/$name-whole"
    falls "$out/stdout"
    expect 0 "$fblc" run "$@" --quiet --max-steps 11 --threads 1 --out "$out/$name-stopped"
    expect 0 "$fblc" run "$@" --quiet --resume --threads 2 --out "$out/$name-stopped"
    same "$out/$name-whole/last.safetensors" "$out/$name-stopped/last.safetensors"
    same "$out/$name-whole/log_test.csv" "$out/$name-stopped/log_test.csv"
}

"$standins" "$out/imagenet" imagenet 48
train imagenet imagenet_lt.fbl ImageNet_LT test --set model.depth=50
"$standins" "$out/inat" inat 40
train inat inat2018.fbl iNaturalist18 val --set model.depth=10

real=
for folder in "${FBL_DATA:-}" ../shared/data; do
    [ -n "$folder" ] && [ -e "$folder/lists/Places_LT_train.txt" ] && real=$folder/lists/Places_LT_train.txt
done
if [ -n "$real" ]; then
    "$standins" "$out/places" places 48 "$real" 20
    # ceil(4980 / 20) down to ceil(5 / 20), 365 classes
    cut -d' ' -f2 "$out/places/Places_LT_train.txt" | sort -n | uniq -c | awk '{ print $1 }' | sort -n > "$out/counts"
    [ "$(wc -l < "$out/counts")" = 365 ] && [ "$(tail -n 1 "$out/counts")" = 249 ] && [ "$(head -n 1 "$out/counts")" = 1 ] || fail "the counts are not those of Places-LT"
else
    echo "class counts of Places-LT: skipped, no lists/Places_LT_train.txt under FBL_DATA or ../shared/data"
    "$standins" "$out/places" places 48
fi
# ImageNet's trunk for Places is that of the first run. The loss of so few steps needs the full rate.
expect 0 "$fblc" export "$out/imagenet-whole" --last --safetensors "$out/trunk.safetensors"
train places places_lt.fbl Places_LT test --set model.depth=50 --set rate=0.2 --init "$out/trunk.safetensors"

# To the bit: parameters and running statistics below the fresh block. fc is not taken over, layer4.2 is fresh although the file has it.
below() { "$tensors" "$1" | grep -v -e '^fc\.' -e '^linear\.' -e '^layer4\.2\.' -e '^opt\.' -e '^run\.' | sort; }
below "$out/trunk.safetensors" > "$out/before"
below "$out/places-whole/last.safetensors" > "$out/after"
[ "$(grep -c running "$out/before")" = 100 ] || fail "a ResNet-50 without its last block has 50 batch norms: $(grep -c running "$out/before")"
same "$out/before" "$out/after"
# The last block starts fresh although the file has it: at the rate 0 it is not the file's.
# shellcheck disable=SC2086 # words
expect 0 "$fblc" run models/places_lt.fbl $small --set model.depth=50 --set rate=0 --init "$out/trunk.safetensors" --data "$out/places/images" \
    --set "dataset.train=$out/places/Places_LT_train.txt" --set "dataset.test=$out/places/Places_LT_test.txt" --max-steps 1 --out "$out/places-fresh"
"$tensors" "$out/trunk.safetensors" | grep '^layer4.2.conv' > "$out/before"
"$tensors" "$out/places-fresh/last.safetensors" | grep '^layer4.2.conv' > "$out/after"
[ "$(sort "$out/before" "$out/after" | uniq | wc -l)" = 6 ] || fail "the last block was taken from the file"

# What the frozen trunk costs: no backward convolution below the line (two data gradients and three weight gradients inside the last block), and no memory
# beyond what evaluating takes. At full size, from the graph and the plan.
expect 0 "$fblc" compile models/places_lt.fbl --batch 4 --emit graph
for wanted in '2 conv2d_data_grad' '3 conv2d_weight_grad'; do
    found=$(grep -c "= ${wanted#* }(" "$out/stdout")
    [ "$found" = "${wanted%% *}" ] || fail "$found ${wanted#* } instead of ${wanted%% *}"
done
expect 0 "$fblc" compile models/places_lt.fbl --batch 4 --emit plan
arena() { sed -n "s/.*function \"$1\" arena \([0-9]*\) .*/\1/p" "$out/stdout"; }
[ "$(arena train)" -le $(($(arena eval) * 21 / 20)) ] || fail "training takes $(arena train) bytes of temporaries, evaluating $(arena eval)"
