"""Which elements of an array a film shows: a few, evenly spread, laid out as a small picture."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy

from ...backend.device import on_device_of, to_host
from ...typing import Array


@dataclass(frozen=True)
class View:
    """Some elements of an array of a known shape, as a grid.

    Attributes
    ----------
    places : numpy.ndarray of int, shape (rows, columns)
        Where each element is in the flat array.
    about : str
        The part that is shown, in words.
    """

    places: Array
    about: str

    def of(self, array: Array) -> Array:
        """Return the elements, flat and on the host; `array` may lie on any device."""
        with on_device_of(array, "film"):
            return to_host(array.reshape(-1)[self.places.reshape(-1)])


def view_of_weights(shape: tuple[int, ...], most: int) -> View:
    """Show a parameter: rows are outputs, columns inputs; of filters, kernels side by side."""
    if len(shape) < 2:
        return _view(shape, [_spread(1, 1), _spread(math.prod(shape), most)], "entries")
    if len(shape) == 2:
        return _view(shape, [_spread(shape[0], most), _spread(shape[1], most)], "rows and columns")
    # (O, C, KH, KW): kernels whole, as many filters and channels as fit. A kernel of one dimension lies down.
    shape = (*shape[:2], 1, shape[2]) if len(shape) == 3 else shape
    kernel = math.prod(shape[2:])
    filters = _spread(shape[0], max(1, most // shape[2]))
    channels = _spread(shape[1], max(1, most // math.prod(shape[3:])))
    offsets = numpy.arange(kernel).reshape(shape[2], -1)
    starts = (filters[:, None] * shape[1] + channels) * kernel
    places = (starts[:, None, :, None] + offsets[:, None, :]).reshape(
        len(filters) * shape[2], len(channels) * offsets.shape[1]
    )
    about = f"{len(filters)} of {shape[0]} filters (down), {len(channels)} of {shape[1]} channels (across)"
    return View(places, about)


def view_of_values(shape: tuple[int, ...], most: int) -> View:
    """Show the output of an operation for a batch: rows are samples; of images, the maps of the first one."""
    if len(shape) <= 2:
        rows = _spread(shape[0], 8) if len(shape) == 2 else _spread(1, 1)
        columns = shape[-1] if shape else 1
        if len(shape) == 2:
            rows = rows if len(rows) == shape[0] else numpy.arange(8)
        return _view(shape, [rows, _spread(columns, most)], "samples (down) and units (across)")
    if len(shape) == 3:  # channels and places of a convolution, or places and units of a text
        view = _view(shape[1:], [_spread(shape[1], 8), _spread(shape[2], most)], "rows and columns")
        whole = view.about == "all"
        return View(view.places, "the first sample" if whole else f"{view.about} of the first sample")
    height, width = (_spread(n, max(1, most // 2)) for n in shape[2:4])
    maps = _spread(shape[1], max(1, 2 * most // len(width)))
    size = math.prod(shape[2:])
    inside = height[:, None] * shape[3] + width
    places = (maps[None, :, None] * size + inside[:, None, :]).reshape(len(height), -1)
    shown = f"{len(maps)} of {shape[1]} maps of the first sample"
    full = len(height) == shape[2] and len(width) == shape[3]
    return View(places, shown + ("" if full else f", {len(height)} × {len(width)} of their pixels"))


def _spread(count: int, most: int) -> Array:
    """Return up to `most` indices, evenly spread over ``range(count)``, the first and the last among them."""
    if count <= most:
        return numpy.arange(count)
    return numpy.unique(numpy.linspace(0, count - 1, most).round().astype(int))


def _view(shape: tuple[int, ...], chosen: list[Array], axes: str) -> View:
    rows, columns = chosen
    width = shape[-1] if shape else 1
    places = rows[:, None] * width + columns
    if places.size == math.prod(shape):
        return View(places, "all")
    return View(places, f"{len(rows)} × {len(columns)} of {' × '.join(map(str, shape))}: {axes}")
