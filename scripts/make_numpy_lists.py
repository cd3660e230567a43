#!/usr/bin/env python3
"""Records what numpy does, for tests/data: run from the root of the project with a numpy up to 1.24.

Writes tests/data/golden/: the generator's words, the counts and index lists of long-tailed CIFAR as published
experiments draw them, and an argsort with many ties. The files are committed; this script says where they come from.
"""
import struct
import sys

import numpy as np

OUT = "tests/data/golden/"


def words():
    lines = []
    for seed in (0, 1, 12345, 2**32 - 1):
        np.random.seed(seed)
        drawn = np.random.randint(0, 2**32, size=700, dtype=np.uint32)  # past the first refill of the state
        lines.append(" ".join(str(x) for x in [seed, *drawn[:4], *drawn[-4:]]))
    return "\n".join(lines) + "\n"


def counts(n_max, classes, kind, factor):
    if kind == "exp":
        return [int(n_max * (factor ** (c / (classes - 1.0)))) for c in range(classes)]
    return [int(n_max)] * (classes // 2) + [int(n_max * factor)] * (classes // 2)


def all_counts():
    lines = []
    for kind in ("exp", "step"):
        for classes, images in ((10, 50000), (100, 50000), (10, 600)):
            for factor in (1.0, 0.1, 0.05, 0.02, 0.01, 0.005):
                n = counts(images / classes, classes, kind, factor)
                lines.append(" ".join([kind, str(classes), str(images), repr(factor), *map(str, n)]))
    return "\n".join(lines) + "\n"


def selection(targets, classes, kind, factor, seed):
    """IMBALANCECIFAR10.gen_imbalanced_data of the published code, indices instead of images."""
    np.random.seed(seed)
    kept = []
    for c, n in enumerate(counts(len(targets) / classes, classes, kind, factor)):
        idx = np.where(targets == c)[0]
        np.random.shuffle(idx)
        kept.extend(idx[:n].tolist())
    return kept


def main():
    if tuple(map(int, np.__version__.split(".")[:2])) > (1, 24):
        print("note: later numpy versions may order ties of argsort otherwise", file=sys.stderr)
    open(OUT + "mt19937.txt", "w").write(words())
    open(OUT + "counts.txt", "w").write(all_counts())
    i = np.arange(50000)
    big = selection((i * 7 + i // 10) % 10, 10, "exp", 0.01, 0)
    open(OUT + "cifar10_exp_100.u16", "wb").write(struct.pack("<%dH" % len(big), *big))
    i = np.arange(600)
    small = selection((i * 7 + i // 10) % 10, 10, "step", 0.1, 3)
    open(OUT + "small_step_10.u16", "wb").write(struct.pack("<%dH" % len(small), *small))
    falling = counts(1000, 8142, "exp", 0.002)
    values = np.array([falling[c * 4001 % 8142] for c in range(8142)])
    order = np.argsort(-values)
    open(OUT + "argsort_8142.u16", "wb").write(struct.pack("<8142H", *order))


main()
