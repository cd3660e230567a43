#!/usr/bin/env python3
"""How far one train step with each form of convolution is from the same step in double precision.

    bench/conv_accuracy.py --fblc build/release/fblc [FILE.fbl WEIGHTS.safetensors BATCH.safetensors]

Runs `fblc step` in the interpreter (double) and compiled with --conv=direct, winograd2, winograd4 and auto, and with factors in bf16 (emulated, so that
every machine can), by default on the ResNet-32 of tests/oracle, and prints the norm of the difference over the norm of the tensor: of the outputs, and the median and the largest over the gradients."""
import argparse
import os
import subprocess
import sys
import tempfile

import numpy as np

root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
oracle = os.path.join(root, "tests", "oracle")
sys.path.insert(0, oracle)
import st  # noqa: E402


def step(arguments, folder, name, *flags):
    dump = os.path.join(folder, name + ".safetensors")
    subprocess.run([arguments.fblc, "step", arguments.file, "--weights", arguments.weights, "--batch-file", arguments.batch, "--steps", "1",
                    "--dump", dump, *flags], check=True, stdout=subprocess.DEVNULL)
    return {name: np.asarray(value, np.float64) for name, value in st.load(dump).items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fblc", required=True)
    parser.add_argument("file", nargs="?", default=os.path.join(oracle, "resnet32_fbl.fbl"))
    parser.add_argument("weights", nargs="?", default=os.path.join(oracle, "data", "resnet32.weights.safetensors"))
    parser.add_argument("batch", nargs="?", default=os.path.join(oracle, "data", "resnet32.in.safetensors"))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        exact = step(arguments, folder, "interp", "--interp")
        for form in ("direct", "winograd2", "winograd4", "auto", "bf16"):
            flags = ["--precision", "bf16", "--emulate-bf16"] if form == "bf16" else ["--conv=" + form]
            got = step(arguments, folder, form, *flags)
            error = {}
            for name, want in exact.items():
                norm = np.linalg.norm(want)
                if norm > 1e-6 * max(1.0, np.sqrt(want.size)):
                    error[name] = np.linalg.norm(got[name] - want) / norm
            grads = [value for name, value in error.items() if name.startswith("grad")]
            outputs = "  ".join(f"{name} {error[name]:.1e}" for name in ("feature", "score", "loss") if name in error)
            print(f"{form:9}  {outputs}  gradients: median {np.median(grads):.1e}, largest {max(grads):.1e} of {len(grads)}")


main()
