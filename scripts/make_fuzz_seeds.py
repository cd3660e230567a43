#!/usr/bin/env python3
"""Fills tests/fuzz/corpus/ for the readers of data files: run from the root of the project, after make_data_cases.py and make_torch_files.py."""
import hashlib
import json
import os
import shutil
import struct

OUT = "tests/fuzz/corpus/"
IMAGES = ["rgb.jpg", "progressive.jpg", "grey.jpg", "cmyk.jpg", "rgb.png", "palette.png", "deep.png", "alpha.png"]


def write(folder, name, data):
    os.makedirs(OUT + folder, exist_ok=True)
    open(OUT + folder + "/" + name, "wb").write(data)


def safetensors(header, data):
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


def checkpoint():
    facts = {"sha256": "0" * 64, "format": "fblc checkpoint 1", "epoch": "1", "epoch_step": "2", "step": "3", "seed": "4",
             "best_metric": "0x1p-1", "best_epoch": "-1", "recipe_hash": "", "version": "0.1.0"}
    file = safetensors({"__metadata__": facts, "w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}, b"\0" * 8)
    return file.replace(b"0" * 64, hashlib.sha256(file).hexdigest().encode())


def main():
    tensor = {"dtype": "F16", "shape": [2, 3], "data_offsets": [0, 12]}
    write("safetensors", "two", safetensors({"__metadata__": {"a": "b"}, "x": tensor,
                                             "s": {"dtype": "I64", "shape": [], "data_offsets": [12, 20]}}, b"\1" * 20))
    write("safetensors", "empty", safetensors({}, b""))
    write("checkpoint", "one", checkpoint())
    write("cifar_bin", "one", b"\3" + b"\x80" * 3072)
    write("cifar_bin", "fine", b"\3\x63" + b"\x80" * 3072)
    array = (b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\0tU\1btR(K\1(K\1M\0\x0ct"
             b"cnumpy\ndtype\n(U\2u1K\0K\1tR(K\3U\1|NNNtb\x89T\0\x0c\0\0" + b"\x20" * 3072 + b"tb")
    write("pickle", "two", b"\x80\x02}q\0(U\6labels]q\1K\3aU\4data" + array + b"u.")
    write("pickle", "text", b"(dp0\nS'labels'\np1\n(lp2\nI3\naI01\nasV\\u00e9\np3\n(F1.5\nL7L\nNtp4\nsg1\n.")
    os.makedirs(OUT + "torch_file", exist_ok=True)
    for name in ["zip.pth", "old.pth", "nested.pth", "code.pth"]:
        shutil.copy("tests/data/torch/" + name, OUT + "torch_file/" + name)
    old = open("tests/data/torch/old.pth", "rb").read()
    write("torch_file", "body", old[old.index(b"\x80\x02ccollections"):])  # what the target puts behind an honest beginning
    head = b"FBLPACK1" + struct.pack("<QQ", 2, 8) + b"\x11" * 32 + b"\0" * 8
    write("pack", "two", head + struct.pack("<QII", 96, 2, 1) + struct.pack("<QII", 0, 0, 0) + b"\1\2\3\4\5\6")
    os.makedirs(OUT + "image", exist_ok=True)
    for name in IMAGES:
        shutil.copy("tests/data/images/" + name, OUT + "image/" + name)


main()
