"""Schedules and what happens to the learning rate beside them: by hand, by another one, by new groups."""

from __future__ import annotations

import json
import math
import pickle

import numpy as np
import pytest
from schedule_cases import two_groups

from tinygrad_adam import errors, nn, optim


def one_group(lr=1.0, cls=optim.SGD):
    return cls([nn.Parameter(np.ones(1))], lr=lr)


def lr_of(opt):
    return [group["lr"] for group in opt.param_groups]


# --- One at a time -----------------------------------------------------------------------------


def test_two_schedules_stepped_in_turn_are_refused_when_they_differ():
    opt = one_group()
    one, two = optim.StepLR(opt, 2, 0.5), optim.ExponentialLR(opt, 0.9)
    one.step()
    two.step()
    with pytest.raises(errors.OptionError, match=r"StepLR.step: lr .*ChainedScheduler.*\n.*1.0\n.*0.9"):
        one.step()
    assert (one.count, lr_of(opt)) == (1, [0.9])  # nothing was changed


def test_several_in_one_are_the_product():
    opt = one_group()
    both = optim.ChainedScheduler([optim.StepLR(opt, 2, 0.5), optim.ExponentialLR(opt, 0.9)])
    for count in range(1, 6):
        both.step()
        assert lr_of(opt) == pytest.approx([0.5 ** (count // 2) * 0.9**count], rel=1e-15)


@pytest.mark.parametrize("plateau", [False, True])
def test_a_rate_set_by_hand_is_refused_and_the_first_one_may_be_set(plateau):
    opt = one_group()
    schedule = optim.ReduceLROnPlateau(opt, factor=0.5, patience=0) if plateau else optim.StepLR(opt, 1, 0.5)
    step = (lambda: schedule.step(1.0)) if plateau else schedule.step
    step()
    step()
    kept = lr_of(opt)
    opt.param_groups[0]["lr"] = 0.125
    before = schedule.state_dict()
    with pytest.raises(errors.OptionError, match=r"set group\['initial_lr'\]"):
        step()
    assert schedule.state_dict() == before
    opt.param_groups[0]["lr"] = kept[0]
    opt.param_groups[0]["initial_lr"] = 8.0
    step()
    assert lr_of(opt) == [kept[0] * 8 * 0.5]


def test_a_momentum_set_by_hand_is_refused_where_the_schedule_moves_it():
    opt = one_group(cls=optim.Adam)
    schedule = optim.OneCycleLR(opt, 1.0, 10)
    opt.param_groups[0]["betas"] = (0.5, 0.999)
    with pytest.raises(errors.OptionError, match="betas is not the one that this schedule set"):
        schedule.step()
    schedule = optim.OneCycleLR(opt, 1.0, 10, cycle_momentum=False)
    opt.param_groups[0]["betas"] = (0.25, 0.999)
    schedule.step()
    assert opt.param_groups[0]["betas"] == (0.25, 0.999)


@pytest.mark.parametrize("optimizer_first", [False, True])
def test_states_of_optimizer_and_schedule_load_in_either_order(optimizer_first):
    """Also from JSON, which makes lists of tuples."""

    def build():
        opt = optim.Adam([nn.Parameter(np.ones(1))])
        return opt, optim.OneCycleLR(opt, 1.0, 10)

    (opt, schedule), (other, resumed) = build(), build()
    for _ in range(4):
        schedule.step()
    saved = json.loads(json.dumps([opt.state_dict(), schedule.state_dict()]))
    for part, state in sorted(zip([other, resumed], saved, strict=True), key=lambda pair: pair[0] is resumed)[
        :: 1 if optimizer_first else -1
    ]:
        part.load_state_dict(state)
    schedule.step()
    resumed.step()
    assert other.param_groups[0]["lr"] == opt.param_groups[0]["lr"]
    assert other.param_groups[0]["betas"] == opt.param_groups[0]["betas"]


def test_a_schedule_that_was_pickled_goes_on():
    opt = one_group()
    schedule = optim.ExponentialLR(opt, 0.5)
    schedule.step()
    twin = pickle.loads(pickle.dumps(schedule))
    twin.step()
    assert lr_of(twin.optimizer) == [0.25]
    assert lr_of(opt) == [0.5]


# --- Groups that are added ---------------------------------------------------------------------


def test_a_group_that_is_added_follows_from_its_own_rate():
    opt = two_groups()
    schedule = optim.ExponentialLR(opt, 0.5)
    schedule.step()
    opt.add_param_group({"params": [nn.Parameter([1.0])], "lr": 8.0})
    assert schedule.base_lrs == [0.5, 0.1, 8.0]
    schedule.step()
    assert lr_of(opt) == [0.125, 0.025, 2.0]
    state = schedule.state_dict()
    schedule.step()
    schedule.load_state_dict(state)
    assert lr_of(opt) == [0.125, 0.025, 2.0]


def test_a_group_that_is_added_to_one_cycle_has_its_greatest_rate_or_is_refused():
    opt = two_groups()
    schedule = optim.OneCycleLR(opt, 3.0, 10, cycle_momentum=False)
    opt.add_param_group({"params": [nn.Parameter([1.0])], "lr": 8.0})
    schedule.step()
    schedule.step()
    assert lr_of(opt) == [3.0, 3.0, 3.0]
    schedule = optim.OneCycleLR(opt, [3.0, 2.0, 1.0], 10, cycle_momentum=False)
    opt.add_param_group({"params": [nn.Parameter([1.0])]})
    with pytest.raises(errors.OptionError, match="no max_lr; make the schedule after that"):
        schedule.step()


# --- Plateau -----------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("offset", [-8.0, 8.0])
def test_a_relative_threshold_is_a_share_of_the_absolute_value(mode, offset):
    """Values that improve by a fourth of a hundredth, which is a share of 1/32 at most, count as none."""
    sign = -1 if mode == "min" else 1
    small = [offset + sign * 0.0025 * i for i in range(5)]
    large = [offset + sign * 0.5 * i for i in range(5)]
    for values, reductions in ((small, 3), (large, 0)):
        schedule = optim.ReduceLROnPlateau(one_group(), mode, patience=0, threshold=1 / 32, cooldown=0)
        for value in values[:4]:
            schedule.step(value)
        assert schedule.reductions == reductions


@pytest.mark.parametrize(
    ("mode", "best"),
    [("min", math.inf), ("min", -math.inf), ("max", math.inf), ("max", -math.inf), ("min", -2.5)],
)
def test_an_infinite_best_survives_a_state(mode, best):
    schedule, other = (optim.ReduceLROnPlateau(one_group(), mode, patience=0) for _ in range(2))
    schedule.step(best)
    other.load_state_dict(json.loads(json.dumps(schedule.state_dict(), allow_nan=False)))
    assert other.best == best
    for value in (3.0, 2.0, 4.0):
        schedule.step(value)
        other.step(value)
    assert other.state_dict() == schedule.state_dict()


def test_a_best_that_older_versions_left_out_is_the_first_one():
    schedule = optim.ReduceLROnPlateau(one_group())
    schedule.load_state_dict({**schedule.state_dict(), "best": None})
    assert schedule.best == math.inf


# --- States that do not fit --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("count", 3.7), ("count", math.nan), ("count", -1), ("count", "3"), ("count", True), ("count", None),
        ("base_lrs", ["0.1"]), ("base_lrs", [math.nan]), ("base_lrs", [-1.0]),
        ("waited", 0.5), ("cooling", math.inf), ("reductions", -1), ("best", "low"), ("best", math.nan),
    ],
)  # fmt: skip
def test_a_state_with_values_that_are_none_is_refused_by_name(name, value):
    schedule = optim.ReduceLROnPlateau(one_group())
    before = schedule.state_dict()
    with pytest.raises(errors.StateError, match=name):
        schedule.load_state_dict({**before, name: value})
    assert schedule.state_dict() == before


def test_a_plateau_that_is_made_after_a_warm_up_begins_at_the_first_rate():
    opt = one_group()
    warm = optim.LinearLR(opt, 0.25, total_iters=3)
    rates = lr_of(opt)
    for _ in range(2):
        warm.step()
        rates += lr_of(opt)
    plateau = optim.ReduceLROnPlateau(opt, factor=0.5, patience=0)
    rates += lr_of(opt)
    for _ in range(3):
        plateau.step(1.0)
        rates += lr_of(opt)
    assert rates == [0.25, 0.5, 0.75, 1.0, 1.0, 0.5, 0.25]
