#!/usr/bin/env python3
"""check_state_dict.py W.safetensors MODEL: weights that `fblc export --safetensors` wrote, loaded into torchvision's MODEL.

Reads the file by hand, renames the classifier `linear` to torchvision's `fc`, and calls load_state_dict. Everything must match but the
counters num_batches_tracked, which nothing of fblc keeps. Needs torch and torchvision.
"""
import json
import struct
import sys

import numpy as np
import torch
import torchvision


def read(path):
    data = open(path, "rb").read()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8:8 + length])
    header.pop("__metadata__", None)
    out = {}
    for name, entry in header.items():
        assert entry["dtype"] == "F32", name
        begin, end = (8 + length + o for o in entry["data_offsets"])
        values = np.frombuffer(data[begin:end], dtype="<f4").reshape(entry["shape"]).copy()
        out[name.replace("linear.", "fc.")] = torch.from_numpy(values)
    return out


def main():
    weights = read(sys.argv[1])
    model = getattr(torchvision.models, sys.argv[2])(num_classes=len(weights["fc.bias"]))
    result = model.load_state_dict(weights, strict=False)
    missing = [n for n in result.missing_keys if not n.endswith("num_batches_tracked")]
    assert not missing and not result.unexpected_keys, (missing, result.unexpected_keys)
    assert all(torch.equal(model.state_dict()[n], v) for n, v in weights.items())
    print("%d tensors set" % len(weights))


main()
