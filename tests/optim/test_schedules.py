"""Schedules: closed forms, mutants of them, resuming, what moves with them, pictures, wrong use."""

from __future__ import annotations

import ast
import inspect
import json
import math
import textwrap

import numpy as np
import pytest
from mutation import broken, compiled, running
from schedule_cases import CASES, LRS, STEPS, check, half_wave, two_groups

from tinygrad_adam import Tensor, errors, nn, optim
from tinygrad_adam.optim.schedules import cosine

CLASSES = {
    name: value
    for name, value in vars(optim).items()
    if inspect.isclass(value) and issubclass(value, optim.Schedule) and value is not optim.Schedule
}


def cases_of(name):
    return [case for title, case in CASES.items() if title.replace(",", "").split()[0] == name]


# --- Values ------------------------------------------------------------------------------------


def test_every_exported_schedule_is_tested():
    assert set(CLASSES) == {name for name in CLASSES if cases_of(name)} | {"ReduceLROnPlateau"}


@pytest.mark.parametrize("name", CASES)
def test_closed_forms(name):
    check(CASES[name])


@pytest.mark.parametrize("name", CASES)
def test_what_is_set_is_what_was_foreseen(name):
    opt = two_groups()
    schedule = CASES[name].build(opt)
    foreseen = schedule.preview(STEPS)
    assert schedule.count == 0
    for lrs in foreseen[:120]:
        assert [group["lr"] for group in opt.param_groups] == schedule.last_lrs == lrs
        schedule.step()
    assert schedule.preview(STEPS) == foreseen


@pytest.mark.parametrize("cls", [optim.SGD, optim.Adam])
def test_one_cycle_moves_the_momentum_against_the_learning_rate(cls):
    opt = two_groups(cls)
    schedule = optim.OneCycleLR(opt, 0.3, 100, base_momentum=0.8, max_momentum=0.9)
    for t in range(100):
        wanted = half_wave(0.9, 0.8, t / 29) if t <= 29 else half_wave(0.8, 0.9, (t - 29) / 70)
        for group in opt.param_groups:
            momentum, *rest = group["betas"] if cls is optim.Adam else [group["momentum"]]
            assert momentum == pytest.approx(wanted, rel=1e-12)
            assert rest == ([0.999] if cls is optim.Adam else [])
        assert schedule.momentum(t) == pytest.approx(wanted, rel=1e-12)
        schedule.step()
    assert schedule.momentum(99) == schedule.momentum(1000) == 0.9


def test_one_cycle_leaves_the_momentum_alone_if_asked_to():
    opt = two_groups(optim.Adam)
    optim.OneCycleLR(opt, 0.3, 100, cycle_momentum=False).step()
    assert opt.param_groups[0]["betas"] == (0.9, 0.999)


def test_schedules_of_one_optimizer_begin_at_the_same_learning_rate():
    opt = two_groups()
    optim.LinearLR(opt, 0.1)
    second = optim.ExponentialLR(opt, 0.5)
    assert second.base_lrs == list(LRS)
    assert [group["initial_lr"] for group in opt.param_groups] == list(LRS)


def test_an_optimizer_with_a_schedule_can_be_saved_and_restored():
    opt, other = two_groups(), two_groups()
    optim.LinearLR(opt, 0.1)
    other.load_state_dict(json.loads(json.dumps(opt.state_dict())))
    assert [group["lr"] for group in other.param_groups] == pytest.approx([lr * 0.1 for lr in LRS])


# --- Plateau -----------------------------------------------------------------------------------


ABSOLUTE = {"threshold_mode": "abs"}


def plateau(values, **options):
    """Return the learning rate of the second group (at first 0.1) before each value, and at last."""
    opt = two_groups()
    schedule = optim.ReduceLROnPlateau(opt, **options)
    seen = [schedule.last_lrs[1]]
    for value in values:
        schedule.step(value)
        seen.append(schedule.last_lrs[1])
    assert [lrs[1] for lrs in schedule.preview(values)] == seen[:-1]
    assert schedule.count == len(values)
    return seen


@pytest.mark.parametrize(
    ("values", "options", "wanted"),
    [
        ([3, 2, 1, 1, 1, 1], {"patience": 2}, [10] * 6 + [1]),
        ([3, 3, 3, 3], {"patience": 0, "factor": 0.5}, [10, 10, 5, 2.5, 1.25]),
        ([1, 2, 3, 3, 3], {"patience": 1, "mode": "max"}, [10] * 5 + [1]),
        ([100, 95, 91, 89], {"patience": 0, "threshold": 0.1}, [10, 10, 1, 0.1, 0.1]),
        ([100, 105, 111], {"patience": 0, "threshold": 0.1, "mode": "max"}, [10, 10, 1, 1]),
        ([5, 4, 2.9], {"patience": 0, "threshold": 2, **ABSOLUTE}, [10, 10, 1, 1]),
        ([5, 6, 7.1], {"patience": 0, "threshold": 2, **ABSOLUTE, "mode": "max"}, [10, 10, 1, 1]),
        ([1] * 2, {"patience": 0, "threshold": 0}, [10, 10, 1]),
        ([1] * 7, {"patience": 1}, [10, 10, 10, 1, 1, 0.1, 0.1, 0.01]),
        ([1] * 6, {"patience": 0, "cooldown": 2}, [10, 10, 1, 1, 1, 0.1, 0.1]),
        ([1] * 4, {"patience": 0, "min_lr": 0.005}, [10, 10, 1, 0.5, 0.5]),
        ([1] * 3, {"patience": 0, "min_lr": 1.0}, [10] * 4),
        ([1, math.nan, math.nan], {"patience": 1}, [10, 10, 10, 1]),
        ([1, -1, -1], {"patience": 0, **ABSOLUTE}, [10, 10, 10, 1]),
    ],
)  # fmt: skip
def test_plateau(values, options, wanted):
    assert plateau(values, **options) == pytest.approx([lr / 100 for lr in wanted], rel=1e-12)


def test_plateau_takes_a_tensor_and_refuses_nothing():
    schedule = optim.ReduceLROnPlateau(two_groups(), patience=0)
    schedule.step(Tensor(np.float32(2.5)))
    assert schedule.best == 2.5
    with pytest.raises(errors.OptionError, match=r"schedule\.step\(val_loss\)"):
        schedule.step()
    assert schedule.count == 1
    for steps in (10, []):
        with pytest.raises(errors.OptionError, match="give a list of values"):
            schedule.preview(steps)


# --- State -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CASES)
def test_a_schedule_goes_on_in_the_middle(name):
    schedule = CASES[name].build(two_groups(optim.Adam))
    for _ in range(437):
        schedule.step()
    opt = optim.Adam([{"params": [nn.Parameter(np.ones(1))], "lr": lr} for lr in (0.5, 0.1)])
    twin = CASES[name].build(opt)
    twin.load_state_dict(json.loads(json.dumps(schedule.state_dict())))
    for _ in range(100):
        assert twin.last_lrs == schedule.last_lrs
        assert [g["betas"] for g in opt.param_groups] == [g["betas"] for g in schedule.optimizer.param_groups]
        twin.step(), schedule.step()
    assert twin.count == 537


def test_the_first_learning_rates_are_part_of_the_state():
    schedule = optim.ExponentialLR(two_groups(), 0.5)
    schedule.step()
    other = optim.SGD([{"params": [nn.Parameter(np.ones(1))]} for _ in LRS], lr=9.0)
    twin = optim.ExponentialLR(other, 0.5)
    twin.load_state_dict(schedule.state_dict())
    assert (twin.base_lrs, twin.last_lrs) == (list(LRS), [0.25, 0.05])


def test_plateau_goes_on_in_the_middle():
    values = [3, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1]
    for stop in range(len(values) + 1):
        first = optim.ReduceLROnPlateau(two_groups(), patience=1, cooldown=1)
        for value in values[:stop]:
            first.step(value)
        twin = optim.ReduceLROnPlateau(two_groups(), patience=1, cooldown=1)
        twin.load_state_dict(json.loads(json.dumps(first.state_dict())))
        for value in values[stop:]:
            assert twin.state_dict() == first.state_dict()
            assert twin.last_lrs == first.last_lrs
            first.step(value), twin.step(value)
    assert first.reductions == 3


def test_a_schedule_refuses_the_state_of_another():
    opt = two_groups()
    step, cosine_ = optim.StepLR(two_groups(), 3), optim.CosineAnnealingLR(opt, 20)
    step.step()
    for other in (cosine_, optim.ReduceLROnPlateau(opt), optim.StepLR(optim.SGD([nn.Parameter([1.0])]), 3)):
        before = other.state_dict()
        with pytest.raises(errors.StateError, match="another schedule"):
            other.load_state_dict(step.state_dict())
        assert other.state_dict() == before


def test_a_combination_refuses_the_state_of_other_parts():
    opt = two_groups()
    one = optim.ChainedScheduler([optim.ExponentialLR(opt, 0.5)])
    other = optim.ChainedScheduler([optim.ExponentialLR(opt, 0.5), optim.StepLR(opt, 3)])
    assert other.state_dict()["schedule"] == "ChainedScheduler(ExponentialLR, StepLR)"
    with pytest.raises(errors.StateError, match="another schedule"):
        other.load_state_dict(one.state_dict())


def test_a_combination_may_be_a_part():
    opt = two_groups()
    warm = optim.ChainedScheduler([optim.LinearLR(opt, 0.5, total_iters=2), optim.ExponentialLR(opt, 0.5)])
    whole = optim.SequentialLR(opt, [warm, optim.InverseTimeLR(opt, 1.0)], [2])
    assert [lrs[0] / LRS[0] for lrs in whole.preview(5)] == pytest.approx([0.5, 0.375, 1, 1 / 2, 1 / 3])


# --- Names -------------------------------------------------------------------------------------


def test_every_schedule_has_a_name_but_those_made_of_objects():
    named = {cls.__name__ for cls in optim.SCHEDULES.values()}
    assert set(CLASSES) - named == {"LambdaLR", "ChainedScheduler", "SequentialLR"}


def test_schedules_by_name():
    schedule = optim.build_schedule("cosine-restarts", two_groups(), t_0=5, t_mult=2)
    assert type(schedule) is optim.CosineAnnealingWarmRestarts
    assert (schedule.t_0, schedule.t_mult) == (5, 2)
    for name, settings, message in [
        ("cosin", {}, "did you mean 'cosine'"),
        ("step", {"step_siz": 3}, "did you mean 'step_size'"),
        ("one-cycle", {"pct_start": 0.5}, r"needs more settings\n  missing  max_lr, total_steps"),
        ("step", {"step_size": 0}, "must be a positive integer"),
    ]:
        with pytest.raises(errors.OptionError, match=message):
            optim.build_schedule(name, two_groups(), **settings)


# --- Pictures ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["OneCycleLR", "SequentialLR"])
def test_a_picture_of_a_schedule(name, tmp_path):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    opt = two_groups()
    schedule = CASES[name].build(opt)
    before = [dict(group) for group in opt.param_groups]
    figure = schedule.plot(STEPS, tmp_path / "schedule.png")
    (panel,) = figure.axes
    for line, lr in zip(panel.lines, LRS, strict=True):
        np.testing.assert_allclose(line.get_ydata(), CASES[name].wanted(lr), rtol=1e-12, atol=1e-15)
    assert panel.get_title() == schedule._name
    assert (tmp_path / "schedule.png").read_bytes().startswith(b"\x89PNG")
    assert [dict(group) for group in opt.param_groups] == before
    assert schedule.count == 0


def test_a_picture_of_a_plateau():
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    schedule = optim.ReduceLROnPlateau(two_groups(), patience=0)
    schedule.step(0.5)
    (panel,) = schedule.plot([1.0, 1.0, 1.0, 0.2]).axes
    assert panel.lines[1].get_ydata() == pytest.approx([0.1, 0.1, 0.01, 0.001])
    assert (schedule.best, schedule.last_lrs) == (0.5, list(LRS))


# --- Wrong use ---------------------------------------------------------------------------------

BAD_INTEGERS = (0, -1, 1.5, True, "3", None)
BAD_NUMBERS = (-0.5, math.nan, math.inf, "x", True, None)


@pytest.mark.parametrize(
    ("make", "name", "value"),
    [
        (make, name, value)
        for make, names, values in [
            (optim.StepLR, ["step_size"], BAD_INTEGERS),
            (lambda opt, **s: optim.StepLR(opt, 3, **s), ["gamma"], (*BAD_NUMBERS, 0.0)),
            (optim.ConstantLR, ["total_iters"], BAD_INTEGERS),
            (optim.ConstantLR, ["factor"], BAD_NUMBERS),
            (optim.LinearLR, ["total_iters"], BAD_INTEGERS),
            (optim.LinearLR, ["start_factor", "end_factor"], BAD_NUMBERS),
            (optim.MultiStepLR, ["milestones"], ([], [0], [1.5], 3, [True])),
            (lambda opt, **s: optim.MultiStepLR(opt, [3], **s), ["gamma"], (*BAD_NUMBERS, 0.0)),
            (optim.ExponentialLR, ["gamma"], (*BAD_NUMBERS, 0.0)),
            (optim.PolynomialLR, ["total_iters"], BAD_INTEGERS),
            (optim.PolynomialLR, ["power"], (*BAD_NUMBERS, 0.0)),
            (optim.InverseTimeLR, ["decay"], BAD_NUMBERS),
            (optim.CosineAnnealingLR, ["t_max"], BAD_INTEGERS),
            (lambda opt, **s: optim.CosineAnnealingLR(opt, 3, **s), ["eta_min"], BAD_NUMBERS),
            (optim.CosineAnnealingWarmRestarts, ["t_0"], BAD_INTEGERS),
            (lambda opt, **s: optim.CosineAnnealingWarmRestarts(opt, 3, **s), ["t_mult"], BAD_INTEGERS),
            (lambda opt, **s: optim.CosineAnnealingWarmRestarts(opt, 3, **s), ["eta_min"], BAD_NUMBERS),
            (lambda opt, **s: optim.OneCycleLR(opt, total_steps=9, **s), ["max_lr"],
             (*BAD_NUMBERS, 0.0, [0.1], [0.1, -0.1], [0.1, 0.1, 0.1])),
            (lambda opt, **s: optim.OneCycleLR(opt, 0.1, **s), ["total_steps"], BAD_INTEGERS),
            (lambda opt, **s: optim.OneCycleLR(opt, 0.1, 9, **s), ["pct_start"], (*BAD_NUMBERS, 1.0)),
            (lambda opt, **s: optim.OneCycleLR(opt, 0.1, 9, **s), ["anneal_strategy"], ("cosine", None)),
            (lambda opt, **s: optim.OneCycleLR(opt, 0.1, 9, **s), ["cycle_momentum"], ("yes", 1)),
            (lambda opt, **s: optim.OneCycleLR(opt, 0.1, 9, **s), ["base_momentum", "max_momentum"],
             (*BAD_NUMBERS, 1.0)),
            (lambda opt, **s: optim.OneCycleLR(opt, 0.1, 9, **s), ["div_factor", "final_div_factor"],
             (*BAD_NUMBERS, 0.5)),
            (optim.LambdaLR, ["lr_lambda"], (0.5, None)),
            (optim.ReduceLROnPlateau, ["mode"], ("least", None)),
            (optim.ReduceLROnPlateau, ["factor"], (*BAD_NUMBERS, 0.0, 1.0)),
            (optim.ReduceLROnPlateau, ["patience", "cooldown"], (-1, 1.5, True, None)),
            (optim.ReduceLROnPlateau, ["threshold"], (*BAD_NUMBERS, 1.0)),
            (optim.ReduceLROnPlateau, ["threshold_mode"], ("relative",)),
            (optim.ReduceLROnPlateau, ["min_lr"], BAD_NUMBERS),
        ]
        for name in names
        for value in values
    ],
)  # fmt: skip
def test_settings_out_of_their_domain(make, name, value):
    opt = two_groups()
    with pytest.raises(errors.OptionError) as caught:
        make(opt, **{name: value})
    head, last = str(caught.value).split("\n")
    assert f": {name} must be " in head
    assert last == f"  {name}  {value}"
    assert head.split(":")[0] in CLASSES
    assert [group["lr"] for group in opt.param_groups] == list(LRS)
    assert "initial_lr" not in opt.param_groups[0]


def test_every_setting_has_a_refused_value():
    rows = test_settings_out_of_their_domain.pytestmark[0].args[1]
    refused = {row[1] for row in rows} | {"optimizer", "schedulers"}
    assert {name for cls in CLASSES.values() for name in inspect.signature(cls).parameters} - refused == set()


@pytest.mark.parametrize("returned", [math.nan, -1.0, "x", None])
def test_a_function_that_gives_no_factor(returned):
    opt = two_groups()
    schedule = optim.LambdaLR(opt, lambda count: 1.0 if count < 2 else returned)
    schedule.step()
    with pytest.raises(errors.OptionError, match=rf"number >= 0\n  count     2\n  returned  {returned}"):
        schedule.step()


class NoMomentum(optim.Optimizer):
    def __init__(self, params):
        super().__init__(params, {"lr": 0.1})

    def _validate(self, settings):
        pass


def test_one_cycle_without_a_momentum_to_move():
    opt = NoMomentum([nn.Parameter([1.0])])
    with pytest.raises(errors.OptionError, match="cycle_momentum must be False for NoMomentum"):
        optim.OneCycleLR(opt, 0.1, 9)
    assert optim.OneCycleLR(opt, 0.1, 9, cycle_momentum=False).last_lrs == [0.1 / 25]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda opt: optim.ChainedScheduler([]), "one or more"),
        (lambda opt: optim.ChainedScheduler(optim.ExponentialLR(opt, 0.5)), "one or more"),
        (
            lambda opt: optim.ChainedScheduler([lambda count: 1]),
            "a part must be a schedule.*\n  part  function",
        ),
        (lambda opt: optim.ChainedScheduler([optim.ReduceLROnPlateau(opt)]), "  part  ReduceLROnPlateau"),
        (lambda opt: optim.SequentialLR(opt, [optim.OneCycleLR(opt, 0.1, 9)], []), "  part  OneCycleLR"),
        (
            lambda opt: optim.ChainedScheduler([optim.LinearLR(opt), optim.LinearLR(two_groups())]),
            "of one optimizer\n  part  LinearLR",
        ),
        (lambda opt: optim.SequentialLR(two_groups(), [optim.LinearLR(opt)], []), "of one optimizer"),
        *[
            (
                lambda opt, m=m: optim.SequentialLR(opt, [optim.LinearLR(opt)] * 3, m),
                "milestones must be 2 rising positive integers",
            )
            for m in ([5], [5, 5], [5, 3], [0, 3], [1.5, 3], 5, [1, 2, 3])
        ],
    ],
)
def test_wrong_parts(make, message):
    with pytest.raises(errors.OptionError, match=message):
        make(two_groups())


@pytest.mark.parametrize("steps", [0, -1, 1.5, None])
def test_a_preview_needs_a_number_of_steps(steps):
    with pytest.raises(errors.OptionError, match="steps must be a positive integer"):
        optim.LinearLR(two_groups()).preview(steps)


# --- Mutants -----------------------------------------------------------------------------------

FORMULAS = [
    (name, function)
    for name, cls in CLASSES.items()
    for method in ("factor", "lr", "_rise_and_fall")
    if (function := vars(cls).get(method)) is not None and name != "ReduceLROnPlateau"
]
"""The formulas of the schedules that are functions of the count."""
FORMULAS += [("OneCycleLR", cosine.along_line), ("OneCycleLR", cosine.along_cosine)]

SAME = "both sides divide 1"
TIME = "without this branch the loop below does the same, more slowly"
REFUSAL = "what it refuses is tested above"
EQUIVALENT = {
    "CosineAnnealingWarmRestarts.lr: since %= length -> pass": TIME,
    "CosineAnnealingWarmRestarts.lr: self.t_mult == 1: 1 -> 2": TIME,
    "InverseSquareRootLR.factor: 1 / math.sqrt(count + 1) -> 1 / math.sqrt(count + 1)": SAME,
    "InverseTimeLR.factor: 1 / (1 + self.decay * count) -> 1 / (1 + self.decay * count)": SAME,
    "LambdaLR.factor: not is_number(factor) or factor < 0 -> not is_number(factor)": REFUSAL,
    "LambdaLR.factor: not is_number(factor) or factor < 0 -> factor < 0": REFUSAL,
    "LambdaLR.factor: OptionError('LambdaLR', 'lr_la...unt=count, returned=factor) -> 'LambdaLR'": REFUSAL,
    "OneCycleLR._rise_and_fall: count < peak -> count <= peak": "the rise ends where the fall begins",
}
"""Mutants that compute the same, with the reason; anything else that survives is a failure."""


def mutants():
    for name, function in FORMULAS:
        (tree,) = ast.parse(textwrap.dedent(inspect.getsource(function))).body
        for label, mutant in broken(tree, ()):
            yield f"{name}.{function.__name__}: {label}", name, function, mutant


QUICK = {"ConstantLR", "StepLR", "PolynomialLR"}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in QUICK else pytest.mark.slow)
        for name in sorted({name for name, _ in FORMULAS})
    ],
)
def test_wrong_formulas_are_caught(name):
    survivors = set()
    for label, owner, function, mutant in mutants():
        if owner != name:
            continue
        with running(function, compiled(mutant, function)):
            try:
                for case in cases_of(name):
                    check(case)
            except Exception:
                continue
        survivors.add(label)
    assert survivors == {label for label in EQUIVALENT if label.split(".")[0] == name}
