"""Runs one reference function in double precision and records inputs, value and gradients."""
import os

import numpy as np
import torch

import st


def loss_case(folder, cases, file, loss, tag, inputs, reference, sets=None, tol32=2e-5, tol64=1e-9, no_gradient=()):
    """inputs: name -> numpy array (float32 or int64; a Python number becomes an F32 scalar). reference(tensors) -> scalar.
    The gradient for a float input the reference does not reach is zeros. `no_gradient`: class counts and trainer scalars."""
    stored = {n: (np.float32(v) if isinstance(v, (int, float)) else v) for n, v in inputs.items()}
    tensors = {}
    for name, value in stored.items():
        t = torch.tensor(np.asarray(value))
        if t.is_floating_point():
            t = t.double()
            t.requires_grad_(name not in no_gradient)
        tensors[name] = t
    value = reference(tensors)
    value.backward()
    expected = {"loss": np.float64(value.item())}
    for name, t in tensors.items():
        if t.requires_grad:
            expected["grad." + name] = np.zeros(t.shape) if t.grad is None else t.grad.numpy()
    for name, array in expected.items():
        assert np.isfinite(array).all(), (tag, name)
    st.save(os.path.join(folder, tag + ".in.safetensors"), stored)
    st.save(os.path.join(folder, tag + ".out.safetensors"), expected)
    joined = ",".join(f"{k}={v}" for k, v in (sets or {}).items()) or "-"
    cases.append(("loss", tag, file, loss, tag + ".in", "-", 0, tag + ".out", tol32, tol64, joined))
