"""Settings of optimizers, schedules and averages: numbers of every kind act, unknown names are refused."""

from __future__ import annotations

import copy
import json
import pickle
from fractions import Fraction

import numpy as np
import pytest
from optim_cases import ROWS, give

import tinygrad_adam as tg
from tinygrad_adam import errors, nn, optim


def parameter():
    return nn.Parameter(np.array([1.0, -2.0]))


def adam(**settings):
    return optim.Adam([parameter()], **settings)


# --- Names -------------------------------------------------------------------------------------


@pytest.mark.parametrize("cls", [*(row.cls for row in ROWS.values()), optim.SparseAdam])
def test_hyper_parameters_are_no_attributes(cls):
    """Each is refused by the words that set it."""
    opt = cls([parameter()])
    for setting in opt.defaults:
        with pytest.raises(errors.OptionError, match=rf"group\['{setting}'\] = value"):
            setattr(opt, setting, 0.5)
        assert not hasattr(opt, setting)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("learning_rate", r"group\['lr'\] = value"),
        ("weight_decy", r"group\['weight_decay'\] = value"),
        ("on_nonfinit", "did you mean 'on_nonfinite'"),
        ("zero_grad", "zero_grad is computed"),
    ],
)
def test_other_words_are_refused_too(name, message):
    opt = adam()
    with pytest.raises(errors.OptionError, match=message):
        setattr(opt, name, 0.5)


@pytest.mark.parametrize(
    ("make", "name", "message"),
    [
        (lambda opt: optim.StepLR(opt, 2), "gama", "did you mean 'gamma'"),
        (lambda opt: optim.StepLR(opt, 2), "lr", "lr is computed"),
        (lambda opt: optim.ReduceLROnPlateau(opt), "factor", "factor is computed"),
        (lambda opt: optim.StepLR(opt, 2), "base_lrs", "base_lrs is computed"),
        (lambda opt: optim.OneCycleLR(opt, 1.0, 5), "max_lr", "unknown attribute 'max_lr'"),
        (lambda opt: optim.ExponentialMovingAverage(nn.Linear(1, 1)), "beta", "unknown attribute 'beta'"),
    ],
)
def test_schedules_and_averages_have_no_other_attributes(make, name, message):
    with pytest.raises(errors.OptionError, match=message):
        setattr(make(adam()), name, 0.5)


def test_attributes_that_are_read_may_be_set():
    opt = optim.SGD([parameter()], lr=1.0)
    schedule = optim.ExponentialLR(opt, 0.5)
    schedule.gamma = 0.25
    schedule.step()
    assert opt.param_groups[0]["lr"] == 0.25
    opt.on_nonfinite = "raise"
    give(opt.param_groups[0]["params"][0], np.nan)
    with pytest.raises(errors.NonFiniteError):
        opt.step()
    opt.on_nonfinite = "skpi"
    with pytest.raises(errors.OptionError, match="did you mean 'skip'"):
        opt.step()


def test_a_class_of_ones_own_has_the_attributes_that_it_likes():
    class Warm(optim.Schedule):
        def __init__(self, opt, length):
            self.length = length
            super().__init__(opt)
            self.extra = 1

        def factor(self, count):
            self.asked = count
            return min(1.0, (count + 1) / self.length)

    schedule = Warm(adam(), 4)
    schedule.length = np.int64(2)
    schedule.extra = schedule.asked
    assert type(schedule.length) is int
    with pytest.raises(errors.OptionError, match="did you mean 'length'"):
        schedule.lenght = 3


@pytest.mark.parametrize(
    "change",
    [
        lambda group: group.__setitem__("learnig_rate", 1.0),
        lambda group: group.update(learnig_rate=1.0),
        lambda group: group.__ior__({"learnig_rate": 1.0}),
    ],
)
def test_a_group_has_no_other_names(change):
    group = adam().param_groups[0]
    with pytest.raises(errors.OptionError, match="unknown hyper-parameter 'learnig_rate'"):
        change(group)


def test_the_parameters_of_a_group_are_fixed():
    group = adam().param_groups[0]
    with pytest.raises(errors.OptionError, match="add_param_group"):
        group["params"] = [parameter()]
    assert isinstance(group["params"], tuple)


@pytest.mark.parametrize("twin", [copy.deepcopy, lambda opt: pickle.loads(pickle.dumps(opt))])
def test_groups_survive_copies(twin):
    other = twin(adam(lr=0.5))
    assert other.param_groups[0]["lr"] == 0.5
    with pytest.raises(errors.OptionError):
        other.param_groups[0]["rate"] = 1.0
    give(other.param_groups[0]["params"][0], 1.0)
    other.step()


# --- Numbers -----------------------------------------------------------------------------------

EIGHTH = [np.float32(0.125), np.float64(0.125), np.float16(0.125), np.longdouble(0.125), Fraction(1, 8)]


@pytest.mark.parametrize("value", EIGHTH, ids=lambda value: type(value).__name__)
def test_every_number_is_a_setting_and_is_saved(value):
    p = nn.Parameter(np.ones(2, np.float32))
    opt = optim.Adam([p], lr=value, betas=[value, value], weight_decay=value, amsgrad=np.True_)
    for group in opt.param_groups:
        group["eps"] = value
    p.grad = np.ones(2, np.float32)
    opt.step()
    other = adam(lr=0.125, betas=(0.125, 0.125), weight_decay=0.125, amsgrad=True, eps=0.125)
    plain = {key: v for key, v in other.param_groups[0].items() if key != "params"}
    found = {key: v for key, v in opt.param_groups[0].items() if key != "params"}
    assert found == plain | {"betas": [0.125, 0.125]}
    assert {key: type(v) for key, v in found.items()} == {key: type(v) for key, v in plain.items()} | {
        "betas": list
    }
    json.dumps(opt.state_dict()["groups"])
    assert p.dtype == np.float32


@pytest.mark.parametrize("value", EIGHTH, ids=lambda value: type(value).__name__)
def test_rates_of_schedules_are_pythons(value):
    for make in (
        lambda opt: optim.LambdaLR(opt, lambda count: value),
        lambda opt: optim.ExponentialLR(opt, value),
        lambda opt: optim.LinearLR(opt, value, total_iters=np.int64(3)),
        lambda opt: optim.StepLR(opt, np.int64(1), value),
        lambda opt: optim.MultiStepLR(opt, np.array([1, 2]), value),
        lambda opt: optim.CosineAnnealingLR(opt, np.int32(4), eta_min=value),
        lambda opt: optim.OneCycleLR(opt, value, np.int64(5), pct_start=value, cycle_momentum=False),
    ):
        opt = optim.SGD([parameter()], lr=value)
        schedule = make(opt)
        schedule.step()
        assert type(opt.param_groups[0]["lr"]) is float
        assert {type(lr) for row in schedule.preview(np.int64(3)) for lr in row} == {float}
        json.dumps([opt.state_dict()["groups"], schedule.state_dict()])


def test_other_numbers_that_are_ones():
    """An average's decay, a step number, a scale, the steps of a comparison; a truth value is no number."""
    average = optim.ExponentialMovingAverage(nn.Linear(1, 1), np.float32(0.5))
    assert type(average.decay) is float
    p = parameter()
    p.grad = np.ones(2)
    optim.add_grad_noise_([p], np.int64(3), eta=np.float32(0.0))
    optim.clip_grad_norm_([p], np.float32(0.5))
    opt = optim.SGD([p], lr=1.0)
    before = p.data.copy()
    opt.step(np.float32(2.0))
    np.testing.assert_allclose(p.data, before - 0.125**0.5 / 2, rtol=1e-5)
    optim.compare_dialects(lambda p: (p**2).sum(), [1.0], ["paper", "keras"], steps=np.int64(2))
    for wrong in (True, np.True_, "1", None, np.nan):
        with pytest.raises(errors.OptionError, match="lr must be a finite number >= 0"):
            adam(lr=wrong)
    for wrong in (np.False_, 0, -1.0, "2", None, np.nan, np.inf):
        with pytest.raises(errors.OptionError, match="grad_scale must be a positive number"):
            opt.step(wrong)


@pytest.mark.parametrize("wrong", [0, -1.0, np.nan, None, "1", True, np.True_], ids=repr)
@pytest.mark.parametrize(
    "clip",
    [
        lambda params, value: optim.clip_grad_norm_(params, value),
        lambda params, value: optim.clip_grad_value_(params, value),
        lambda params, value: optim.clip_grad_adaptive_(params, value),
    ],
)
def test_limits_of_gradients_that_are_none(clip, wrong):
    with pytest.raises(errors.OptionError, match="must be"):
        clip([parameter()], wrong)


# --- What a step does not take -----------------------------------------------------------------


def test_a_closure_is_refused_with_the_words_for_it():
    opt = adam()
    with pytest.raises(errors.OptionError, match=r"a step takes no closure; call it yourself, then step\(\)"):
        opt.step(lambda: tg.tensor(1.0))


@pytest.mark.parametrize(
    ("typed", "meant"), [("adma", "adam"), ("Adam", "adam"), ("smgd", "sgd"), ("rmsprp", "rmsprop")]
)
def test_the_nearest_optimizer_is_named(typed, meant):
    with pytest.raises(errors.OptionError, match=f"did you mean '{meant}'"):
        optim.build_optimizer(typed, [parameter()])


def test_the_nearest_class_is_named():
    with pytest.raises(AttributeError, match="did you mean 'Adam'"):
        optim.Adma  # noqa: B018
    assert not hasattr(optim, "__wrapped__")
