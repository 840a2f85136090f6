"""The one schedule that looks at how training goes."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Sequence
from typing import Any

from ...errors import OptionError, StateError
from ...values import is_integer, is_number
from ..optimizer import Optimizer
from .base import Schedule, require, require_not_negative

_COUNTS = ("waited", "cooling", "reductions")


class ReduceLROnPlateau(Schedule):
    """Multiply the learning rate by `factor` when a quantity has stopped improving.

    Parameters
    ----------
    optimizer : Optimizer
        Whose learning rates to set.
    mode : {"min", "max"}
        What is better.
    factor : float
        In (0, 1).
    patience : int
        How many values in a row may fail to improve; the next one lowers the learning rate.
    threshold : float
        How much is an improvement.
    threshold_mode : {"rel", "abs"}
        Whether `threshold` is a share of the best value so far, whatever its sign, or a difference to it.
    cooldown : int
        For how many values after a reduction none is counted as a failure.
    min_lr : float
        The learning rate is not lowered below this.

    Attributes
    ----------
    best : float
        The best value so far.
    waited, cooling, reductions : int
        The values since then, the values left of the cool-down, and how often the learning rate was lowered.

    Notes
    -----
    It sets the rates from its first count on, so with a warm-up before it, make it when the warm-up is over:
    it begins at the optimizer's first learning rate.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> opt = tg.optim.Adam([tg.nn.Parameter([1.0])], lr=0.5)
    >>> schedule = tg.optim.ReduceLROnPlateau(opt, factor=0.5, patience=1)
    >>> for val_loss in (3.0, 2.0, 2.0, 2.5):
    ...     schedule.step(val_loss)
    >>> opt.param_groups[0]["lr"]
    0.25
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float = 0.0,
    ) -> None:
        require(self, mode in ("min", "max"), "'min' or 'max'", mode=mode)
        require(self, is_number(factor) and 0 < factor < 1, "in (0, 1)", factor=factor)
        require(self, is_integer(patience, 0), "an integer >= 0", patience=patience)
        require(self, threshold_mode in ("rel", "abs"), "'rel' or 'abs'", threshold_mode=threshold_mode)
        require_not_negative(self, threshold=threshold)
        require(self, threshold_mode == "abs" or threshold < 1, "below 1, as a share", threshold=threshold)
        require(self, is_integer(cooldown, 0), "an integer >= 0", cooldown=cooldown)
        require_not_negative(self, min_lr=min_lr)
        self.mode, self._factor, self.patience, self.cooldown = mode, factor, patience, cooldown
        self.threshold, self.threshold_mode, self.min_lr = threshold, threshold_mode, min_lr
        self._forget()
        super().__init__(optimizer)

    def _forget(self) -> None:
        self.best = math.inf if self.mode == "min" else -math.inf
        self.waited = self.cooling = self.reductions = 0

    def lr(self, base_lr: float, count: int) -> float:
        """Return the learning rate now of a group that began with `base_lr`, whatever `count` says."""
        return min(base_lr, max(base_lr * self._factor**self.reductions, self.min_lr))

    def step(self, value: Any = None) -> None:
        """Look at the next value, and lower the learning rates if it is time.

        Parameters
        ----------
        value : float or scalar Tensor
            The quantity to watch, such as the validation loss. NaN is no improvement.

        Raises
        ------
        OptionError
            If there is no value.
        """
        if value is None:
            raise OptionError(
                "ReduceLROnPlateau.step", "give the quantity to watch, as in schedule.step(val_loss)"
            )
        self._require_own_settings()
        self._look_at(float(value))
        super().step()

    def _look_at(self, value: float) -> None:
        sign = -1 if self.mode == "min" else 1
        if self.threshold_mode == "rel":  # a share of the absolute value: -3 must rise above -3 + share * 3
            needed = self.best * (1 + sign * math.copysign(self.threshold, self.best))
        else:
            needed = self.best + sign * self.threshold
        if sign * value > sign * needed:
            self.best, self.waited = value, 0
        else:
            self.waited += 1
        if self.cooling > 0:
            self.cooling, self.waited = self.cooling - 1, 0
        if self.waited > self.patience:
            self.reductions += 1
            self.cooling, self.waited = self.cooldown, 0

    def preview(self, steps: int | Sequence[float]) -> list[list[float]]:
        """Return the learning rates that would follow from values; the optimizer's stay as they are.

        Parameters
        ----------
        steps : sequence of float
            The values to watch, from the first.

        Returns
        -------
        list of list of float
            For each value, the learning rates before it is known, one a group.
        """
        values = list(steps) if isinstance(steps, Iterable) else []
        if not values:
            raise OptionError(
                "ReduceLROnPlateau",
                "what it does depends on what it watches; give a list of values",
                got=steps,
            )
        twin = copy.copy(self)
        twin._forget()
        rows = []
        for count, value in enumerate(values):
            rows.append([twin.lr(base_lr, count) for base_lr in self.base_lrs])
            twin._look_at(value)
        return rows

    def state_dict(self) -> dict[str, Any]:
        """Return the count, the first learning rates, and the best value so far."""
        return {
            **super().state_dict(),
            "best": self.best if math.isfinite(self.best) else str(self.best),  # JSON has no infinity
            **{name: getattr(self, name) for name in _COUNTS},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:  # noqa: D102
        self._require_state(state, *_COUNTS)
        best = state.get("best")  # None, as older versions saved it: nothing was seen
        if not (best is None or is_number(best) or best in ("inf", "-inf")):
            raise StateError(
                "ReduceLROnPlateau", "the state holds values that no schedule saves", best=repr(best)
            )
        self._forget()
        self.best = self.best if best is None else float(best)
        self.waited, self.cooling, self.reductions = (int(state[name]) for name in _COUNTS)
        super().load_state_dict(state)
