#!/bin/sh
# An exported model evaluated by onnxruntime, where Python has it, gives the accuracy and loss that `fblc eval` gives (loss within 1e-4 of itself: f32 on both
# sides). Skipped (77) elsewhere; tests/onnx/test_onnx.c checks the file without it.
. "$(dirname "$0")/../e2e/common.sh"
tiny=tests/e2e/tiny.fbl
expect 0 "$fblc" run $tiny --quiet --epochs 2 --out "$out/run"
expect 0 "$fblc" export "$out/run" --last --quiet --onnx "$out/m.onnx"
code=0
python3 "$here/evaluate.py" "$out/m.onnx" models/data/cifar10_lt_sample/test_batch.bin > "$out/theirs" || code=$?
[ $code != 77 ] || { cat "$out/theirs"; exit 77; }
[ $code = 0 ] || fail "onnxruntime does not take the model"
expect 0 "$fblc" eval "$out/run" --last --quiet --json
ours=$(tr '{,' '\n\n' < "$out/stdout" | awk -F: '$1 == "\"top1\"" { top1 = $2 } $1 == "\"loss\"" { loss = $2 } END { print top1, loss }')
echo "fblc $ours, onnxruntime $(cat "$out/theirs")"
echo "$ours $(cat "$out/theirs")" | awk '{ exit !(($1 - $3) ^ 2 < 1e-10 && ($2 - $4) ^ 2 < 1e-8 * $2 * $2) }' || fail "they differ"
