#!/usr/bin/env python3
"""PyTorch's side of bench/gpu.sh: a train step (forward, feature-balanced loss, backward, SGD with momentum and weight decay) on synthetic data on the GPU.

    bench/gpu_torch.py resnet32|resnet50 BATCH tf32|bf16     prints one JSON object: milliseconds of every way to run it, and the best
    bench/gpu_torch.py make_cifar DIR                        a data set of random pixels in CIFAR-10's binary layout and size, to time the recipe's loop

The ways: eager and channels-last; with autocast where the precision asks for it; torch.compile in mode max-autotune, which uses CUDA graphs. One that fails
or takes over 150 seconds in all is left out and named."""
import json
import os
import sys
import time

root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(root, "tests", "oracle"))


def make_cifar(folder):
    import random
    folder = os.path.join(folder, "cifar-10-batches-bin")
    os.makedirs(folder, exist_ok=True)
    source = random.Random(0)
    for name in [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]:
        with open(os.path.join(folder, name), "wb") as out:
            for i in range(10000):
                out.write(bytes([i % 10]) + source.randbytes(3072))


def measure(name, batch, precision, channels_last, compiled):
    import torch
    from torch_resnet import CIFAR10_LT, feature_balanced
    torch.manual_seed(0)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision != "f32"
    torch.backends.cudnn.benchmark = True
    if name == "resnet32":
        from torch_resnet import ResNet
        model, size, classes, count = ResNet(5, 10), 32, 10, torch.tensor(CIFAR10_LT, dtype=torch.float32)
    else:
        from torch_imagenet import ResNet
        model, size, classes, count = ResNet(50, 1000), 224, 1000, torch.full((1000,), 100.0)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    model = model.cuda().to(memory_format=layout).train()
    image = torch.randn(batch, 3, size, size, device="cuda").contiguous(memory_format=layout)
    label, count = torch.randint(0, classes, (batch,), device="cuda"), count.cuda()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=2e-4, foreach=True)
    forward = torch.compile(model, mode="max-autotune") if compiled else model

    def step():
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cuda", torch.bfloat16, enabled=precision == "bf16"):
            feature, score = forward(image)
        feature_balanced(feature.float(), score.float(), label, count, 100, 200).backward()
        optimizer.step()

    for _ in range(10):
        step()
    torch.cuda.synchronize()
    times = []
    for _ in range(10):
        start = time.perf_counter()
        for _ in range(10):
            step()
        torch.cuda.synchronize()
        times.append(1e2 * (time.perf_counter() - start))
    return sorted(times)[len(times) // 2]


def main():
    if sys.argv[1] == "make_cifar":
        return make_cifar(sys.argv[2])
    import torch
    name, batch, precision = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    begin, ways, left_out = time.perf_counter(), {}, {}
    for way, channels_last, compiled in (("eager", False, False), ("channels_last", True, False), ("compiled", False, True), ("compiled_channels_last", True, True)):
        if time.perf_counter() - begin > 100:
            left_out[way] = "no time left"
            continue
        try:
            ways[way] = measure(name, batch, precision, channels_last, compiled)
        except Exception as error:  # out of memory, or no compiler on the machine: the other ways still count
            left_out[way] = str(error).split("\n")[0][:200]
        torch.cuda.empty_cache()
    if not ways:
        sys.exit(f"no way worked: {left_out}")
    best = min(ways, key=ways.get)
    print(json.dumps({"step_ms": ways[best], "images_per_second": batch / ways[best] * 1e3, "best": best, "all_ms": ways, "left_out": left_out,
                      "torch": torch.__version__, "device": torch.cuda.get_device_name()}))


if __name__ == "__main__":
    main()
