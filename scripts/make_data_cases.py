#!/usr/bin/env python3
"""Makes the tiny data sets and pictures of tests/data with Pillow and numpy: run from the root of the project.

sets/: the same 8 training and 4 test images as binary batches, pickles (protocols 0, 2 as Python 2 wrote it, 2 and 4),
archives and class folders. images/: pictures of every kind with the RGB bytes that Pillow decodes or resizes them to.
"""
import io
import os
import pickle
import struct
import tarfile

import numpy as np
from PIL import Image

ROOT = "tests/data/"


def smooth(seed, height=32, width=32):
    y, x = np.mgrid[0:height, 0:width]
    planes = [(seed * 37 + c * 50 + x * (2 + c) + y * (seed % 5) + (x // 8) * (y // 8) * 3) % 256 for c in range(3)]
    return np.stack(planes, axis=-1).astype(np.uint8)


LABELS = {"train": [3, 1, 4, 1, 5, 9, 2, 6], "test": [0, 7, 8, 3]}
IMAGES = {s: [smooth(i + 100 * (s == "test")) for i in range(len(n))] for s, n in LABELS.items()}
NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


def planar(split):
    return np.stack([image.transpose(2, 0, 1).reshape(-1) for image in IMAGES[split]])


def write(path, data):
    os.makedirs(os.path.dirname(ROOT + path), exist_ok=True)
    open(ROOT + path, "wb").write(data)


def binary(split, fine):
    out = b""
    for label, row in zip(LABELS[split], planar(split)):
        out += (bytes([label % 20]) if fine else b"") + bytes([label]) + row.tobytes()
    return out


def batch(split, fine):
    key = "fine_labels" if fine else "labels"
    return {"batch_label": "tiny", key: LABELS[split], "data": planar(split), "filenames": ["a.png"] * len(LABELS[split])}


def python2(split, fine):
    """Protocol 2 as Python 2's cPickle wrote it: byte strings as STRING opcodes."""
    def text(s):
        return b"U" + bytes([len(s)]) + s.encode()

    rows = planar(split)
    n = len(rows)
    labels = b"(" + b"".join(b"K" + bytes([v]) for v in LABELS[split]) + b"e"
    array = (b"cnumpy.core.multiarray\n_reconstruct\nq\x01cnumpy\nndarray\nq\x02K\x00\x85q\x03U\x01b\x87q\x04Rq\x05"
             b"(K\x01K" + bytes([n]) + b"M\x00\x0c\x86q\x06cnumpy\ndtype\nq\x07U\x02u1K\x00K\x01\x87Rq\x08"
             b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T" + struct.pack("<I", rows.size) + rows.tobytes() + b"tb")
    key = "fine_labels" if fine else "labels"
    return (b"\x80\x02}q\x00(" + text("batch_label") + text("tiny") + text(key) + b"]" + labels + text("data") + array
            + text("filenames") + b"](" + text("a.png") * n + b"eu.")


def archive(path, files):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, data in files:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    write(path, out.getvalue())


def sets():
    names = "".join(n + "\n" for n in NAMES).encode()
    ten = [("data_batch_1.bin", binary("train", False)), ("test_batch.bin", binary("test", False)), ("batches.meta.txt", names)]
    for name, data in ten:
        write("sets/bin10/cifar-10-batches-bin/" + name, data)
    archive("sets/tar10/cifar-10-binary.tar.gz", [("cifar-10-batches-bin/" + n, d) for n, d in ten])
    meta = pickle.dumps({"label_names": NAMES}, protocol=0)
    py = [("data_batch_1", python2("train", False)), ("test_batch", python2("test", False)), ("batches.meta", meta)]
    for name, data in py:
        write("sets/py10/cifar-10-batches-py/" + name, data)
    archive("sets/pytar10/cifar-10-python.tar.gz", [("cifar-10-batches-py/" + n, d) for n, d in py])
    for protocol in (0, 2, 4):
        write("sets/protocol%d" % protocol, pickle.dumps(batch("train", False), protocol=protocol))
    hundred = [("train.bin", binary("train", True)), ("test.bin", binary("test", True))]
    for name, data in hundred:
        write("sets/bin100/cifar-100-binary/" + name, data)
    write("sets/py100/cifar-100-python/train", python2("train", True))
    write("sets/py100/cifar-100-python/test", python2("test", True))
    for split in LABELS:
        for i, (label, image) in enumerate(zip(LABELS[split], IMAGES[split])):
            folder = ROOT + "sets/folder10/%s/%s/" % (split, NAMES[label])
            os.makedirs(folder, exist_ok=True)
            Image.fromarray(image).save(folder + "%04d.png" % i)
    for name in NAMES:  # all ten classes have a folder, some are empty (kept by a note, which loaders pass over)
        os.makedirs(ROOT + "sets/folder10/train/" + name, exist_ok=True)
        if not os.listdir(ROOT + "sets/folder10/train/" + name):
            open(ROOT + "sets/folder10/train/" + name + "/no-images.txt", "w").write("none\n")


def picture(name, image, expect=None, **options):
    path = ROOT + "images/" + name
    os.makedirs(os.path.dirname(path), exist_ok=True)
    image.save(path, **options)
    rgb = expect if expect is not None else np.asarray(Image.open(path).convert("RGB"))
    header = struct.pack("<2I", rgb.shape[1], rgb.shape[0])
    open(path + ".rgb", "wb").write(header + rgb.tobytes())


def images():
    base = Image.fromarray(smooth(3, 23, 31))
    picture("rgb.jpg", base, quality=80)
    picture("progressive.jpg", base, quality=80, progressive=True)
    picture("grey.jpg", base.convert("L"), quality=80)
    picture("cmyk.jpg", base.convert("CMYK"), quality=90)
    picture("rgb.png", base)
    picture("palette.png", base.quantize(16))
    picture("grey.png", base.convert("L"))
    picture("bits.png", base.convert("1"))
    alpha = base.copy()
    alpha.putalpha(base.convert("L"))
    picture("alpha.png", alpha, expect=np.asarray(base))
    deep = (smooth(3, 23, 31)[..., 0].astype(np.uint16) << 8) + 77
    high = (deep >> 8).astype(np.uint8)
    picture("deep.png", Image.fromarray(deep), expect=np.stack([high] * 3, axis=-1))
    for i, (box, size) in enumerate((((0, 0, 31, 23), (16, 11)), ((0, 0, 31, 23), (64, 50)), ((3, 2, 20, 21), (9, 19)),
                                     ((5, 5, 12, 9), (7, 4)), ((1, 0, 30, 3), (5, 33)))):
        rgb = np.asarray(base.crop(box).resize(size, Image.BILINEAR))
        open(ROOT + "images/resize%d.rgb" % i, "wb").write(struct.pack("<6I", *box, *size) + rgb.tobytes())


sets()
images()
