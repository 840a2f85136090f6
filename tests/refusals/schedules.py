"""Wrong calls of learning rate schedules."""

from __future__ import annotations

import math

import numpy as np

from tinygrad_adam import nn, optim

WRONG = [
    (optim.StepLR, "step_size", (0, 1.5, "x", True), {}),
    (optim.StepLR, "gamma", (-1, math.nan, "x"), {"step_size": 3}),
    (optim.ConstantLR, "total_iters", (0, 2.5), {}),
    (optim.ConstantLR, "factor", (-1, "x"), {}),
    (optim.LinearLR, "start_factor", (-1, math.inf), {}),
    (optim.LinearLR, "end_factor", (-1, None), {}),
    (optim.MultiStepLR, "milestones", ([], [0], [1.5], 3), {}),
    (optim.MultiStepLR, "gamma", (0.0,), {"milestones": [3]}),
    (optim.ExponentialLR, "gamma", (0.0, -1, "x"), {}),
    (optim.PolynomialLR, "power", (0.0, "x"), {}),
    (optim.PolynomialLR, "total_iters", (0,), {}),
    (optim.InverseTimeLR, "decay", (-1, math.nan), {}),
    (optim.CosineAnnealingLR, "t_max", (0, 1.5), {}),
    (optim.CosineAnnealingLR, "eta_min", (-1,), {"t_max": 3}),
    (optim.CosineAnnealingWarmRestarts, "t_0", (0,), {}),
    (optim.CosineAnnealingWarmRestarts, "t_mult", (0, 1.5), {"t_0": 3}),
    (optim.OneCycleLR, "max_lr", (0.0, "x", [0.1, 0.1, 0.1]), {"total_steps": 9}),
    (optim.OneCycleLR, "total_steps", (0,), {"max_lr": 0.1}),
    (optim.OneCycleLR, "pct_start", (1.0, -1), {"max_lr": 0.1, "total_steps": 9}),
    (optim.OneCycleLR, "anneal_strategy", ("cosine",), {"max_lr": 0.1, "total_steps": 9}),
    (optim.OneCycleLR, "cycle_momentum", ("yes",), {"max_lr": 0.1, "total_steps": 9}),
    (optim.OneCycleLR, "base_momentum", (1.0,), {"max_lr": 0.1, "total_steps": 9}),
    (optim.OneCycleLR, "div_factor", (0.5,), {"max_lr": 0.1, "total_steps": 9}),
    (optim.LambdaLR, "lr_lambda", (0.5, None), {}),
    (optim.ReduceLROnPlateau, "mode", ("least",), {}),
    (optim.ReduceLROnPlateau, "factor", (1.0, 0.0), {}),
    (optim.ReduceLROnPlateau, "patience", (-1, 1.5), {}),
    (optim.ReduceLROnPlateau, "cooldown", (-1,), {}),
    (optim.ReduceLROnPlateau, "threshold", (1.0, -1), {}),
    (optim.ReduceLROnPlateau, "threshold_mode", ("relative",), {}),
    (optim.ReduceLROnPlateau, "min_lr", (-1,), {}),
]
"""Classes, a setting with values out of its domain, and other settings."""


def sgd(lr=0.5):
    return optim.SGD([nn.Parameter(np.ones(1))], lr=lr, momentum=0.5)


def stepped_in_turn():
    opt = sgd()
    one, two = optim.StepLR(opt, 2, 0.5), optim.ExponentialLR(opt, 0.9)
    one.step()
    two.step()
    one.step()


def set_by_hand():
    opt = sgd()
    schedule = optim.StepLR(opt, 1, 0.5)
    schedule.step()
    opt.param_groups[0]["lr"] = 0.125
    schedule.step()


def momentum_set_by_hand():
    opt = optim.Adam([nn.Parameter(np.ones(1))])
    schedule = optim.OneCycleLR(opt, 1.0, 10)
    opt.param_groups[0]["betas"] = (0.25, 0.999)
    schedule.step()


def group_added():
    opt = sgd()
    schedule = optim.OneCycleLR(opt, [3.0], 10)
    opt.add_param_group({"params": [nn.Parameter([1.0])]})
    schedule.step()


def loaded(**change):
    schedule = optim.ReduceLROnPlateau(sgd())
    schedule.load_state_dict({**schedule.state_dict(), **change})


def attribute_set(schedule, name):
    setattr(schedule, name, 0.5)


def no_factor():
    optim.LambdaLR(sgd(), lambda count: 1.0 if count < 1 else "x").step()


CALLS = {
    **{
        f"{cls.__name__} with {name}={value!r}": lambda cls=cls, name=name, value=value, others=others: cls(
            sgd(), **{**others, name: value}
        )
        for cls, name, values, others in WRONG
        for value in values
    },
    "StepLR of a model": lambda: optim.StepLR(nn.Linear(1, 1), 2),
    "OneCycleLR without a momentum": lambda: optim.OneCycleLR(
        optim.Adagrad([nn.Parameter([1.0])], lr=0.1), 0.1, 9
    ),
    "a function that gives no factor": no_factor,
    "two schedules in turn": stepped_in_turn,
    "a rate that was set by hand": set_by_hand,
    "a momentum that was set by hand": momentum_set_by_hand,
    "a group that was added": group_added,
    "a plateau without a value": lambda: optim.ReduceLROnPlateau(sgd()).step(),
    "the preview of a plateau": lambda: optim.ReduceLROnPlateau(sgd()).preview(10),
    "a preview of no step": lambda: optim.LinearLR(sgd()).preview(0),
    "a preview of a fraction": lambda: optim.LinearLR(sgd()).preview(1.5),
    "a chain of nothing": lambda: optim.ChainedScheduler([]),
    "a chain of a function": lambda: optim.ChainedScheduler([len]),
    "a chain of a plateau": lambda: optim.ChainedScheduler([optim.ReduceLROnPlateau(sgd())]),
    "a chain of two optimizers": lambda: optim.ChainedScheduler(
        [optim.LinearLR(sgd()), optim.LinearLR(sgd())]
    ),
    "a sequence of two optimizers": lambda: optim.SequentialLR(sgd(), [optim.LinearLR(sgd())], []),
    "a sequence with too few milestones": lambda: optim.SequentialLR(
        OPT, [optim.LinearLR(OPT), optim.LinearLR(OPT)], []
    ),
    "a sequence with falling milestones": lambda: optim.SequentialLR(
        OPT, [optim.LinearLR(OPT), optim.LinearLR(OPT), optim.LinearLR(OPT)], [5, 3]
    ),
    "build_schedule of an unknown name": lambda: optim.build_schedule("cosin", sgd()),
    "build_schedule with an unknown setting": lambda: optim.build_schedule("step", sgd(), step_siz=3),
    "build_schedule without a setting": lambda: optim.build_schedule("one-cycle", sgd(), pct_start=0.5),
    "the state of another schedule": lambda: optim.StepLR(sgd(), 3).load_state_dict(
        optim.CosineAnnealingLR(sgd(), 20).state_dict()
    ),
    "the state of a fraction of steps": lambda: loaded(count=3.7),
    "the state of a word for a rate": lambda: loaded(base_lrs=["0.1"]),
    "the state of a negative rate": lambda: loaded(base_lrs=[-1.0]),
    "the state of half a wait": lambda: loaded(waited=0.5),
    "the state of a best that is a word": lambda: loaded(best="low"),
    "a state that is a list": lambda: optim.StepLR(sgd(), 3).load_state_dict([]),
    "an unknown attribute": lambda: attribute_set(optim.StepLR(sgd(), 2), "gama"),
    "an attribute that is computed": lambda: attribute_set(optim.StepLR(sgd(), 2), "lr"),
    "first rates that are computed": lambda: attribute_set(optim.StepLR(sgd(), 2), "base_lrs"),
}
OPT = sgd()
