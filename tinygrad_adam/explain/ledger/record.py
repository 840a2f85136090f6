"""What was before a step, copied; from it and the formulas the step is explained, exactly."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy

from ...backend.device import on_device_of, to_host
from ...backend.scopes import scope
from ...engine.events import Watcher, watch
from ...engine.rowsparse import RowSparse
from ...errors import IndexingError, OptionError, StateError, near_names
from ...typing import Array
from .algorithms import ALGORITHMS, Step, write
from .ledgers import EntryLedger, LayerLedger


@dataclass
class Record:
    """One parameter before its last recorded step; arrays are copies, on its device."""

    step: int
    value: Array
    gradient: Any
    moments: dict[str, Array]
    settings: dict[str, Any]
    grad_scale: float

    def part(self, index: Any) -> Step:
        """Return the numbers at an index, on the host."""
        value, gradient, *moments = (
            to_host(array)[index] for array in (self.value, self.gradient, *self.moments.values())
        )
        named = dict(zip(self.moments, moments, strict=True))
        return Step(self.step, value, gradient, named, self.settings, self.grad_scale)

    def rows(self) -> Record:
        """Return what a step changes: all, or the rows that a row-sparse gradient holds."""
        g = self.gradient
        if not isinstance(g, RowSparse):
            return self
        moments = {name: array[g.rows] for name, array in self.moments.items()}
        return Record(self.step, self.value[g.rows], g.values, moments, self.settings, self.grad_scale)


class Recorder(Watcher):
    """Copies, before each step of an optimizer, what the step is made from.

    To explain a step from what it leaves would not do: beta_1 = 0 leaves no trace of the old mean, a
    schedule has moved the learning rate on, the gradient may be cleared, and rounding would differ.

    Parameters
    ----------
    optimizer : Optimizer
        Whose steps to record; those of others pass by.

    Attributes
    ----------
    records : dict of str to Record
        By parameter, what was before its last step. Memory is taken once, and used again.
    """

    def __init__(self, optimizer: Any) -> None:
        self.optimizer = optimizer
        self.records: dict[str, Record] = {}

    def step_begins(self, optimizer: Any) -> None:
        """Copy parameters, gradients, moments and hyper-parameters."""
        if optimizer is not self.optimizer:
            return
        for name, p, storage, i, settings in _parameters(optimizer):
            if p._grad is None:
                continue
            old = self.records.get(name)
            with on_device_of(p._data, "ledger"):
                self.records[name] = Record(
                    storage.steps[i] + 1,
                    _copied(p._data, old and old.value),
                    _copied(getattr(p._grad, "_data", p._grad), old and old.gradient),
                    {
                        moment: _copied(view, old and old.moments.get(moment))
                        for moment, view in storage.places(i, optimizer._moments(settings))
                    },
                    {key: value for key, value in settings.items() if key != "params"},
                    optimizer._grad_scale,
                )


@scope
def ledger(optimizer: Any) -> Iterator[None]:
    """Record the steps of an optimizer inside a block; see `Optimizer.ledger`."""
    recorder = Recorder(optimizer)
    optimizer._recorded = recorder.records
    with watch(recorder):
        yield


def _copied(array: Any, place: Any) -> Any:
    """Copy an array, into the place of an older copy if that fits."""
    if isinstance(array, RowSparse) or type(place) is not type(array):
        return array.copy()
    if place.shape != array.shape or place.dtype != array.dtype:
        return array.copy()
    place[...] = array
    return place


def _parameters(optimizer: Any) -> Iterator[tuple[str, Any, Any, int, dict[str, Any]]]:
    """Yield each parameter with its name, storage, place there and settings."""
    for settings, storages in zip(optimizer.param_groups, optimizer._storages, strict=True):
        for storage in storages:
            for i, p in enumerate(storage.params):
                yield optimizer._names[id(p)], p, storage, i, settings


def explain(optimizer: Any, parameter: str, index: Any = None) -> EntryLedger | LayerLedger:
    """Explain the last recorded step; see `Optimizer.explain`."""
    where = f"{type(optimizer).__name__}.explain"
    if optimizer.kernel not in ALGORITHMS:
        raise OptionError(where, "this optimizer has no ledger", kernel=optimizer.kernel)
    known = {name: (p, storage.steps[i]) for name, p, storage, i, _ in _parameters(optimizer)}
    if parameter not in known:
        raise _unknown(where, parameter, {name: p.shape for name, (p, _) in known.items()})
    p, taken = known[parameter]
    if index is not None:
        index = _entry(where, parameter, p.shape, index)
    record = optimizer._recorded.get(parameter)
    if record is None:
        raise _unrecorded(where, parameter, taken)
    facts = {
        "optimizer": type(optimizer).__name__,
        "algorithm": (ALGORITHMS[optimizer.kernel].__doc__ or "").partition(": ")[2].rstrip("."),
        "parameter": parameter,
        "step": record.step,
        "later": taken - record.step,
    }
    if index is None:
        return _layer(where, optimizer.kernel, record, p.shape, facts)
    sparse = isinstance(record.gradient, RowSparse)
    if sparse:
        place = numpy.flatnonzero(to_host(record.gradient.rows) == index[0])
        if not place.size:
            raise StateError(
                where, "no gradient touched this row in the last recorded step: it was left as it was",
                parameter=parameter, index=index, step=record.step,
            )  # fmt: skip
    inside = (int(place[0]), *index[1:]) if sparse else index
    lines = write(optimizer.kernel, record.rows().part(inside))
    return EntryLedger(**facts, index=index, lines=tuple(lines.written))


def _layer(
    where: str, kernel: str, record: Record, shape: tuple[int, ...], facts: dict[str, Any]
) -> LayerLedger:
    rows = record.rows()
    if not rows.value.size:
        raise OptionError(where, "there is no entry to explain", parameter=facts["parameter"], shape=shape)
    lines = write(kernel, rows.part(...))
    kept = to_host(record.gradient.rows) if isinstance(record.gradient, RowSparse) else None
    return LayerLedger(**facts, shape=shape, rows=kept, lines={line.name: line for line in lines.written})


def _unknown(where: str, parameter: str, shapes: dict[str, tuple[int, ...]]) -> OptionError:
    """Build the error for a name that is not known; near ones come first."""
    numbered = all(name.isdecimal() for name in shapes)
    near = [] if numbered else near_names(parameter, shapes)
    names = [*near, *(name for name in shapes if name not in near)]
    hint = f"; did you mean {near[0]!r}?" if near else ""
    if numbered:
        hint = "; parameters have names where the optimizer is made with model.named_parameters()"
    listed = [f"{name} {shapes[name]}" for name in names[:20]]
    rest = [f"and {len(names) - 20} more"] if len(names) > 20 else []
    return OptionError(where, f"unknown parameter {parameter!r}{hint}", known=", ".join(listed + rest))


def _unrecorded(where: str, parameter: str, taken: int) -> StateError:
    remedy = "take a step within 'with optimizer.ledger():', which copies what it is made from"
    if not taken:
        problem = f"the parameter has not taken a step yet; after backward(), {remedy}"
    else:
        problem = f"no step of the parameter was recorded; {remedy}"
    return StateError(where, problem, parameter=parameter, steps=taken)


def _entry(where: str, parameter: str, shape: tuple[int, ...], index: Any) -> tuple[int, ...]:
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
            where,
            "the index must name one entry: a whole number below the size of each axis",
            parameter=parameter,
            shape=shape,
            index=entry,
        )
    return tuple(i % n for i, n in zip(entry, shape, strict=True))
