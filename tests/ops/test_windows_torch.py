"""Pools, resizing and norms beside PyTorch, on random settings: what is refused, values and gradients."""

from __future__ import annotations

import math

import numpy as np
import pytest

import tinygrad_adam as tg

torch = pytest.importorskip("torch", reason="PyTorch is not installed: nothing to compare with")

pytestmark = pytest.mark.torch
F = torch.nn.functional


def compare(ours, theirs, x, *args, **settings):
    """Hold value and gradient against PyTorch's, or that both refuse."""
    a, b = tg.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    try:
        expected = theirs(b, *args, **settings)
    except RuntimeError:
        with pytest.raises(tg.errors.TinygradAdamError):
            ours(a, *args, **settings)
        return
    found = ours(a, *args, **settings)
    weights = np.random.default_rng(0).standard_normal(tuple(expected.shape))
    (found * weights).sum().backward()
    (expected * torch.tensor(weights)).sum().backward()
    np.testing.assert_allclose(found.detach().numpy(), expected.detach().numpy(), 1e-10, 1e-10)
    np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), 1e-10, 1e-10)


def two(rng, low, high):
    return tuple(int(n) for n in rng.integers(low, high, 2))


@pytest.mark.parametrize("kernels", ["fast", "reference"])
@pytest.mark.parametrize("seed", range(25))
def test_pools(seed, kernels):
    """Windows as large as the image and larger, with `ceil_mode` and padding along either axis."""
    rng = np.random.default_rng(seed)
    for _ in range(5):
        x = rng.standard_normal((1, 2, *two(rng, 1, 7)))
        kernel, stride, padding, dilation = two(rng, 1, 6), two(rng, 1, 6), two(rng, 0, 3), two(rng, 1, 3)
        # PyTorch 2.13 writes outside its memory for windows that dilation takes beyond the image.
        padding = tuple(map(min, padding, (k // 2 for k in kernel))) if seed % 3 else padding
        dilation = (1, 1) if any(padding) else dilation
        more = {"stride": stride, "padding": padding, "ceil_mode": bool(rng.random() < 0.7)}
        with tg.use_kernels(kernels):
            compare(tg.max_pool2d, F.max_pool2d, x, kernel, dilation=dilation, **more)
            more["count_include_pad"] = bool(rng.random() < 0.5)
            compare(tg.avg_pool2d, F.avg_pool2d, x, kernel, **more)


@pytest.mark.parametrize("seed", range(20))
def test_resizing(seed):
    rng = np.random.default_rng(seed)
    for mode in ("nearest", "bilinear"):
        x = rng.standard_normal((1, 2, *two(rng, 1, 9)))
        settings = {"mode": mode}
        if seed % 2:
            settings["size"] = two(rng, 1, 15)
        else:
            # Some of them change nothing, or double the size, but for what is rounded down.
            factors = [0.5, 1.0, 1.1, 1.25, 1.5, 2.0, 2.1, 3.0, 0.7, 1 / 3]
            settings["scale_factor"] = tuple(float(f) for f in rng.choice(factors, 2))
        if mode == "bilinear":
            settings["align_corners"] = bool(rng.random() < 0.5)
        compare(tg.interpolate, F.interpolate, x, **settings)
        compare(tg.adaptive_avg_pool2d, F.adaptive_avg_pool2d, x, two(rng, 1, 9))


@pytest.mark.parametrize("order", [2, 1, 3, 4, 1.5, 0.5, 0.3, -1, -2, -0.5, math.inf, -math.inf])
@pytest.mark.parametrize("axis", [None, 0, (0, 2), -1])
def test_norms(order, axis):
    x = np.random.default_rng(4).standard_normal((3, 4, 5))
    compare(tg.norm, torch.linalg.vector_norm, x, order, axis)
    x[0], x[1, 2, 3] = 0, 0
    if order > 0:
        compare(tg.norm, torch.linalg.vector_norm, x, order, axis)
