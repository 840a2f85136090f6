"""A check: it watches the events of training steps, and reports a fault of which it is sure."""

from __future__ import annotations

import math
from collections.abc import Hashable
from typing import Any, ClassVar

import numpy

from ...backend.device import backend_of, on_device_of
from ...engine.events import Watcher
from ...engine.graph import Variable
from ...engine.rowsparse import RowSparse
from ...nn import Module
from ...typing import Array
from .chart import Chart
from .finding import Finding

PERSISTENCE = 3
"""The number of looks in a row in which a symptom must be there. One batch may be odd; three in a row, steps
apart, are not chance."""

SMALL = 10_000
"""The size from which on OpenBLAS uses threads of its own for a product, which take the cores from ours."""


class Check(Watcher):
    """Base of the checks, one for each family of faults; a subclass defines the events that it needs.

    Parameters
    ----------
    doctor : Chart
        Knows names, lines and steps, and takes the findings.
    """

    every_step: ClassVar[bool] = False
    """Whether the check watches every step, or only those that the doctor looks at closely."""

    def __init__(self, doctor: Chart) -> None:
        self.doctor = doctor
        self._rows: dict[Hashable, tuple[int, int]] = {}

    def evaluated(self, module: Module, args: tuple[Any, ...]) -> None:
        """Receive a model that was called in evaluation mode, or without recording."""

    def end(self) -> None:
        """Report the faults that show only when all is over."""

    def find(self, key: Hashable, *, kind: str, what: str, where: str, remedy: str, evidence: str) -> None:
        """Report a fault; `key` says which one and where, for a fault is reported once and then counted."""
        self.doctor.find(key, lambda: Finding(kind, what, where, remedy, evidence))

    def lasts(self, symptom: Hashable, there: bool, looks: int = PERSISTENCE) -> bool:
        """Return whether a symptom has now been there for `looks` steps in a row.

        Parameters
        ----------
        symptom : hashable
            The symptom and its place. Of several calls in one step, the first counts.
        there : bool
            Whether it is there in this step.
        """
        row, step = self._rows.get(symptom, (0, -1))
        if step != self.doctor.step:
            row = row + 1 if there else 0
            self._rows[symptom] = (row, self.doctor.step)
        return there and row >= looks


def numbers(gradient: Array) -> Array:
    """Return the raw array of a gradient, which may be row-sparse, or have a graph of its own."""
    if isinstance(gradient, RowSparse):
        return gradient.values
    return gradient._data if isinstance(gradient, Variable) else gradient


def squares(array: Array) -> float:
    """Return the sum of the squares of an array's elements; it waits for a GPU.

    The product of the array with itself is the fastest look at all elements, and not finite if one is not.
    """
    array = numbers(array)
    with on_device_of(array, "doctor"):  # an optimizer may have parameters on several
        # In the order of memory nothing is copied; CuPy knows no such order.
        flat = array.ravel(order="K") if isinstance(array, numpy.ndarray) else array.ravel()
        # Squares may overflow where numbers do not; of NumPy's products only this one does not warn of it.
        return float(backend_of((array,)).xp.vdot(flat, flat))


def norm(array: Array) -> float:
    """Return the Euclidean norm of an array, as fast as `squares`; infinite if the squares overflow."""
    return math.sqrt(squares(array))


def all_finite(array: Array) -> bool:
    """Return whether no element is NaN or infinite."""
    xp = backend_of((array,)).xp
    if array.size < SMALL:
        total = squares(array)
    else:
        with numpy.errstate(all="ignore"):
            total = float(array.sum())
    # NaN and infinity show in the sum; but sums of finite numbers may overflow.
    return math.isfinite(total) or bool(xp.isfinite(array).all())


def ranges(array: Array) -> str:
    """Return in words the least and the greatest element, and how many are NaN or infinite."""
    xp = backend_of((array,)).xp
    finite = xp.isfinite(array)
    count = int(array.size - finite.sum())
    if count == array.size:
        return "no element finite"
    least, greatest = (float(a) for a in (array[finite].min(), array[finite].max()))
    return f"{least:.4g} to {greatest:.4g}" + (f", {count:,} not finite" if count else "")
