"""Learning rates that change from epoch to epoch, or from step to step."""

from __future__ import annotations

import math
from typing import Any

from ..errors import OptionError, StateError
from .optimizer import Optimizer


class Schedule:
    """Base of all schedules: sets each group's ``"lr"`` to a multiple of what it was at first.

    A subclass gives `factor`. Call `step` once an epoch, or once an optimizer step, after
    ``optimizer.step()``.

    Parameters
    ----------
    optimizer : Optimizer
        Whose learning rates to set.

    Attributes
    ----------
    count : int
        How often `step` was called.
    base_lrs : list of float
        The learning rates at first.
    """

    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer = optimizer
        self.count = 0
        self.base_lrs = [float(group["lr"]) for group in optimizer.param_groups]
        self._apply()

    def factor(self, count: int) -> float:
        """Return what to multiply the first learning rate with after `count` steps."""
        raise NotImplementedError

    def lr(self, base_lr: float, count: int) -> float:
        """Return the learning rate after `count` steps of a group that began with `base_lr`."""
        return base_lr * self.factor(count)

    def step(self) -> None:
        """Go on by one."""
        self.count += 1
        self._apply()

    def _apply(self) -> None:
        if len(self.base_lrs) != len(self.optimizer.param_groups):
            raise OptionError(
                type(self).__name__,
                "groups were added to the optimizer; make the schedule after that",
                groups_then=len(self.base_lrs),
                groups_now=len(self.optimizer.param_groups),
            )
        for group, base_lr in zip(self.optimizer.param_groups, self.base_lrs, strict=True):
            group["lr"] = self.lr(base_lr, self.count)

    @property
    def last_lrs(self) -> list[float]:
        """The learning rates now, one a group."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """Return the count and the first learning rates."""
        return {"schedule": type(self).__name__, "count": self.count, "base_lrs": list(self.base_lrs)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a state that `state_dict` returned.

        Raises
        ------
        StateError
            If it is of another schedule or number of groups.
        """
        if state.get("schedule") != type(self).__name__ or len(state.get("base_lrs", ())) != len(
            self.base_lrs
        ):
            raise StateError(type(self).__name__, "the state is of another schedule", saved=state)
        self.count, self.base_lrs = int(state["count"]), [float(lr) for lr in state["base_lrs"]]
        self._apply()


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
        if not isinstance(step_size, int) or step_size < 1:
            raise OptionError("StepLR", "step_size must be a positive integer", step_size=step_size)
        if not gamma > 0:
            raise OptionError("StepLR", "gamma must be positive", gamma=gamma)
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer)

    def factor(self, count: int) -> float:  # noqa: D102
        return self.gamma ** (count // self.step_size)


class CosineAnnealingLR(Schedule):
    """Lower the learning rate along half a cosine wave (Loshchilov & Hutter, 2017, equation 5).

    Parameters
    ----------
    optimizer : Optimizer
        Whose learning rates to set.
    t_max : int
        The steps from the first learning rate to `eta_min`, where it then stays.
    eta_min : float
        The last learning rate.
    """

    def __init__(self, optimizer: Optimizer, t_max: int, eta_min: float = 0.0) -> None:
        if not isinstance(t_max, int) or t_max < 1:
            raise OptionError("CosineAnnealingLR", "t_max must be a positive integer", t_max=t_max)
        if not eta_min >= 0:
            raise OptionError("CosineAnnealingLR", "eta_min must be >= 0", eta_min=eta_min)
        self.t_max, self.eta_min = t_max, eta_min
        super().__init__(optimizer)

    def factor(self, count: int) -> float:  # noqa: D102
        return (1 + math.cos(math.pi * min(count, self.t_max) / self.t_max)) / 2

    def lr(self, base_lr: float, count: int) -> float:  # noqa: D102
        return self.eta_min + (base_lr - self.eta_min) * self.factor(count)
