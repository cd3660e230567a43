#!/bin/sh
# The events of a run as TensorBoard's own reader sees them: the curves of log_test.csv, also after a resumed run. Needs a Python that has TensorBoard
# (PYTHON names it); without one the test is skipped, and tests/data/test_tensorboard.c compares the bytes with the documented format.
. "$(dirname "$0")/common.sh"
python=${PYTHON:-python3}
if ! "$python" -c 'import tensorboard' 2> /dev/null; then
    echo "skipped: $python has no TensorBoard"
    exit 0
fi
expect 0 "$fblc" run "$here/tiny.fbl" --quiet --threads 1 --max-steps 30 --out "$out/run"
expect 0 "$fblc" run "$here/tiny.fbl" --quiet --threads 1 --resume --out "$out/run"
"$python" - "$out/run" << 'END'
import csv, sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

events = EventAccumulator(sys.argv[1])
events.Reload()
for name, tag in (("train", "loss"), ("train", "rate"), ("test", "loss"), ("test", "top1"), ("test", "few")):
    rows = list(csv.DictReader(open(f"{sys.argv[1]}/log_{name}.csv")))
    points = events.Scalars(f"{name}/{tag}")
    assert [p.step for p in points] == [int(r["epoch"]) for r in rows], (name, tag, points)
    for point, row in zip(points, rows):  # a float32 beside nine digits
        assert abs(point.value - float(row[tag])) <= 1e-6 * max(1, abs(point.value)), (name, tag, point, row)
print("TensorBoard reads", sorted(events.Tags()["scalars"]))
END
