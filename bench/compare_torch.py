#!/usr/bin/env python3
"""One train step, fblc against PyTorch on the same CPU: ResNet-32, feature-balanced loss, SGD with momentum and weight decay.

    bench/compare_torch.py --fblc build/release/fblc [--batch 64] [--threads 2] [--rounds 5] [--json]

First both take the same five steps from the same weights and batch, and their losses must agree: a wrong step is not worth timing. Then they are timed
in turns, round by round, so that a machine that grows slower slows both. PyTorch runs in several configurations, each in a process of its own with its
threads bound; the best one counts. The medians over all rounds, their ratio and both peak memories are printed, with --json as one JSON object."""
import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time

root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(root, "tests", "oracle"))
CONFIGS = ("nchw", "nchw_foreach", "channels_last", "channels_last_foreach", "nchw_traced")
EPOCH, EPOCHS = 100, 200


def worker(arguments):
    """Answers each line `N` with N step times in milliseconds; `check N` with N losses."""
    import torch
    import st
    from torch_resnet import ResNet, feature_balanced

    torch.set_num_threads(arguments.threads)
    weights, batch = st.load(os.path.join(arguments.folder, "weights.safetensors")), st.load(os.path.join(arguments.folder, "batch.safetensors"))
    layout = torch.channels_last if "channels_last" in arguments.worker else torch.contiguous_format
    model = ResNet(arguments.blocks, 10)
    model.load_state_dict({n: torch.tensor(v) for n, v in weights.items()}, strict=False)
    model = model.to(memory_format=layout).train()
    image = torch.tensor(batch["image"]).contiguous(memory_format=layout)
    label, count = torch.tensor(batch["label"]), torch.tensor(batch["class_count"])
    forward = torch.jit.trace(model, image, check_trace=False) if "traced" in arguments.worker else model
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=2e-4, foreach="foreach" in arguments.worker)

    def step():
        optimizer.zero_grad(set_to_none=True)
        feature, score = forward(image)
        value = feature_balanced(feature, score, label, count, EPOCH, EPOCHS)
        value.backward()
        optimizer.step()
        return value

    for line in sys.stdin:
        words = line.split()
        if words[0] == "check":
            answer = [step().item() for _ in range(int(words[1]))]
        else:
            answer = []
            for _ in range(int(words[0])):
                start = time.perf_counter()
                step()
                answer.append(1e3 * (time.perf_counter() - start))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print(json.dumps({"values": answer, "peak_rss_bytes": peak, "torch": torch.__version__}), flush=True)


def make_inputs(arguments):
    import numpy as np
    import torch
    import st
    from torch_resnet import CIFAR10_LT, ResNet

    torch.manual_seed(0)
    rng = np.random.RandomState(0)
    model = ResNet(arguments.blocks, 10)
    for p in model.parameters():
        if p.dim() > 1:
            torch.nn.init.kaiming_normal_(p)
    share = np.array(CIFAR10_LT) / sum(CIFAR10_LT)
    st.save(os.path.join(arguments.folder, "weights.safetensors"),
            {n: v.numpy() for n, v in model.state_dict().items() if v.is_floating_point()})
    st.save(os.path.join(arguments.folder, "batch.safetensors"), {
        "image": rng.randn(arguments.batch, 3, 32, 32).astype(np.float32), "label": rng.choice(10, arguments.batch, p=share).astype(np.int64),
        "class_count": np.array(CIFAR10_LT, np.float32), "epoch": np.float32(EPOCH)})
    with open(os.path.join(arguments.folder, "step.fbl"), "w") as out:
        out.write(f'''import "{root}/models/resnet_cifar.fbl"
import "{root}/models/losses.fbl"

train {{
    model     = resnet_cifar(blocks={arguments.blocks})
    loss      = feature_balanced(lambda=60)
    optimizer = sgd(momentum=0.9, weight_decay=2e-4)
    rate      = 0.01
    batch     = {arguments.batch}
    epochs    = {EPOCHS}
}}
''')


def fblc(arguments, *words):
    """Runs fblc and returns the last JSON object it printed."""
    done = subprocess.run([arguments.fblc, *words, "--threads", str(arguments.threads), "--json"], stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(done.args)} ended with {done.returncode}")
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--fblc", default=os.path.join(root, "build", "release", "fblc"))
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--blocks", type=int, default=5, help="residual blocks a stage: 5 is ResNet-32")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=8, help="PyTorch steps a round and configuration")
    parser.add_argument("--configs", default=",".join(CONFIGS))
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        return worker(arguments)

    with tempfile.TemporaryDirectory() as folder:
        arguments.folder = folder
        make_inputs(arguments)
        file = os.path.join(folder, "step.fbl")
        environment = dict(os.environ, OMP_NUM_THREADS=str(arguments.threads), OMP_PROC_BIND="true", OMP_PLACES="threads")
        workers = {}
        for config in arguments.configs.split(","):
            workers[config] = subprocess.Popen(
                [sys.executable, os.path.abspath(__file__), "--worker", config, "--folder", folder, "--threads", str(arguments.threads),
                 "--blocks", str(arguments.blocks)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)

        def ask(config, line):
            workers[config].stdin.write(line + "\n")
            workers[config].stdin.flush()
            return json.loads(workers[config].stdout.readline())

        theirs = {config: ask(config, "check 5") for config in workers}
        steps = fblc(arguments, "step", file, "--weights", os.path.join(folder, "weights.safetensors"), "--batch-file",
                     os.path.join(folder, "batch.safetensors"), "--steps", "5", "--dump", os.path.join(folder, "out.safetensors"))
        import st
        ours = [float(v) for v in st.load(os.path.join(folder, "out.safetensors"))["losses"]]
        assert len(steps) > 0
        for config, answer in theirs.items():
            worst = max(abs(a - b) / max(abs(b), 1e-3) for a, b in zip(ours, answer["values"]))
            if not worst < 1e-2:
                sys.exit(f"the losses disagree: fblc {ours}, {config} {answer['values']}")

        fblc_times, fblc_peak = [], 0
        times = {config: [] for config in workers}
        peaks = dict.fromkeys(workers, 0)
        for config in workers:
            ask(config, "3")
        for turn in range(arguments.rounds):
            answer = fblc(arguments, "bench", file, "--batch", str(arguments.batch), "--set", "class=10")[-1]
            fblc_times.append(answer["step_ms"])
            fblc_peak = max(fblc_peak, answer["peak_rss_bytes"])
            for config in workers:
                answer = ask(config, str(arguments.steps))
                times[config] += answer["values"][1:]  # the first step after the pause wakes the threads
                peaks[config] = answer["peak_rss_bytes"]
            print(f"round {turn + 1}: fblc {fblc_times[-1]:.1f} ms, " + ", ".join(
                f"{c} {statistics.median(times[c]):.1f}" for c in workers), file=sys.stderr)
        for process in workers.values():
            process.stdin.close()
            process.wait()

    medians = {config: statistics.median(values) for config, values in times.items()}
    best = min(medians, key=medians.get)
    result = {"model": f"resnet{6 * arguments.blocks + 2}", "batch": arguments.batch, "threads": arguments.threads, "rounds": arguments.rounds,
              "fblc_ms": statistics.median(fblc_times), "fblc_peak_rss_bytes": fblc_peak, "torch": answer["torch"], "torch_best": best,
              "torch_ms": medians[best], "torch_peak_rss_bytes": peaks[best], "ratio": medians[best] / statistics.median(fblc_times),
              "torch_all_ms": medians, "fblc_rounds_ms": fblc_times}
    if arguments.json:
        print(json.dumps(result))
    else:
        print(f"{result['model']}, batch {arguments.batch}, {arguments.threads} threads: fblc {result['fblc_ms']:.1f} ms, {fblc_peak / 2**20:.0f} MiB; "
              f"PyTorch {result['torch']} ({best}) {medians[best]:.1f} ms, {peaks[best] / 2**20:.0f} MiB; ratio {result['ratio']:.2f}")


if __name__ == "__main__":
    main()
