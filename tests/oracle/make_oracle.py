#!/usr/bin/env python3
"""Records what PyTorch computes in double precision, for the tests of this folder. Needs numpy and torch (recorded with 1.13.1 on the CPU).

    /usr/bin/python3 tests/oracle/make_oracle.py # rewrites tests/oracle/data/ and tests/oracle/cases.txt

Inputs are stored as F32, so the program under test and the reference start from the very same numbers; expected values are F64,
but for the gradients of ResNet-20, ResNet-32 and the ImageNet family (F32; of big tensors every 8th element, named NAME@8).
A line of cases.txt is one test: kind, name, .fbl file, loss name or `-`, inputs, weights or `-`, steps, expected, tolerance in f32, tolerance in f64,
--set arguments joined with commas or `-`."""
import os
import sys

import numpy as np
import torch

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import losses_reference
import imagenet_reference
import networks_reference
import ops_reference

torch.set_num_threads(1)
torch.use_deterministic_algorithms(True)
here = os.path.dirname(os.path.abspath(__file__))
os.makedirs(os.path.join(here, "data"), exist_ok=True)
cases = []
for module in (ops_reference, losses_reference, networks_reference, imagenet_reference):
    module.record(os.path.join(here, "data"), cases)
with open(os.path.join(here, "cases.txt"), "w") as out:
    out.write("# Written by make_oracle.py, which explains the columns.\n")
    out.write("".join(" ".join(str(field) for field in case) + "\n" for case in cases))
total = sum(os.path.getsize(os.path.join(here, "data", name)) for name in os.listdir(os.path.join(here, "data")))
print(f"{len(cases)} cases, {total / 1e6:.2f} MB, torch {torch.__version__}, numpy {np.__version__}")
