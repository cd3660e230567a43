#!/bin/sh
# counts.sh FBLC: parameters of every network of the library, and that its memory plan stays within 1.15 of the largest live set. The counts are those that
# torchvision prints for 1000 classes; ResNet-10 and ResNeXt-152 32x4d, which it lacks, are summed in the comments, layer by layer as Table 1 of He et al.
# 2016 and of Xie et al. 2017 have them. Run from the source root.
set -eu
fblc=$1
failed=0

# count EXPECTED FILE SETTING...
count() {
    expected=$1 file=$2
    shift 2
    sets=
    for setting in "$@"; do sets="$sets --set $setting"; done
    # shellcheck disable=SC2086 # words
    line=$("$fblc" check "models/$file" --batch 4 --json --quiet $sets)
    number() { echo "$line" | sed "s/.*\"$1\":\([0-9]*\).*/\1/"; }
    [ "$(number parameters)" = "$expected" ] || { echo "$file $*: $(number parameters) parameters instead of $expected"; failed=1; }
    plan=$(number memory_bytes) bound=$(number memory_lower_bound_bytes)
    [ $((plan * 100)) -le $((bound * 115)) ] || { echo "$file $*: the plan takes $plan bytes, the largest live set $bound"; failed=1; }
}

m=model
count 11689512 imagenet_lt.fbl $m.depth=18
count 21797672 imagenet_lt.fbl $m.depth=34
count 25557032 imagenet_lt.fbl $m.depth=50
count 44549160 imagenet_lt.fbl $m.depth=101
count 60192808 imagenet_lt.fbl $m.depth=152
count 25028904 imagenet_lt.fbl $m.depth=50 $m.groups=32 $m.width=4
count 88791336 imagenet_lt.fbl $m.depth=101 $m.groups=32 $m.width=8
count 68883240 imagenet_lt.fbl $m.depth=50 $m.width=128
count 126886696 imagenet_lt.fbl $m.depth=101 $m.width=128
# stem 9536; stages 73984, 230144, 919040, 3673088; classifier 513000
count 5418792 imagenet_lt.fbl $m.depth=10
# stem 9536; stages 205824, 2327552, 40814592, 14544896; classifier 2049000
count 59951400 imagenet_lt.fbl $m.depth=152 $m.groups=32 $m.width=4
# ResNet-152 with 365 classes in place of 1000: 60192808 - 635 * 2049
count 58891693 places_lt.fbl
# heads: 25557032 - 2049000 and 2048 * 1000, 2049 * 1000 + 1000, 2048 * 1000
count 25556032 imagenet_lt.fbl loss=ldam_drw model=resnet_imagenet_cosine
count 25558032 imagenet_lt.fbl model=resnet_imagenet_scaled
count 25556032 imagenet_lt.fbl model=resnet_imagenet_tau
# Table 6 of the paper gives them as 0.27, 0.46, 0.66, 0.85, 1.7 and 19.4 million
count 269722 cifar10_lt.fbl $m.blocks=3
count 464154 cifar10_lt.fbl $m.blocks=5
count 658586 cifar10_lt.fbl $m.blocks=7
count 853018 cifar10_lt.fbl $m.blocks=9
count 1727962 cifar10_lt.fbl $m.blocks=18
count 19421274 cifar10_lt.fbl $m.blocks=200
exit $failed
