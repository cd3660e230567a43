#!/bin/sh
# Lists, folders and images with mistakes: what is said, and the exit codes. Good and damaged pictures are those of tests/data.
. "$(dirname "$0")/common.sh"
pictures=$(realpath tests/data/images)
parts=$(realpath tests/data/parts)
mkdir -p "$out/root/a b"
cp "$pictures/alpha.png" "$pictures/deep.png" "$pictures/grey.jpg" "$pictures/cmyk.jpg" "$pictures/rgb.jpg" "$parts/420.jpg" "$out/root"
cp "$pictures/palette.png" "$out/root/a b/with spaces.png"
head -c 3000 "$parts/420.jpg" > "$out/root/cut.jpg"
# The size in the header of a JPEG (after FF C0, its length and its precision) raised to 65,500 x 65,500.
at=$(od -An -v -tx1 -w1 "$parts/420.jpg" | awk '{if (before == "ff" && $1 == "c0") {print NR; exit} before = $1}')
cp "$parts/420.jpg" "$out/root/bomb.jpg"
printf '\377\334\377\334' | dd of="$out/root/bomb.jpg" bs=1 seek=$((at + 3)) conv=notrunc 2> /dev/null
printf 'alpha.png 0\ndeep.png 1\n' > "$out/test.txt"

# with LIST ARGUMENTS...: runs two steps on the list, every image brought to 32 x 32.
with() {
    code=$1 list=$2 more=$3
    rm -rf "$out/r"
    expect "$code" "$fblc" run "$here/tiny.fbl" --quiet --max-steps 2 --batch 2 --out "$out/r" \
        --set "dataset=image_list(\"$out/$list\", \"$out/test.txt\", \"$out/root\"$more)" \
        --set 'augment=[random_resized_crop(32), random_flip()]'
}

# Every kind of picture, Windows line ends, a mark of byte order, spaces in names, tabs, no newline at the end.
printf '\357\273\277alpha.png 0\r\ndeep.png\t1\r\ngrey.jpg 0\r\ncmyk.jpg 1\r\n\r\na b/with spaces.png 0\r\n420.jpg 1' > "$out/fine.txt"
with 0 fine.txt ''
with 0 fine.txt ', classes=2, imbalance=exponential(1)'

printf 'alpha.png 0\nnothing/here.jpg 1\nrgb.jpg 1\n' > "$out/missing.txt"
with 1 missing.txt ''
says "line 2 of the list .*/missing.txt\`: there is no image \`.*/root/nothing/here.jpg\`"
says "1 of the list's 3 images are missing; paths are relative to \`.*/root\`"
printf 'alpha.png 0\nrgb.jpg\n' > "$out/label.txt"
with 1 label.txt ''
says "line 2 of the list .*/label.txt\` has no label"
printf 'alpha.png 0\nrgb.jpg cat\ngrey.jpg -1\ncmyk.jpg 99999999\n 3\n' > "$out/labels.txt"
with 1 labels.txt ''
says 'line 2 .* does not end with a label, a whole number'
says 'line 3 .* has a negative label'
says 'line 4 .* has a label above a million'
says 'line 5 .* has no path'
printf 'alpha.png 0\nrgb.jpg 1\ngrey.jpg 2\n' > "$out/three.txt"
with 1 three.txt ', classes=2'
says 'line 3 of the list .* has the label 2, but labels lie in 0..1'
printf 'alpha.png 0\nrgb.jpg 2\n' > "$out/gap.txt"
with 1 gap.txt ''
says 'E0817.*class 1 has no training image in the list'
: > "$out/empty.txt"
with 1 empty.txt ''
says 'is empty'
with 1 none.txt ''
says 'none.txt` does not exist'
with 1 fine.txt ', bad_images="perhaps"'
says 'E0722.*must be "fail" or "skip", found "perhaps"'

# Images that cannot be used.
printf 'alpha.png 0\nrgb.jpg 1\ncut.jpg 1\n420.jpg 1\nbomb.jpg 0\n' > "$out/damaged.txt"
with 1 damaged.txt ', classes=2'
says 'E0805.*: line [35] of the list `.*/damaged.txt`: cannot use the image `.*/root/'
with 0 damaged.txt ', classes=2, bad_images="skip"'
says 'E0815.*: line 3 of the list `.*/damaged.txt`: replaced the image `.*/root/cut.jpg`: the picture is cut off'
says 'E0815.*: line 5 of the list `.*/damaged.txt`: replaced the image `.*/root/bomb.jpg`: the picture is empty or too large'
says '(2 so far)'
# A class of which nothing is left.
printf 'alpha.png 0\ncut.jpg 1\n' > "$out/hopeless.txt"
with 1 hopeless.txt ', classes=2, bad_images="skip"'
says 'E0805.*: line 2 of the list `.*/hopeless.txt`: cannot use the image `.*/root/cut.jpg`: the picture is cut off'
# Left out of the evaluation. Exit code 0: the test images that can be used are evaluated.
printf '420.jpg 0\nrgb.jpg 1\ncut.jpg 1\n' > "$out/test.txt"
expect 0 "$fblc" run "$here/tiny.fbl" --quiet --epochs 1 --batch 2 --out "$out/r2" --set 'augment=[random_resized_crop(32)]' \
    --set "dataset=image_list(\"$out/fine.txt\", \"$out/test.txt\", \"$out/root\", bad_images=\"skip\")"
says 'E0815.*: line 3 of the list `.*/test.txt`: left out the image `.*/root/cut.jpg`'

# A data set with another number of classes than the model.
expect 1 "$fblc" run "$here/tiny.fbl" --quiet --max-steps 1 --out "$out/r3" --set class=7
says 'class=10'
expect 1 "$fblc" run "$here/tiny.fbl" --quiet --max-steps 1 --out "$out/r3" \
    --set "dataset=image_list(\"$out/fine.txt\", \"$out/test.txt\", \"$out/root\", classes=5)" --set 'augment=[random_resized_crop(32)]'
says 'E0817'

# PyTorch's files: weights by name, code refused.
with 0 fine.txt ''
expect 1 "$fblc" run "$here/tiny.fbl" --quiet --max-steps 1 --init tests/data/torch/code.pth --out "$out/r4"
says 'E0737.*refused to load `tests/data/torch/code.pth`: it calls `posix.system`'
expect 1 "$fblc" run "$here/tiny.fbl" --quiet --max-steps 1 --init tests/data/torch/nested.pth --out "$out/r4"
says 'E0712.*`conv1.weight` has the shape \[4, 3, 3, 3\]'
expect 1 "$fblc" run "$here/tiny.fbl" --quiet --max-steps 1 --init tests/data/torch/bomb.pth --out "$out/r4"
says 'E0736'
