"""PyTorch where gradients are masked: it selects where this package does, but for a few places."""

from __future__ import annotations

import math

import numpy as np
import pytest

import tinygrad_adam as tg
import tinygrad_adam.nn.functional as F
from tinygrad_adam import ops

torch = pytest.importorskip("torch", reason="PyTorch is not installed: nothing to compare with")

pytestmark = pytest.mark.torch
G = torch.nn.functional

INF, NAN = math.inf, math.nan
X = [-2.0, -1.0, 0.0, 1.0, 2.0, 3.0, NAN]
ARRIVING = [INF, NAN, 1.0, 2.0, INF, 3.0, 4.0]

SAME = {
    "relu": (F.relu, G.relu),
    "leaky_relu": (F.leaky_relu, G.leaky_relu),
    "clip": (lambda x: ops.clip(x, min=-1.0, max=2.0), lambda x: x.clamp(-1, 2)),
    "clip from below": (lambda x: ops.clip(x, min=0.5), lambda x: x.clamp(min=0.5)),
    "clip, min > max": (lambda x: ops.clip(x, min=2.0, max=1.0), lambda x: x.clamp(2, 1)),
    "clip, min is NaN": (lambda x: ops.clip(x, min=NAN, max=1.0), lambda x: x.clamp(NAN, 1)),
    "maximum": (lambda x: ops.maximum(x, 0.0), lambda x: torch.maximum(x, torch.zeros(()).double())),
    "minimum": (lambda x: ops.minimum(x, 0.0), lambda x: torch.minimum(x, torch.zeros(()).double())),
    "max_pool2d": (
        lambda x: F.max_pool2d(x[None, None, None], (1, 2))[0, 0, 0],
        lambda x: G.max_pool2d(x[None, None, None], (1, 2))[0, 0, 0],
    ),
    "elu": (F.elu, G.elu),
}


@pytest.mark.parametrize("kernels", ["fast", "reference"])
@pytest.mark.parametrize("name", SAME)
def test_the_gradient_is_that_of_pytorch(name, kernels):
    ours, theirs = SAME[name]
    x, t = tg.tensor(X, dtype="float64", requires_grad=True), torch.tensor(X).double().requires_grad_()
    with tg.use_kernels(kernels), np.errstate(invalid="ignore"):
        y = ours(x)
        z = theirs(t)
        np.testing.assert_array_equal(y.data, z.detach())
        y.backward(np.array(ARRIVING[: y.size]))
        z.backward(torch.tensor(ARRIVING[: y.size]).double())
    np.testing.assert_allclose(x.grad.data, t.grad, rtol=1e-14)


@pytest.mark.parametrize("name", ["mse_loss", "l1_loss", "huber_loss"])
def test_a_slope_of_zero_at_one_point_is_a_factor_in_both(name):
    x, t = tg.tensor([0.0, 1.0], requires_grad=True), torch.tensor([0.0, 1.0], requires_grad=True)
    with np.errstate(invalid="ignore"):
        getattr(F, name)(x, np.zeros(2), reduction="none").backward(np.array([INF, INF]))
    getattr(G, name)(t, torch.zeros(2), reduction="none").backward(torch.tensor([INF, INF]))
    np.testing.assert_array_equal(x.grad.data, t.grad)
    assert math.isnan(t.grad[0])


def test_pytorch_gives_nan_where_this_package_gives_zero():
    minus = torch.tensor([-1.0], requires_grad=True)
    G.leaky_relu(minus, 0.0).backward(torch.tensor([INF]))
    assert minus.grad.isnan().all()  # a slope of 0 is multiplied
    rows = torch.tensor([[0.0, NAN]], requires_grad=True)
    G.cross_entropy(rows, torch.tensor([-100]), reduction="sum").backward()
    assert rows.grad.isnan().all()  # the row that is ignored reaches the softmax
    far = torch.tensor([1e20], requires_grad=True)
    G.gelu(far, approximate="tanh").backward()
    assert far.grad.isnan().all()  # its powers overflow


FAR = [-1e20, -1e10, -(2.0**25), -100.0, -30.0, -16.0, -3.0, 0.0, 3.0, 16.0, 30.0, 100.0, 2.0**25, 1e10, 1e20]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["relu", "leaky_relu", "elu", "sigmoid", "softplus", "silu", "gelu", "tanh"])
def test_activations_far_out(name, dtype):
    x = tg.tensor(FAR, dtype=dtype, requires_grad=True)
    t = torch.tensor(FAR, dtype=torch.float64, requires_grad=True)
    exact = {"softplus": lambda t: torch.logaddexp(t, t * 0)}  # PyTorch's own is a line from 20 on
    ours, theirs = getattr(F, name)(x), exact.get(name, getattr(torch, name, getattr(G, name, None)))(t)
    ours.sum().backward()
    theirs.sum().backward()
    eps = float(np.finfo(dtype).eps)
    np.testing.assert_allclose(ours.data, theirs.detach(), rtol=8 * eps, atol=8 * eps)
    np.testing.assert_allclose(x.grad.data, t.grad, rtol=8 * eps, atol=8 * eps)
    if name == "gelu":
        x.grad = None
        F.gelu(x, approximate="tanh").sum().backward()
        wanted = np.where(np.abs(FAR) > 10, np.sign(FAR) > 0, x.grad.data)
        np.testing.assert_allclose(x.grad.data, wanted, atol=8 * eps)
