"""Optimizers on one surface from one start: which of them arrive, and in how many steps."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy

from ...engine.viewers import view
from ...files.text import aligned
from ...training.many.comparison import Entry, check_entries
from ...training.many.space import optimizer_settings
from ...values import integer
from .surfaces import Array, Surface, get_surface
from .trajectories import TOLERANCE, Trajectory, descend, tune_lr

STANDARD = ("sgd", "momentum", "adagrad", "rmsprop", "adam")


@dataclass(frozen=True, repr=False)
class Race:
    """The trajectories of several optimizers on one surface.

    Attributes
    ----------
    surface : Surface
        Where.
    steps : int
        How many each had.
    trajectories : list of Trajectory
        One an optimizer, in the order asked for.
    """

    surface: Surface
    steps: int
    trajectories: list[Trajectory]

    @property
    def least(self) -> float:
        """The loss that heights are measured from: the loss at the goal, or the lowest that a path found."""
        paths = self.trajectories
        return self.surface.floor(
            numpy.concatenate([t.positions for t in paths]), numpy.concatenate([t.losses for t in paths])
        )

    @property
    def lowest(self) -> str:
        """The place whose loss `least` is, in words."""
        return self.surface.goal if self.least == self.surface.least else "the lowest found"

    def heights(self, trajectory: Trajectory) -> Array:
        """Return the losses of a trajectory above `least`, shape (steps + 1,)."""
        return trajectory.losses - self.least

    def settled(self, trajectory: Trajectory) -> int | None:
        """Return the number of steps after which the loss stayed within `TOLERANCE`; None if it didn't."""
        if trajectory.diverged:
            return None
        heights = self.heights(trajectory)
        above = numpy.flatnonzero(heights > TOLERANCE * heights[0])
        first = int(above[-1]) + 1 if len(above) else 0
        return first if first <= self.steps else None

    def left(self, trajectory: Trajectory) -> int | None:
        """Return the number of the step that left the window for good; None if it ended inside."""
        inside = numpy.flatnonzero(self.surface.inside(trajectory.positions))
        last = int(inside[-1]) if len(inside) else 0
        return last + 1 if last + 1 < len(trajectory.positions) else None

    def note(self, trajectory: Trajectory) -> str:
        """Return a few words on a trajectory that left the window or diverged; empty for others."""
        left = self.left(trajectory)
        words = [] if left is None else [f"left the picture at step {left}"]
        if trajectory.diverged:
            words.append(f"diverged: not finite after step {len(trajectory.steps)}")
        return "; ".join(words)

    def table(self) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
        """Return columns and rows of a table; `note` adds the facts that have no column."""
        columns = (
            "optimizer",
            "settings",
            "final loss",
            f"steps to {TOLERANCE:.1%}".replace(".0%", "%"),
            f"distance to {'nearest ' if len(self.surface.minima) > 1 else ''}{self.surface.goal}",
        )
        rows = []
        for t in self.trajectories:
            settled = self.settled(t)
            steps = "never" if settled is None else str(settled)
            distance = f"{self.surface.distance(t.positions[-1]):.2g}"
            rows.append((t.entry.label, t.entry.describe(), f"{t.losses[-1]:.3g}", steps, distance))
        return columns, rows

    def __repr__(self) -> str:
        head = f"Race on {self.surface.name}, {self.steps:,} steps"
        columns, rows = self.table()
        notes = [f"{t.entry.label}: {note}" for t in self.trajectories if (note := self.note(t))]
        return "\n".join([head, *aligned([columns, *rows], left=2), *notes])

    def _repr_html_(self) -> str | None:
        return view("Race._repr_html_")(self)


def split_names(text: str) -> list[str]:
    """Cut a list of optimizers at its commas, but not between the settings of one.

    Examples
    --------
    >>> split_names("sgd,adam:lr=0.1,beta1=0.8,momentum")
    ['sgd', 'adam:lr=0.1,beta1=0.8', 'momentum']
    """
    return [part.strip() for part in re.split(r",(?![^,:]*=)", text)]


def read_optimizers(texts: Sequence[str], lr: float | None = None) -> list[tuple[Entry, bool]]:
    """Return each optimizer, and whether its learning rate was chosen: by itself, or by `lr` for all.

    Parameters
    ----------
    texts : sequence of str
        As `tinygrad_adam.training.Entry.parse` reads them: ``"momentum"``, ``"adam:lr=0.1,beta1=0.8"``.
    lr : float, optional
        The learning rate of those that name none.

    Raises
    ------
    OptionError
        If a name or a setting is not known, a value is out of its domain, or an optimizer is named twice.
    """
    entries = []
    for text in texts:
        entry = Entry.parse(text, "race")
        named = re.search(r"[:,]lr=", text) is not None
        if lr is not None and not named:
            settings = optimizer_settings(entry.optimizer, entry.settings, {"lr": lr})
            entry = dataclasses.replace(entry, settings=settings)
        entries.append((entry, named or lr is not None))
    check_entries([entry for entry, _ in entries], [0], "race")
    return entries


def race(
    surface: str | Surface,
    optimizers: Sequence[str] = STANDARD,
    steps: int = 200,
    lr: float | None = None,
    seed: int = 0,
) -> Race:
    """Run optimizers on a surface from one start.

    Parameters
    ----------
    surface : str or Surface
        A name in `SURFACES`, or a surface of one's own.
    optimizers : sequence of str
        Names, perhaps with settings, as in ``"adam"`` or ``"adam:lr=0.1,beta1=0.8"``.
    steps : int
        How many each takes.
    lr : float, optional
        The learning rate of those that name none. By default each gets its own, the best that `tune_lr`
        finds: one number means something else to each of them, and would prove nothing.
    seed : int
        Of the noise, if the surface has any.

    Raises
    ------
    OptionError
        If a name or a setting is not known, an optimizer is named twice, or `steps` is no positive integer.

    Examples
    --------
    >>> from tinygrad_adam import explain
    >>> result = explain.race("ravine", ["sgd", "momentum", "adam:lr=0.1"], steps=100)
    >>> [(t.entry.settings["lr"], result.settled(t)) for t in result.trajectories]
    [(0.1, None), (0.1, 63), (0.1, 70)]
    """
    surface = get_surface(surface) if isinstance(surface, str) else surface
    steps = integer("race", "steps", steps, 1)
    trajectories = []
    for entry, chosen in read_optimizers(optimizers, lr):
        if not chosen:
            found = tune_lr(surface, entry, steps, seed)
            entry = dataclasses.replace(entry, settings={**entry.settings, "lr": found})
        trajectories.append(descend(surface, entry, steps, seed))
    if surface.zooms:
        surface = surface.around(numpy.concatenate([t.positions for t in trajectories]))
    return Race(surface, steps, trajectories)
