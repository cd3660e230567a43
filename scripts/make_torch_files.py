#!/usr/bin/env python3
"""Makes tests/data/torch/ with PyTorch: the same weights in every form that torch.save knows, and files that hold code.

Run from the root of the project with a Python that has torch. expected.safetensors is written by hand here, without any
library, from the values that torch has.
"""
import collections
import json
import os
import pickle
import struct
import zipfile

import torch

OUT = "tests/data/torch/"
KINDS = {torch.float32: "F32", torch.float64: "F64", torch.float16: "F16", torch.bfloat16: "BF16", torch.int64: "I64",
         torch.int32: "I32", torch.uint8: "U8", torch.bool: "BOOL"}


def weights():
    torch.manual_seed(0)
    flat = torch.arange(24, dtype=torch.float32) / 7
    w = collections.OrderedDict()
    w["conv1.weight"] = torch.randn(4, 3, 3, 3)
    w["bn1.running_var"] = torch.rand(4, dtype=torch.float64)
    w["bn1.num_batches_tracked"] = torch.tensor(5)
    w["fc.weight"] = flat.view(4, 6).t()  # strided
    w["fc.bias"] = flat[3:9]  # shares the storage of fc.weight
    w["channels_last"] = torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last)
    w["half"] = torch.randn(5).half()
    w["brain"] = torch.randn(3).bfloat16()
    w["whole"] = torch.tensor([1, -2, 3], dtype=torch.int32)
    w["bytes"] = torch.tensor([[0, 255]], dtype=torch.uint8)
    w["truth"] = torch.tensor([True, False])
    w["empty"] = torch.zeros(0, 3)
    w._metadata = collections.OrderedDict([("", {"version": 1})])
    return w


def raw(t):
    t = t.contiguous()
    if t.dtype == torch.bfloat16:
        t = t.view(torch.int16)
    return t.numpy().tobytes()


def safetensors(path, w):
    header, data = {}, b""
    for name in sorted(w, key=lambda n: -w[n].element_size()):
        bytes_ = raw(w[name])
        header[name] = {"dtype": KINDS[w[name].dtype], "shape": list(w[name].shape), "data_offsets": [len(data), len(data) + len(bytes_)]}
        data += bytes_
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    open(path, "wb").write(struct.pack("<Q", len(text)) + text + data)


class Command:
    def __reduce__(self):
        return (os.system, ("touch /tmp/fblc-was-here",))


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = torch.nn.Linear(2, 2)


def tiny():
    """Weights of tests/e2e/tiny.fbl as a distributed run saves them, without the bias and with a tensor that it does not know."""
    torch.manual_seed(1)
    shapes = {"conv1.weight": [8, 3, 3, 3], "conv2.weight": [16, 8, 3, 3], "linear.weight": [10, 16], "fc.weight": [2, 2]}
    for name, n in (("bn1", 8), ("bn2", 16)):
        shapes.update({name + "." + part: [n] for part in ("weight", "bias", "running_mean", "running_var")})
    w = collections.OrderedDict(("module." + name, torch.rand(shape) + 0.1) for name, shape in shapes.items())
    w["module.bn1.num_batches_tracked"] = torch.tensor(3)
    torch.save({"state_dict": w, "epoch": 3}, OUT + "tiny.pth")


def main():
    os.makedirs(OUT, exist_ok=True)
    tiny()
    w = weights()
    safetensors(OUT + "expected.safetensors", w)
    torch.save(w, OUT + "zip.pth")
    torch.save(w, OUT + "old.pth", _use_new_zipfile_serialization=False)
    torch.save(w, OUT + "protocol4.pth", pickle_protocol=4)
    module = collections.OrderedDict(("module." + k, v) for k, v in w.items())
    net = Net()
    sgd = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    net.fc(torch.ones(1, 2)).sum().backward()
    sgd.step()
    checkpoint = {"epoch": 7, "arch": "resnet32", "state_dict": module, "best_acc1": torch.tensor(0.5), "optimizer": sgd.state_dict()}
    torch.save(checkpoint, OUT + "nested.pth")
    torch.save(checkpoint, OUT + "old_nested.pth", _use_new_zipfile_serialization=False)
    torch.save({"model": {k: torch.nn.Parameter(v, requires_grad=False) for k, v in w.items()}, "args": None}, OUT + "parameters.pth")
    torch.save({"state_dict": w, "hook": Command()}, OUT + "code.pth")
    torch.save({"state_dict": w, "hook": Command()}, OUT + "old_code.pth", _use_new_zipfile_serialization=False)
    torch.save(net, OUT + "model.pth")
    torch.save([1, 2, 3], OUT + "list.pth")
    torch.jit.script(net).save(OUT + "script.pth")
    # A hostile pickle inside an honest archive: a tensor that reaches beyond its storage.
    with zipfile.ZipFile(OUT + "zip.pth") as honest, zipfile.ZipFile(OUT + "beyond.pth", "w") as bad:
        for name in honest.namelist():
            data = honest.read(name)
            if name.endswith("data.pkl"):
                old = b"K\x04K\x03K\x03K\x03"
                assert data.count(old) == 1
                data = data.replace(old, b"K\x05K\x03K\x03K\x03")
            bad.writestr(name, data)
        # And one that is compressed.
    with zipfile.ZipFile(OUT + "bomb.pth", "w", zipfile.ZIP_DEFLATED) as bomb:
        bomb.writestr("archive/data.pkl", pickle.dumps({}, protocol=2))
        bomb.writestr("archive/data/0", b"\0" * (1 << 24))


main()
