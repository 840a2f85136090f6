"""An optimizer's state from one device to another, with a second device made of NumPy under another class."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_adam as tg
from tinygrad_adam import nn, optim
from tinygrad_adam.backend import device
from tinygrad_adam.backend.kernels import KernelTable


class Elsewhere(np.ndarray):
    """An array of the other device."""


class Namespace:
    """NumPy, whose new arrays are on the other device."""

    def __getattr__(self, name):
        function = getattr(np, name)
        if name not in ("zeros", "ones", "empty", "asarray", "zeros_like"):
            return function
        return lambda *args, **settings: function(*args, **settings).view(Elsewhere)


@pytest.fixture(autouse=True)
def second_device(monkeypatch):
    xp = Namespace()
    tables = {name: KernelTable(xp, override=None) for name in ("fast", "reference")}
    other = device.Backend("elsewhere", xp, Elsewhere, tables)
    there_is = device.get_backend
    monkeypatch.setitem(device._BACKEND_OF_TYPE, Elsewhere, other)
    monkeypatch.setattr(device, "get_backend", lambda name: other if name == "elsewhere" else there_is(name))


def parameters(where):
    rng = np.random.default_rng(0)
    made = [nn.Parameter(rng.standard_normal(shape)) for shape in ((3, 4), (5,))]
    move(made, where)
    return made


def move(params, where):
    for p in params:
        p._data = device.to_device(p._data, where)


def take_steps(opt, first, last):
    for t in range(first, last):
        rng = np.random.default_rng(t)
        for p in opt.param_groups[0]["params"]:
            p._grad = device.to_device(rng.standard_normal(p.shape), p.device)
        opt.step()


def values(opt):
    for p in opt.param_groups[0]["params"]:
        yield np.asarray(p._data)


@pytest.mark.parametrize("name", optim.OPTIMIZERS)
@pytest.mark.parametrize(("here", "there"), [("cpu", "elsewhere"), ("elsewhere", "cpu")])
def test_a_state_saved_on_one_device_goes_on_on_another(name, here, there):
    with tg.use_kernels("reference"):
        whole, begun, resumed = (optim.build_optimizer(name, parameters(d)) for d in (here, here, there))
        take_steps(whole, 0, 6)
        take_steps(begun, 0, 3)
        state = begun.state_dict()
        arrays = [v for entry in state["state"].values() for v in entry.values() if np.ndim(v)]
        assert all(type(array) is np.ndarray for array in arrays)
        for p, value in zip(resumed.param_groups[0]["params"], values(begun), strict=True):
            p._data[...] = value
        resumed.load_state_dict(state)
        take_steps(resumed, 3, 6)
        assert {p.device for p in resumed.param_groups[0]["params"]} == {there}
        for got, wanted in zip(values(resumed), values(whole), strict=True):
            np.testing.assert_allclose(got, wanted, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("name", optim.OPTIMIZERS)
def test_moments_follow_parameters_that_are_moved(name):
    with tg.use_kernels("reference"):
        stays, moves = (optim.build_optimizer(name, parameters("cpu")) for _ in range(2))
        for opt in (stays, moves):
            take_steps(opt, 0, 3)
        move(moves.param_groups[0]["params"], "elsewhere")
        for opt in (stays, moves):
            take_steps(opt, 3, 6)
        for storage in moves._storages[0]:
            assert all(type(flat) is Elsewhere for flat in (storage.data, *storage.moments.values()))
        for got, wanted in zip(values(moves), values(stays), strict=True):
            np.testing.assert_allclose(got, wanted, rtol=1e-13, atol=1e-15)
