"""Base of all schedules: the learning rate as a function of how many steps were taken."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from ...engine.viewers import view
from ...errors import OptionError, StateError
from ...files.figures import new_figure, save_figure, tidy
from ...nn.state import require_state
from ...values import is_integer, is_number
from ..optimizer import Optimizer
from ..settings import Group, Settled


class Schedule(Settled):
    """Base of all schedules: sets each group's ``"lr"`` to a function of its first one and a count.

    A subclass gives `factor`, or `lr`. Call `step` once an epoch, or once an optimizer step, after
    ``optimizer.step()``. The function has no memory, so a schedule goes on exactly where it was
    from its count alone.

    The first learning rate of a group is kept in it as ``"initial_lr"``, as PyTorch does, by the first
    schedule that is made for the optimizer. All schedules of one optimizer begin there, also one that is
    made later, when the rate has fallen; to begin elsewhere, or to change the rate under a schedule, set
    ``group["initial_lr"]``. A group that is added later begins with its own rate when the schedule next
    steps.

    One schedule at a time sets the rates: `step` refuses to go on from a rate that it did not set, because
    another schedule or a line of the program did. `ChainedScheduler` and `SequentialLR` make one
    schedule of several.

    Parameters
    ----------
    optimizer : Optimizer
        Whose learning rates to set.

    Attributes
    ----------
    count : int
        How often `step` was called.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> from tinygrad_adam import optim
    >>> class Halving(optim.Schedule):
    ...     def factor(self, count):
    ...         return 0.5**count
    >>> opt = optim.SGD([tg.nn.Parameter([1.0])], lr=0.1)
    >>> schedule = Halving(opt)
    >>> schedule.step()
    >>> opt.param_groups[0]["lr"]
    0.05
    >>> schedule.preview(4)
    [[0.1], [0.05], [0.025], [0.0125]]
    """

    def __init__(self, optimizer: Optimizer) -> None:
        if not isinstance(optimizer, Optimizer):
            raise OptionError(
                type(self).__name__, "a schedule is made for an optimizer", got=type(optimizer).__name__
            )
        self.optimizer = optimizer
        self.count = 0
        self._apply()

    def factor(self, count: int) -> float:
        """Return the factor of the first learning rate after `count` steps."""
        raise NotImplementedError

    def lr(self, base_lr: float, count: int) -> float:
        """Return the learning rate after `count` steps of a group that began with `base_lr`."""
        return base_lr * self.factor(count)

    def step(self) -> None:
        """Go on by one.

        Raises
        ------
        OptionError
            If a group's settings are not those that this schedule set last; nothing is changed then.
        """
        self._require_own_settings()
        self.count += 1
        self._apply()

    def _first_lr(self, group: Group) -> float:
        """Return the first learning rate of a group that no schedule has set yet."""
        return float(group["lr"])

    def _settings(self, group: Group) -> dict[str, Any]:
        """Return the settings of a group at this count."""
        return {"lr": float(self.lr(group["initial_lr"], self.count))}

    def _apply(self) -> None:
        self._set: list[dict[str, Any]] = []
        for group in self.optimizer.param_groups:
            if "initial_lr" not in group:
                group["initial_lr"] = self._first_lr(group)
            self._set.append(self._settings(group))
            dict.update(group, self._set[-1])  # numbers of Python under names that it has

    def _require_own_settings(self) -> None:
        # Groups may have been added since.
        for group, settings in zip(self.optimizer.param_groups, self._set, strict=False):
            for name, value in settings.items():
                if group[name] != value:
                    raise OptionError(
                        f"{self._name}.step",
                        f"{name} is not the one that this schedule set: another schedule, a loaded state or "
                        "your program changed it. For another learning rate under a schedule set "
                        "group['initial_lr']; for several schedules in one make a ChainedScheduler or "
                        "SequentialLR",
                        set_last=value,
                        found=group[name],
                    )

    @property
    def base_lrs(self) -> list[float]:
        """The learning rates at first, one a group."""
        return [
            group["initial_lr"] if "initial_lr" in group else self._first_lr(group)
            for group in self.optimizer.param_groups
        ]

    @property
    def last_lrs(self) -> list[float]:
        """The learning rates now, one a group."""
        return [group["lr"] for group in self.optimizer.param_groups]

    # --- Looking ahead -------------------------------------------------------------------

    def preview(self, steps: int | Sequence[float]) -> list[list[float]]:
        """Return the learning rates of the first `steps` steps; the optimizer's stay as they are.

        Parameters
        ----------
        steps : int
            How many. `ReduceLROnPlateau` takes the values that it would watch instead.

        Returns
        -------
        list of list of float
            For each step, one learning rate a group.
        """
        if not is_integer(steps, 1):
            raise OptionError(type(self).__name__, "steps must be a positive integer", steps=steps)
        return [[float(self.lr(base_lr, count)) for base_lr in self.base_lrs] for count in range(steps)]

    def plot(self, steps: int | Sequence[float], path: str | os.PathLike[str] | None = None) -> Any:
        """Draw the learning rates of the first `steps` steps; the optimizer's stay as they are.

        Needs matplotlib.

        Parameters
        ----------
        steps : int
            How many. `ReduceLROnPlateau` takes the values that it would watch instead.
        path : path, optional
            Where to save the picture, as PNG, SVG or PDF by its ending.

        Returns
        -------
        matplotlib.figure.Figure
        """
        rows = self.preview(steps)

        figure = new_figure(f"{self._name}.plot", 6.4, 3.2)
        from matplotlib.ticker import MaxNLocator

        panel = figure.subplots()
        for i, lrs in enumerate(zip(*rows, strict=True)):
            panel.plot(range(len(rows)), lrs, drawstyle="steps-post", linewidth=1.6, label=f"group {i}")
        panel.set(xlabel="step of the schedule", ylabel="learning rate", title=self._name)
        panel.set_ylim(bottom=0)
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        tidy(panel)
        if len(rows[0]) > 1:
            panel.legend(frameon=False)
        if path is not None:
            save_figure(figure, path)
        return figure

    def __repr__(self) -> str:
        return f"{self._name}({self.count:,} steps, learning rates {self.last_lrs})"

    def _repr_html_(self) -> str | None:
        return view("Schedule._repr_html_")(self)

    # --- State ---------------------------------------------------------------------------

    @property
    def _name(self) -> str:
        """The kind of schedule, with its parts."""
        return type(self).__name__

    def state_dict(self) -> dict[str, Any]:
        """Return the count and the first learning rates."""
        return {"schedule": self._name, "count": self.count, "base_lrs": self.base_lrs}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a state that `state_dict` returned, and set the learning rates by it.

        Nothing is changed if something does not fit.

        Raises
        ------
        StateError
            If it is of another schedule or number of groups, or a value is none that this schedule could
            have saved.
        """
        self._require_state(state)
        self.count = int(state["count"])
        for group, base_lr in zip(self.optimizer.param_groups, state["base_lrs"], strict=True):
            group["initial_lr"] = float(base_lr)
        self._apply()

    def _require_state(self, state: dict[str, Any], *counts: str) -> None:
        """Raise a StateError for a state of another schedule, or one whose counts or rates are none."""
        require_state(type(self).__name__, state, "schedule")
        base_lrs, groups = state.get("base_lrs"), len(self.optimizer.param_groups)
        if state["schedule"] != self._name or not isinstance(base_lrs, Sequence) or len(base_lrs) != groups:
            raise StateError(type(self).__name__, "the state is of another schedule", saved=state)
        wrong = {
            name: repr(state.get(name)) for name in ("count", *counts) if not is_integer(state.get(name), 0)
        }
        if not all(is_number(lr) and lr >= 0 for lr in base_lrs):
            wrong["base_lrs"] = repr(base_lrs)
        if wrong:
            raise StateError(type(self).__name__, "the state holds values that no schedule saves", **wrong)


def require(schedule: Schedule, inside: bool, domain: str, **setting: object) -> None:
    """Raise an OptionError for a setting out of its domain."""
    if not inside:
        (name,) = setting
        raise OptionError(type(schedule).__name__, f"{name} must be {domain}", **setting)


def require_positive_integer(schedule: Schedule, **setting: object) -> None:
    """Raise an OptionError unless the value is 1, 2, 3, ..."""
    (value,) = setting.values()
    require(schedule, is_integer(value, 1), "a positive integer", **setting)


def require_not_negative(schedule: Schedule, **setting: object) -> None:
    """Raise an OptionError unless the value is a finite number >= 0."""
    (value,) = setting.values()
    require(schedule, is_number(value) and value >= 0, "a finite number >= 0", **setting)


def require_positive(schedule: Schedule, **setting: object) -> None:
    """Raise an OptionError unless the value is a finite number > 0."""
    (value,) = setting.values()
    require(schedule, is_number(value) and value > 0, "a finite number > 0", **setting)
