"""Optimizers: flat storage, which parameters move, groups; clipping."""

from __future__ import annotations

import math

import numpy as np
import pytest
from optim_cases import (
    KERNELS,
    ROWS,
    adam,
    assert_same,
    give,
    model_and_optimizer,
    moments_of,
    parameter,
    take_steps,
    train,
    values,
)

import tinygrad_adam as tg
from tinygrad_adam import errors, nn, optim

# --- Flat storage ------------------------------------------------------------------------------


def test_values_and_gradients_are_views_of_one_array():
    model, opt = model_and_optimizer()
    before = values(model)
    train(model, opt, 1)
    assert before["0.weight"].shape == (5, 3)
    (storage,) = opt._storages[0]
    for p in model.parameters():
        assert np.shares_memory(p.data, storage.data)
        assert np.shares_memory(p.grad.data, storage.grad)
        assert p.data.flags.c_contiguous
    model.zero_grad()
    model(tg.ones(1, 3, dtype=np.float64)).sum().backward()
    assert all(np.shares_memory(p.grad.data, storage.grad) for p in model.parameters())


def test_making_an_optimizer_changes_no_value_and_no_gradient():
    model, _ = model_and_optimizer()
    (model(tg.ones(1, 3, dtype=np.float64)) ** 2).sum().backward()
    before, gradients = values(model), [p.grad.numpy().copy() for p in model.parameters()]
    optim.SGD(model.parameters())
    assert_same(values(model), before)
    for p, g in zip(model.parameters(), gradients, strict=True):
        assert np.array_equal(p.grad.numpy(), g)


def test_an_assigned_value_is_what_the_step_starts_from():
    p = parameter(1.0, 2.0)
    opt = optim.SGD([p], lr=1.0)
    p.data = np.array([10.0, 20.0])
    assert np.shares_memory(p.data, opt._storages[0][0].data)
    take_steps(opt, p, [1.0])
    assert p.tolist() == [9, 19]


def test_a_plain_leaf_can_be_optimized_and_its_value_swapped():
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    opt = optim.SGD([x], lr=1.0, momentum=0.5)
    take_steps(opt, x, [1.0])
    x.data = np.array([10.0, 20.0], np.float32)
    take_steps(opt, x, [0.0])
    assert x.tolist() == [9.5, 19.5]


def test_a_step_is_noticed_by_a_graph_that_kept_the_value():
    p = parameter(1.0)
    loss = (p**2).sum()
    opt = optim.SGD([p], lr=1.0)
    loss.backward(retain_graph=True)
    opt.step()
    with pytest.raises(errors.GraphError, match="changed in place"):
        loss.backward()


@pytest.mark.parametrize("name", ROWS)
def test_a_cast_after_the_optimizer_was_made(name):
    model, opt = model_and_optimizer(ROWS[name].cls, np.float32, **ROWS[name].stateful)
    train(model, opt)
    before, moments = values(model), moments_of(opt)
    model.to(np.float64)
    assert_same(values(model), before)
    assert_same(moments_of(opt), moments)
    twin, twin_opt = model_and_optimizer(type(opt), np.float64)
    twin.load_state_dict(model.state_dict())
    twin_opt.load_state_dict(opt.state_dict())
    train(model, opt, seed=1)
    train(twin, twin_opt, seed=1)
    assert {p.dtype.name for p in model.parameters()} == {"float64"}
    assert all(np.shares_memory(p.data, opt._storages[0][0].data) for p in model.parameters())
    assert_same(values(model), values(twin))
    assert_same(moments_of(opt), moments_of(twin_opt))


def test_a_state_loaded_between_the_cast_and_the_step_keeps_its_precision():
    exact, exact_opt = model_and_optimizer(dtype=np.float64)
    train(exact, exact_opt)
    model, opt = model_and_optimizer(dtype=np.float32)
    model.to(np.float64)
    opt.load_state_dict(exact_opt.state_dict())
    assert_same(moments_of(opt), moments_of(exact_opt))


def test_a_cast_of_a_part_is_refused_not_undone():
    model, opt = model_and_optimizer(dtype=np.float32)
    model[2].to(np.float64)
    for p in model.parameters():
        give(p, 1.0)
    with pytest.raises(errors.DTypeError, match=r"cast or moved apart.*\n.*float32.*float64"):
        opt.step()
    assert model[2].weight.dtype == np.float64


def test_dtypes_may_differ_from_the_start():
    params = [parameter(1.0, dtype=d) for d in (np.float32, np.float64, np.float32)]
    opt = optim.SGD(params, lr=0.5)
    for p in params:
        give(p, 1.0)
    opt.step()
    assert [p.item() for p in params] == [0.5] * 3
    assert [p.dtype.name for p in params] == ["float32", "float64", "float32"]


@pytest.mark.parametrize("kernels", KERNELS)
def test_two_optimizers_take_turns(kernels):
    """The gradients do not depend on the value, so each optimizer's share of the way is known."""
    a, b = parameter(0.0), parameter(0.0)
    opt = optim.Adam([a, b], lr=0.1, eps=0.1)
    take = {"adam": [3.0, -2.0, 1.0, 4.0], "sgd": [0.5, 0.25, 1.0]}
    with tg.use_kernels(kernels):
        for g in take["adam"][:2]:
            give(a, g), give(b, -g)
            opt.step()
        sgd = optim.SGD([a], lr=1.0)
        for g in take["sgd"]:
            sgd.zero_grad()
            (a * g).sum().backward()
            sgd.step()
        for g in take["adam"][2:]:
            opt.zero_grad()
            (a * g - b * g).sum().backward()
            opt.step()
    way = adam(0.0, take["adam"], [0.1] * 4, eps=0.1)[-1]
    assert a.item() == pytest.approx(way - sum(take["sgd"]), rel=1e-12)
    assert b.item() == pytest.approx(-way, rel=1e-12)


def test_empty_parameters_are_harmless():
    params = [nn.Parameter(np.zeros((0, 3))), parameter(1.0), nn.Parameter(np.zeros(0))]
    opt = optim.Adam(params, lr=0.1)
    for p in params:
        give(p, 1.0)
    opt.step()
    assert params[1].item() == pytest.approx(0.9)


# --- Which parameters move -----------------------------------------------------------------------


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("name", ROWS)
def test_a_parameter_without_a_gradient_is_left_alone(name, kernels):
    a, b, c = (parameter(1.0, 2.0) for _ in range(3))
    opt = ROWS[name].cls([a, b, c], lr=0.1, weight_decay=0.5, **ROWS[name].stateful)
    with tg.use_kernels(kernels):
        for p in (a, b, c):
            give(p, 1.0)
        opt.step()
        before, moments = b.data.copy(), moments_of(opt)
        version = b._version[0]
        opt.zero_grad()
        assert b.grad is None
        give(a, 2.0), give(c, 2.0)
        opt.step()
    assert np.array_equal(b.data, before)
    assert b._version[0] == version
    after = moments_of(opt)
    for key, value in moments.items():
        assert np.array_equal(after[key], value) == key.startswith("1."), key
    assert [opt.state_dict()["state"][k]["step"] for k in "012"] == [2, 1, 2]
    assert np.array_equal(a.data, c.data)


@pytest.mark.parametrize("kernels", KERNELS)
def test_each_parameter_counts_its_own_steps(kernels):
    gradients = {
        0: [1.0, 2.0, 3.0, 4.0],
        1: [None, 2.0, None, 4.0],
        2: [None, None, None, 4.0],
        3: [1.0, 2.0, 3.0, 4.0],
    }
    params = [parameter(0.5) for _ in gradients]
    opt = optim.Adam(params, lr=0.1, betas=(0.5, 0.7), eps=0.1)
    with tg.use_kernels(kernels):
        for t in range(4):
            opt.zero_grad()
            for i, p in enumerate(params):
                if gradients[i][t] is not None:
                    give(p, gradients[i][t])
            opt.step()
    for i, p in enumerate(params):
        seen = [g for g in gradients[i] if g is not None]
        wanted = adam(0.5, seen, [0.1] * len(seen), betas=(0.5, 0.7), eps=0.1)[-1]
        assert p.item() == pytest.approx(wanted, rel=1e-12)
        assert opt.state_dict()["state"][str(i)]["step"] == len(seen)


def test_frozen_parameters_stay():
    model, opt = model_and_optimizer(weight_decay=0.1)
    model[0].requires_grad_(False)
    before = values(model)
    train(model, opt)
    after = values(model)
    assert np.array_equal(before["0.weight"], after["0.weight"])
    assert not np.array_equal(before["2.weight"], after["2.weight"])
    assert set(opt.state_dict()["state"]) == {"2.weight", "2.bias"}


def test_gradients_accumulate_until_zero_grad():
    p = parameter(0.0)
    opt = optim.SGD([p], lr=1.0)
    for g in (1.0, 2.0, 4.0):
        (p * g).sum().backward()
    opt.step()
    assert p.item() == -7
    opt.step()
    assert p.item() == -14
    opt.zero_grad()
    (p * 1.0).sum().backward()
    opt.step()
    assert p.item() == -15


def test_a_tied_parameter_moves_once_along_the_sum():
    p = parameter(1.0)
    layer = nn.ModuleList([nn.Linear(1, 1), nn.Linear(1, 1)])
    layer[0].bias = layer[1].bias = p
    opt = optim.SGD(layer.parameters(), lr=1.0)
    (layer[0].bias * 2.0 + layer[1].bias * 3.0).sum().backward()
    opt.step()
    assert p.item() == -4


def test_a_gradient_assigned_by_hand_is_copied_into_place():
    p = parameter(1.0, 1.0)
    opt = optim.SGD([p], lr=1.0)
    p.grad = np.array([[1.0, 5.0], [2.0, 5.0]])[:, 0]  # strided
    opt.step()
    assert p.tolist() == [0, -1]
    assert np.shares_memory(p.grad.data, opt._storages[0][0].grad)
    p.grad = tg.tensor([1.0, 1.0])  # float32
    opt.step()
    assert p.tolist() == [-1, -2]
    p.grad = p.grad * 2
    opt.step()
    assert p.tolist() == [-3, -4]


def test_a_gradient_with_a_graph_steps_like_one_without():
    results = []
    for create_graph in (False, True):
        p = parameter(1.0, 2.0)
        opt = optim.Adam([p], lr=0.1)
        for _ in range(3):
            opt.zero_grad()
            (p**3).sum().backward(create_graph=create_graph)
            opt.step()
        results.append(p.tolist())
    assert results[0] == results[1]


def test_a_penalty_on_the_gradient():
    p = parameter(1.0, 2.0)
    opt = optim.SGD([p], lr=0.01)
    (p**3).sum().backward(create_graph=True)
    penalty = (p.grad**2).sum()  # 9 p^4, whose gradient is 36 p^3
    opt.zero_grad()
    penalty.backward()
    opt.step()
    np.testing.assert_allclose(p.data, [1 - 0.36, 2 - 0.36 * 8])


@pytest.mark.parametrize("name", ROWS)
def test_both_kernel_sets_train_alike(name):
    results = []
    for kernels in ("fast", "reference"):
        with tg.use_kernels(kernels):
            model, opt = model_and_optimizer(ROWS[name].cls, weight_decay=0.1)
            train(model, opt, 20)
        results.append(values(model))
    assert_same(*results, rtol=1e-11)


# --- Groups ------------------------------------------------------------------------------------


def test_groups_have_settings_of_their_own():
    a, b = parameter(1.0), parameter(1.0)
    opt = optim.SGD([{"params": [a], "lr": 0.5}, {"params": b}], lr=0.25)
    give(a, 1.0), give(b, 1.0)
    opt.step()
    assert (a.item(), b.item()) == (0.5, 0.75)
    c = parameter(1.0)
    opt.add_param_group({"params": [("late", c)], "weight_decay": 1.0})
    opt.zero_grad()
    give(c, 0.0)
    opt.step()
    assert c.item() == 0.75
    assert list(opt.state_dict()["state"]) == ["0", "1", "late"]


def test_settings_changed_between_steps_count():
    p = parameter(0.0)
    opt = optim.SGD([p], lr=1.0)
    take_steps(opt, p, [1.0])
    opt.param_groups[0]["lr"] = 0.5
    take_steps(opt, p, [1.0])
    assert p.item() == -1.5


def test_generators_and_names():
    model = nn.Linear(2, 2)
    opt = optim.Adam(p for p in model.parameters())
    assert opt.state_dict()["groups"][0]["params"] == ["0", "1"]
    opt = optim.Adam({"params": (p for p in [q]), "lr": 0.1} for q in model.parameters())
    assert [g["params"] for g in opt.state_dict()["groups"]] == [["0"], ["1"]]
    opt = optim.Adam(model.named_parameters())
    assert opt.state_dict()["groups"][0]["params"] == ["weight", "bias"]


def test_repr_shows_groups():
    text = repr(optim.SGD([{"params": [parameter(1.0, 2.0)], "lr": 0.5}], momentum=0.9))
    assert text.startswith("SGD(\n  1 parameters (2 numbers): lr=0.5, momentum=0.9")


# --- Clipping ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kernels", KERNELS)
def test_clipping_by_norm(kernels):
    params = [parameter(0.0, 0.0), parameter(0.0), parameter(0.0)]
    optim.SGD(params)
    give(params[0], [3.0, 0.0]), give(params[1], 4.0)
    with tg.use_kernels(kernels):
        norm = optim.clip_grad_norm_(iter(params), 1.0)
    assert isinstance(norm, tg.Tensor)
    assert norm.item() == 5
    np.testing.assert_allclose(params[0].grad.numpy(), [0.6, 0.0], rtol=1e-6)
    np.testing.assert_allclose(params[1].grad.numpy(), [0.8], rtol=1e-6)
    assert params[2].grad is None
    before = params[0].grad.numpy().copy()
    optim.clip_grad_norm_(params, 10.0)
    assert np.array_equal(params[0].grad.numpy(), before)
    assert optim.clip_grad_norm_(params, math.inf).item() == pytest.approx(1, rel=1e-6)
    assert optim.clip_grad_norm_(params[0], 10.0).item() == pytest.approx(0.6, rel=1e-6)


def test_clipping_without_gradients():
    p = parameter(1.0)
    assert optim.clip_grad_norm_([p], 1.0).item() == 0
    optim.clip_grad_value_([p], 1.0)
    give(p, 0.0)
    assert optim.clip_grad_norm_([p], 1.0).item() == 0
    assert p.grad.tolist() == [0]


def test_clipping_by_value():
    p = parameter(0.0, 0.0, 0.0)
    give(p, [-3.0, 0.5, 2.0])
    optim.clip_grad_value_(p, 1.0)
    assert p.grad.tolist() == [-1, 0.5, 1]


def test_clipping_a_gradient_that_is_differentiated_is_noticed():
    p = parameter(1.0, 2.0)
    (p**3).sum().backward(create_graph=True)
    penalty = (p.grad**2).sum()
    optim.clip_grad_norm_([p], 0.1)
    with pytest.raises(errors.GraphError, match="changed in place"):
        penalty.backward()


@pytest.mark.parametrize("limit", [0.0, -1.0, math.nan])
def test_limits_must_be_positive(limit):
    with pytest.raises(errors.OptionError, match=f"max_norm must be positive\n  max_norm  {limit}"):
        optim.clip_grad_norm_([parameter(1.0)], limit)
    with pytest.raises(errors.OptionError, match=f"clip_value must be positive\n  clip_value  {limit}"):
        optim.clip_grad_value_([parameter(1.0)], limit)
