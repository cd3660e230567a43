"""Whole train steps: ResNets with the feature-balanced loss, and a small smooth network under each optimizer."""
import copy
import os

import numpy as np
import torch
import torch.nn as nn

import st
from torch_resnet import CIFAR10_LT, ResNet, feature_balanced

MIN_MARGIN = 2e-4  # no ReLU input comes nearer to 0 than this, far beyond what f32 rounding moves


def grid(array, step):
    """Rounded to multiples of `step`: exact in f32, and small when compressed."""
    return np.round(np.asarray(array, np.float64) / step) * step


def fill(model, rng):
    for name, p in model.named_parameters():
        if p.dim() > 1:
            fan = p[0].numel()
            p.data = torch.tensor(grid(rng.randn(*p.shape) * np.sqrt(2 / fan), 2.0**-10))
        elif name.endswith("weight"):
            p.data = torch.tensor(grid(1 + 0.2 * rng.randn(*p.shape), 2.0**-10))
        else:
            p.data = torch.tensor(grid(0.2 * rng.randn(*p.shape), 2.0**-10))
    for name, b in model.named_buffers():
        if name.endswith("running_mean"):
            b.copy_(torch.tensor(grid(0.1 * rng.randn(*b.shape), 2.0**-10)))
        elif name.endswith("running_var"):
            b.copy_(torch.tensor(grid(1 + 0.3 * rng.rand(*b.shape), 2.0**-10)))


def widest_gap(values, near):
    """The middle of the widest gap between `values` (and so the best place for a ReLU's zero) within `near` of 0."""
    v = np.sort(values[np.abs(values) < near])
    v = np.concatenate([[-near], v, [near]])
    at = np.argmax(v[1:] - v[:-1])
    return (v[at] + v[at + 1]) / 2


def clear_relus(model, image):
    """Shifts every batch-norm bias, first layer first, so that no ReLU input of this batch lies near zero."""
    blocks = [b for s in (model.layer1, model.layer2, model.layer3) for b in s]
    for bn, block in [(model.bn1, None)] + [(bn, b) for b in blocks for bn in (b.bn1, b.bn2)]:
        seen = {}
        hooks = []
        if block is not None and bn is block.bn2:  # its ReLU sits behind the addition
            def inputs(module, args):
                x = args[0]
                if module.grow:
                    x = torch.nn.functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, module.planes // 4, module.planes // 4))
                seen["skip"] = x
            hooks.append(block.register_forward_pre_hook(inputs))
        hooks.append(bn.register_forward_hook(lambda module, args, out: seen.__setitem__("out", out)))
        with torch.no_grad():
            model(image)
            total = seen["out"] + seen.get("skip", 0)
            for c in range(total.shape[1]):
                shift = -widest_gap(total[:, c].numpy().ravel(), 0.25)
                bn.bias.data[c] = float(grid(bn.bias[c].item() + shift, 2.0**-14))
        for hook in hooks:
            hook.remove()


def smallest_relu_input(model, image):
    least = [np.inf]
    original = torch.nn.functional.relu

    def watching(x, *more):
        least[0] = min(least[0], x.detach().abs().min().item())
        return original(x, *more)

    torch.nn.functional.relu = watching
    try:
        with torch.no_grad():
            model(image)
    finally:
        torch.nn.functional.relu = original
    return least[0]


def stored(model, dtype):
    return {n: v.detach().numpy().astype(dtype) for n, v in model.state_dict().items() if not n.endswith("num_batches_tracked")}


def gradients(model, image, label, count, epoch, epochs):
    model.zero_grad()
    feature, score = model(image)
    value = feature_balanced(feature, score, label, count, epoch, epochs)
    value.backward()
    return {"feature": feature.detach(), "score": score.detach(), "loss": value.detach(),
            **{"grad." + n: p.grad.clone() for n, p in model.named_parameters()}}


def resnet_case(folder, cases, blocks, seed, storage):
    depth = 6 * blocks + 2
    rng = np.random.RandomState(seed)
    image = grid(rng.randn(4, 3, 32, 32), 2.0**-8).astype(np.float32)
    label = np.array([0, 9, 4, 1], np.int64)
    count, epoch, epochs = np.array(CIFAR10_LT, np.float32), 100, 200
    model = ResNet(blocks, 10).double()
    fill(model, rng)
    x, y, n = torch.tensor(image).double(), torch.tensor(label), torch.tensor(count).double()
    model.train()
    keep = {k: v.clone() for k, v in model.state_dict().items() if "running" in k or "tracked" in k}
    clear_relus(model, x)
    margin = smallest_relu_input(model, x)
    model.load_state_dict(keep, strict=False)
    for value in model.state_dict().values():  # what is stored is what was used
        assert (value.double() == value.float().double()).all()
    weights = stored(model, np.float32)

    single = copy.deepcopy(model).float()
    g64 = gradients(copy.deepcopy(model), x, y, n, epoch, epochs)
    g32 = gradients(single, x.float(), y, n.float(), epoch, epochs)
    worst = max((g32[k].double() - g64[k]).norm().item() / g64[k].norm().item() for k in g64)
    print(f"resnet{depth}: smallest |ReLU input| {margin:.2e}, f32 against f64 in torch: {worst:.2e} (worst tensor)")
    assert margin > MIN_MARGIN and worst < 1e-4

    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=2e-4)
    values, first = [], None
    for step in range(20):
        optimizer.zero_grad()
        out = gradients(model, x, y, n, epoch, epochs)
        optimizer.step()
        values.append(out["loss"].item())
        if step == 0:
            first = {k: v.numpy().copy() for k, v in out.items()}
            first.update({k: v for k, v in copy.deepcopy(stored(model, np.float64)).items() if "running" in k})
    expected = {"losses": np.array(values[:1])}
    for name, value in first.items():
        if name.startswith("grad.") and storage != "f64":
            value = value.astype(np.float32)
            if storage == "sampled" and value.size > 4096:
                name, value = name + "@8", value.ravel()[::8]
        expected[name] = value
    tag = f"resnet{depth}"
    st.save(os.path.join(folder, tag + ".weights.safetensors"), weights)
    st.save(os.path.join(folder, tag + ".in.safetensors"),
            {"image": image, "label": label, "class_count": count, "epoch": np.float32(epoch)})
    st.save(os.path.join(folder, tag + "_step.out.safetensors"), expected)
    st.save(os.path.join(folder, tag + "_20.out.safetensors"), {"losses": np.array(values)})
    print(f"resnet{depth}: losses {values[0]:.6f} ... {values[-1]:.6f}")
    # Against f64 the first step in f32 may be off by rounding alone: 1e-4 of a tensor's norm. F32 storage costs the oracle 6e-8.
    exact = 1e-9 if storage == "f64" else 3e-7
    file = f"{tag}_fbl.fbl"
    cases.append(("step", tag + "_step", file, "-", tag + ".in", tag + ".weights", 1, tag + "_step.out", 1e-4, exact, "-"))
    # Twenty steps amplify rounding: the losses agree to 1e-3 in f32. In f64 1e-6 leaves room for another order of summation.
    cases.append(("step", tag + "_20", file, "-", tag + ".in", tag + ".weights", 20, tag + "_20.out", 1e-3, 1e-6, "-"))


class Smooth(nn.Module):
    """No kinks, odd extents: what the optimizers are compared on."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 3, 2, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(6)
        self.conv2 = nn.Conv2d(6, 4, (3, 3), 1, 2, dilation=2, groups=2, bias=True)
        self.linear = nn.Linear(4, 5)

    def forward(self, x):
        h = torch.tanh(self.bn1(self.conv1(x)))
        h = torch.sigmoid(self.conv2(h))
        return self.linear(h.mean(dim=(2, 3)))


def optimizer_case(folder, cases, tag, make, steps=10):
    rng = np.random.RandomState(5)
    model = Smooth().double()
    fill(model, rng)
    image = grid(rng.randn(5, 3, 9, 7), 2.0**-8).astype(np.float32)
    label = np.array([0, 4, 2, 1, 4], np.int64)
    weights = stored(model, np.float32)
    optimizer = make(model.parameters())
    values = []
    for step in range(steps):
        optimizer.zero_grad()
        score = model(torch.tensor(image).double())
        value = nn.functional.cross_entropy(score, torch.tensor(label))
        value.backward()
        values.append(value.item())
        last = {"grad." + n: p.grad.numpy().copy() for n, p in model.named_parameters()}
        optimizer.step()
    last.update(stored(model, np.float64))
    last.update(losses=np.array(values), loss=np.float64(values[-1]), score=score.detach().numpy())
    st.save(os.path.join(folder, "smooth.weights.safetensors"), weights)
    st.save(os.path.join(folder, "smooth.in.safetensors"), {"image": image, "label": label, "class_count": np.array([9, 7, 5, 3, 1], np.float32)})
    st.save(os.path.join(folder, tag + ".out.safetensors"), last)
    cases.append(("step", tag, tag + ".fbl", "-", "smooth.in", "smooth.weights", steps, tag + ".out", 1e-4, 1e-9, "-"))


def record(folder, cases):
    optimizer_case(folder, cases, "sgd_plain", lambda p: torch.optim.SGD(p, lr=0.1))
    optimizer_case(folder, cases, "sgd_momentum", lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=1e-2))
    optimizer_case(folder, cases, "sgd_nesterov", lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=1e-2, nesterov=True))
    optimizer_case(folder, cases, "adamw", lambda p: torch.optim.AdamW(p, lr=0.01, betas=(0.8, 0.99), eps=1e-6, weight_decay=0.05))
    resnet_case(folder, cases, 1, 1, "f64")
    resnet_case(folder, cases, 3, 3, "sampled")
    resnet_case(folder, cases, 5, 5, "sampled")
