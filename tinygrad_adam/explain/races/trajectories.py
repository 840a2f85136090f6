"""The trajectory of an optimizer on a surface: places, losses, gradients, moments and steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy

from ...engine.events import unwatched
from ...errors import NonFiniteError
from ...nn import Parameter
from ...ops import stack
from ...optim import build_optimizer
from ...tensor.creation import tensor
from ...training.many.comparison import Entry
from .surfaces import Array, Surface

TOLERANCE = 1e-3
"""A race is won where the loss is this share of the loss at the start, both above the least one."""

LONGEST_STEP = 0.125
"""The longest step that `tune_lr` allows, as a share of the diagonal of the window."""

RATES = tuple(float(f"{digit}e{power}") for power in range(-4, 1) for digit in (1, 2, 5))
"""The learning rates that `tune_lr` tries."""

FIRST = ("m", "velocity")
SECOND = ("v", "total", "s", "u")


@dataclass(frozen=True, repr=False)
class Trajectory:
    """The way of one optimizer.

    Row t of `gradients`, `moments` and `steps` belongs to the step from ``positions[t]``; the moments are
    those that the step was made from, as the optimizer keeps them, before any bias correction. If
    something was not finite, the record ends before that.

    Attributes
    ----------
    entry : Entry
        The optimizer and its settings.
    positions : numpy.ndarray, shape (steps + 1, 2)
        Where it was, the start first.
    losses : numpy.ndarray, shape (steps + 1,)
        The height of the surface there, without noise.
    gradients, steps : numpy.ndarray, shape (steps, 2)
        The gradient that it was given, noise included; and how it moved.
    moments : dict of str to numpy.ndarray, shape (steps, 2)
        Its moments, by the names of its ``state_dict``.
    diverged : bool
        Whether a position, gradient or loss was not finite in the end.
    """

    entry: Entry
    positions: Array
    losses: Array
    gradients: Array
    moments: dict[str, Array]
    steps: Array
    diverged: bool

    def __repr__(self) -> str:
        end = "diverged" if self.diverged else f"ended at a loss of {self.losses[-1]:.4g}"
        return f"Trajectory({self.entry.label}: {self.entry.describe()}; {len(self.steps):,} steps, {end})"

    @property
    def first_moment(self) -> Array | None:
        """The running average or sum of gradients, shape (steps, 2), if it keeps one."""
        return next((self.moments[name] for name in FIRST if name in self.moments), None)

    @property
    def root_second_moment(self) -> Array | None:
        """The root of the running average or sum of squares, shape (steps, 2), if it keeps one.

        Of Adamax it is the running maximum, which takes the place of the root.
        """
        for name in SECOND:
            if name in self.moments:
                return self.moments[name] if name == "u" else numpy.sqrt(self.moments[name])
        return None


def descend(surface: Surface, entry: Entry, steps: int, seed: int = 0) -> Trajectory:
    """Run an optimizer on a surface from its start.

    It is the package's own, with the package's own gradients, on one Parameter of two float64.

    Parameters
    ----------
    surface : Surface
        Where.
    entry : Entry
        The optimizer.
    steps : int
        How many.
    seed : int
        Of the noise, if the surface has any.

    Raises
    ------
    NonFiniteError
        If loss or gradient are not finite at the start.

    Examples
    --------
    >>> from tinygrad_adam.explain import SURFACES, descend
    >>> from tinygrad_adam.training import Entry
    >>> path = descend(SURFACES["ravine"], Entry.parse("sgd:lr=0.5"), steps=1)
    >>> path.gradients, path.steps
    (array([[-1., -8.]]), array([[0.5, 4. ]]))
    """
    point: Any = Parameter(numpy.array(surface.start, numpy.float64))
    optimizer = build_optimizer(entry.optimizer, [("point", point)], **entry.settings)
    positions, losses, gradients, moments = [], [], [], []
    diverged = False
    with numpy.errstate(all="ignore"):  # NaN and infinity are recorded, not warned of
        for step in range(steps + 1):
            loss = surface.function(point[0], point[1])
            optimizer.zero_grad()
            (loss + tensor(surface.tilt(step, seed)) @ point).backward()
            gradient = point.grad.numpy()
            diverged = not (numpy.isfinite(loss.item()) and numpy.isfinite(gradient).all())
            if diverged:
                break
            positions.append(point.detach().numpy().copy())
            losses.append(loss.item())
            gradients.append(gradient.copy())
            optimizer.step()
            moments.append(optimizer.state_dict()["state"]["point"])
    if not positions:
        raise NonFiniteError(
            f"race on {surface.name}", "loss or gradient are not finite at the start", start=surface.start
        )
    made = len(positions) - 1
    path = numpy.array(positions)
    return Trajectory(
        entry,
        path,
        numpy.array(losses),
        numpy.array(gradients[:made]).reshape(-1, 2),
        {
            name: numpy.array([state[name] for state in moments[:made]]).reshape(-1, 2)
            for name in moments[0]
            if name != "step"
        },
        numpy.diff(path, axis=0),
        diverged,
    )


def tune_lr(surface: Surface, entry: Entry, steps: int, seed: int = 0) -> float:
    """Return the learning rate of 1, 2 and 5 times powers of ten with which an optimizer does best.

    That is the one with which the loss is above `TOLERANCE` for the fewest steps; of equals, the one with the
    least mean of the logarithm of the height. Rates with which a step is longer than a share of
    `LONGEST_STEP` of the window's diagonal do not count: one could not follow a path of a few leaps.

    Parameters
    ----------
    surface : Surface
        Where.
    entry : Entry
        The optimizer; its learning rate does not count.
    steps : int
        How many it has.
    seed : int
        Of the noise, if the surface has any.

    Examples
    --------
    On a parabola, the step to the bottom is the gradient over the curvature:

    >>> from tinygrad_adam.explain import Surface, tune_lr
    >>> from tinygrad_adam.training import Entry
    >>> bowl = Surface("bowl", "", lambda x, y: x**2 + y**2, ((0, 0),), 0.0, (1.0, 1.0), (-9, 9, -9, 9), "")
    >>> tune_lr(bowl, Entry.parse("sgd"), steps=10)
    0.5
    """
    points = [Parameter(numpy.array(surface.start, numpy.float64)) for _ in RATES]
    optimizer = build_optimizer(
        entry.optimizer,
        [{"params": [point], "lr": lr} for point, lr in zip(points, RATES, strict=True)],
        **entry.settings,
    )
    losses_at, places = [], []
    with unwatched(), numpy.errstate(all="ignore"):  # most of the rates are meant to fail
        for step in range(steps + 1):
            together = stack(points)  # (rates, 2): all rates at once cost little more than one
            losses = surface.function(together[:, 0], together[:, 1])
            optimizer.zero_grad()
            (losses.sum() + (together @ tensor(surface.tilt(step, seed))).sum()).backward()
            optimizer.step()
            losses_at.append(losses.detach().numpy())
            places.append(together.detach().numpy())
        above = numpy.array(losses_at) - surface.floor(numpy.array(places), numpy.array(losses_at))
        share = numpy.nan_to_num(above / above[0], nan=numpy.inf)
        late = (share > TOLERANCE).sum(axis=0)
        mean = numpy.log10(numpy.clip(share, 1e-12, 1e12)).mean(axis=0)
        longest = numpy.nan_to_num(numpy.linalg.norm(numpy.diff(places, axis=0), axis=2), nan=numpy.inf)
    x0, x1, y0, y1 = surface.window
    leaps = longest.max(axis=0) > LONGEST_STEP * numpy.hypot(x1 - x0, y1 - y0)
    return RATES[int(numpy.lexsort((mean, late, leaps))[0])]
