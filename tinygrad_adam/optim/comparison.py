"""Several dialects of Adam on one problem, and where their paths part."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy

from ..backend.device import to_host
from ..errors import OptionError
from ..tensor.creation import tensor
from ..tensor.tensor import Tensor
from ..values import is_integer
from .adam import Adam
from .dialects import DIALECTS


@dataclass(frozen=True, repr=False)
class DialectComparison:
    """The paths of several dialects; printed, it tells where each pair parts.

    Attributes
    ----------
    paths : dict of str to numpy.ndarray, shape (steps + 1,) + shape
        For each dialect the parameter at the start and after each step.
    tolerance : float
        Paths have parted where an element differs by more than this.
    """

    paths: dict[str, numpy.ndarray[Any, Any]]
    tolerance: float

    def parting(self, one: str, other: str) -> int | None:
        """Return the first step after which two paths differ, or None if they never do."""
        differences = numpy.abs(self.paths[one] - self.paths[other])
        apart = (differences > self.tolerance).reshape(len(differences), -1).any(axis=1)
        return int(apart.argmax()) if apart.any() else None

    def __str__(self) -> str:
        names = list(self.paths)
        rows = [["parts after step", *names]]
        for i, one in enumerate(names):
            steps = [self.parting(one, other) for other in names[:i]]
            rows.append([one, *("never" if step is None else str(step) for step in steps), "."])
        widths = [max(len(row[i]) for row in rows if i < len(row)) for i in range(len(rows[0]))]
        lines = []
        for first, *cells in rows:
            padded = [cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=False)]
            lines.append("  ".join([first.ljust(widths[0]), *padded]))
        return "\n".join(lines)

    __repr__ = __str__


def compare_dialects(
    loss: Callable[[Tensor], Tensor],
    start: Any,
    dialects: Iterable[str] = tuple(DIALECTS),
    steps: int = 20,
    tolerance: float = 1e-6,
    **settings: Any,
) -> DialectComparison:
    """Run several dialects of Adam on one problem, in float64.

    Parameters
    ----------
    loss : callable
        ``loss(p)`` gives a scalar Tensor.
    start : array_like
        Where every dialect begins.
    dialects : iterable of str
        Keys of `DIALECTS`.
    steps : int
        How many steps each takes.
    tolerance : float
        How far an element may differ before two paths count as parted.
    **settings
        Hyper-parameters that all of them get, instead of the library's own; with the default eps the
        dialects hardly part.

    Returns
    -------
    DialectComparison

    Raises
    ------
    OptionError
        If a dialect is not known, or `steps` is not a positive integer.

    Examples
    --------
    >>> from tinygrad_adam import optim
    >>> result = optim.compare_dialects(
    ...     lambda p: (p**2).sum(), [1.0, -3.0], ["paper", "optax", "tensorflow"], eps=0.1, amsgrad=True
    ... )
    >>> print(result)
    parts after step  paper  optax  tensorflow
    paper                 .
    optax                 3      .
    tensorflow            1      1           .
    """
    if not is_integer(steps, 1):
        raise OptionError("compare_dialects", "steps must be a positive integer", steps=steps)
    paths = {}
    for name in dialects:
        p = tensor(numpy.array(start, numpy.float64), requires_grad=True)
        optimizer = Adam.like([p], name, **settings)
        path = [to_host(p._data).copy()]
        for _ in range(steps):
            optimizer.zero_grad()
            loss(p).backward()
            optimizer.step()
            path.append(to_host(p._data).copy())
        paths[name] = numpy.stack(path)
    return DialectComparison(paths, tolerance)
