#!/bin/sh
# Real images as binary batches, as class folders and as a text list: the same weights to the bit. 40 training and 10 test images of each
# class of CIFAR-10 re-encoded as JPEG, whose binary form was decoded from the same files: record k is image k / 10 of class k % 10.
# The long-tailed selection, which goes class by class, brings all layouts into one order.
. "$(dirname "$0")/common.sh"
root=${FBL_DATA:-../shared/data}
if [ ! -d "$root/cifar10-images" ] && [ -x "$root/prepare" ] && command -v xz > /dev/null; then # packed: unpacked here
    "$root/prepare" "$out/prepared" > "$out/prepare.log" 2>&1 && root=$out/prepared
fi
if [ ! -d "$root/cifar10-images" ] || [ ! -d "$root/cifar-10-batches-bin" ]; then
    echo "skipped: no prepared images in $root (FBL_DATA names the folder that holds cifar10-images and cifar-10-batches-bin)"
    exit 77
fi
mkdir -p "$out/bin/cifar-10-batches-bin"
head -c $((400 * 3073)) "$root/cifar-10-batches-bin/data_batch_1.bin" > "$out/bin/cifar-10-batches-bin/data_batch_1.bin"
head -c $((100 * 3073)) "$root/cifar-10-batches-bin/test_batch.bin" > "$out/bin/cifar-10-batches-bin/test_batch.bin"
for class in airplane automobile bird cat deer dog frog horse ship truck; do
    for split in train test; do
        mkdir -p "$out/folders/$split/$class"
        count=40
        [ $split = train ] || count=10
        # shellcheck disable=SC2012 # names are digits
        ls "$root/cifar10-images/$split/$class" | LC_ALL=C sort | head -$count | while read -r name; do
            ln -s "$(realpath "$root/cifar10-images/$split/$class/$name")" "$out/folders/$split/$class/$name"
        done
    done
done
# The lists in the order of the records: the n-th image of every class, then the next.
for split in train test; do
    (cd "$out/folders" && n=0 && for class in $split/*; do
        # shellcheck disable=SC2012
        ls "$class" | LC_ALL=C sort | awk -v c="$class" -v n=$n '{print NR, n, c "/" $0, n}'
        n=$((n + 1))
    done) | sort -n -k1,1 -k2,2 | cut -d' ' -f3- > "$out/$split.txt"
done
run() {
    name=$1
    shift
    expect 0 "$fblc" run "$here/tiny.fbl" --quiet --epochs 2 --out "$out/run_$name" "$@"
    expect 0 "$fblc" export "$out/run_$name" --last --safetensors "$out/$name.safetensors"
}
tail='imbalance=exponential(0.1)'
run bin --set "dataset=cifar10(\"$out/bin\", $tail)"
run folders --set "dataset=image_folder(\"$out/folders\", $tail)"
run list --set "dataset=image_list(\"$out/train.txt\", \"$out/test.txt\", \"$out/folders\", renumber=false, $tail)"
same "$out/bin.safetensors" "$out/folders.safetensors"
same "$out/bin.safetensors" "$out/list.safetensors"
for name in folders list; do
    logs "$out/run_bin" > "$out/a"
    logs "$out/run_$name" > "$out/b"
    same "$out/a" "$out/b"
done
# Without the selection the order of the list is that of the records, and the two agree again.
run bin_all --set "dataset=cifar10(\"$out/bin\")"
run list_all --set "dataset=image_list(\"$out/train.txt\", \"$out/test.txt\", \"$out/folders\", renumber=false)"
same "$out/bin_all.safetensors" "$out/list_all.safetensors"
! cmp -s "$out/bin.safetensors" "$out/bin_all.safetensors" || fail "the selection changes nothing"
