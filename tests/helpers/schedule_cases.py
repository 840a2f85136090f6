"""Schedules and their expected learning rates: independent closed forms, and PyTorch's counterparts."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_adam import nn, optim

STEPS = 1000
LRS = (0.5, 0.1)
"""The learning rates of two groups."""


def two_groups(cls=optim.SGD, **options):
    groups = [{"params": [nn.Parameter(np.ones(1))], "lr": lr} for lr in LRS]
    return cls(groups, **options)


@dataclass(frozen=True)
class Case:
    """A schedule, and ``wanted(base_lr)``: the first `STEPS` learning rates of a group.

    `twin` builds PyTorch's counterpart, if any, from its module ``torch.optim.lr_scheduler``.
    """

    build: Callable[[Any], optim.Schedule]
    wanted: Callable[[float], list[float]]
    twin: Callable[[Any, Any], Any] | None = None


def over(formula):
    return lambda base_lr: [base_lr * formula(t) for t in range(STEPS)]


def half_wave(start, end, share):
    """Fall or rise by the half-angle formula, which loses no digits near the end of the wave."""
    return end + (start - end) * math.sin(math.pi / 2 * (1 - share)) ** 2


def steps_down(base_lr):
    lrs = []
    for _ in range(0, STEPS, 70):
        lrs += [base_lr] * 70
        base_lr *= 0.7
    return lrs[:STEPS]


def milestones(base_lr):
    return [base_lr] * 30 + [base_lr * 0.7] * 370 + [base_lr * 0.343] * 500 + [base_lr * 0.2401] * 100


def restarts(first, times, eta_min):
    def wanted(base_lr):
        lrs, length = [], first
        while len(lrs) < STEPS:
            lrs += [half_wave(base_lr, eta_min, i / length) for i in range(length)]
            length *= times
        return lrs[:STEPS]

    return wanted


def one_cycle(max_lrs, share, along, div=25.0, final_div=1e4, total=STEPS):
    def wanted(base_lr):
        high = max_lrs[LRS.index(base_lr)]
        low, last = high / div, high / div / final_div
        peak = share * total - 1
        lrs = [along(low, high, t / peak) for t in range(STEPS) if t <= peak]
        lrs += [along(high, last, (t - peak) / (total - 1 - peak)) for t in range(len(lrs), total)]
        return lrs + [last] * (STEPS - total)

    return wanted


def line(start, end, share):
    return start * (1 - share) + end * share


def warm_up_and_wave(base_lr):
    return [
        *[base_lr * (0.1 + 0.9 * t / 50) for t in range(50)],
        *[half_wave(base_lr, 0.01, t / 400) for t in range(400)],
        *[base_lr * 0.99**t for t in range(550)],
    ]


def warm_up_in_a_chain(base_lr):
    warm = [base_lr * min(0.2 + 0.8 * t / 100, 1) for t in range(STEPS)]
    return [half_wave(warm[t], 0.01, t / STEPS) / math.sqrt(t + 1) for t in range(STEPS)]


def chain(lib, opt):
    return [lib.ConstantLR(opt, 0.1, 20), lib.ExponentialLR(opt, 0.995), lib.StepLR(opt, 100, 0.5)]


def sequence(lib, opt):
    return [
        lib.LinearLR(opt, 0.1, 1.0, 50),
        lib.CosineAnnealingLR(opt, 400, 0.01),
        lib.ExponentialLR(opt, 0.99),
    ]


CASES = {
    "ConstantLR": Case(
        lambda opt: optim.ConstantLR(opt, 0.3, 70),
        over(lambda t: 0.3 if t in range(70) else 1),
        lambda lib, opt: lib.ConstantLR(opt, 0.3, 70),
    ),
    "LinearLR": Case(
        lambda opt: optim.LinearLR(opt, 0.1, 0.9, 300),
        over(lambda t: float(np.interp(t, [0, 300], [0.1, 0.9]))),
        lambda lib, opt: lib.LinearLR(opt, 0.1, 0.9, 300),
    ),
    "LinearLR by default": Case(
        optim.LinearLR,
        over(lambda t: ([5, 7, 9, 11, 13] + [15] * STEPS)[t] / 15),
        lambda lib, opt: lib.LinearLR(opt),
    ),
    "StepLR": Case(
        lambda opt: optim.StepLR(opt, 70, 0.7),
        steps_down,
        lambda lib, opt: lib.StepLR(opt, 70, 0.7),
    ),
    "MultiStepLR": Case(
        lambda opt: optim.MultiStepLR(opt, [900, 30, 400, 400], 0.7),
        milestones,
        lambda lib, opt: lib.MultiStepLR(opt, [30, 400, 400, 900], 0.7),
    ),
    "ExponentialLR": Case(
        lambda opt: optim.ExponentialLR(opt, 0.99),
        over(lambda t: math.exp(t * math.log(0.99))),
        lambda lib, opt: lib.ExponentialLR(opt, 0.99),
    ),
    "PolynomialLR": Case(
        lambda opt: optim.PolynomialLR(opt, 900, 2.5),
        over(lambda t: max(0, 900 - t) ** 2.5 / 900**2.5),
        lambda lib, opt: lib.PolynomialLR(opt, 900, 2.5),
    ),
    "InverseSquareRootLR": Case(optim.InverseSquareRootLR, over(lambda t: (t + 1) ** -0.5)),
    "InverseTimeLR": Case(lambda opt: optim.InverseTimeLR(opt, 0.01), over(lambda t: 100 / (100 + t))),
    "CosineAnnealingLR": Case(
        lambda opt: optim.CosineAnnealingLR(opt, STEPS, 0.001),
        lambda base_lr: [half_wave(base_lr, 0.001, t / STEPS) for t in range(STEPS)],
        lambda lib, opt: lib.CosineAnnealingLR(opt, STEPS, 0.001),
    ),
    "CosineAnnealingLR, then flat": Case(
        lambda opt: optim.CosineAnnealingLR(opt, 600),
        lambda base_lr: [half_wave(base_lr, 0, t / 600) for t in range(600)] + [0.0] * 400,
    ),
    "CosineAnnealingWarmRestarts": Case(
        lambda opt: optim.CosineAnnealingWarmRestarts(opt, 30),
        restarts(30, 1, 0.0),
        lambda lib, opt: lib.CosineAnnealingWarmRestarts(opt, 30),
    ),
    "CosineAnnealingWarmRestarts, longer": Case(
        lambda opt: optim.CosineAnnealingWarmRestarts(opt, 7, 3, 0.001),
        restarts(7, 3, 0.001),
        lambda lib, opt: lib.CosineAnnealingWarmRestarts(opt, 7, 3, 0.001),
    ),
    "OneCycleLR": Case(
        lambda opt: optim.OneCycleLR(opt, [0.3, 0.7], STEPS),
        one_cycle([0.3, 0.7], 0.3, half_wave),
        lambda lib, opt: lib.OneCycleLR(opt, [0.3, 0.7], STEPS),
    ),
    "OneCycleLR, linear": Case(
        lambda opt: optim.OneCycleLR(
            opt, 0.3, STEPS, 0.45, "linear", False, div_factor=10, final_div_factor=100
        ),
        one_cycle([0.3, 0.3], 0.45, line, 10, 100),
        lambda lib, opt: lib.OneCycleLR(
            opt,
            0.3,
            STEPS,
            pct_start=0.45,
            anneal_strategy="linear",
            cycle_momentum=False,
            div_factor=10,
            final_div_factor=100,
        ),
    ),
    "OneCycleLR without a rise": Case(
        lambda opt: optim.OneCycleLR(opt, 0.3, 900, pct_start=0.0),
        one_cycle([0.3, 0.3], 0.0, half_wave, total=900),
    ),
    "LambdaLR": Case(
        lambda opt: optim.LambdaLR(opt, lambda t: 1 / (1 + t)),
        over(lambda t: (1 + t) ** -1.0),
        lambda lib, opt: lib.LambdaLR(opt, lambda t: 1 / (1 + t)),
    ),
    "LambdaLR, down to zero": Case(
        lambda opt: optim.LambdaLR(opt, lambda t: 2.0 if t < 100 else 0.0),
        over(lambda t: 2 * (t < 100)),
        lambda lib, opt: lib.LambdaLR(opt, lambda t: 2.0 if t < 100 else 0.0),
    ),
    "ChainedScheduler": Case(
        lambda opt: optim.ChainedScheduler(chain(optim, opt)),
        over(lambda t: (0.1 if t < 20 else 1) * 0.995**t * 0.5 ** (t // 100)),
        lambda lib, opt: lib.ChainedScheduler(chain(lib, opt)),
    ),
    "ChainedScheduler with a warm-up": Case(
        lambda opt: optim.ChainedScheduler(
            [
                optim.LinearLR(opt, 0.2, 1.0, 100),
                optim.CosineAnnealingLR(opt, STEPS, 0.01),
                optim.InverseSquareRootLR(opt),
            ]
        ),
        warm_up_in_a_chain,
    ),
    "SequentialLR": Case(
        lambda opt: optim.SequentialLR(opt, sequence(optim, opt), [50, 450]),
        warm_up_and_wave,
        lambda lib, opt: lib.SequentialLR(opt, sequence(lib, opt), [50, 450]),
    ),
}
"""Cases by name; the first word of a name is the class."""


def check(case):
    """Raise unless the schedule returns the expected rates, to 1e-12 of the first learning rate or better."""
    schedule = case.build(two_groups())
    wanted = np.array([case.wanted(lr) for lr in LRS]).T
    # A rate that falls to zero loses digits, so errors are relative to the first learning rate.
    np.testing.assert_allclose(schedule.preview(STEPS), wanted, rtol=1e-12, atol=1e-15)
