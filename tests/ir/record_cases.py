#!/usr/bin/python3
"""Records what every operation gives, computed with numpy and plain Python loops: tests/ir/data/cases.txt.

Each case is a graph with one operation of interest, the values of its leaves, and the values wanted of its roots.
The formulas here are written from the documentation of the operations (docs/ops.md), not from the interpreter.
Run from the root of the project: tests/ir/record_cases.py > tests/ir/data/cases.txt
"""
import itertools
import math
import numpy as np

rng = np.random.default_rng(7)
SEED, STEP = 0x123456789, 5


def numbers(array):
    return " ".join(repr(float(v)) for v in np.asarray(array, dtype=np.float64).ravel())



def case(name, node, result, inputs, want):
    """inputs: list of (type text, array); node: op text with attributes after the operands."""
    op, _, attr = node.partition(" ")
    print(f"case {name}")
    print("graph g {")
    for i, (kind, _) in enumerate(inputs):
        print(f'  %{i} = input() {{symbol="x{i}"}} : {kind}')
    operands = ", ".join(f"%{i}" for i in range(len(inputs)))
    print(f"  %{len(inputs)} = {op}({operands}){' ' + attr if attr else ''} : {result}")
    print(f"  output y = %{len(inputs)}")
    print("}")
    for i, (_, array) in enumerate(inputs):
        print(f"leaf x{i} {numbers(array)}")
    print(f"want y {numbers(want)}")
    print("end")


def normal(*shape):
    return rng.standard_normal(shape)


# ---- pointwise ----
AB = "f32[a=2, b=3]"
x = normal(2, 3)
positive = np.abs(normal(2, 3)) + 0.1
special = np.array([[-1.5, -0.0, 0.0], [2.5, 7.0, -3.0]])
for name, f, values in [
    ("neg", np.negative, x), ("abs", np.abs, special), ("exp", np.exp, x), ("expm1", np.expm1, x * 1e-9),
    ("log", np.log, positive), ("log1p", np.log1p, x * 1e-9), ("sqrt", np.sqrt, positive), ("sin", np.sin, x),
    ("cos", np.cos, x), ("tanh", np.tanh, x), ("sigmoid", lambda v: 1 / (1 + np.exp(-v)), x),
    ("erf", np.vectorize(math.erf), x), ("floor", np.floor, special), ("stop_gradient", lambda v: v, x),
]:
    case(name, name, AB, [(AB, values)], f(values))
case("not", "not", "bool[a=2]", [("bool[a=2]", [0, 1])], [1, 0])
case("neg_i32", "neg", "i32[a=3]", [("i32[a=3]", [0, 5, -2147483648])], [0, -5, -2147483648])
case("abs_label", "abs", "i32[a=2]", [("i32<b=4>[a=2]", [0, 3])], [0, 3])
case("exp_bool", "exp", "f32[a=2]", [("bool[a=2]", [0, 1])], [1, math.e])
case("cast_f32_i32", "cast", "i32[a=6]", [("f32[a=6]", [1.9, -1.9, 3e9, -3e9, np.nan, 0.5])],
     [1, -1, 2147483647, -2147483648, 0, 0])
case("cast_f32_bool", "cast", "bool[a=4]", [("f32[a=4]", [0.25, -0.0, np.nan, 0])], [1, 0, 1, 0])
case("cast_label_f32", "cast", "f32[a=2]", [("i32<b=9>[a=2]", [8, 0])], [8, 0])

y = normal(3, 4)
ABC = "f32[a=2, b=3, c=4]"
wide = [(AB, x), ("f32[b=3, c=4]", y)]
for name, f in [("add", np.add), ("sub", np.subtract), ("mul", np.multiply), ("div", np.divide),
                ("mod", lambda p, q: p - q * np.floor(p / q)), ("min", np.minimum), ("max", np.maximum)]:
    case(name, name, ABC, wide, f(x[:, :, None], y[None]))
case("pow", "pow", "f32[a=2, b=3, k=2]", [(AB, positive), ("f32[k=2]", [2.5, -1])],
     np.power(positive[:, :, None], np.array([2.5, -1])))
case("pow_negative", "pow", "f32[a=3]", [("f32[a=3]", [-2, -3, -0.5]), ("f32", [3])], [-8, -27, -0.125])
whole = np.array([7, -7, 7, -7, 5, 0]), np.array([2, 2, -2, -2, 0, 3])
case("div_i32", "div", "i32[a=6]", [("i32[a=6]", whole[0]), ("i32[a=6]", whole[1])], [3, -4, -4, 3, 0, 0])
case("mod_i32", "mod", "i32[a=6]", [("i32[a=6]", whole[0]), ("i32[a=6]", whole[1])], [1, 1, -1, -1, 0, 0])
case("add_wraps", "add", "i32[a=1]", [("i32[a=1]", [2147483647]), ("i32", [1])], [-2147483648])
case("add_bools", "add", "i32[a=2]", [("bool[a=2]", [1, 0]), ("bool[a=2]", [1, 1])], [2, 1])
case("mul_mixed", "mul", "f32[a=2]", [("bool[a=2]", [1, 0]), ("f32", [2.5])], [2.5, 0])
case("max_nan", "max", "f32[a=3]", [("f32[a=3]", [np.nan, 1, 2]), ("f32[a=3]", [1, np.nan, 3])], [np.nan, np.nan, 3])
case("min_nan", "min", "f32[a=3]", [("f32[a=3]", [np.nan, 1, 2]), ("f32[a=3]", [1, np.nan, 3])], [np.nan, np.nan, 2])
left, right = np.array([1, 2, 3, np.nan]), np.array([2, 2, 2, np.nan])
for name, f in [("eq", np.equal), ("ne", np.not_equal), ("lt", np.less), ("le", np.less_equal)]:
    case(name, name, "bool[a=4]", [("f32[a=4]", left), ("f32[a=4]", right)], f(left, right))
case("eq_labels", "eq", "bool[class=3, batch=2]", [("i32<class=3>[class=3]", [0, 1, 2]), ("i32<class=3>[batch=2]", [2, 0])],
     [[0, 1], [0, 0], [1, 0]])
for name, f in [("and", np.logical_and), ("or", np.logical_or)]:
    case(name, name, "bool[a=4]", [("bool[a=4]", [0, 0, 1, 1]), ("bool[a=4]", [0, 1, 0, 1])],
         f([0, 0, 1, 1], [0, 1, 0, 1]))
case("select", "select", "f32[b=3, a=2]", [("bool[b=3]", [1, 0, 1]), (AB, x), ("f32", [np.nan])],
     np.where(np.array([1, 0, 1])[:, None] == 1, x.T, np.nan))
case("select_labels", "select", "i32<c=5>[a=2]",
     [("bool[a=2]", [1, 0]), ("i32<c=5>[a=2]", [4, 3]), ("i32<c=5>[a=2]", [1, 2])], [4, 2])
case("broadcast", "broadcast", "f32[b=3, c=2, a=2]", [(AB, x)], np.broadcast_to(x.T[:, None, :], (3, 2, 2)))

# ---- reductions, contractions, indexing, scans ----
t = normal(2, 3, 4)
case("sum", "sum {axes=[a, c]}", "f32[b=3]", [(ABC, t)], t.sum((0, 2)))
case("sum_none", "sum {axes=[]}", AB, [(AB, x)], x)
case("sum_bool", "sum {axes=[a]}", "f32", [("bool[a=4]", [1, 0, 1, 1])], 3)
case("sum_i32", "sum {axes=[a]}", "i32", [("i32[a=3]", [1, -2, 4])], 3)
case("reduce_max", "reduce_max {axes=[c, a]}", "f32[b=3]", [(ABC, t)], t.max((0, 2)))
case("reduce_min", "reduce_min {axes=[b]}", "f32[a=2, c=4]", [(ABC, t)], t.min(1))
case("reduce_max_nan", "reduce_max {axes=[a]}", "f32", [("f32[a=3]", [1, np.nan, 2])], np.nan)
tie = np.array([[1.0, 3, 3], [2, 2, 1], [np.nan, 9, np.nan]])
case("argmax", "argmax {axes=[class]}", "i32<class=3>[batch=3]", [("f32[batch=3, class=3]", tie)], [1, 0, 0])
a, b = normal(2, 3, 4), normal(4, 2, 5)
case("contract", "contract {axes=[k]}", "f32[n=2, i=3, j=5]", [("f32[n=2, i=3, k=4]", a), ("f32[k=4, n=2, j=5]", b)],
     np.einsum("nik,knj->nij", a, b))
case("contract_outer", "contract {axes=[]}", "f32[a=2, b=3, c=4]", wide, x[:, :, None] * y[None])
score, label = normal(3, 4), np.array([3, 0, 1])
case("gather_rows", "gather {axes=[class]}", "f32[batch=3]",
     [("f32[batch=3, class=4]", score), ("i32<class=4>[batch=3]", label)], score[np.arange(3), label])
case("gather_table", "gather {axes=[class]}", "f32[dim=2, batch=3]",
     [("f32[class=4, dim=2]", y[:, :2].repeat(2, 0)[:4]), ("i32<class=4>[batch=3]", label)],
     y[:, :2].repeat(2, 0)[:4][label].T)
order = np.argsort(score, axis=1, kind="stable")
case("gather_order", "gather {axes=[class]}", "f32[batch=3, class=4]",
     [("f32[batch=3, class=4]", score), ("i32<class=4>[batch=3, class=4]", order)], np.sort(score, axis=1))
case("cumsum", "cumsum {axes=[b]}", ABC, [(ABC, t)], np.cumsum(t, 1))
ranks = np.array([[2.0, 1, 2, np.nan, 1], [5, 4, 3, 2, 1]])
case("argsort", "argsort {axis=s, descending=0}", "i32<s=5>[r=2, s=5]", [("f32[r=2, s=5]", ranks)],
     [[1, 4, 0, 2, 3], [4, 3, 2, 1, 0]])
case("argsort_down", "argsort {axis=s, descending=1}", "i32<s=5>[r=2, s=5]", [("f32[r=2, s=5]", ranks)],
     [[0, 2, 1, 4, 3], [0, 1, 2, 3, 4]])

# ---- convolutions ----
def conv(x, w, stride, pad, dilation, groups):
    n, ci, h, wd = x.shape
    co, cg, kh, kw = w.shape
    padded = np.zeros((n, ci, h + 2 * pad[0], wd + 2 * pad[1]))
    padded[:, :, pad[0]:pad[0] + h, pad[1]:pad[1] + wd] = x
    oh = (h + 2 * pad[0] - dilation[0] * (kh - 1) - 1) // stride[0] + 1
    ow = (wd + 2 * pad[1] - dilation[1] * (kw - 1) - 1) // stride[1] + 1
    y = np.zeros((n, co, oh, ow))
    for o, i, j in itertools.product(range(co), range(oh), range(ow)):
        g = o // (co // groups)
        rows = i * stride[0] + np.arange(kh) * dilation[0]
        cols = j * stride[1] + np.arange(kw) * dilation[1]
        patch = padded[:, g * cg:(g + 1) * cg][:, :, rows][:, :, :, cols]
        y[:, o, i, j] = np.einsum("nchw,chw->n", patch, w[o])
    return y


def adjoint(f, shape, g):
    """The adjoint of the linear map f, from its values on the unit vectors."""
    out = np.zeros(shape)
    for index in np.ndindex(*shape):
        unit = np.zeros(shape)
        unit[index] = 1
        out[index] = (f(unit) * g).sum()
    return out


for name, xs, ws, stride, pad, dilation, groups in [
    ("conv2d", (2, 3, 5, 4), (2, 3, 3, 3), (1, 1), (1, 1), (1, 1), 1),
    ("conv2d_odd", (1, 4, 7, 6), (6, 2, 3, 2), (2, 3), (2, 1), (2, 1), 2),
    ("conv2d_1x1", (2, 2, 4, 4), (3, 2, 1, 1), (2, 2), (0, 0), (1, 1), 1),
]:
    cx, cw = normal(*xs), normal(*ws)
    cy = conv(cx, cw, stride, pad, dilation, groups)
    cg = normal(*cy.shape)
    attr = (f"{{axes=[batch, channel, height, width], stride_h={stride[0]}, stride_w={stride[1]}, pad_h={pad[0]}, "
            f"pad_w={pad[1]}, dilation_h={dilation[0]}, dilation_w={dilation[1]}, groups={groups}}}")
    kx = "f32[batch={}, channel={}, height={}, width={}]".format(*xs)
    ky = "f32[batch={}, channel={}, height={}, width={}]".format(*cy.shape)
    kw = "f32[channel_out={}, channel={}, kernel_height={}, kernel_width={}]".format(*ws)
    case(name, f"conv2d {attr}", ky, [(kx, cx), (kw, cw)], cy)
    case(name + "_data_grad", f"conv2d_data_grad {attr}", kx, [(ky, cg), (kw, cw)],
         adjoint(lambda v: conv(v, cw, stride, pad, dilation, groups), xs, cg))
    case(name + "_weight_grad", f"conv2d_weight_grad {attr}", kw, [(kx, cx), (ky, cg)],
         adjoint(lambda v: conv(cx, v, stride, pad, dilation, groups), ws, cg))
    if name == "conv2d":  # other orders of the axes
        tx = "f32[height={2}, width={3}, channel={1}, batch={0}]".format(*xs)
        ty = "f32[height={2}, width={3}, channel={1}, batch={0}]".format(*cy.shape)
        case(name + "_axes", f"conv2d {attr}", ty, [(tx, cx.transpose(2, 3, 1, 0)), (kw, cw)], cy.transpose(2, 3, 1, 0))
        case(name + "_weight_grad_axes", f"conv2d_weight_grad {attr}", kw, [(kx, cx), (ty, cg.transpose(2, 3, 1, 0))],
             adjoint(lambda v: conv(cx, v, stride, pad, dilation, groups), ws, cg))


# ---- pools ----
def pooled_extent(size, k, s, p, ceil):
    out = (size + 2 * p - k + (s - 1 if ceil else 0)) // s + 1
    return out - 1 if ceil and (out - 1) * s >= size + p else out


def pool(x, k, s, p, ceil, count_pad):
    rows, cols = x.shape[-2:]
    oh, ow = (pooled_extent(e, k, s, p, ceil) for e in (rows, cols))
    high, index = np.zeros(x.shape[:-2] + (oh, ow)), np.zeros(x.shape[:-2] + (oh, ow))
    mean = np.zeros(x.shape[:-2] + (oh, ow))
    for lead in np.ndindex(*x.shape[:-2]):
        for i, j in itertools.product(range(oh), range(ow)):
            taps = [(x[lead][i * s - p + u, j * s - p + v], u * k + v) for u in range(k) for v in range(k)
                    if 0 <= i * s - p + u < rows and 0 <= j * s - p + v < cols]
            top = max(t[0] for t in taps)
            high[lead + (i, j)] = top
            index[lead + (i, j)] = min(t[1] for t in taps if t[0] == top)
            area = (min(i * s - p + k, rows + p) - (i * s - p)) * (min(j * s - p + k, cols + p) - (j * s - p))
            mean[lead + (i, j)] = sum(t[0] for t in taps) / (area if count_pad else len(taps))
    return high, index, mean


for name, size, k, s, p, ceil, count_pad in [
    ("plain", (6, 4), 2, 2, 0, False, 1), ("pad", (5, 7), 3, 2, 1, False, 1), ("nocount", (5, 7), 3, 2, 1, False, 0),
    ("ceil", (6, 5), 3, 2, 1, True, 1), ("ceil_nocount", (6, 5), 3, 2, 1, True, 0),
]:
    px = np.round(normal(2, 2, *size) * 2) / 2  # has ties
    high, index, mean = pool(px, k, s, p, ceil, count_pad)
    attr = (f"{{axes=[height, width], kernel_h={k}, kernel_w={k}, stride_h={s}, stride_w={s}, pad_h={p}, pad_w={p}, "
            f"count_pad={count_pad}}}")
    axes = "[batch=2, height={}, width={}, channel=2]"
    kx, ky = axes.format(*size), axes.format(*high.shape[2:])
    last = lambda v: v.transpose(0, 2, 3, 1)
    g = normal(*high.shape)
    case("max_pool_" + name, f"max_pool {attr}", "f32" + ky, [("f32" + kx, last(px))], last(high))
    case("max_pool_index_" + name, f"max_pool_index {attr}", "i32" + ky, [("f32" + kx, last(px))], last(index))
    case("avg_pool_" + name, f"avg_pool {attr}", "f32" + ky, [("f32" + kx, last(px))], last(mean))
    case("avg_pool_grad_" + name, f"avg_pool_grad {attr}", "f32" + kx, [("f32" + ky, last(g))],
         last(adjoint(lambda v: pool(v, k, s, p, ceil, count_pad)[2], px.shape, g)))
    scattered = np.zeros(px.shape)
    for at in np.ndindex(*high.shape):
        u, v = divmod(int(index[at]), k)
        scattered[at[0], at[1], at[2] * s - p + u, at[3] * s - p + v] += g[at]
    case("max_pool_grad_" + name, f"max_pool_grad {attr}", "f32" + kx,
         [("f32" + ky, last(g)), ("i32" + ky, last(index))], last(scattered))

# ---- shapes ----
s = normal(2, 7)
case("slice", "slice {axis=b, start=1, step=2, count=3}", "f32[a=2, b=3]", [("f32[a=2, b=7]", s)], s[:, 1:7:2])
case("slice_back", "slice {axis=b, start=6, step=-3, count=3}", "f32[a=2, b=3]", [("f32[a=2, b=7]", s)], s[:, 6::-3])
padded = np.full((2, 11), -0.5)
padded[:, 2:9:3] = x
case("pad", "pad {axis=b, low=2, high=2, interior=2, value=-0.5}", "f32[a=2, b=11]", [(AB, x)], padded)
case("concat", "concat {axes=[b]}", "f32[a=2, b=8]",
     [(AB, x), ("f32[b=3, a=2]", positive.T), ("f32[a=2, b=2]", s[:, :2])], np.concatenate([x, positive, s[:, :2]], 1))
case("rename", "rename {from=[a, b], to=[b, a]}", "f32[b=2, a=3]", [(AB, x)], x)
case("split", "split {axis=b, to=[p, q]}", "f32[a=2, p=2, q=3, c=2]", [("f32[a=2, b=6, c=2]", t.reshape(2, 6, 2))],
     t.reshape(2, 2, 3, 2))
case("join", "join {from=[b, c], to=k}", "f32[a=2, k=12]", [(ABC, t)], t.reshape(2, 12))
case("join_order", "join {from=[c, a], to=k}", "f32[b=3, k=8]", [(ABC, t)], t.transpose(1, 2, 0).reshape(3, 8))
case("join_over", "join {from=[a, c], to=c}", "f32[c=8, b=3]", [(ABC, t)], t.transpose(0, 2, 1).reshape(8, 3))

# ---- leaves ----
case("const", "const {value=0.1}", "f32", [], 0.1)
case("iota", "iota", "i32<k=4>[k=4]", [], [0, 1, 2, 3])


def philox(counter, key):
    c, k = list(counter), list(key)
    for _ in range(10):
        p, q = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(q >> 32) ^ c[1] ^ k[0], q & 0xFFFFFFFF, (p >> 32) ^ c[3] ^ k[1], p & 0xFFFFFFFF]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return c


def uniform(stream, index):
    word = philox((index // 4, stream, STEP, 0), (SEED & 0xFFFFFFFF, SEED >> 32))[index % 4]
    return ((word >> 9) + 0.5) / 2**23


case("uniform", "uniform {stream=3}", "f32[a=2, b=5]", [], [uniform(3, i) for i in range(10)])
