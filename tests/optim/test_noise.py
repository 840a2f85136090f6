"""Gradient noise: how large it is, that it is normal, that a seed fixes it, wrong use."""

from __future__ import annotations

import math

import numpy as np
import pytest

import tinygrad_adam as tg
from tinygrad_adam import errors, nn, optim

COUNT = 200_000


def noise(step, seed=0, dtype=np.float64, size=COUNT, **settings):
    """Return what is added to a gradient of ones."""
    p = nn.Parameter(np.zeros(size, dtype))
    p.grad = np.ones(size, dtype)
    with tg.fork_rng(seed):
        optim.add_grad_noise_([p], step, **settings)
    return p.grad.numpy() - 1


@pytest.mark.parametrize("step", [0, 1, 10, 1000])
@pytest.mark.parametrize("settings", [{}, {"eta": 0.01}, {"eta": 1.0, "gamma": 1.0}])
def test_mean_and_variance(step, settings):
    eta, gamma = settings.get("eta", 0.3), settings.get("gamma", 0.55)
    variance = eta / (1 + step) ** gamma
    found = noise(step, **settings)
    # The seed is fixed, so this passes always or never. Six deviations: of the mean of n numbers
    # sigma / sqrt(n), of their variance sigma^2 * sqrt(2 / n).
    assert abs(found.mean()) < 6 * math.sqrt(variance / COUNT)
    assert abs(found.var() / variance - 1) < 6 * math.sqrt(2 / COUNT)


def test_it_is_normal_and_independent():
    found = noise(3) / math.sqrt(0.3 / 4**0.55)
    for within, share in [(0.5, 0.3829), (1.0, 0.6827), (2.0, 0.9545), (3.0, 0.9973)]:
        assert abs((np.abs(found) < within).mean() - share) < 6 * math.sqrt(0.25 / COUNT)
    assert abs(np.corrcoef(found[:-1], found[1:])[0, 1]) < 6 / math.sqrt(COUNT)


def test_a_seed_fixes_it():
    assert np.array_equal(noise(5, seed=1), noise(5, seed=1))
    assert not np.array_equal(noise(5, seed=1), noise(5, seed=2))
    np.testing.assert_allclose(noise(5, dtype=np.float32), noise(5), atol=1e-6)
    with tg.fork_rng(7):
        wanted = np.random.default_rng(7).standard_normal(10) * math.sqrt(0.3)
    np.testing.assert_allclose(noise(0, seed=7, size=10), wanted, rtol=1e-12)


def test_gradients_get_noise_of_their_own_and_others_none():
    params = [nn.Parameter(np.zeros((2, 3), np.float32)) for _ in range(3)]
    optim.SGD(params)
    params[0].grad, params[2].grad = np.zeros((2, 3)), np.zeros((2, 3))
    with tg.fork_rng(0):
        optim.add_grad_noise_(iter(params), 0)
    first, none, last = (p.grad for p in params)
    assert none is None
    assert first.dtype == np.float32
    assert len({*first.numpy().ravel(), *last.numpy().ravel()}) == 12
    with tg.fork_rng(0):
        optim.add_grad_noise_(params[0], 0, eta=0.0)
    assert np.array_equal(params[0].grad.numpy(), first.numpy())


def test_a_gradient_that_is_differentiated_is_noticed():
    p = nn.Parameter(np.ones(2))
    (p**3).sum().backward(create_graph=True)
    penalty = (p.grad**2).sum()
    optim.add_grad_noise_([p], 0)
    with pytest.raises(errors.GraphError, match="changed in place"):
        penalty.backward()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"step": -1}, "step must be an integer >= 0: the steps taken so far\n  step  -1"),
        ({"step": 1.5}, "step  1.5"),
        ({"step": 0, "eta": -0.1}, "eta must be a finite number >= 0\n  eta  -0.1"),
        ({"step": 0, "eta": math.inf}, "eta  inf"),
        ({"step": 0, "gamma": math.nan}, "gamma must be a finite number >= 0\n  gamma  nan"),
    ],
)
def test_wrong_use(settings, message):
    with pytest.raises(errors.OptionError, match=f"(?s)add_grad_noise_.*{message}"):
        optim.add_grad_noise_([nn.Parameter([1.0])], **settings)
