"""An optimizer's state from one device to another, under the strict stand-in for CuPy."""

from __future__ import annotations

import numpy as np
import pytest
import strict_cupy

import tinygrad_adam as tg
from tinygrad_adam import nn, optim
from tinygrad_adam.backend import device


@pytest.fixture(autouse=True)
def gpu():
    with strict_cupy.installed():
        yield


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
        yield device.to_host(p._data)


@pytest.mark.parametrize("name", optim.OPTIMIZERS)
@pytest.mark.parametrize(("here", "there"), [("cpu", "cuda:1"), ("cuda:1", "cpu")])
def test_a_state_saved_on_one_device_goes_on_on_another(name, here, there):
    with tg.use_kernels("reference"):
        whole, begun, resumed = (optim.build_optimizer(name, parameters(d)) for d in (here, here, there))
        take_steps(whole, 0, 6)
        take_steps(begun, 0, 3)
        state = begun.state_dict()
        arrays = [v for entry in state["state"].values() for v in entry.values() if np.ndim(v)]
        assert all(type(array) is np.ndarray for array in arrays)
        for p, value in zip(resumed.param_groups[0]["params"], values(begun), strict=True):
            p.data = value
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
        move(moves.param_groups[0]["params"], "cuda:1")
        for opt in (stays, moves):
            take_steps(opt, 3, 6)
        for storage in moves._storages[0]:
            flats = (storage.data, storage.grad, *storage.moments.values())
            assert {device.device_of(flat) for flat in flats} == {"cuda:1"}
        for got, wanted in zip(values(moves), values(stays), strict=True):
            np.testing.assert_allclose(got, wanted, rtol=1e-13, atol=1e-15)
