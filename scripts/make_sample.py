#!/usr/bin/env python3
"""make_sample.py BATCHES_BIN OUT: the bundled long-tailed sample out of a cifar-10-batches-bin folder.

Training: class c gets int(400 * 0.01 ** (c / 9)) images (400 down to 4, imbalance 100), test: 30 of each class. Images are
taken at even distances from each class, so the same input gives the same sample.
"""
import os
import sys

RECORD = 1 + 3 * 32 * 32


def records(folder, names):
    data = b"".join(open(os.path.join(folder, name), "rb").read() for name in names)
    by_class = [[] for _ in range(10)]
    for at in range(0, len(data), RECORD):
        by_class[data[at]].append(data[at:at + RECORD])
    return by_class


def pick(by_class, counts, path):
    chosen = []
    for records_of_class, n in zip(by_class, counts):
        step = len(records_of_class) // n
        chosen.extend(records_of_class[i * step] for i in range(n))
    with open(path, "wb") as out:
        out.write(b"".join(chosen))
    return len(chosen)


def main():
    source, out = sys.argv[1:]
    os.makedirs(out, exist_ok=True)
    train = [int(400 * 0.01 ** (c / 9.0)) for c in range(10)]
    batches = ["data_batch_%d.bin" % i for i in range(1, 6)]
    n = pick(records(source, batches), train, os.path.join(out, "data_batch_1.bin"))
    m = pick(records(source, ["test_batch.bin"]), [30] * 10, os.path.join(out, "test_batch.bin"))
    with open(os.path.join(source, "batches.meta.txt")) as names, open(os.path.join(out, "batches.meta.txt"), "w") as to:
        to.write("".join(line for line in names if line.strip()))
    print("%d training images %s, %d test images" % (n, train, m))


main()
