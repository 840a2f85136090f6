"""Schedules made of functions and of other schedules."""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections.abc import Callable, Sequence

from ...errors import OptionError
from ...values import is_integer, is_number
from ..optimizer import Optimizer
from .base import Schedule, require
from .cosine import OneCycleLR
from .plateau import ReduceLROnPlateau


class LambdaLR(Schedule):
    """Multiply the learning rate by a function of the count.

    Parameters
    ----------
    optimizer : Optimizer
        Whose learning rates to set.
    lr_lambda : callable
        ``lr_lambda(count)`` gives the factor. It is not saved with the state.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> opt = tg.optim.Adam([tg.nn.Parameter([1.0])], lr=0.1)
    >>> tg.optim.LambdaLR(opt, lambda count: 0.5**count).preview(3)
    [[0.1], [0.05], [0.025]]
    """

    def __init__(self, optimizer: Optimizer, lr_lambda: Callable[[int], float]) -> None:
        require(self, callable(lr_lambda), "a function of the count", lr_lambda=lr_lambda)
        self.lr_lambda = lr_lambda
        super().__init__(optimizer)

    def factor(self, count: int) -> float:  # noqa: D102
        factor = self.lr_lambda(count)
        if not is_number(factor) or factor < 0:
            raise OptionError(
                "LambdaLR", "lr_lambda must return a finite number >= 0", count=count, returned=factor
            )
        return factor


class ChainedScheduler(Schedule):
    """Apply several schedules at once: each takes the learning rate of the one before as its first.

    The factors of schedules that have one are multiplied.

    Parameters
    ----------
    schedulers : sequence of Schedule
        All of one optimizer. They are asked for their learning rates, never advanced; save and advance this
        schedule only.

    Examples
    --------
    The Adam paper's decay after a warm-up of two steps:

    >>> import tinygrad_adam as tg
    >>> from tinygrad_adam import optim
    >>> opt = optim.Adam([tg.nn.Parameter([1.0])], lr=1.0)
    >>> parts = [optim.LinearLR(opt, 0.5, total_iters=1), optim.InverseSquareRootLR(opt)]
    >>> [round(lr, 3) for lr, in optim.ChainedScheduler(parts).preview(4)]
    [0.5, 0.707, 0.577, 0.5]
    """

    def __init__(self, schedulers: Sequence[Schedule]) -> None:
        require_parts(self, schedulers)
        self.schedulers = list(schedulers)
        super().__init__(schedulers[0].optimizer)

    def lr(self, base_lr: float, count: int) -> float:  # noqa: D102
        for schedule in self.schedulers:
            base_lr = schedule.lr(base_lr, count)
        return base_lr

    @property
    def _name(self) -> str:
        return name_with_parts(self, self.schedulers)


class SequentialLR(Schedule):
    """Follow one schedule after the other, each from its beginning.

    Parameters
    ----------
    optimizer : Optimizer
        Whose learning rates to set.
    schedulers : sequence of Schedule
        All of this optimizer. They are asked for their learning rates, never advanced; save and advance this
        schedule only.
    milestones : sequence of int
        After how many steps the second schedule begins, the third, and so on.

    Examples
    --------
    A warm-up, then a cosine:

    >>> import tinygrad_adam as tg
    >>> from tinygrad_adam import optim
    >>> opt = optim.Adam([tg.nn.Parameter([1.0])], lr=1.0)
    >>> parts = [optim.LinearLR(opt, 0.5, total_iters=2), optim.CosineAnnealingLR(opt, t_max=4)]
    >>> schedule = optim.SequentialLR(opt, parts, milestones=[2])
    >>> [round(lr, 3) for lr, in schedule.preview(7)]
    [0.5, 0.75, 1.0, 0.854, 0.5, 0.146, 0.0]
    """

    def __init__(
        self, optimizer: Optimizer, schedulers: Sequence[Schedule], milestones: Sequence[int]
    ) -> None:
        require_parts(self, schedulers, optimizer)
        whole = isinstance(milestones, Sequence) and all(is_integer(milestone, 1) for milestone in milestones)
        rising = whole and all(a < b for a, b in itertools.pairwise(milestones))
        fits = rising and len(milestones) == len(schedulers) - 1
        domain = f"{len(schedulers) - 1} rising positive integers, one fewer than there are schedules"
        require(self, fits, domain, milestones=milestones)
        self.schedulers, self.milestones = list(schedulers), list(milestones)
        super().__init__(optimizer)

    def lr(self, base_lr: float, count: int) -> float:  # noqa: D102
        i = bisect_right(self.milestones, count)
        begin = self.milestones[i - 1] if i > 0 else 0
        return self.schedulers[i].lr(base_lr, count - begin)

    @property
    def _name(self) -> str:
        return name_with_parts(self, self.schedulers)


def require_parts(
    whole: Schedule, schedulers: Sequence[Schedule], optimizer: Optimizer | None = None
) -> None:
    """Raise an OptionError for a schedule that cannot be part of another."""
    name = type(whole).__name__
    if not isinstance(schedulers, Sequence) or not schedulers:
        raise OptionError(name, "schedulers must be a list of schedules, one or more", schedulers=schedulers)
    for part in schedulers:
        if not isinstance(part, Schedule) or isinstance(part, OneCycleLR | ReduceLROnPlateau):
            raise OptionError(
                name,
                "a part must be a schedule that is a function of the count alone; advance OneCycleLR and "
                "ReduceLROnPlateau by themselves, and make one that follows another when that has ended",
                part=type(part).__name__,
            )
        if part.optimizer is not (optimizer or schedulers[0].optimizer):
            raise OptionError(name, "all parts must be of one optimizer", part=type(part).__name__)


def name_with_parts(whole: Schedule, schedulers: Sequence[Schedule]) -> str:
    """Return the kind of a schedule with the kinds of its parts."""
    return f"{type(whole).__name__}({', '.join(schedule._name for schedule in schedulers)})"
