#!/usr/bin/env python3
"""fblc against PyTorch on the same CPU: train steps and inference of the CIFAR ResNets and of ResNet-50, and compile time.

    bench/compare_torch.py --fblc build/release/fblc [--model resnet32|resnet50] [--mode train|eval] [--precision f32|bf16] [--batch 64] [--threads 2]
                           [--rounds 5] [--json]
    bench/compare_torch.py --fblc build/release/fblc --compile [--model ...]

Training: feature-balanced loss, SGD with momentum and weight decay. First both take the same steps from the same weights and batch, and their losses must
agree: a wrong step is not worth timing. Then they are timed in turns, round by round, so that a machine that grows slower slows both. PyTorch runs in several
configurations, each in a process of its own with its threads bound; the best one counts. The medians over all rounds, their ratio and both peak memories are
printed, with --json as one JSON object. --precision bf16 is for processors with AVX512_BF16 (--emulate-bf16 tries it elsewhere): fblc multiplies with factors
in bf16; PyTorch runs under autocast to bf16, and in f32, too, since that may be faster. --compile times fblc alone: all kernels of train and eval with an empty cache, and from an edit of the loss to the
first finished step with a full one."""
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
CONFIGS = {"train": ("nchw", "nchw_foreach", "channels_last", "channels_last_foreach", "nchw_traced"),
           "eval": ("nchw", "channels_last", "nchw_frozen", "channels_last_frozen")}
# With --precision bf16 these, too: under autocast.
BF16_CONFIGS = {"train": ("nchw_bf16", "nchw_foreach_bf16", "channels_last_bf16", "channels_last_foreach_bf16"), "eval": ("nchw_bf16", "channels_last_bf16")}
EPOCH, EPOCHS = 100, 200


def worker(arguments):
    """Answers each line `N` with N step times in milliseconds; `check N` with N losses."""
    import torch
    import st
    from torch_resnet import feature_balanced

    torch.set_num_threads(arguments.threads)
    weights, batch = st.load(os.path.join(arguments.folder, "weights.safetensors")), st.load(os.path.join(arguments.folder, "batch.safetensors"))
    layout = torch.channels_last if "channels_last" in arguments.worker else torch.contiguous_format
    model = make_model(arguments)
    model.load_state_dict({n: torch.tensor(v) for n, v in weights.items()}, strict=False)
    model = model.to(memory_format=layout).train(arguments.mode == "train")
    image = torch.tensor(batch["image"]).contiguous(memory_format=layout)
    label, count = torch.tensor(batch["label"]), torch.tensor(batch["class_count"])
    forward = model
    if "traced" in arguments.worker or "frozen" in arguments.worker:
        forward = torch.jit.trace(model, image, check_trace=False)
    if "frozen" in arguments.worker:
        forward = torch.jit.optimize_for_inference(torch.jit.freeze(forward))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=2e-4, foreach="foreach" in arguments.worker)

    half = torch.autocast("cpu", dtype=torch.bfloat16, enabled=arguments.worker.endswith("bf16"))

    def train_step():
        optimizer.zero_grad(set_to_none=True)
        with half:
            feature, score = forward(image)
        value = feature_balanced(feature.float(), score.float(), label, count, EPOCH, EPOCHS)
        value.backward()
        optimizer.step()
        return value

    def inference():
        with torch.inference_mode(), half:
            return forward(image)[1].sum()

    step = train_step if arguments.mode == "train" else inference

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


def make_model(arguments):
    if arguments.model == "resnet50":
        from torch_imagenet import ResNet
        return ResNet(50, arguments.classes)
    from torch_resnet import ResNet
    return ResNet(arguments.blocks, arguments.classes)


def write_program(arguments, file, loss):
    large = arguments.model == "resnet50"
    with open(file, "w") as out:
        out.write(f'''import "{root}/models/{'resnet_imagenet' if large else 'resnet_cifar'}.fbl"
import "{root}/models/losses.fbl"

{loss}
train {{
    model     = {'resnet_imagenet(depth=50)' if large else f'resnet_cifar(blocks={arguments.blocks})'}
    loss      = {'edited' if loss else 'feature_balanced(lambda=60)'}
    optimizer = sgd(momentum=0.9, weight_decay=2e-4)
    rate      = 0.01
    batch     = {arguments.batch}
    epochs    = {EPOCHS}
}}
''')


def make_inputs(arguments):
    import numpy as np
    import torch
    import st
    from torch_resnet import CIFAR10_LT

    torch.manual_seed(0)
    rng = np.random.RandomState(0)
    model = make_model(arguments)
    for p in model.parameters():
        if p.dim() > 1:
            torch.nn.init.kaiming_normal_(p)
    count = np.array(CIFAR10_LT) if arguments.classes == 10 else np.maximum(5, (1280 * 0.992 ** np.arange(arguments.classes)).astype(int))
    size = 224 if arguments.model == "resnet50" else 32
    st.save(os.path.join(arguments.folder, "weights.safetensors"),
            {n: v.numpy() for n, v in model.state_dict().items() if v.is_floating_point()})
    st.save(os.path.join(arguments.folder, "batch.safetensors"), {
        "image": rng.randn(arguments.batch, 3, size, size).astype(np.float32),
        "label": rng.choice(arguments.classes, arguments.batch, p=count / count.sum()).astype(np.int64),
        "class_count": count.astype(np.float32), "epoch": np.float32(EPOCH)})
    write_program(arguments, os.path.join(arguments.folder, "step.fbl"), "")


def fblc(arguments, *words, cache=None):
    """Runs fblc and returns the JSON objects it printed."""
    environment = dict(os.environ, FBL_CACHE=cache) if cache else None
    precision = ["--precision", arguments.precision] + (["--emulate-bf16"] if arguments.emulate_bf16 else [])
    done = subprocess.run([arguments.fblc, *words, "--threads", str(arguments.threads), *precision, "--json"], stdout=subprocess.PIPE, text=True, env=environment)
    if done.returncode != 0:
        sys.exit(f"{' '.join(done.args)} ended with {done.returncode}")
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def compile_times(arguments):
    """Milliseconds: cold compilation of train and eval; edit of the loss to the first finished step."""
    with tempfile.TemporaryDirectory() as folder:
        arguments.folder = folder
        file, cache = os.path.join(folder, "step.fbl"), os.path.join(folder, "cache")
        make_inputs(arguments)
        cold = []
        for turn in range(arguments.rounds):
            empty = os.path.join(folder, f"cold{turn}")
            cold.append(sum(fblc(arguments, "bench", file, "--steps", "2", "--mode", mode, "--set", f"class={arguments.classes}", cache=empty)[-1]["compile_ms"]
                            for mode in ("train", "eval")))
        edits = []
        for turn in range(arguments.rounds + 1):
            write_program(arguments, file, "loss edited(score: f32[batch, class], label: class[batch]) {\n"
                          f"    return {1 + turn / 64} * mean(cross_entropy(score, label, over=class), over=batch)\n}}\n")
            start = time.perf_counter()
            fblc(arguments, "step", file, "--weights", os.path.join(folder, "weights.safetensors"), "--batch-file", os.path.join(folder, "batch.safetensors"),
                 "--steps", "1", cache=cache)
            edits.append(1e3 * (time.perf_counter() - start))
        result = {"model": arguments.model, "batch": arguments.batch, "threads": arguments.threads, "cold_compile_ms": statistics.median(cold),
                  "edit_to_step_ms": statistics.median(edits[1:])}
    print(json.dumps(result) if arguments.json else f"{result['model']}, {arguments.threads} threads: cold compilation of train and eval {result['cold_compile_ms']:.0f} ms; "
          f"edit of the loss to the end of the first step {result['edit_to_step_ms']:.0f} ms")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--fblc", default=os.path.join(root, "build", "release", "fblc"))
    parser.add_argument("--model", default="resnet32", help="resnetN of CIFAR (N = 6 k + 2), or resnet50 at 224 x 224")
    parser.add_argument("--mode", default="train", choices=("train", "eval"))
    parser.add_argument("--precision", default="f32", choices=("f32", "bf16"))
    parser.add_argument("--emulate-bf16", action="store_true", help="bf16 without the instruction: slower than f32, to try the comparison itself")
    parser.add_argument("--compile", action="store_true", help="compile time of fblc instead")
    parser.add_argument("--batch", type=int)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=8, help="PyTorch steps a round and configuration")
    parser.add_argument("--fblc-steps", type=int, default=30, help="fblc steps a round")
    parser.add_argument("--configs")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    large = arguments.model == "resnet50"
    arguments.classes = 1000 if large else 10
    arguments.batch = arguments.batch or (16 if large else 64)
    if not large:
        layers = int(arguments.model.removeprefix("resnet"))
        if layers < 8 or layers % 6 != 2:
            parser.error("a CIFAR ResNet has 6 k + 2 layers: resnet20, resnet32, resnet44, ...")
        arguments.blocks = (layers - 2) // 6
    if arguments.worker:
        return worker(arguments)
    if arguments.compile:
        return compile_times(arguments)
    configs = arguments.configs.split(",") if arguments.configs else CONFIGS[arguments.mode]
    if arguments.precision == "bf16" and not arguments.configs:
        configs = configs + BF16_CONFIGS[arguments.mode]
    checks = 2 if large else 5

    with tempfile.TemporaryDirectory() as folder:
        arguments.folder = folder
        make_inputs(arguments)
        file = os.path.join(folder, "step.fbl")
        environment = dict(os.environ, OMP_NUM_THREADS=str(arguments.threads), OMP_PROC_BIND="true", OMP_PLACES="threads")
        workers = {}
        for config in configs:
            workers[config] = subprocess.Popen(
                [sys.executable, os.path.abspath(__file__), "--worker", config, "--folder", folder, "--threads", str(arguments.threads),
                 "--model", arguments.model, "--mode", arguments.mode, "--batch", str(arguments.batch)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)

        def ask(config, line):
            workers[config].stdin.write(line + "\n")
            workers[config].stdin.flush()
            return json.loads(workers[config].stdout.readline())

        # Inference has no such check here: its values are compared in tests/oracle and tests/e2e/weights.sh.
        theirs = {config: ask(config, f"check {checks}") for config in workers if arguments.mode == "train"}
        steps = theirs and fblc(arguments, "step", file, "--weights", os.path.join(folder, "weights.safetensors"), "--batch-file",
                     os.path.join(folder, "batch.safetensors"), "--steps", str(checks), "--dump", os.path.join(folder, "out.safetensors"))
        import st
        ours = [float(v) for v in st.load(os.path.join(folder, "out.safetensors"))["losses"]] if steps else []
        for config, answer in theirs.items():
            worst = max(abs(a - b) / max(abs(b), 1e-3) for a, b in zip(ours, answer["values"]))
            # Two ways of rounding to bf16 differ by its error, and steps amplify that.
            if not worst < (1e-1 if arguments.precision == "bf16" else 1e-2):
                sys.exit(f"the losses disagree: fblc {ours}, {config} {answer['values']}")

        fblc_times, fblc_peak = [], 0
        times = {config: [] for config in workers}
        peaks = dict.fromkeys(workers, 0)
        for config in workers:
            ask(config, "3")
        for turn in range(arguments.rounds):
            answer = fblc(arguments, "bench", file, "--mode", arguments.mode, "--steps", str(arguments.fblc_steps), "--set", f"class={arguments.classes}")[-1]
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
    result = {"model": arguments.model, "mode": arguments.mode, "batch": arguments.batch, "threads": arguments.threads, "precision": arguments.precision, "rounds": arguments.rounds,
              "fblc_ms": statistics.median(fblc_times), "fblc_peak_rss_bytes": fblc_peak, "torch": answer["torch"], "torch_best": best,
              "torch_ms": medians[best], "torch_peak_rss_bytes": peaks[best], "ratio": medians[best] / statistics.median(fblc_times),
              "torch_all_ms": medians, "fblc_rounds_ms": fblc_times}
    if arguments.json:
        print(json.dumps(result))
    else:
        print(f"{result['model']} {arguments.mode}, batch {arguments.batch}, {arguments.threads} threads, {arguments.precision}: fblc {result['fblc_ms']:.1f} ms, {fblc_peak / 2**20:.0f} MiB; "
              f"PyTorch {result['torch']} ({best}) {medians[best]:.1f} ms, {peaks[best] / 2**20:.0f} MiB; ratio {result['ratio']:.2f}")


if __name__ == "__main__":
    main()
