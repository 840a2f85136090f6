"""What a check is: it hears what a step does, and tells the doctor when it is sure of a fault."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar

import numpy

from ...backend.device import backend_of, on_device_of
from ...engine.events import Watcher
from ...engine.rowsparse import RowSparse
from ...typing import Array

if TYPE_CHECKING:
    from .doctor import Doctor

PERSISTENCE = 3
"""Looks in a row in which a symptom must be there. One batch may be odd; three in a row, steps apart, are not
chance."""

SMALL = 10_000
"""Elements. From there on OpenBLAS wakes threads of its own for a product, which take the cores from ours."""


class Check(Watcher):
    """One family of faults; derive, and define the events that it wants to hear of.

    Parameters
    ----------
    doctor : Doctor
        Who is told, and knows names, lines and steps.
    """

    every_step: ClassVar[bool] = False
    """Whether it hears of every step, or only of those that the doctor looks at closely."""

    def __init__(self, doctor: Doctor) -> None:
        self.doctor = doctor
        self._rows: dict[Any, tuple[int, int]] = {}

    def end(self) -> None:
        """Say what can only be said when all is over."""

    def lasts(self, symptom: Any, there: bool, looks: int = PERSISTENCE) -> bool:
        """Tell whether a symptom has now been there for `looks` steps in a row.

        Parameters
        ----------
        symptom : hashable
            What and where; asked about once a step, or the first answer of a step counts.
        there : bool
            Whether it is there in this step.
        """
        row, step = self._rows.get(symptom, (0, -1))
        if step != self.doctor.step:
            row = row + 1 if there else 0
            self._rows[symptom] = (row, self.doctor.step)
        return there and row >= looks


def squares(array: Any) -> float:
    """Return the sum of the squares of an array's elements; it waits for a GPU.

    One product with itself: the fastest look there is at all elements, and not finite if one is not.
    """
    if isinstance(array, RowSparse):
        array = array.values
    with on_device_of(array, "doctor"):  # an optimizer may have parameters on several
        # In the order of memory nothing is copied; CuPy knows no such order.
        flat = array.ravel(order="K") if isinstance(array, numpy.ndarray) else array.ravel()
        # Squares may overflow where numbers do not; of NumPy's products only this one does not warn of it.
        return float(backend_of((array,)).xp.vdot(flat, flat))


def norm(array: Any) -> float:
    """Return the Euclidean norm of an array."""
    return math.sqrt(squares(array))


def all_finite(array: Array) -> bool:
    """Tell whether no element is NaN or infinite."""
    xp = backend_of((array,)).xp
    if array.size < SMALL:
        total = squares(array)
    else:
        with numpy.errstate(all="ignore"):
            total = float(array.sum())
    # What is not finite shows in the sum; but sums of finite numbers may overflow.
    return math.isfinite(total) or bool(xp.isfinite(array).all())


def shape_of(array: Any) -> str:
    """Return a shape as it is written in a finding."""
    return "(" + ", ".join(map(str, array.shape)) + ("," if len(array.shape) == 1 else "") + ")"


def ranges(array: Any) -> str:
    """Say between which numbers the elements lie, and how many are NaN or infinite."""
    xp = backend_of((array,)).xp
    finite = xp.isfinite(array)
    count = int(array.size - finite.sum())
    if count == array.size:
        return "no element finite"
    least, greatest = (float(a) for a in (array[finite].min(), array[finite].max()))
    return f"{least:.4g} to {greatest:.4g}" + (f", {count:,} not finite" if count else "")
