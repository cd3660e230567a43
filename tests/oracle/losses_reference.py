"""Every loss of models/losses.fbl, written independently in PyTorch the way the official codes write it."""
import math

import numpy as np
import torch
import torch.nn.functional as F

from recorder import loss_case
from torch_resnet import CIFAR10_LT, feature_balanced

COUNT = np.array(CIFAR10_LT, np.float32)
FILE = "../../models/losses.fbl"


def effective(count, beta):
    weights = (1.0 - beta) / (1.0 - torch.pow(torch.tensor(beta, dtype=torch.float64), count))
    return weights / weights.sum() * len(count)


def deferred(count, epoch, start=160, beta=0.9999):
    return effective(count, beta) if epoch >= start else torch.ones_like(count)


def focal(q, gamma, detach):
    p = torch.exp(-q)
    factor = (1 - p) ** gamma
    return ((factor.detach() if detach else factor) * q).mean()


def ldam(z, y, count, weight, max_m=0.5, s=30):
    m = 1.0 / torch.sqrt(torch.sqrt(count))
    m = m * (max_m / m.max())
    index = torch.zeros_like(z, dtype=torch.bool).scatter_(1, y.view(-1, 1), True)
    batch_m = torch.matmul(m[None, :], index.double().transpose(0, 1)).view(-1, 1)
    return F.cross_entropy(s * torch.where(index, z - batch_m, z), y, weight=weight)


def clouded(z, y, count, noise, noise_mul=0.5, s=30):
    m = count.log().max() - count.log()
    eps = (noise / 3).clamp(-1, 1)
    return F.cross_entropy(s * (z - noise_mul * eps.abs() / m.max() * m), y)


def equalization(z, y, count, draw, gamma=0.9, threshold=3e-3):
    rare = (count / count.sum() < threshold).double()
    onehot = F.one_hot(y, z.shape[1]).double()
    w = 1 - (draw < gamma).double() * rare * (1 - onehot)
    top = z.max(1, keepdim=True).values.detach()
    return (((w * (z - top).exp()).sum(1).log() + top[:, 0]) - z.gather(1, y[:, None])[:, 0]).mean()


def seesaw(z, y, seen, p=0.8, q=2.0, eps=1e-2):
    onehot = F.one_hot(y, z.shape[1]).double()
    weights = torch.ones_like(z)
    n = seen.detach().clamp(min=1)
    matrix = n[None, :] / n[:, None]
    index = (matrix < 1).double()
    weights = weights * (matrix.pow(p) * index + (1 - index))[y]
    scores = F.softmax(z.detach(), 1)
    own = scores[torch.arange(len(y)), y]
    matrix = scores / own[:, None].clamp(min=eps)
    index = (matrix > 1).double()
    weights = weights * (matrix.pow(q) * index + (1 - index))
    return F.cross_entropy(z + weights.log() * (1 - onehot), y)


def smoothing(z, y, count, head=0.4, tail=0.1):
    n1, nk = count.max(), count.min()
    curve = tail + (head - tail) * torch.sin((count - nk) * math.pi / (2 * (n1 - nk)))
    eps = curve[y]
    logp = F.log_softmax(z, -1)
    nll = -logp.gather(1, y.unsqueeze(1)).squeeze(1)
    return ((1 - eps) * nll + eps * -logp.mean(-1)).mean()


def record(folder, cases):
    rng = np.random.RandomState(11)
    label = np.array([0, 9, 3, 1, 0, 7, 5], np.int64)
    score = (2 * rng.randn(7, 10)).astype(np.float32)
    cosine = (0.3 * rng.randn(7, 10)).clip(-0.95, 0.95).astype(np.float32)
    feature = np.abs(rng.randn(7, 6)).astype(np.float32)
    noise = (1.5 * rng.randn(7, 10)).astype(np.float32)
    draw = rng.rand(7, 10).astype(np.float32)
    seen = np.array([120, 40, 33, 20, 0, 9, 2, 1, 0, 3], np.float32)
    base = {"score": score, "label": label}
    counted = dict(base, class_count=COUNT)
    trainer = ("class_count", "epoch", "epochs")

    def case(name, inputs, reference, tag=None, sets=None, **more):
        loss_case(folder, cases, FILE, name, "loss_" + (tag or name), inputs, reference, sets, no_gradient=trainer, **more)

    mean_count = lambda t: (1 / t["class_count"]) / (1 / t["class_count"]).sum()
    case("ce", base, lambda t: F.cross_entropy(t["score"], t["label"]))
    case("ce", dict(score=score * np.float32(60), label=label), lambda t: F.cross_entropy(t["score"], t["label"]), tag="ce_large")
    case("ce_inverse", counted, lambda t: F.cross_entropy(t["score"], t["label"], mean_count(t)))
    case("class_balanced", counted, lambda t: F.cross_entropy(t["score"], t["label"], effective(t["class_count"], 0.9999)))
    case("class_balanced", counted, lambda t: F.cross_entropy(t["score"], t["label"], effective(t["class_count"], 0.99)),
         tag="class_balanced_99", sets={"loss.beta": 0.99})
    for epoch in (159, 160):
        case("drw", dict(counted, epoch=epoch), lambda t: F.cross_entropy(t["score"], t["label"], deferred(t["class_count"], t["epoch"].item())),
             tag=f"drw_{epoch}")
        case("ldam_drw", dict(counted, score=cosine, epoch=epoch),
             lambda t: ldam(t["score"], t["label"], t["class_count"], deferred(t["class_count"], t["epoch"].item())), tag=f"ldam_drw_{epoch}")
    each = lambda t: F.cross_entropy(t["score"], t["label"], reduction="none")
    case("focal", base, lambda t: focal(each(t), 1, True))
    case("focal", base, lambda t: focal(each(t), 2.5, True), tag="focal_2.5", sets={"loss.gamma": 2.5})
    case("focal_full", base, lambda t: focal(each(t), 1, False))
    case("focal_full", base, lambda t: focal(each(t), 2, False), tag="focal_full_2", sets={"loss.gamma": 2})
    case("focal_class_balanced", counted, lambda t: focal(F.cross_entropy(
        t["score"], t["label"], reduction="none", weight=effective(t["class_count"], 0.9999)), 1, False))
    case("ldam", dict(counted, score=cosine), lambda t: ldam(t["score"], t["label"], t["class_count"], None))
    case("balanced_softmax", counted, lambda t: F.cross_entropy(t["score"] + t["class_count"].log(), t["label"]))
    prior = lambda t: (t["class_count"] / t["class_count"].sum()).log()
    case("logit_adjustment", counted, lambda t: F.cross_entropy(t["score"] + prior(t), t["label"]))
    case("logit_adjustment", counted, lambda t: F.cross_entropy(t["score"] + 1.75 * prior(t), t["label"]), tag="logit_adjustment_1.75",
         sets={"loss.tau": 1.75})
    balanced = dict(counted, feature=feature, epochs=200)
    for epoch in (0, 100, 199):
        case("feature_balanced", dict(balanced, epoch=epoch), lambda t: feature_balanced(
            t["feature"], t["score"], t["label"], t["class_count"], t["epoch"], t["epochs"]), tag=f"feature_balanced_{epoch}")
    case("feature_balanced", dict(balanced, epoch=57), lambda t: feature_balanced(
        t["feature"], t["score"], t["label"], t["class_count"], t["epoch"], t["epochs"], 20.0), tag="feature_balanced_lambda", sets={"loss.lambda": 20})
    case("feature_balanced", dict(balanced, epoch=100, class_count=np.full(10, 500, np.float32)),
         lambda t: F.cross_entropy(t["score"], t["label"]) + 0 * t["feature"].sum(), tag="feature_balanced_even")
    case("feature_balanced_weighted", dict(balanced, epoch=100), lambda t: feature_balanced(
        t["feature"], t["score"], t["label"], t["class_count"], t["epoch"], t["epochs"], weight=effective(t["class_count"], 0.9999)))
    case("gaussian_clouded_given", dict(counted, score=cosine, noise=noise),
         lambda t: clouded(t["score"], t["label"], t["class_count"], t["noise"]))
    case("equalization_given", dict(counted, draw=draw), lambda t: equalization(t["score"], t["label"], t["class_count"], t["draw"]))
    case("equalization_given", dict(counted, draw=draw), lambda t: equalization(t["score"], t["label"], t["class_count"], t["draw"], 0.5, 0.05),
         tag="equalization_given_half", sets={"loss.gamma": 0.5, "loss.threshold": 0.05})
    case("seesaw_given", dict(base, seen=seen), lambda t: seesaw(t["score"], t["label"], t["seen"]))
    case("seesaw", base, lambda t: seesaw(t["score"], t["label"], torch.bincount(t["label"], minlength=10).double()))
    case("label_aware_smoothing", counted, lambda t: smoothing(t["score"], t["label"], t["class_count"]))
    two = dict(score_a=score, score_b=cosine * np.float32(7), weight=np.float32(0.25), label=label, class_count=COUNT)
    loss_case(folder, cases, "losses_extra.fbl", "two_heads", "loss_two_heads", two, lambda t: (
        F.cross_entropy(t["score_a"] + t["class_count"].log(), t["label"]) + t["weight"] * F.cross_entropy(t["score_b"], t["label"])),
        no_gradient=trainer)
    half = dict(score=score, teacher=cosine * np.float32(5), label=label)
    loss_case(folder, cases, "losses_extra.fbl", "distilled", "loss_distilled", half, lambda t: (
        0.5 * F.cross_entropy(t["score"], t["label"]) + 0.5 * 4 * F.kl_div(
            F.log_softmax(t["score"] / 2, 1), F.softmax(t["teacher"] / 2, 1).detach(), reduction="batchmean")))
    head = dict(feature=feature, prototype=rng.randn(10, 6).astype(np.float32), label=label, class_count=COUNT)
    loss_case(folder, cases, "losses_extra.fbl", "cosine_ldam", "loss_cosine_ldam", head, lambda t: ldam(
        F.linear(F.normalize(t["feature"]), F.normalize(t["prototype"], dim=1)), t["label"], t["class_count"], None), no_gradient=trainer)
