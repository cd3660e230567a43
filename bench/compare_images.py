#!/usr/bin/env python3
"""compare_images.py IMAGES_BENCH [ROUNDS]: images a second of fblc's loader and of a PyTorch DataLoader with torchvision and Pillow.

Makes 400 JPEGs of 500 x 375 (quality 90, 4:2:0: about 60 KB, as ImageNet's), then runs both in turn on the same files with the same
transform (random resized crop 224, flip, to tensor, normalise), batch 64, two workers. Prints every round and the medians.
"""
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np
import torch
from PIL import Image
from torchvision import transforms

WORKERS = 2
SECONDS = 6.0


def picture(rng):
    """Noise of all scales with a few flat shapes: the spectrum of photographs, roughly."""
    total = np.zeros((375, 500, 3))
    for octave in range(7):
        n = 4 << octave
        coarse = rng.normal(0, 120 / (1.8 ** octave), (n * 3 // 4 + 1, n, 3))
        total += np.asarray([np.asarray(Image.fromarray(coarse[..., c]).resize((500, 375), Image.BICUBIC)) for c in range(3)]).transpose(1, 2, 0)
    y, x = np.mgrid[0:375, 0:500]
    for _ in range(6):
        cx, cy, r = rng.randint(500), rng.randint(375), rng.randint(20, 90)
        total[(x - cx) ** 2 + (y - cy) ** 2 < r * r] += rng.randint(-80, 80, 3)
    return Image.fromarray(np.clip(total + 128, 0, 255).astype(np.uint8))


def make(folder, count):
    rng = np.random.RandomState(0)
    size = 0
    with open(folder + "/list.txt", "w") as out:
        for i in range(count):
            name = "%04d.jpg" % i
            picture(rng).save(folder + "/" + name, quality=90)
            size += os.path.getsize(folder + "/" + name)
            out.write("%s %d\n" % (name, i % 10))
    return size / count


class Images(torch.utils.data.Dataset):
    def __init__(self, folder):
        self.rows = [line.split() for line in open(folder + "/list.txt")]
        self.folder = folder
        self.transform = transforms.Compose([
            transforms.RandomResizedCrop(224), transforms.RandomHorizontalFlip(), transforms.ToTensor(),
            transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])])

    def __len__(self):
        return 1 << 20  # without end: an epoch's restart is not what is measured

    def __getitem__(self, index):
        name, label = self.rows[index * 7919 % len(self.rows)]
        with open(self.folder + "/" + name, "rb") as f:
            return self.transform(Image.open(f).convert("RGB")), int(label)


def pytorch(folder):
    loader = torch.utils.data.DataLoader(Images(folder), batch_size=64, num_workers=WORKERS)
    images, start = 0, None
    for batch, _ in loader:
        if start is None:
            start = time.monotonic()
            continue
        images += len(batch)
        if time.monotonic() - start > SECONDS:
            break
    return images / (time.monotonic() - start)


def fblc(bench, folder):
    out = subprocess.run([bench, folder + "/list.txt", folder, str(WORKERS), str(SECONDS)], check=True, capture_output=True, text=True)
    return json.loads(out.stdout)["images_per_second"]


def main():
    bench, rounds = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 5
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        print("400 JPEGs of %.0f KB" % (make(folder, 400) / 1000))
        ours, theirs = [], []
        for i in range(rounds):
            ours.append(fblc(bench, folder))
            theirs.append(pytorch(folder))
            print("round %d: fblc %.0f images/s, PyTorch %.0f images/s, %.2f times" % (i + 1, ours[-1], theirs[-1], ours[-1] / theirs[-1]))
        a, b = statistics.median(ours), statistics.median(theirs)
        print("median: fblc %.0f images/s, PyTorch %.0f images/s, %.2f times" % (a, b, a / b))


main()
