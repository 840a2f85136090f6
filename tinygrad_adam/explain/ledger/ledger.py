"""The last step of each parameter: the numbers before it, copied, and their ledger."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import EllipsisType
from typing import Any, cast

import numpy

from ...backend.device import on_device_of, to_host
from ...backend.scopes import scope
from ...engine.events import Watcher, watch
from ...engine.rowsparse import RowSparse
from ...errors import IndexingError, OptionError, StateError, near_names
from ...optim import Optimizer
from ...optim.lines import BeforeStep, Line, StepLines
from ...typing import Array
from ..optimizers import grad_scale_of, held, name_of, parameters_of
from .ledgers import EntryLedger, LayerLedger

LISTED = 20
"""The greatest number of parameters that an error lists."""


class StepCopier(Watcher):
    """Copies, before each step of an optimizer, the numbers that the step is made from.

    The numbers after a step do not suffice to explain it: beta_1 = 0 leaves no trace of the old mean, a
    schedule has moved the learning rate on, the gradient may be cleared, and rounding would differ.

    Parameters
    ----------
    optimizer : Optimizer
        The optimizer whose steps to record; the steps of others pass by.

    Attributes
    ----------
    steps : dict of str to BeforeStep
        By parameter, the numbers before its last step. The memory of the copies is used again.
    """

    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer = optimizer
        self.steps: dict[str, BeforeStep] = {}

    def step_begins(self, optimizer: Optimizer) -> None:
        """Copy parameters, gradients, moments and hyper-parameters."""
        if optimizer is not self.optimizer:
            return
        for name, p, steps, moments, settings in held(optimizer):
            if p._grad is None:
                continue
            old = self.steps.get(name)
            with on_device_of(p._data, "ledger"):
                self.steps[name] = BeforeStep(
                    steps + 1,
                    _copied(p._data, old and old.value),
                    _copied(getattr(p._grad, "_data", p._grad), old and old.gradient),
                    {key: _copied(moment, old and old.moments.get(key)) for key, moment in moments.items()},
                    {key: value for key, value in settings.items() if key != "params"},
                    grad_scale_of(optimizer),
                )


@scope
def ledger(optimizer: Optimizer) -> Iterator[None]:
    """Record the steps of an optimizer inside a block; see `Optimizer.ledger`."""
    copier = StepCopier(optimizer)
    optimizer._recorded = copier.steps
    with watch(copier):
        yield


def _copied(array: Array, place: Array | None) -> Array:
    """Copy an array, into the place of an older copy if that fits."""
    if place is None or isinstance(array, RowSparse) or type(place) is not type(array):
        return array.copy()
    if place.shape != array.shape or place.dtype != array.dtype:
        return array.copy()
    place[...] = array
    return place


def lines_of(kind: type[Optimizer]) -> Callable[[StepLines], None] | None:
    """Return the function that writes the lines of an optimizer's step, or None if it declares none."""
    for each in kind.__mro__:
        if "lines" in vars(each):
            return cast("Callable[[StepLines], None]", getattr(each, "lines"))  # noqa: B009
        if "update" in vars(each):  # and the lines of a base are those of another update
            return None
    return None


def explain_step(
    optimizer: Optimizer, parameter: str, index: int | tuple[int, ...] | None = None
) -> EntryLedger | LayerLedger:
    """Return the ledger of the last recorded step; see `Optimizer.explain`."""
    where = f"{type(optimizer).__name__}.explain"
    write = lines_of(type(optimizer))
    if write is None:
        raise OptionError(where, "this optimizer has no ledger", kernel=optimizer.kernel)
    known = {name_of(optimizer, p): p for p in parameters_of(optimizer)}
    if parameter not in known:
        raise _unknown(where, parameter, {name: p.shape for name, p in known.items()})
    p = known[parameter]
    taken = optimizer.moments(p)[0]
    entry = None if index is None else _entry(where, parameter, p.shape, index)
    step = optimizer._recorded.get(parameter)
    if step is None:
        raise _unrecorded(where, parameter, taken)
    facts: dict[str, Any] = {
        "optimizer": type(optimizer).__name__,
        "algorithm": (write.__doc__ or "").rstrip("."),
        "parameter": parameter,
        "step": step.number,
        "later": taken - step.number,
    }
    rows = to_host(step.gradient.rows) if isinstance(step.gradient, RowSparse) else None
    changed = step if rows is None else _at_rows(step)
    if entry is None:
        if not changed.value.size:
            raise OptionError(where, "there is no entry to explain", parameter=parameter, shape=p.shape)
        lines = _written(write, changed, ...)
        return LayerLedger(**facts, shape=p.shape, rows=rows, lines={line.name: line for line in lines})
    inside = entry
    if rows is not None:
        place = numpy.flatnonzero(rows == entry[0])
        if not place.size:
            raise StateError(
                where, "no gradient touched this row in the last recorded step: it was left as it was",
                parameter=parameter, index=entry, step=step.number,
            )  # fmt: skip
        inside = (int(place[0]), *entry[1:])
    return EntryLedger(**facts, index=entry, lines=tuple(_written(write, changed, inside)))


def _at_rows(step: BeforeStep) -> BeforeStep:
    """Return the rows that a row-sparse gradient holds."""
    rows = step.gradient.rows
    moments = {name: array[rows] for name, array in step.moments.items()}
    return replace(step, value=step.value[rows], gradient=step.gradient.values, moments=moments)


def _written(
    write: Callable[[StepLines], None], step: BeforeStep, index: tuple[int, ...] | EllipsisType
) -> list[Line]:
    """Write the lines of the entries at an index, on the host."""
    value, gradient, *moments = (
        to_host(array)[index] for array in (step.value, step.gradient, *step.moments.values())
    )
    named = dict(zip(step.moments, moments, strict=True))
    lines = StepLines(replace(step, value=value, gradient=gradient, moments=named))
    with numpy.errstate(all="ignore"):  # infinities and NaN are shown, not warned of
        write(lines)
    return lines.written


# --- Refusals ----------------------------------------------------------------------------


def _unknown(where: str, parameter: str, shapes: dict[str, tuple[int, ...]]) -> OptionError:
    """Build the error for a name that is not known; near ones come first."""
    numbered = all(name.isdecimal() for name in shapes)
    near = [] if numbered else near_names(parameter, shapes)
    names = [*near, *(name for name in shapes if name not in near)]
    hint = f"; did you mean {near[0]!r}?" if near else ""
    if numbered:
        hint = "; parameters have names where the optimizer is made with model.named_parameters()"
    listed = [f"{name} {shapes[name]}" for name in names[:LISTED]]
    rest = [f"and {len(names) - LISTED} more"] if len(names) > LISTED else []
    return OptionError(where, f"unknown parameter {parameter!r}{hint}", known=", ".join(listed + rest))


def _unrecorded(where: str, parameter: str, taken: int) -> StateError:
    remedy = "take a step within 'with optimizer.ledger():', which copies what it is made from"
    if not taken:
        problem = f"the parameter has not taken a step yet; after backward(), {remedy}"
    else:
        problem = f"no step of the parameter was recorded; {remedy}"
    return StateError(where, problem, parameter=parameter, steps=taken)


def _entry(
    where: str, parameter: str, shape: tuple[int, ...], index: int | tuple[int, ...]
) -> tuple[int, ...]:
    """Return an index as whole numbers from 0, or refuse it."""
    given = index if isinstance(index, tuple | list) else (index,)
    try:
        entry = tuple(operator.index(i) for i in given)
    except TypeError as error:
        raise IndexingError(
            where, "an index is a whole number for each axis", parameter=parameter, index=index
        ) from error
    if len(entry) != len(shape) or not all(-n <= i < n for i, n in zip(entry, shape, strict=False)):
        raise IndexingError(
            where, "the index must name one entry: a whole number below the size of each axis",
            parameter=parameter, shape=shape, index=entry,
        )  # fmt: skip
    return tuple(i % n for i, n in zip(entry, shape, strict=True))
