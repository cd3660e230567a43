"""One train step of the ImageNet family, narrow (`planes` channels in the stem instead of 64) and on small images, so that the recorded files stay small."""
import copy
import os

import numpy as np
import torch

import st
from networks_reference import MIN_MARGIN, fill, gradients, grid, smallest_relu_input, stored, widest_gap
from torch_imagenet import ResNet

SIZE, BATCH, CLASSES = 64, 4, 10
COUNT = [500, 320, 200, 128, 80, 50, 32, 20, 12, 8]
MIN_POOL_GAP = 1e-5  # two largest values of a pooling window: nearer ones could change places by rounding
MAX_ROUNDING = 3e-5  # how far f32 PyTorch may be from f64 PyTorch, so that 1e-4 leaves room for another order of summation

# depth, planes, groups, width: with `planes` 4 the inner width of a block is that of the real network over 16.
NETWORKS = {
    "resnet10": (10, 8, 1, 64),
    "resnet50": (50, 4, 1, 64),
    "resnext50": (50, 4, 4, 32),
    "wide_resnet50": (50, 4, 1, 128),
}


def clear_relus(model, image):
    """Shifts every batch-norm bias, first layer first, so that no ReLU input of this batch lies near zero."""
    places = [(model.bn1, None)] + [(norm, block) for block in model.blocks() for norm in block.norms]
    for norm, block in places:
        seen = {}
        hooks = [norm.register_forward_hook(lambda module, args, out: seen.__setitem__("out", out))]
        if block is not None and norm is block.norms[-1]:
            hooks.append(block.register_forward_pre_hook(lambda module, args: seen.__setitem__("skip", module.skip(args[0]))))
        with torch.no_grad():
            model(image)
            total = seen["out"] + seen.get("skip", 0)
            for c in range(total.shape[1]):
                shift = -widest_gap(total[:, c].numpy().ravel(), 0.25)
                norm.bias.data[c] = float(grid(norm.bias[c].item() + shift, 2.0**-14))
        for hook in hooks:
            hook.remove()


def smallest_pool_gap(model, image):
    with torch.no_grad():
        h = model.stem(image)
        h = torch.nn.functional.pad(h, (1, 1, 1, 1), value=-1)
        windows = h.unfold(2, 3, 2).unfold(3, 3, 2).flatten(4)
        two = windows.topk(2, dim=-1).values
        return (two[..., 0] - two[..., 1])[two[..., 0] > 0].min().item()


def record_network(folder, cases, tag, depth, planes, groups, width, image, label):
    x, y, n = torch.tensor(image).double(), torch.tensor(label), torch.tensor(COUNT).double()
    for seed in range(1, 50):
        model = ResNet(depth, CLASSES, planes, groups, width).double()
        fill(model, np.random.RandomState(seed))
        for block in model.blocks():  # branches that add a part to the path, as in a trained network: fifty full ones would amplify rounding beyond 1e-4
            block.norms[-1].weight.data = torch.tensor(grid(0.3 * block.norms[-1].weight.data.numpy(), 2.0**-10))
        model.train()
        keep = {k: v.clone() for k, v in model.state_dict().items() if "running" in k or "tracked" in k}
        clear_relus(model, x)
        margin, gap = smallest_relu_input(model, x), smallest_pool_gap(model, x)
        model.load_state_dict(keep, strict=False)
        single = copy.deepcopy(model).float()
        g64 = gradients(copy.deepcopy(model), x, y, n, 100, 200)
        g32 = gradients(single, x.float(), y, n.float(), 100, 200)
        worst = max((g32[k].double() - g64[k]).norm().item() / g64[k].norm().item() for k in g64)
        if margin > MIN_MARGIN and gap > MIN_POOL_GAP and worst < MAX_ROUNDING:
            break
    for value in model.state_dict().values():  # what is stored is what was used
        assert (value.double() == value.float().double()).all()
    parameters = sum(p.numel() for p in model.parameters())
    print(f"{tag}: {parameters} parameters, seed {seed}, smallest |ReLU input| {margin:.2e}, pooling gap {gap:.2e}, f32 against f64 in torch: {worst:.2e}")
    assert margin > MIN_MARGIN and gap > MIN_POOL_GAP and worst < MAX_ROUNDING

    weights = stored(model, np.float32)
    values = gradients(model, x, y, n, 100, 200)
    expected = {"losses": np.array([values["loss"].item()])}
    expected.update({k: v.numpy().copy() for k, v in values.items()})
    expected.update({k: v for k, v in stored(model, np.float64).items() if "running" in k})
    for name in list(expected):
        if name.startswith("grad."):
            value = expected.pop(name).astype(np.float32)
            if value.size > 1024:
                name, value = name + "@8", value.ravel()[::8]
            expected[name] = value
    st.save(os.path.join(folder, tag + ".weights.safetensors"), weights)
    st.save(os.path.join(folder, tag + "_step.out.safetensors"), expected)
    sets = f"model.depth={depth},model.planes={planes},model.groups={groups},model.width={width}"
    # As for the CIFAR networks: 1e-4 of a tensor's norm in f32; 3e-7 in f64, where the gradients stored as F32 are the limit.
    cases.append(("step", tag + "_step", "imagenet_step.fbl", "-", "imagenet.in", tag + ".weights", 1, tag + "_step.out", 1e-4, 3e-7, sets))


def record(folder, cases):
    rng = np.random.RandomState(11)
    image = grid(rng.randn(BATCH, 3, SIZE, SIZE), 2.0**-6).astype(np.float32)
    label = np.array([0, 9, 4, 1], np.int64)
    st.save(os.path.join(folder, "imagenet.in.safetensors"),
            {"image": image, "label": label, "class_count": np.array(COUNT, np.float32), "epoch": np.float32(100)})
    for tag, (depth, planes, groups, width) in NETWORKS.items():
        record_network(folder, cases, tag, depth, planes, groups, width, image, label)
