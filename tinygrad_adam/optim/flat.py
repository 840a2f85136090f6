"""Parameters side by side in one array, their gradients in another, so that a step is one call.

Each parameter and its gradient become views of the flat arrays; a backward pass writes into
place. Optimizers keep their moments in flat arrays of the same layout.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy

from ..backend.device import backend_of, device_of, on_device_of, to_device
from ..engine.graph import Variable
from ..engine.rowsparse import RowSparse
from ..errors import DTypeError
from ..typing import Array, Xp

ALIGNMENT = 64
"""Elements; each parameter starts at a multiple, for aligned access on a GPU."""


class FlatStorage:
    """The flat arrays of parameters that share a dtype and a device.

    Parameters
    ----------
    params : list of Parameter
        Laid out in this order. Their values and gradients are copied into place.

    Attributes
    ----------
    data, grad : array, shape (total,)
        All values and all gradients; what lies between parameters means nothing.
    moments : dict of str to array, shape (total,)
        What the optimizer remembers, made when first asked for.
    steps : list of int
        How many steps each parameter has taken.
    """

    def __init__(self, params: list[Any]) -> None:
        self.params = params
        self.moments: dict[str, Array] = {}
        self.steps = [0] * len(params)
        self._bind()

    def _bind(self) -> None:
        starts, total = [], 0
        for p in self.params:
            starts.append(total)
            total += -(-p.size // ALIGNMENT) * ALIGNMENT
        self.starts, self.stops = starts, [*starts[1:], total]
        first = self.params[0]._data
        if any(p._data.dtype != first.dtype or p.device != self.params[0].device for p in self.params):
            raise DTypeError(
                "optimizer",
                "parameters of one group were cast or moved apart; make the optimizer after that",
                found=sorted({f"{p._data.dtype} on {p.device}" for p in self.params}),
            )
        with on_device_of(first, "optimizer"):
            self.data = _zeros(total, first, place=0)
            self._values = self.views(self.data)
            for p, value in zip(self.params, self._values, strict=True):
                value[...] = p._data
                p._data = value
            self._bind_gradients()

    def _bind_gradients(self) -> None:
        self.grad = _zeros(self.data.size, self.data, place=1)
        self.grad += 1  # between parameters, where with zeros eps = 0 would divide 0 by 0
        self._gradients = self.views(self.grad)
        for p, gradient in zip(self.params, self._gradients, strict=True):
            if p._grad is not None and not isinstance(p._grad, RowSparse):
                gradient[...] = _raw(p._grad)
                p._grad = gradient
            p._grad_buffer = gradient

    def views(self, flat: Array) -> list[Array]:
        """Cut a flat array into one view for each parameter, of its shape."""
        return [
            flat[start : start + p.size].reshape(p.shape)
            for start, p in zip(self.starts, self.params, strict=True)
        ]

    def moment(self, name: str) -> Array:
        """Return the flat array of a moment, zeros at first."""
        flat = self.moments.get(name)
        if flat is None:
            flat = self.moments[name] = _zeros(self.data.size, self.data, place=2 + len(self.moments))
        return flat

    def places(self, i: int, names: Iterable[str | None]) -> Iterator[tuple[str, Array]]:
        """Yield the moments of parameter number `i` that are named, each as a view of its shape."""
        p, start = self.params[i], self.starts[i]
        for name in names:
            if name is not None:
                yield name, self.moment(name)[start : start + p.size].reshape(p.shape)

    def gather(self) -> Any:
        """Bring values and gradients into place that were moved, assigned by the user, or carry a graph.

        Return the first parameter whose gradient has no place here, for it is row-sparse, or None.
        """
        self.follow()
        for p, place in zip(self.params, self._gradients, strict=True):
            if p._grad is not None and p._grad is not place:
                if isinstance(p._grad, RowSparse):
                    return p
                with on_device_of(place, "optimizer"):
                    place[...] = _raw(p._grad)
                p._grad = place
        return None

    def first_not_finite(self, all_finite: Callable[[Array], bool]) -> Any:
        """Return the first parameter whose gradient, once gathered, is not finite, or None."""
        if all_finite(self.grad):
            return None
        # What is not finite may be the old gradient of a parameter that has none now.
        for p, gradient in zip(self.params, self._gradients, strict=True):
            if p._grad is not None and not all_finite(gradient.reshape(-1)):
                return p
        return None

    def runs(self) -> Iterator[tuple[slice, int]]:
        """Yield stretches of neighbors that have a gradient and one step count, which is advanced.

        Usually one stretch: all. What has no gradient is left out. Gradients must have been gathered.

        Yields
        ------
        stretch : slice
            Into the flat arrays.
        step : int
            The number of the step to take, from 1.
        """
        begin = end = step = -1
        for i, p in enumerate(self.params):
            if p._grad is None:
                continue
            p._written()
            self.steps[i] += 1
            if self.starts[i] == end and self.steps[i] == step:
                end = self.stops[i]
                continue
            if end >= 0:
                yield slice(begin, end), step
            begin, end, step = self.starts[i], self.stops[i], self.steps[i]
        if end >= 0:
            yield slice(begin, end), step

    def follow(self) -> None:
        """Lay everything out again if a value was moved away, to another device say."""
        for p, value in zip(self.params, self._values, strict=True):  # all() would take twice as long
            if p._data is not value:
                break
        else:
            return
        before = {name: self.views(flat) for name, flat in self.moments.items()}
        self._bind()
        self.moments = {}
        with on_device_of(self.data, "optimizer"):
            for name, old in before.items():
                for place, value in zip(self.views(self.moment(name)), old, strict=True):
                    place[...] = to_device(value, device_of(place)).astype(place.dtype, copy=False)

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._bind()  # the views of a copy are arrays of their own


def needed(
    names: tuple[str, ...], optional: Mapping[str, str], group: Mapping[str, Any]
) -> tuple[str | None, ...]:
    """Return the names of moments, with None in place of those whose setting in `group` is off."""
    return tuple(name if name not in optional or group.get(optional[name]) else None for name in names)


def all_finite(xp: Xp, flat: Array) -> bool:
    """Tell whether no element is NaN or infinite."""
    return bool(xp.all(xp.isfinite(flat)))


_PAGE = 4096


def _zeros(count: int, like: Array, place: int) -> Array:
    """Return flat zeros; on the CPU, where loops over several arrays are fast.

    NumPy's large arrays all begin 16 bytes behind a cache line, so that each vector of a loop lies in two
    lines, and at the same place of a page, which the processor takes for one address in a hurry. A step of
    Adam took up to three times as long. These begin at a line, each a quarter of a page behind the last.
    """
    backend = backend_of((like,))
    if backend.device != "cpu":
        with backend.current("optimizer"):
            return backend.xp.zeros(count, like.dtype)
    room = numpy.zeros(count * like.itemsize + _PAGE, numpy.uint8)
    start = (place * _PAGE // 4 - room.__array_interface__["data"][0]) % _PAGE
    return room[start : start + count * like.itemsize].view(like.dtype)


def _raw(value: Any) -> Array:
    return value._data if isinstance(value, Variable) else value
