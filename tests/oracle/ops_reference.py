"""The ops of ops.fbl in PyTorch."""
import numpy as np
import torch
import torch.nn.functional as F

from recorder import loss_case

FILE = "ops.fbl"


def record(folder, cases):
    rng = np.random.RandomState(23)

    def normal(*shape, scale=1.5):
        return (scale * rng.randn(*shape)).astype(np.float32)

    def case(name, inputs, result, tag=None, sets=None, g=None):
        """The reference is sum(g * result(tensors)); g is drawn in the result's shape."""
        t = {k: torch.tensor(v).double() if v.dtype == np.float32 else torch.tensor(v) for k, v in inputs.items()}
        shape = tuple(result(t).shape)
        g = normal(*shape, scale=1.0)
        terms = g * result(t).double().numpy()
        if abs(terms.sum()) < 0.01 * np.abs(terms).sum():  # the sum cancels: rounding would decide the loss
            g = np.abs(g) * np.where(terms * g < 0, -1, 1).astype(np.float32)
        inputs = dict(inputs, g=g)
        loss_case(folder, cases, FILE, "op_" + name, "op_" + (tag or name), inputs, lambda s: (s["g"] * result(s)).sum(),
                  {"loss." + k: str(v).lower() for k, v in (sets or {}).items()})

    x = normal(5, 11)
    positive = np.abs(x) + np.float32(0.1)
    pointwise = {
        "neg": (x, lambda v: -v), "exp": (x, torch.exp), "expm1": (x * np.float32(1e-2), torch.expm1), "log": (positive, torch.log),
        "log1p": (positive * np.float32(1e-2), torch.log1p), "sqrt": (positive, torch.sqrt), "abs": (np.where(x > 2, 0, x).astype(np.float32), torch.abs),
        "sin": (x * np.float32(4), torch.sin), "cos": (x * np.float32(4), torch.cos), "tanh": (x, torch.tanh), "sigmoid": (x * np.float32(5), torch.sigmoid),
        "erf": (x, torch.erf), "floor": (x, torch.floor), "relu": (np.where(x > 2, 0, x).astype(np.float32), F.relu),
        "leaky_relu": (x, lambda v: F.leaky_relu(v, 0.2)), "softplus": (x * np.float32(20), lambda v: F.softplus(v, threshold=1e9)),
        "log_sigmoid": (x * np.float32(20), F.logsigmoid), "gelu": (x, F.gelu), "silu": (x, F.silu),
        "clamp": (x, lambda v: v.clamp(-0.5, 0.75)), "cube": (x, lambda v: v**3), "inverse_square": (np.where(np.abs(x) < 0.2, 1, x).astype(np.float32), lambda v: v**-2),
        "root_power": (positive, lambda v: v**2.5), "stop_gradient": (x, lambda v: v * v.detach()), "float_int": (x, lambda v: v.trunc().detach() + 0 * v),
    }
    for name, (value, f) in pointwise.items():
        case(name, {"x": value}, lambda t, f=f: f(t["x"]))
    case("power", {"x": positive, "y": normal(5, 11)}, lambda t: t["x"] ** t["y"])
    case("add", {"x": x, "y": normal(11, 3)}, lambda t: t["x"][:, :, None] + t["y"])
    case("sub", {"x": x, "y": normal(3)}, lambda t: t["x"][:, :, None] - t["y"])
    case("mul", {"x": x, "y": normal(11, 5)}, lambda t: t["x"] * t["y"].T)
    case("div", {"x": x, "y": np.abs(normal(11)) + np.float32(0.3)}, lambda t: t["x"] / t["y"])
    tied = np.where(np.abs(x) < 0.5, x, normal(5, 11)).astype(np.float32)
    case("min", {"x": x, "y": tied}, lambda t: torch.minimum(t["x"], t["y"]))
    case("max", {"x": x, "y": tied}, lambda t: torch.maximum(t["x"], t["y"]))
    case("select", {"x": x, "y": normal(11)},
         lambda t: torch.where((t["x"] > t["y"]) | (t["x"] < -1), t["x"] * t["y"], (t["y"] * t["y"])[None, :].expand(5, 11)))
    case("safe_select", {"x": x}, lambda t: torch.where(t["x"] > 0, torch.where(t["x"] > 0, t["x"], torch.ones_like(t["x"])).log(), 2 * t["x"]))

    def compare(t):
        a, b = t["x"], t["y"]
        return ((a < b) * 1.0 + 2.0 * (a <= b) + 4.0 * (a > b) + 8.0 * (a >= b) + 16.0 * (a == b) + 32.0 * (a != b)
                + 64.0 * (~(a < b) & (b > 0))).double()

    case("compare", {"x": x, "y": tied}, compare)
    cube = normal(4, 7, 3)
    case("sum", {"x": cube}, lambda t: t["x"].sum((0, 2)))
    case("mean", {"x": cube}, lambda t: t["x"].mean(1))
    case("variance", {"x": cube}, lambda t: t["x"].var((0, 2), unbiased=False))
    ties = np.round(cube)
    case("max_over", {"x": cube}, lambda t: t["x"].amax(1))
    case("max_over", {"x": ties}, lambda t: t["x"].amax(1), tag="max_over_ties")
    case("min_over", {"x": ties}, lambda t: t["x"].amin((0, 2)), tag="min_over_ties")
    case("logsumexp", {"x": x * np.float32(40)}, lambda t: t["x"].logsumexp(1))
    case("softmax", {"x": x * np.float32(3)}, lambda t: t["x"].softmax(1))
    case("log_softmax", {"x": x * np.float32(10)}, lambda t: t["x"].log_softmax(0))
    case("norm", {"x": x}, lambda t: t["x"].norm(2, 1))
    case("norm1", {"x": x}, lambda t: t["x"].norm(1, 1))
    case("norm3", {"x": x}, lambda t: t["x"].norm(3, 0))
    case("norm_zero", {"x": x}, lambda t: 0 * t["x"].sum(1))
    case("normalized", {"x": x}, lambda t: F.normalize(t["x"], dim=1))
    case("argmax", {"x": x}, lambda t: t["x"].argmax(1).double())
    case("count", {"x": x}, lambda t: (t["x"] > 0).double().sum(1))
    case("contract", {"x": x, "y": normal(11, 6)}, lambda t: t["x"] @ t["y"])
    case("contract_batched", {"x": normal(3, 5, 7), "y": normal(2, 3, 7)}, lambda t: torch.einsum("brc,dbc->brd", t["x"], t["y"]))
    case("contract_two", {"x": normal(3, 5, 7), "y": normal(7, 2, 5)}, lambda t: torch.einsum("brc,cdr->bd", t["x"], t["y"]))
    case("outer", {"x": normal(5), "y": normal(4)}, lambda t: torch.outer(t["x"], t["y"]))
    case("contract", {"x": normal(1, 1), "y": normal(1, 1)}, lambda t: t["x"] @ t["y"], tag="contract_one")
    case("contract", {"x": normal(37, 67, scale=1), "y": normal(67, 53, scale=1)}, lambda t: t["x"] @ t["y"], tag="contract_large")

    case("cumsum", {"x": x}, lambda t: t["x"].cumsum(1))
    case("sort", {"x": x}, lambda t: t["x"].sort(1).values)
    case("sort", {"x": np.round(x)}, lambda t: t["x"].sort(stable=True, dim=1).values, tag="sort_ties")
    case("sort_down", {"x": x}, lambda t: t["x"].sort(0, descending=True).values)
    case("rank", {"x": x}, lambda t: t["x"].argsort(1).argsort(1).double())
    case("top_k", {"x": x}, lambda t: t["x"].topk(3, 1).values)
    case("flip", {"x": x}, lambda t: t["x"].flip(1))
    case("slice", {"x": x}, lambda t: t["x"][1:, 1:8:3])
    case("pad", {"x": x}, lambda t: F.pad(t["x"], (1, 3, 2, 0)))
    case("concat", {"x": x, "y": normal(5, 4)}, lambda t: torch.cat([t["x"], t["y"]], 1))
    case("split", {"x": normal(3, 8)}, lambda t: t["x"].reshape(3, 2, 4))
    case("join", {"x": x}, lambda t: t["x"].T.reshape(-1))
    label = np.array([3, 0, 10, 3, 7], np.int64)
    rows = torch.arange(5)
    case("index", {"x": x, "label": label}, lambda t: t["x"][rows, t["label"]])
    case("index", {"x": x, "label": label.astype(np.int32)}, lambda t: t["x"][rows, t["label"].long()], tag="index_i32")
    case("index_table", {"x": normal(11), "label": label}, lambda t: t["x"][t["label"]])
    case("index_rows", {"x": normal(11, 4), "label": label}, lambda t: t["x"][t["label"]])
    case("cross_entropy", {"x": x, "label": label}, lambda t: F.cross_entropy(t["x"], t["label"], reduction="none"))
    loss_case(folder, cases, FILE, "op_one_hot", "op_one_hot", {"x": x, "label": label}, lambda t: (t["x"] * F.one_hot(t["label"], 11)).sum())
    loss_case(folder, cases, FILE, "op_iota", "op_iota", {"x": x}, lambda t: (t["x"] * torch.arange(11)).sum())

    # (batch, channels in, channels out, height, width, kernel height, kernel width, stride, pad, dilation, groups)
    convolutions = [(2, 3, 4, 9, 7, 3, 3, 1, 1, 1, 1), (2, 3, 16, 8, 8, 3, 3, 1, 1, 1, 1), (1, 16, 16, 8, 8, 3, 3, 1, 1, 1, 1), (2, 16, 32, 9, 9, 3, 3, 2, 1, 1, 1),
                    (2, 17, 19, 7, 5, 3, 3, 1, 1, 1, 1), (3, 5, 6, 7, 11, 1, 1, 1, 0, 1, 1), (2, 4, 6, 9, 9, 1, 1, 2, 0, 1, 1), (1, 3, 8, 15, 17, 7, 7, 2, 3, 1, 1),
                    (2, 4, 6, 11, 9, 3, 3, 1, 2, 2, 2), (2, 6, 6, 8, 7, 3, 3, 2, 1, 1, 6), (2, 8, 12, 7, 7, 3, 3, 3, 0, 1, 4), (1, 2, 3, 6, 8, 2, 4, 1, 0, 1, 1),
                    (1, 1, 1, 1, 1, 1, 1, 1, 0, 1, 1), (2, 3, 2, 5, 5, 5, 5, 1, 4, 1, 1), (2, 2, 3, 9, 10, 3, 2, 2, 1, 3, 1), (2, 32, 32, 5, 5, 3, 3, 1, 1, 1, 1)]
    for i, (b, ci, co, h, w, kh, kw, s, p, d, k) in enumerate(convolutions):
        case("conv2d", {"image": normal(b, ci, h, w, scale=1), "weight": normal(co, ci // k, kh, kw, scale=0.5)},
             lambda t, s=s, p=p, d=d, k=k: F.conv2d(t["image"], t["weight"], None, s, p, d, k), tag=f"conv2d_{i}",
             sets={"stride": s, "pad": p, "dilation": d, "groups": k})
    # (height, width, kernel, stride, pad, ceil)
    pools = [(8, 8, 2, 2, 0, False), (9, 7, 3, 2, 1, False), (9, 8, 3, 2, 0, True), (7, 10, 3, 2, 1, True), (6, 6, 3, 1, 1, False), (7, 7, 2, 3, 0, True), (5, 5, 5, 5, 0, False)]
    for i, (h, w, k, s, p, c) in enumerate(pools):
        image = normal(2, 3, h, w)
        sets = {"kernel": k, "stride": s, "pad": p, "ceil": c}
        case("max_pool", {"image": image}, lambda t, k=k, s=s, p=p, c=c: F.max_pool2d(t["image"], k, s, p, ceil_mode=c), tag=f"max_pool_{i}", sets=sets)
        for inside in (True, False):
            case("avg_pool", {"image": image}, lambda t, k=k, s=s, p=p, c=c, inside=inside: F.avg_pool2d(t["image"], k, s, p, c, inside),
                 tag=f"avg_pool_{i}_{'all' if inside else 'inside'}", sets=dict(sets, count_pad=inside))
    case("max_pool", {"image": np.round(normal(2, 3, 8, 8))}, lambda t: F.max_pool2d(t["image"], 2), tag="max_pool_ties")
