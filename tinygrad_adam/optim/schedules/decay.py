"""Schedules that fall, or first rise: a factor as a function of the count."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable

from ...values import is_integer
from ..optimizer import Optimizer
from .base import Schedule, require, require_not_negative, require_positive, require_positive_integer


class ConstantLR(Schedule):
    """Multiply the learning rate by `factor` for `total_iters` steps, then no longer.

    Parameters
    ----------
    optimizer : Optimizer
        Whose learning rates to set.
    factor : float
        What to multiply with; 1 leaves the learning rate as it is.
    total_iters : int
        For how many steps.
    """

    def __init__(self, optimizer: Optimizer, factor: float = 1 / 3, total_iters: int = 5) -> None:
        require_not_negative(self, factor=factor)
        require_positive_integer(self, total_iters=total_iters)
        self._factor, self.total_iters = factor, total_iters
        super().__init__(optimizer)

    def factor(self, count: int) -> float:  # noqa: D102
        return self._factor if count < self.total_iters else 1.0


class LinearLR(Schedule):
    """Go from one factor to another in equal steps: a warm-up, or a decay.

    Parameters
    ----------
    optimizer : Optimizer
        Whose learning rates to set.
    start_factor, end_factor : float
        What to multiply the learning rate with at first, and after `total_iters` steps and ever after.
    total_iters : int
        The steps from one to the other.

    Examples
    --------
    A warm-up over four steps:

    >>> import tinygrad_adam as tg
    >>> opt = tg.optim.Adam([tg.nn.Parameter([1.0])], lr=0.8)
    >>> [round(lr, 3) for lr, in tg.optim.LinearLR(opt, 0.25, total_iters=3).preview(5)]
    [0.2, 0.4, 0.6, 0.8, 0.8]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
    ) -> None:
        require_not_negative(self, start_factor=start_factor)
        require_not_negative(self, end_factor=end_factor)
        require_positive_integer(self, total_iters=total_iters)
        self.start_factor, self.end_factor, self.total_iters = start_factor, end_factor, total_iters
        super().__init__(optimizer)

    def factor(self, count: int) -> float:  # noqa: D102
        done = min(count, self.total_iters) / self.total_iters
        return self.start_factor * (1 - done) + self.end_factor * done


class StepLR(Schedule):
    """Multiply the learning rate by `gamma` every `step_size` steps.

    Parameters
    ----------
    optimizer : Optimizer
        Whose learning rates to set.
    step_size : int
        The steps between two changes.
    gamma : float
        The factor.
    """

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1) -> None:
        require_positive_integer(self, step_size=step_size)
        require_positive(self, gamma=gamma)
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer)

    def factor(self, count: int) -> float:  # noqa: D102
        return self.gamma ** (count // self.step_size)


class MultiStepLR(Schedule):
    """Multiply the learning rate by `gamma` at each of the milestones.

    Parameters
    ----------
    optimizer : Optimizer
        Whose learning rates to set.
    milestones : iterable of int
        After how many steps, in any order; one that appears twice counts twice.
    gamma : float
        The factor.
    """

    def __init__(self, optimizer: Optimizer, milestones: Iterable[int], gamma: float = 0.1) -> None:
        wanted = list(milestones) if isinstance(milestones, Iterable) else []
        fits = bool(wanted) and all(is_integer(milestone, 1) for milestone in wanted)
        require(self, fits, "a list of one or more positive integers", milestones=milestones)
        require_positive(self, gamma=gamma)
        self.milestones, self.gamma = sorted(wanted), gamma
        super().__init__(optimizer)

    def factor(self, count: int) -> float:  # noqa: D102
        return self.gamma ** bisect_right(self.milestones, count)


class ExponentialLR(Schedule):
    """Multiply the learning rate by `gamma` at every step.

    Parameters
    ----------
    optimizer : Optimizer
        Whose learning rates to set.
    gamma : float
        The factor.
    """

    def __init__(self, optimizer: Optimizer, gamma: float) -> None:
        require_positive(self, gamma=gamma)
        self.gamma = gamma
        super().__init__(optimizer)

    def factor(self, count: int) -> float:  # noqa: D102
        return self.gamma**count


class PolynomialLR(Schedule):
    """Lower the learning rate to zero along a polynomial: ``(1 - count / total_iters) ** power``.

    Parameters
    ----------
    optimizer : Optimizer
        Whose learning rates to set.
    total_iters : int
        The steps until it is zero, where it then stays.
    power : float
        1 for a straight line.
    """

    def __init__(self, optimizer: Optimizer, total_iters: int = 5, power: float = 1.0) -> None:
        require_positive_integer(self, total_iters=total_iters)
        require_positive(self, power=power)
        self.total_iters, self.power = total_iters, power
        super().__init__(optimizer)

    def factor(self, count: int) -> float:  # noqa: D102
        return (1 - min(count, self.total_iters) / self.total_iters) ** self.power


class InverseSquareRootLR(Schedule):
    r"""Divide the learning rate of the t-th step by the root of t.

    So the Adam paper trains its logistic regression (section 6.1), and so theorem 4.1 bounds the regret:
    :math:`\alpha_t = \alpha / \sqrt{t}`, with t from 1.

    Parameters
    ----------
    optimizer : Optimizer
        Whose learning rates to set.

    References
    ----------
    D. P. Kingma and J. Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015, arXiv:1412.6980.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> opt = tg.optim.Adam([tg.nn.Parameter([1.0])], lr=0.5)
    >>> tg.optim.InverseSquareRootLR(opt).preview(4)[3]
    [0.25]
    """

    def factor(self, count: int) -> float:  # noqa: D102
        return 1 / math.sqrt(count + 1)


class InverseTimeLR(Schedule):
    """Divide the learning rate by ``1 + decay * count``, as the `decay` of Keras' first optimizers.

    Parameters
    ----------
    optimizer : Optimizer
        Whose learning rates to set.
    decay : float
        The learning rate has halved after ``1 / decay`` steps.
    """

    def __init__(self, optimizer: Optimizer, decay: float) -> None:
        require_not_negative(self, decay=decay)
        self.decay = decay
        super().__init__(optimizer)

    def factor(self, count: int) -> float:  # noqa: D102
        return 1 / (1 + self.decay * count)
