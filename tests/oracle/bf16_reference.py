#!/usr/bin/env python3
"""A train step in double precision whose convolutions and matrix products see their factors rounded to bf16, as --precision bf16 computes.

    tests/oracle/bf16_reference.py [--blocks N] [OUT.safetensors]

Reads the inputs and weights of a recorded ResNet (data/resnetN.*) and writes loss, outputs, running statistics and gradients to OUT. Without OUT it records
what tests/oracle/check_bf16.sh compares, data/resnet20_bf16_first.out.safetensors and data/resnet20_bf16.out.safetensors. Needs numpy and torch."""
import argparse
import os
import sys

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, here)
import st  # noqa: E402
from torch_resnet import ResNet, feature_balanced  # noqa: E402


def rounded(x):
    return x.float().bfloat16().double()  # what is rounded is an f32 there, too


class Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, stride, padding):
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding = stride, padding
        return F.conv2d(rounded(x), rounded(weight), None, stride, padding)

    @staticmethod
    def backward(ctx, g):
        x, weight = ctx.saved_tensors
        dx = nn.grad.conv2d_input(x.shape, rounded(weight), rounded(g), ctx.stride, ctx.padding)
        dw = nn.grad.conv2d_weight(rounded(x), weight.shape, rounded(g), ctx.stride, ctx.padding)
        return dx, dw, None, None


class Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight):
        ctx.save_for_backward(x, weight)
        return rounded(x) @ rounded(weight).t()

    @staticmethod
    def backward(ctx, g):
        x, weight = ctx.saved_tensors
        return rounded(g) @ rounded(weight), rounded(g).t() @ rounded(x)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", nargs="?")
    parser.add_argument("--blocks", type=int, default=3)
    arguments = parser.parse_args()
    tag = os.path.join(here, "data", f"resnet{6 * arguments.blocks + 2}")
    weights, batch = st.load(tag + ".weights.safetensors"), st.load(tag + ".in.safetensors")
    model = ResNet(arguments.blocks, 10).double()
    model.load_state_dict({n: torch.tensor(v).double() for n, v in weights.items()}, strict=False)
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            module.forward = lambda x, m=module: Convolution.apply(x, m.weight, m.stride, m.padding)
        elif isinstance(module, nn.Linear):
            module.forward = lambda x, m=module: Product.apply(x, m.weight) + m.bias
    feature, score = model(torch.tensor(batch["image"]).double())
    value = feature_balanced(feature, score, torch.tensor(batch["label"]), torch.tensor(batch["class_count"]).double(), float(batch["epoch"]), 200)
    value.backward()
    out = {"loss": value.detach().numpy(), "feature": feature.detach().numpy(), "score": score.detach().numpy()}
    out.update({n: v.numpy() for n, v in model.state_dict().items() if "running" in n})
    out.update({"grad." + n: p.grad.numpy() for n, p in model.named_parameters()})
    if arguments.out:
        return st.save(arguments.out, out)
    data = os.path.join(here, "data", "resnet20_bf16")
    first = ("bn1.", "layer1.0.bn1.", "layer1.0.bn2.", "layer1.1.bn1.")
    st.save(data + "_first.out.safetensors", {n: v for n, v in out.items() if n.startswith(first) and "running" in n})
    st.save(data + ".out.safetensors", {n: out[n] for n in ("loss", "feature", "score")})


main()
