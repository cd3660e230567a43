"""A few lines of safetensors: enough to write and read the files of this folder."""
import json

import numpy as np

NAMES = {"float32": "F32", "float64": "F64", "int64": "I64", "int32": "I32"}
TYPES = {name: np.dtype(text) for text, name in NAMES.items()}


def save(path, tensors):
    header, blobs, at = {}, [], 0
    for name in sorted(tensors):
        value = np.asarray(tensors[name], order="C")
        blob = value.tobytes()
        header[name] = {"dtype": NAMES[str(value.dtype)], "shape": list(value.shape), "data_offsets": [at, at + len(blob)]}
        blobs.append(blob)
        at += len(blob)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as out:
        out.write(len(text).to_bytes(8, "little") + text + b"".join(blobs))


def load(path):
    with open(path, "rb") as source:
        data = source.read()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8:8 + size])
    tensors = {}
    for name, entry in header.items():
        if name != "__metadata__":
            begin, end = entry["data_offsets"]
            raw = np.frombuffer(data[8 + size + begin:8 + size + end], TYPES[entry["dtype"]])
            tensors[name] = raw.reshape(entry["shape"])
    return tensors
