#!/usr/bin/env python3
"""Records what torchvision makes of one picture with every operation: tests/data/pixels/cases.bin. Run from the root.

A record: operation (FblPolicyOp, or 100 for hue), strength as f64, then the RGB bytes of the result. The picture itself comes
first: width, height, bytes.
"""
import struct

import numpy as np
from PIL import Image
from torchvision.transforms import functional as F
from torchvision.transforms.autoaugment import AutoAugment, AutoAugmentPolicy, RandAugment, _apply_op
from torchvision.transforms.functional import InterpolationMode

NAMES = ["Identity", "ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate", "Brightness", "Color", "Contrast", "Sharpness",
         "Posterize", "Solarize", "AutoContrast", "Equalize", "Invert"]


def picture(width, height):
    rng = np.random.RandomState(1)
    y, x = np.mgrid[0:height, 0:width]
    base = np.stack([40 + 3 * x + y, 200 - 2 * y + x // 3, 90 + (x * y) % 60], axis=-1)
    return np.clip(base + rng.randint(-25, 25, base.shape), 12, 244).astype(np.uint8)


def main():
    image = picture(29, 21)
    height, width = image.shape[:2]
    pil = Image.fromarray(image)
    out = struct.pack("<2I", width, height) + image.tobytes()
    auto = AutoAugment(AutoAugmentPolicy.CIFAR10)._augmentation_space(10, (height, width))
    rand = RandAugment()._augmentation_space(31, (height, width))
    for op, name in enumerate(NAMES):
        strengths = set()
        for space, levels in ((auto, (1, 5, 9)), (rand, (2, 9, 30))):
            magnitudes, signed = space.get(name, (None, False))
            if magnitudes is None or magnitudes.ndim == 0:
                strengths.add(0.0)
                continue
            for level in levels:
                m = float(magnitudes[level].item())
                strengths.update((m, -m) if signed else (m,))
        for s in sorted(strengths):
            result = _apply_op(pil, name, s, InterpolationMode.NEAREST, None)
            out += struct.pack("<Id", op, s) + np.asarray(result).tobytes()
    for h in (-0.5, -0.13, 0.0, 0.07, 0.5):
        out += struct.pack("<Id", 100, h) + np.asarray(F.adjust_hue(pil, h)).tobytes()
    open("tests/data/pixels/cases.bin", "wb").write(out)
    # Strengths by level, for both: f64 of every operation, 10 and 31 levels, of a picture 29 x 21.
    table = b""
    for space, bins in ((auto, 10), (rand, 31)):
        for name in NAMES[1:12]:
            table += struct.pack("<%dd" % bins, *(float(v) for v in space[name][0]))
    open("tests/data/pixels/strengths.bin", "wb").write(table)


main()
