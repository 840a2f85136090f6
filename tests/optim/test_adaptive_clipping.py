"""Adaptive gradient clipping: unit by unit against the paper's formula, and against optax."""

from __future__ import annotations

import importlib.util
import math

import numpy as np
import pytest

import tinygrad_adam as tg
from tinygrad_adam import errors, nn, optim

SHAPES = [(), (5,), (4, 3), (1, 6), (6, 2, 3), (4, 3, 2, 2), (3, 2, 2, 2, 2)]
SETTINGS = [{}, {"clip_factor": 0.5}, {"clip_factor": 0.3, "eps": 2.0}, {"clip_factor": 100.0}]


def arrays(shape, seed, dtype=np.float64):
    """Return weights and gradients whose units have norms of very different size."""
    rng = np.random.default_rng(seed)
    scale = 10.0 ** rng.uniform(-5, 1, (2, *shape[:1], *[1] * (len(shape) - 1)))
    return (scale * rng.normal(size=(2, *shape))).astype(dtype)


def by_hand(weight, gradient, clip_factor=0.01, eps=1e-3):
    """Equation 3 of the paper, one unit after the other, in Python floats."""
    result = np.array(gradient)
    for i in np.ndindex(weight.shape[:1] if weight.ndim > 1 else ()):
        g = math.sqrt(math.fsum(float(v) ** 2 for v in np.ravel(gradient[i])))
        w = max(math.sqrt(math.fsum(float(v) ** 2 for v in np.ravel(weight[i]))), eps)
        if g / w > clip_factor:
            result[i] = clip_factor * w / g * gradient[i]
    return result


def clipped(weight, gradient, **settings):
    p = nn.Parameter(weight)
    p.grad = gradient.copy()
    optim.clip_grad_adaptive_([p], **settings)
    assert np.array_equal(p.detach().numpy(), weight)
    return p.grad.numpy()


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_unit_is_by_hand(shape, settings):
    for seed in range(8):
        weight, gradient = arrays(shape, seed)
        wanted = by_hand(weight, gradient, **settings)
        np.testing.assert_allclose(clipped(weight, gradient, **settings), wanted, rtol=1e-12)


@pytest.mark.skipif(importlib.util.find_spec("optax") is None, reason="optax is not installed")
@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("shape", SHAPES[1:], ids=str)
def test_optax(shape, settings):
    optax = pytest.importorskip("optax")
    # Its layouts have the outputs last, and its rule for three axes is for attention; so the axes are named.
    axes = tuple(range(1, len(shape))) or (0,)
    peer = optax.adaptive_grad_clip(
        settings.get("clip_factor", 0.01), **{k: v for k, v in settings.items() if k == "eps"}, axis=axes
    )
    for seed in range(4):
        weight, gradient = arrays(shape, seed, np.float32)
        wanted, _ = peer.update(gradient, peer.init(weight), weight)
        found = clipped(weight, gradient, **settings)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, np.asarray(wanted), rtol=1e-5)


def test_what_is_within_the_limit_is_not_touched():
    weight = np.array([[3.0, 4.0], [3.0, 4.0]])
    gradient = np.array([[0.03, 0.04], [0.3, 0.4]])
    found = clipped(weight, gradient, clip_factor=0.02)
    assert np.array_equal(found[0], gradient[0])
    np.testing.assert_allclose(found[1], [0.06, 0.08])


def test_no_gradient_and_a_gradient_of_zeros():
    params = [nn.Parameter(np.zeros((2, 2))), nn.Parameter(np.ones((2, 2)))]
    params[0].grad = np.zeros((2, 2))
    optim.clip_grad_adaptive_(iter(params))
    assert params[0].grad.tolist() == [[0, 0], [0, 0]]
    assert params[1].grad is None


def test_a_single_parameter_in_flat_storage():
    params = [nn.Parameter(np.full((2, 2), 3.0)), nn.Parameter(np.ones(2))]
    optim.Adam(params)
    (sum((p * p).sum() for p in params) * 50).backward()
    optim.clip_grad_adaptive_(params[0], clip_factor=0.5)
    np.testing.assert_allclose(params[0].grad.numpy(), np.full((2, 2), 1.5))
    np.testing.assert_allclose(params[1].grad.numpy(), [100.0, 100.0])


def test_a_gradient_that_is_differentiated_is_noticed():
    p = nn.Parameter(np.ones((2, 2)))
    (p**3).sum().backward(create_graph=True)
    penalty = (p.grad**2).sum()
    optim.clip_grad_adaptive_([p])
    with pytest.raises(tg.errors.GraphError, match="changed in place"):
        penalty.backward()


@pytest.mark.parametrize("name", ["clip_factor", "eps"])
@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
def test_settings_must_be_positive(name, value):
    message = f"clip_grad_adaptive_: {name} must be a finite number > 0\n  {name}  {value}"
    with pytest.raises(errors.OptionError, match=message):
        optim.clip_grad_adaptive_([nn.Parameter([1.0])], **{name: value})
