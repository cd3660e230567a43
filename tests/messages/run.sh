#!/bin/sh
# run.sh FBLC OUT_DIR [--update]: what a user is told for mistakes outside the language (files, data, settings, tensors), word for word, and the exit
# code of each. The transcript must equal messages.expect; OUT stands for the folder of the files made here. Run from the source root.
set -eu
fblc=$1 out=$2 update=${3:-}
here=$(dirname "$0")
rm -rf "$out"
mkdir -p "$out"
FBL_CACHE=$out/cache
export FBL_CACHE
transcript=$out/transcript

# ask WORDS...: runs fblc and adds command, messages and exit code to the transcript.
ask() {
    code=0
    "$fblc" "$@" > "$out/stdout" 2> "$out/stderr" || code=$?
    { echo "\$ fblc $*"; cat "$out/stderr"; echo "= $code"; echo; } | sed -e "s|$out|OUT|g" -e "s|$PWD/models|models|g" >> "$transcript"
}

# tensors FILE JSON BYTES: a safetensors file of the given header and BYTES zero bytes.
tensors() {
    length=$(printf %s "$2" | wc -c)
    { printf "\\$(printf %o $((length % 256)))\\$(printf %o $((length / 256)))\\0\\0\\0\\0\\0\\0"; printf %s "$2"; head -c "$3" /dev/zero; } > "$1"
}

tiny=tests/e2e/tiny.fbl
data=tests/oracle/data

# Files that are no programs.
: > "$out/empty.fbl"
printf '\177ELF\001\002\000\377' > "$out/binary.fbl"
truncate -s 1G "$out/huge.fbl"
ask check "$out/empty.fbl"
ask run "$out/empty.fbl" --quiet
ask check "$out/binary.fbl"
ask check "$out/huge.fbl"
ask check "$out"
printf 'fn f(x){return x}\n' > "$out/crowded.fbl"
ask fmt --check "$out/crowded.fbl"
printf 'fblx' > "$out/short.fblx"
ask run "$out/short.fblx" --quiet

# Options and settings.
ask check $tiny --fuse=perhaps
ask compile $tiny --conv=fast -o "$out/a.fblx"
ask compile $tiny --vector-bytes=24 -o "$out/a.fblx"
ask bench $tiny --precision bf32
ask bench $tiny --precision bf16 --emulate-bf16 --conv=winograd4
ask compile $tiny --target cuda:sm_90 --precision tf32 --emit cuda -o "$out/a.cu"
ask run models/losses.fbl --quiet
ask run $tiny --quiet --set 'dataset=mnist("x")' --out "$out/r"
ask run $tiny --quiet --set 'dataset=cifar10("models/data/cifar10_lt_sample", imbalance=exponential(2))' --out "$out/r"
ask run $tiny --quiet --set 'augment=[shear(3)]' --out "$out/r"
ask run $tiny --quiet --set 'augment=[random_flip(), random_flip(), random_flip(), random_flip(), random_flip(), mixup(1), random_flip(), random_flip(), random_flip(), cutout(8)]' --out "$out/r"
sed '/dataset   =/d' $tiny > "$out/no_data.fbl"
ask run "$out/no_data.fbl" --quiet --out "$out/r"
ask run $tiny --quiet --set 'sampler=sometimes()' --out "$out/r"
ask run $tiny --quiet --set predict=logits --out "$out/r"
ask run $tiny --quiet --set predict=feature --out "$out/r"
ask run $tiny --quiet --data "$out/nowhere" --out "$out/r"
ask run $tiny --quiet --resume --out "$out/none"
ask eval "$out/none"
ask compile $tiny -o "$out/tiny.fblx"
ask run "$out/tiny.fblx" --quiet --set batch=7 --out "$out/r"
ask run "$out/tiny.fblx" --quiet --set loss.lamda=7 --out "$out/r"

size=$(wc -c < "$out/tiny.fblx")
head -c $((size - 9)) "$out/tiny.fblx" > "$out/cut.fblx"
ask run "$out/cut.fblx" --quiet --out "$out/r"
{ printf FBLXFIL2; tail -c +9 "$out/tiny.fblx"; } > "$out/other.fblx"
ask run "$out/other.fblx" --quiet --out "$out/r"
ask check $tiny --batch 1000000000000
ask bench $tiny --batch 100000000
ask graph models/losses.fbl -o "$out/g.svg"
ask bench models/losses.fbl
mkdir -p "$out/bare"
cp "$out/tiny.fblx" "$out/bare/program.fblx"
ask eval "$out/bare" --quiet

# Weights.
tensors "$out/none.safetensors" '{"other":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}' 8
tensors "$out/shape.safetensors" '{"linear.weight":{"dtype":"F32","shape":[10,15],"data_offsets":[0,600]}}' 600
tensors "$out/range.safetensors" '{"linear.weight":{"dtype":"F32","shape":[10,16],"data_offsets":[0,640]}}' 600
tensors "$out/dtype.safetensors" '{"linear.weight":{"dtype":"F99","shape":[10,16],"data_offsets":[0,640]}}' 640
tensors "$out/json.safetensors" '{"linear.weight":' 640
head -c 5 "$out/shape.safetensors" > "$out/cut.safetensors"
for name in none shape range dtype json cut missing; do
    ask run $tiny --quiet --max-steps 1 --init "$out/$name.safetensors" --out "$out/r"
done

# Given tensors.
"$fblc" run $tiny --quiet --max-steps 1 --out "$out/w"
"$fblc" export "$out/w" --last --quiet --safetensors "$out/w.safetensors" > "$out/stdout"
ask step $tiny --weights "$out/shape.safetensors" --batch-file "$data/resnet20.in.safetensors" --steps 1 --dump "$out/o.safetensors" --set class=10
ask loss models/losses.fbl feature_balanced --inputs $data/loss_ce.in.safetensors --dump "$out/o.safetensors"
ask loss models/losses.fbl no_such_loss --inputs $data/loss_ce.in.safetensors --dump "$out/o.safetensors"
tensors "$out/label.safetensors" '{"score":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},"label":{"dtype":"I32","shape":[2],"data_offsets":[24,32]}}' 24
tensors "$out/nocount.safetensors" '{"image":{"dtype":"F32","shape":[1,3,32,32],"data_offsets":[0,12288]},"label":{"dtype":"I32","shape":[1],"data_offsets":[12288,12292]}}' 12292
ask step $tiny --weights "$out/w.safetensors" --batch-file "$out/nocount.safetensors" --steps 1 --dump "$out/o.safetensors" --set class=10
printf '\001\000\000\000\003\000\000\000' >> "$out/label.safetensors"
ask loss models/losses.fbl ce --inputs "$out/label.safetensors" --dump "$out/o.safetensors"
tensors "$out/uneven.safetensors" '{"score":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},"label":{"dtype":"I32","shape":[4],"data_offsets":[24,40]}}' 40
ask loss models/losses.fbl ce --inputs "$out/uneven.safetensors" --dump "$out/o.safetensors"
tensors "$out/batch.safetensors" '{"image":{"dtype":"F32","shape":[1,3,16,32],"data_offsets":[0,6144]},"label":{"dtype":"I32","shape":[1],"data_offsets":[6144,6148]}}' 6148
ask step $tiny --weights "$out/w.safetensors" --batch-file "$out/batch.safetensors" --steps 1 --dump "$out/o.safetensors" --set class=10
tensors "$out/image.safetensors" '{"image":{"dtype":"F32","shape":[1,3,32,32],"data_offsets":[0,12288]}}' 12288
ask step $tiny --weights "$out/w.safetensors" --batch-file "$out/image.safetensors" --steps 1 --dump "$out/o.safetensors" --set class=10
tensors "$out/whole.safetensors" '{"image":{"dtype":"F32","shape":[1,3,32,32],"data_offsets":[0,12288]},"label":{"dtype":"I32","shape":[1],"data_offsets":[12288,12292]},"class_count":{"dtype":"F32","shape":[10],"data_offsets":[12292,12332]},"epoch":{"dtype":"F32","shape":[2],"data_offsets":[12332,12340]}}' 12340
ask step $tiny --weights "$out/w.safetensors" --batch-file "$out/whole.safetensors" --steps 1 --dump "$out/o.safetensors" --set class=10
tensors "$out/fine.safetensors" '{"image":{"dtype":"F32","shape":[1,3,32,32],"data_offsets":[0,12288]},"label":{"dtype":"I32","shape":[1],"data_offsets":[12288,12292]},"class_count":{"dtype":"F32","shape":[10],"data_offsets":[12292,12332]},"extra":{"dtype":"F32","shape":[2],"data_offsets":[12332,12340]}}' 12340
ask step $tiny --weights "$out/w.safetensors" --batch-file "$out/fine.safetensors" --steps 1 --dump "$out/o.safetensors" --set class=10
ask step $tiny --weights "$out/w.safetensors" --batch-file "$out/fine.safetensors" --steps 1 --dump "$out/nowhere/o.safetensors" --set class=10

if [ "$update" = --update ]; then
    cp "$transcript" "$here/messages.expect"
    exit 0
fi
diff -u "$here/messages.expect" "$transcript" || {
    echo "again with: tests/messages/run.sh $fblc $out   (--update takes the new texts)"
    exit 1
}
