"""What a rule leaves out is selected: an infinite gradient times 0 would be NaN.

Each function here does not depend on some elements of its input. Their gradient is 0 whatever arrives there,
even infinities and NaN, as in PyTorch; `test_selecting_torch.py` says where PyTorch itself gives NaN.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

import tinygrad_adam as tg
import tinygrad_adam.nn.functional as F
from tinygrad_adam import nn, ops
from tinygrad_adam.ops.activation import relu_vjp

cpu = pytest.importorskip("tinygrad_adam.kernels.cpu.elementwise", reason="Numba is not installed")

KERNELS = ("fast", "reference")
LARGE = cpu._FEW + 3


def ignored(loss, **settings):
    """Take the loss of three classes, of which the row is ignored where x < 0."""

    def apply(x):
        zeros = ops.zeros_like(x)
        rows = ops.stack([zeros, zeros, x], axis=1)
        labels = np.where(x.data < 0, -100, 2)
        return loss(rows, labels, reduction="none", **settings)

    return apply


LEFT_OUT = {
    "relu": F.relu,
    "leaky_relu without a slope": lambda x: F.leaky_relu(x, negative_slope=0.0),
    "linear and relu": lambda x: ops.linear(x[:, None], np.ones((1, 1)), activation="relu")[:, 0],
    "conv2d and relu": lambda x: ops.conv2d(
        x[None, None, None], np.ones((1, 1, 1, 1)), np.zeros(1), activation="relu"
    )[0, 0, 0],
    "clip": lambda x: ops.clip(x, min=0.0),
    "maximum": lambda x: ops.maximum(x, np.zeros(x.shape)),
    "minimum": lambda x: ops.minimum(-x, np.zeros(x.shape)),
    "where": lambda x: ops.where(x.data > 0, x, 1.0),
    "max": lambda x: ops.max(ops.stack([x, ops.zeros_like(x)], axis=0), axis=0),
    "max_pool2d": lambda x: F.max_pool2d(ops.stack([x, ops.zeros_like(x)], axis=1)[None, None], (1, 2))[
        0, 0, :, 0
    ],
    "hinge_loss": lambda x: F.hinge_loss(1 - x, np.ones(x.shape), reduction="none"),
    "cross_entropy": ignored(F.cross_entropy),
    "cross_entropy, smoothed": ignored(F.cross_entropy, label_smoothing=0.1),
    "cross_entropy, a class without weight": lambda x: F.cross_entropy(
        ops.stack([x, ops.zeros_like(x)], axis=1),
        (x.data > 0).astype(int),
        weight=[0.0, 1.0],
        reduction="none",
    ),
    "nll_loss": ignored(F.nll_loss),
    "kl_div": lambda x: F.kl_div(x, np.maximum(x.data, 0), reduction="none"),
}


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize(
    ("name", "size"),
    [*((name, 3) for name in LEFT_OUT), *((name, LARGE) for name in LEFT_OUT if "relu" in name)],
)
def test_what_is_left_out_gets_zero_whatever_arrives(name, kernels, size):
    x = tg.tensor(np.resize([-1.0, 2.0, -3.0], size), dtype="float64", requires_grad=True)
    with tg.use_kernels(kernels), np.errstate(invalid="ignore"):  # NumPy sees a product that is not taken
        y = LEFT_OUT[name](x)
        y.backward(np.resize([math.inf, 1.0, math.nan], size))
    left_out = x.data < 0
    np.testing.assert_array_equal(x.grad.data[left_out], 0)
    assert np.isfinite(x.grad.data).all()
    assert (x.grad.data[~left_out] != 0).all()


def test_the_root_of_a_relu():
    x = tg.tensor([-1.0, 4.0], requires_grad=True)
    with np.errstate(divide="ignore"):
        x.relu().sqrt().sum().backward()
    assert x.grad.tolist() == [0, 0.25]


def test_a_recorded_pass_selects():
    w = tg.tensor([-1.0, 4.0], requires_grad=True)

    @tg.recorded
    def loss(x):
        return (w * x).relu().sqrt().sum()

    with np.errstate(divide="ignore"):
        for _ in range(4):
            w.grad = None
            loss(tg.tensor([1.0, 1.0]))
            assert w.grad.tolist() == [0, 0.25]


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("drop", [F.dropout, F.dropout2d])
def test_dropped_places_forget_infinities(drop, kernels):
    x = tg.tensor(np.full((4, 8, 3), math.inf), requires_grad=True)
    with tg.use_kernels(kernels), tg.random.fork_rng(0), np.errstate(invalid="ignore"):
        y = drop(x, 0.5)
        y.backward(np.full(x.shape, math.inf))
    assert set(np.unique(y.data)) == set(np.unique(x.grad.data)) == {0, math.inf}
    np.testing.assert_array_equal(y.data, x.grad.data)


@pytest.mark.parametrize("size", [6, 6 * cpu._FEW])
def test_the_gradient_of_relu_in_any_layout(size):
    """Both kernels select, in whatever order the arrays lie."""
    y = np.resize([0.0, 1.0, math.nan, math.inf, -0.0, 2.0], size)
    g = np.resize([math.inf, 2.0, 3.0, 4.0, math.nan, 5.0], size)
    wanted = np.resize([0.0, 2.0, 3.0, 4.0, 0.0, 5.0], size)
    square = (size // 3, 3)
    for dtype in (np.float32, np.float64):
        for lay in (np.ascontiguousarray, np.asfortranarray, lambda a: np.repeat(a, 2, axis=0)[::2]):
            first, second = lay(g.astype(dtype).reshape(square)), y.astype(dtype).reshape(square)
            for kernel in (cpu.relu_vjp, lambda *args: relu_vjp.forward(np, *args)):
                found = kernel(first, second)
                assert found.dtype == dtype
                np.testing.assert_array_equal(found, wanted.reshape(square))


def test_nothing_is_selected_for_nan_itself():
    """A NaN stays NaN on the way, and lets the gradient pass, as in PyTorch."""
    for kernels in KERNELS:
        with tg.use_kernels(kernels):
            x = tg.tensor([math.nan], requires_grad=True)
            for f in (F.relu, nn.ReLU(), lambda x: ops.maximum(x, 0.0), lambda x: ops.minimum(x, 0.0), F.elu):
                x.grad = None
                y = f(x)
                y.sum().backward()
                assert math.isnan(y.item())
                assert x.grad.tolist() == [1]
