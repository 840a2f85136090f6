"""Schedules made of waves: one fall, falls and restarts, a rise and a fall."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ...errors import OptionError
from ...values import is_number
from ..optimizer import Optimizer
from ..settings import Group
from .base import Schedule, require, require_not_negative, require_positive_integer


class CosineAnnealingLR(Schedule):
    """Lower the learning rate along half a cosine wave (Loshchilov & Hutter, 2017, equation 5).

    Parameters
    ----------
    optimizer : Optimizer
        Whose learning rates to set.
    t_max : int
        The steps from the first learning rate to `eta_min`, where it then stays; PyTorch's rises again.
    eta_min : float
        The last learning rate.
    """

    def __init__(self, optimizer: Optimizer, t_max: int, eta_min: float = 0.0) -> None:
        require_positive_integer(self, t_max=t_max)
        require_not_negative(self, eta_min=eta_min)
        self.t_max, self.eta_min = t_max, eta_min
        super().__init__(optimizer)

    def lr(self, base_lr: float, count: int) -> float:  # noqa: D102
        return along_cosine(base_lr, self.eta_min, min(count, self.t_max) / self.t_max)


class CosineAnnealingWarmRestarts(Schedule):
    """Lower the learning rate along half a cosine wave, again and again (SGDR).

    Parameters
    ----------
    optimizer : Optimizer
        Whose learning rates to set.
    t_0 : int
        The steps of the first fall; the step after them has the first learning rate again.
    t_mult : int
        How many times longer each fall is than the one before.
    eta_min : float
        What the falls lead to.

    References
    ----------
    I. Loshchilov and F. Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", ICLR 2017,
    arXiv:1608.03983, equation 5.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> opt = tg.optim.Adam([tg.nn.Parameter([1.0])], lr=1.0)
    >>> schedule = tg.optim.CosineAnnealingWarmRestarts(opt, t_0=2, t_mult=2)
    >>> [round(lr, 3) for lr, in schedule.preview(7)]
    [1.0, 0.5, 1.0, 0.854, 0.5, 0.146, 1.0]
    """

    def __init__(self, optimizer: Optimizer, t_0: int, t_mult: int = 1, eta_min: float = 0.0) -> None:
        require_positive_integer(self, t_0=t_0)
        require_positive_integer(self, t_mult=t_mult)
        require_not_negative(self, eta_min=eta_min)
        self.t_0, self.t_mult, self.eta_min = t_0, t_mult, eta_min
        super().__init__(optimizer)

    def lr(self, base_lr: float, count: int) -> float:  # noqa: D102
        since, length = count, self.t_0
        if self.t_mult == 1:
            since %= length
        while since >= length:
            since, length = since - length, length * self.t_mult
        return along_cosine(base_lr, self.eta_min, since / length)


class OneCycleLR(Schedule):
    """Raise the learning rate to a maximum and lower it to almost nothing, in one run; momentum against it.

    Where the learning rate is high the momentum is low, and the other way round: the momentum of SGD, or the
    first of Adam's betas.

    Parameters
    ----------
    optimizer : Optimizer
        Whose learning rates and momentum to set.
    max_lr : float or sequence of float
        The greatest learning rate, or one for each group; the optimizer's own plays no part. A single
        one is also that of a group that is added later.
    total_steps : int
        The steps of the whole run; what comes after them has the last learning rate.
    pct_start : float
        The share of the steps that rise, in [0, 1).
    anneal_strategy : {"cos", "linear"}
        Along half a cosine wave, or a straight line.
    cycle_momentum : bool
        Whether to move the momentum; if not, it stays the optimizer's.
    base_momentum, max_momentum : float
        The momentum at the greatest learning rate, and at the ends.
    div_factor : float
        The first learning rate is `max_lr` divided by this.
    final_div_factor : float
        The last learning rate is the first one divided by this.

    Notes
    -----
    PyTorch's schedule of the same name with two phases. It is meant to be advanced at every step.

    References
    ----------
    L. N. Smith and N. Topin, "Super-Convergence: Very Fast Training of Neural Networks Using Large
    Learning Rates", 2018, arXiv:1708.07120.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> opt = tg.optim.Adam([tg.nn.Parameter([1.0])])
    >>> schedule = tg.optim.OneCycleLR(opt, max_lr=1.0, total_steps=10)
    >>> opt.param_groups[0]["lr"], opt.param_groups[0]["betas"]
    (0.04, (0.95, 0.999))
    >>> schedule.step(), schedule.step()
    (None, None)
    >>> opt.param_groups[0]["lr"], opt.param_groups[0]["betas"]
    (1.0, (0.85, 0.999))
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | Sequence[float],
        total_steps: int,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float = 0.85,
        max_momentum: float = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
    ) -> None:
        groups = optimizer.param_groups
        max_lrs = list(max_lr) if isinstance(max_lr, Sequence) else [max_lr] * len(groups)
        fits = len(max_lrs) == len(groups) and all(is_number(lr) and lr > 0 for lr in max_lrs)
        require(self, fits, "a finite number > 0, or one for each group", max_lr=max_lr)
        require_positive_integer(self, total_steps=total_steps)
        require(self, is_number(pct_start) and 0 <= pct_start < 1, "in [0, 1)", pct_start=pct_start)
        known = anneal_strategy in ("cos", "linear")
        require(self, known, "'cos' or 'linear'", anneal_strategy=anneal_strategy)
        require(self, isinstance(cycle_momentum, bool), "True or False", cycle_momentum=cycle_momentum)
        for name, momentum in {"base_momentum": base_momentum, "max_momentum": max_momentum}.items():
            require(self, is_number(momentum) and 0 <= momentum < 1, "in [0, 1)", **{name: momentum})
        for name, divisor in {"div_factor": div_factor, "final_div_factor": final_div_factor}.items():
            require(self, is_number(divisor) and divisor >= 1, "a finite number >= 1", **{name: divisor})
        movable = not cycle_momentum or all("betas" in group or "momentum" in group for group in groups)
        domain = f"False for {type(optimizer).__name__}, which has neither momentum nor betas"
        require(self, movable, domain, cycle_momentum=cycle_momentum)
        self.total_steps, self.pct_start, self.cycle_momentum = total_steps, pct_start, cycle_momentum
        self.base_momentum, self.max_momentum = base_momentum, max_momentum
        self.div_factor, self.final_div_factor = div_factor, final_div_factor
        self._along = along_cosine if anneal_strategy == "cos" else along_line
        self._max_lr = None if isinstance(max_lr, Sequence) else max_lr
        for group, lr in zip(groups, max_lrs, strict=True):
            group["initial_lr"] = lr / div_factor
        super().__init__(optimizer)

    def lr(self, base_lr: float, count: int) -> float:  # noqa: D102
        max_lr, min_lr = base_lr * self.div_factor, base_lr / self.final_div_factor
        return self._rise_and_fall(base_lr, max_lr, min_lr, count)

    def momentum(self, count: int) -> float:
        """Return the momentum after `count` steps."""
        return self._rise_and_fall(self.max_momentum, self.base_momentum, self.max_momentum, count)

    def _rise_and_fall(self, start: float, middle: float, end: float, count: int) -> float:
        peak, last = self.pct_start * self.total_steps - 1, self.total_steps - 1
        if count < peak:
            return self._along(start, middle, count / peak)
        return self._along(middle, end, (min(count, last) - peak) / (last - peak))

    def _first_lr(self, group: Group) -> float:
        if self._max_lr is None:
            raise OptionError(
                "OneCycleLR", "a group was added, for which there is no max_lr; make the schedule after that"
            )
        return self._max_lr / self.div_factor

    def _settings(self, group: Group) -> dict[str, Any]:
        settings = super()._settings(group)
        if self.cycle_momentum:
            momentum = self.momentum(self.count)
            if "betas" in group:
                settings["betas"] = (momentum, *group["betas"][1:])
            else:
                settings["momentum"] = momentum
        return settings


def along_cosine(start: float, end: float, share: float) -> float:
    """Return the point `share` of the way down half a cosine wave from `start` to `end`."""
    left = (1 + math.cos(math.pi * share)) / 2
    return start * left + end * (1 - left)


def along_line(start: float, end: float, share: float) -> float:
    """Return the point `share` of the way along a straight line from `start` to `end`."""
    return start * (1 - share) + end * share
