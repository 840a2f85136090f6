"""Averages of weights: closed forms, PyTorch's, flat storage, state, wrong use."""

from __future__ import annotations

import importlib.util
import math

import numpy as np
import pytest

import tinygrad_adam as tg
from tinygrad_adam import errors, nn, optim

AVERAGES = {
    "EMA": lambda model: optim.ExponentialMovingAverage(model, 0.9),
    "slow EMA": lambda model: optim.ExponentialMovingAverage(model, 0.9999),
    "Polyak": optim.PolyakAverage,
}
DECAYS = {"EMA": 0.9, "slow EMA": 0.9999}
STEPS = 60


def network(dtype=np.float64):
    with tg.fork_rng(1):
        return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 2)).to(dtype)


def weights(model):
    return [p.detach().numpy().copy() for p in model.parameters()]


def paths(model, seed=0):
    """Return the values that each parameter takes: they walk away from zero."""
    rng = np.random.default_rng(seed)
    return [np.cumsum(rng.normal(0.1, 1, (STEPS, *p.shape)), axis=0) for p in model.parameters()]


def walk(model, average, seed=0):
    """Yield after each update."""
    for values in zip(*paths(model, seed), strict=True):
        for p, value in zip(model.parameters(), values, strict=True):
            p.data = value
        average.update()
        yield


def averaged(model, average):
    with average.applied():
        return weights(model)


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("name", AVERAGES)
def test_closed_forms(name, flat):
    model = network()
    average = AVERAGES[name](model)
    if flat:
        optim.Adam(model.parameters())  # the values are then views of one array
    for t, _ in enumerate(walk(model, average), 1):
        share = np.ones(t) if name == "Polyak" else DECAYS[name] ** np.arange(t - 1, -1, -1.0)
        wanted = [np.tensordot(share / math.fsum(share), path[:t], axes=1) for path in paths(model)]
        for found, right in zip(averaged(model, average), wanted, strict=True):
            np.testing.assert_allclose(found, right, rtol=1e-10, atol=1e-13)
    assert average.count == STEPS


def test_the_papers_recursion():
    """Section 7.2 as it is written: from zeros, and divided by 1 - beta^t."""
    model = network()
    average = AVERAGES["EMA"](model)
    bar = [np.zeros(p.shape) for p in model.parameters()]
    for t, _ in enumerate(walk(model, average), 1):
        bar = [0.9 * old + (1 - 0.9) * new for old, new in zip(bar, weights(model), strict=True)]
        for found, old in zip(averaged(model, average), bar, strict=True):
            np.testing.assert_allclose(found, old / (1 - 0.9**t), rtol=1e-11, atol=1e-13)


needs_torch = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason="PyTorch is not installed: nothing to compare with"
)


@pytest.mark.torch
@needs_torch
def test_polyak_against_pytorch():
    import torch
    from torch.optim.swa_utils import AveragedModel

    model = network()
    average = optim.PolyakAverage(model)
    peer = torch.nn.ParameterList([torch.nn.Parameter(torch.tensor(value)) for value in weights(model)])
    theirs = AveragedModel(peer)
    for _ in walk(model, average):
        for q, value in zip(peer, weights(model), strict=True):
            q.data = torch.tensor(value)
        theirs.update_parameters(peer)
        for found, right in zip(averaged(model, average), theirs.module, strict=True):
            np.testing.assert_allclose(found, right.detach().numpy(), rtol=1e-10, atol=1e-13)


@pytest.mark.torch
@needs_torch
def test_the_exponential_average_against_pytorch():
    """PyTorch's recursion from zeros, divided by 1 - decay^t, is ours."""
    import torch
    from torch.optim.swa_utils import get_ema_multi_avg_fn

    model = network()
    average = AVERAGES["EMA"](model)
    theirs = [torch.zeros(p.shape, dtype=torch.float64) for p in model.parameters()]
    step = get_ema_multi_avg_fn(0.9)
    for t, _ in enumerate(walk(model, average), 1):
        step(theirs, [torch.tensor(value) for value in weights(model)], t)
        for found, right in zip(averaged(model, average), theirs, strict=True):
            np.testing.assert_allclose(found, right.numpy() / (1 - 0.9**t), rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("name", AVERAGES)
def test_float32_stays_float32(name):
    model = network(np.float32)
    average = AVERAGES[name](model)
    wide_model = network()
    wide = AVERAGES[name](wide_model)
    for _ in zip(walk(model, average), walk(wide_model, wide), strict=True):
        pass
    for found, right in zip(averaged(model, average), averaged(wide_model, wide), strict=True):
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, right, rtol=1e-4, atol=1e-5)


# --- Using it ----------------------------------------------------------------------------------


def batch(seed):
    rng = np.random.default_rng(seed)
    return tg.tensor(rng.normal(size=(8, 3))), tg.tensor(rng.normal(size=(8, 2)))


def train(model, opt, steps, average=None, start=0):
    for i in range(start, start + steps):
        x, y = batch(i)
        loss = ((model(x) - y) ** 2).mean()
        opt.zero_grad()
        loss.backward()
        opt.step()
        if average is not None:
            average.update()


@pytest.mark.parametrize("name", AVERAGES)
def test_training_goes_on_as_if_the_average_had_not_been_looked_at(name):
    model, twin = network(), network()
    opt, other = optim.Adam(model.parameters(), lr=0.05), optim.Adam(twin.parameters(), lr=0.05)
    average = AVERAGES[name](model)
    for i in range(0, 30, 10):
        train(model, opt, 10, average, i)
        places = [p._data for p in model.parameters()]
        with average.applied():
            for p, place in zip(model.parameters(), places, strict=True):
                assert p._data is place
            assert not np.array_equal(weights(model)[0], weights(twin)[0])
        train(twin, other, 10, start=i)
        for ours, theirs in zip(weights(model), weights(twin), strict=True):
            assert np.array_equal(ours, theirs)


def test_the_weights_come_back_after_an_error():
    model = network()
    average = optim.PolyakAverage(model)
    train(model, optim.SGD(model.parameters(), lr=0.5), 3, average)
    before = weights(model)
    inside = []
    with pytest.raises(ZeroDivisionError), average.applied():  # noqa: PT012
        inside += weights(model)
        raise ZeroDivisionError
    assert not np.array_equal(inside[0], before[0])
    assert all(np.array_equal(a, b) for a, b in zip(weights(model), before, strict=True))
    train(model, optim.SGD(model.parameters()), 1, average)
    assert average.count == 4


def test_buffers_are_left_alone():
    model = network()
    average = AVERAGES["EMA"](model)
    train(model, optim.SGD(model.parameters(), lr=0.5), 3, average)
    before = [b.numpy().copy() for b in model.buffers()]
    with average.applied():
        inside = [b.numpy().copy() for b in model.buffers()]
    assert len(before) > 0
    assert all(np.array_equal(a, b) for a, b in zip(before, inside, strict=True))
    assert set(average.state_dict()["weights"]) == {name for name, _ in model.named_parameters()}


def test_copy_to_model_is_for_good():
    model = network()
    average = AVERAGES["EMA"](model)
    for _ in walk(model, average):
        pass
    wanted = averaged(model, average)
    average.copy_to_model()
    assert all(np.array_equal(a, b) for a, b in zip(weights(model), wanted, strict=True))


def test_a_graph_recorded_before_the_exchange_is_refused():
    model = network()
    average = AVERAGES["EMA"](model)
    average.update()
    loss = (model(batch(0)[0]) ** 2).sum()
    average.copy_to_model()
    with pytest.raises(errors.GraphError, match="changed in place"):
        loss.backward()


def test_a_shared_parameter_is_averaged_once():
    layer = nn.Linear(2, 2)
    average = optim.PolyakAverage(nn.Sequential(layer, layer))
    average.update()
    assert list(average.state_dict()["weights"]) == ["0.weight", "0.bias"]


def test_an_average_follows_a_cast():
    model = network(np.float32)
    average = optim.PolyakAverage(model)
    model[0].weight.data = np.ones((4, 3))
    average.update()
    model.to(np.float64)
    model[0].weight.data = np.full((4, 3), 1 / 3)
    average.update()
    with average.applied():
        assert model[0].weight.dtype == np.float64
        np.testing.assert_allclose(model[0].weight.detach().numpy(), 2 / 3, rtol=1e-15)


# --- State -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", AVERAGES)
@pytest.mark.parametrize("stop", [0, 1, 25])
def test_an_average_goes_on_in_the_middle(name, stop):
    model, twin = network(), network()
    average, other = AVERAGES[name](model), AVERAGES[name](twin)
    for t, _ in enumerate(walk(model, average), 1):
        if t == stop:
            break
    state = average.state_dict() if stop else AVERAGES[name](model).state_dict()
    other.load_state_dict(state)
    assert other.count == stop
    average = AVERAGES[name](model)
    average.load_state_dict(state)
    for _ in zip(walk(model, average, 1), walk(twin, other, 1), strict=True):
        pass
    for ours, theirs in zip(averaged(model, average), averaged(twin, other), strict=True):
        assert np.array_equal(ours, theirs)


def test_a_state_is_a_copy():
    model, twin = network(), network()
    average, other = AVERAGES["EMA"](model), AVERAGES["EMA"](twin)
    steps = walk(model, average)
    next(steps)
    state = average.state_dict()
    first = state["weights"]["0.weight"].copy()
    other.load_state_dict(state)
    next(steps), next(walk(twin, other, 1))
    assert np.array_equal(state["weights"]["0.weight"], first)


def test_a_state_that_does_not_fit():
    model = network()
    average = AVERAGES["EMA"](model)
    average.update()
    before = average.state_dict()
    polyak = optim.PolyakAverage(model)
    with pytest.raises(errors.StateError, match=r"another average\n  saved  ExponentialMovingAverage"):
        polyak.load_state_dict(before)
    other = AVERAGES["EMA"](nn.Sequential(nn.Linear(3, 5)))
    with pytest.raises(errors.StateError, match=r"other parameters\n  names  0.bias, 0.weight, 1.bias"):
        other.load_state_dict(before)
    assert other.count == polyak.count == 0


# --- Wrong use ---------------------------------------------------------------------------------


@pytest.mark.parametrize("decay", [1.0, -0.1, math.nan, "x", None, True])
def test_a_decay_out_of_its_domain(decay):
    with pytest.raises(errors.OptionError, match=rf"decay must be in \[0, 1\)\n  decay  {decay}"):
        optim.ExponentialMovingAverage(network(), decay)


def test_wrong_use():
    with pytest.raises(errors.OptionError, match=r"no parameters to average\n  model  ReLU"):
        optim.PolyakAverage(nn.ReLU())
    model = network()
    average = optim.PolyakAverage(model)
    before = weights(model)
    with pytest.raises(errors.OptionError, match=r"call update\(\) after"):
        average.copy_to_model()
    with pytest.raises(errors.OptionError, match=r"call update\(\) after"), average.applied():
        pass
    average.update()
    with average.applied():
        with pytest.raises(errors.OptionError, match="update: the model holds the average"):
            average.update()
        with pytest.raises(errors.OptionError, match="holds the average already"), average.applied():
            pass
    assert average.count == 1
    assert all(np.array_equal(a, b) for a, b in zip(weights(model), before, strict=True))
    assert repr(average) == f"PolyakAverage({model.parameter_count():,} numbers, 1 updates)"
