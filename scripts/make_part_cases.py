#!/usr/bin/env python3
"""Pictures for tests/data/test_image_part.c in tests/data/parts/: JPEGs of every subsampling. Run from the root."""
import os

import numpy as np
from PIL import Image

OUT = "tests/data/parts/"


def picture(width, height):
    """Smooth shapes, edges and a little noise: what photographs are made of."""
    rng = np.random.RandomState(2)
    y, x = np.mgrid[0:height, 0:width].astype(float)
    base = np.stack([128 + 90 * np.sin(x / 17 + y / 31), 128 + 80 * np.cos(x / 23 - y / 13), 128 + 70 * np.sin((x + y) / 41)], axis=-1)
    for _ in range(12):
        cx, cy, r = rng.randint(width), rng.randint(height), rng.randint(8, 40)
        inside = (x - cx) ** 2 + (y - cy) ** 2 < r * r
        base[inside] = rng.randint(20, 235, 3)
    return np.clip(base + rng.normal(0, 4, base.shape), 0, 255).astype(np.uint8)


def main():
    os.makedirs(OUT, exist_ok=True)
    image = Image.fromarray(picture(203, 157))
    for i, name in enumerate(["444", "422", "420"]):
        image.save(OUT + name + ".jpg", quality=75, subsampling=i)
    image.save(OUT + "progressive.jpg", quality=75, subsampling=2, progressive=True)
    image.convert("L").save(OUT + "grey.jpg", quality=75)
    image.convert("CMYK").resize((101, 77)).save(OUT + "cmyk.jpg", quality=60)
    image.resize((101, 77)).save(OUT + "rgb.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a right angle: not looked at
    image.save(OUT + "turned.jpg", quality=75, exif=exif)


main()
