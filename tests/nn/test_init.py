"""Initial weights."""

from __future__ import annotations

import math

import numpy as np
import pytest
from modules import same_state

import tinygrad_adam as tg
from tinygrad_adam import errors, nn
from tinygrad_adam.nn import init


def draw(function, *shape, **settings):
    with tg.fork_rng(3):
        weight = tg.zeros(shape, dtype=np.float64)
        assert function(weight, **settings) is weight
        return weight.numpy()


def assert_uniform(values, bound):
    """Extremes, mean, variance and all quantiles of a uniform distribution on [-bound, bound]."""
    ordered = np.sort(values.ravel())
    assert np.abs(ordered).max() <= bound
    expected = np.linspace(-bound, bound, ordered.size)
    assert np.abs(ordered - expected).max() < 3 * bound / math.sqrt(ordered.size)


def assert_normal(values, std, mean=0.0):
    n = values.size
    z = (values - mean) / std
    assert abs(z.mean()) < 4 / math.sqrt(n)
    assert abs(z.var() - 1) < 4 * math.sqrt(2 / n)
    assert abs((z**4).mean() - 3) < 4 * math.sqrt(96 / n)


def test_default_weights():
    with tg.fork_rng(0):
        layer = nn.Linear(64, 500)
        assert_uniform(layer.weight.data, 1 / 8)
        assert_uniform(layer.bias.data, 1 / 8)
        assert_normal(nn.Embedding(500, 40).weight.data.astype(float), 1.0)
    for norm in (nn.LayerNorm((2, 3)), nn.BatchNorm1d(4)):
        assert (norm.weight.data == 1).all()
        assert (norm.bias.data == 0).all()


def test_weights_follow_the_seed():
    with tg.fork_rng(0):
        a, b = nn.Linear(3, 3).state_dict(), nn.Linear(3, 3).state_dict()
    with tg.fork_rng(0):
        again = nn.Linear(3, 3).state_dict()
    assert same_state(a, again)
    assert not same_state(a, b)


def test_constant():
    assert (draw(init.constant_, 2, 3, value=0.5) == 0.5).all()


def test_uniform_and_normal():
    assert_uniform(draw(init.uniform_, 40000, low=1.0, high=3.0) - 2, 1.0)
    assert_normal(draw(init.normal_, 40000, mean=2.0, std=0.3), 0.3, 2.0)


def test_truncated_normal():
    values = draw(init.trunc_normal_, 200, 200, std=2.0, low=-2.0, high=2.0)
    assert np.abs(values).max() <= 2
    # The variance of a standard normal distribution cut at one is 1 - 2 phi(1) / (2 Phi(1) - 1).
    density, inside = math.exp(-0.5) / math.sqrt(2 * math.pi), math.erf(1 / math.sqrt(2))
    assert values.var() == pytest.approx(4 * (1 - 2 * density / inside), rel=0.03)
    assert abs(values.mean()) < 0.03
    assert draw(init.trunc_normal_, 1000, mean=1.0, std=5.0, low=0.5, high=1.0).min() >= 0.5
    with pytest.raises(errors.OptionError, match=r"almost none of the distribution\n.*low +8"):
        init.trunc_normal_(tg.zeros(2), low=8.0, high=9.0)


@pytest.mark.parametrize(("mode", "fan"), [("fan_in", 45), ("fan_out", 90)])
def test_kaiming(mode, fan):
    shape = (90, 5, 3, 3) if mode == "fan_in" else (10, 50, 3, 3)
    gain = math.sqrt(2 / (1 + 0.1**2))
    assert_uniform(draw(init.kaiming_uniform_, *shape, a=0.1, mode=mode), gain * math.sqrt(3 / fan))
    assert_normal(draw(init.kaiming_normal_, *shape, a=0.1, mode=mode), gain / math.sqrt(fan))
    relu = draw(init.kaiming_normal_, *shape, mode=mode, nonlinearity="relu")
    assert_normal(relu, math.sqrt(2 / fan))


def test_xavier():
    assert_uniform(draw(init.xavier_uniform_, 100, 200, gain=2.0), 2 * math.sqrt(6 / 300))
    assert_normal(draw(init.xavier_normal_, 30, 20, 2, 2, gain=0.5), 0.5 * math.sqrt(2 / 200))


@pytest.mark.parametrize("shape", [(5, 5), (3, 8), (8, 3), (4, 3, 2, 2), (20, 2, 3)])
def test_orthogonal(shape):
    w = draw(init.orthogonal_, *shape, gain=1.5).reshape(shape[0], -1)
    gram = w @ w.T if w.shape[0] <= w.shape[1] else w.T @ w
    np.testing.assert_allclose(gram, 2.25 * np.eye(len(gram)), atol=1e-12)


def test_orthogonal_is_uniform():
    with tg.fork_rng(0):
        signs = [init.orthogonal_(tg.zeros(2, 2)).data[0, 0] > 0 for _ in range(400)]
    assert abs(np.mean(signs) - 0.5) < 0.1  # without the sign correction all would be alike


def test_fan_in_uniform():
    assert_uniform(draw(init.fan_in_uniform_, 20000, fan_in=16), 0.25)


def test_initializers_write_in_place_and_keep_the_dtype():
    p = nn.Parameter(tg.zeros(4, 4))
    place, version = p.data, p._version[0]
    assert init.xavier_normal_(p) is p
    assert p.data is place
    assert p.dtype == np.float32
    assert p._version[0] > version


def test_every_initializer_is_tested():
    functions = {name for name in vars(init) if name.endswith("_") and not name.startswith("_")}
    assert functions == {
        "constant_", "uniform_", "normal_", "trunc_normal_", "kaiming_uniform_", "kaiming_normal_",
        "xavier_uniform_", "xavier_normal_", "orthogonal_", "fan_in_uniform_",
    }  # fmt: skip


def test_initializers_refuse_what_has_no_fans():
    with pytest.raises(errors.ShapeError, match=r"at least two axes\n.*\(3,\)"):
        init.xavier_uniform_(tg.zeros(3))
    with pytest.raises(errors.ShapeError, match="at least two axes"):
        init.orthogonal_(tg.zeros(3))
    with pytest.raises(errors.OptionError, match="did you mean 'fan_in'"):
        init.kaiming_normal_(tg.zeros(3, 3), mode="fanin")
    with pytest.raises(errors.OptionError, match="did you mean 'leaky_relu'"):
        init.calculate_gain("leakyrelu")
