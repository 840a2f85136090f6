"""A Tensor: shape, dtype, origin and some of its values."""

from __future__ import annotations

from typing import Any

import numpy
from numpy.typing import NDArray

from ..backend.device import backend_of, on_device_of, to_host
from ..tensor.tensor import Tensor
from .html import Html, code, element, heading, join, paragraphs, shown, soft, table

MOST = 10
"""Rows and columns of a table."""
ENDS = 3
"""Of more, as many are shown from the beginning and from the end, as NumPy does."""
COUNTED = 1_000_000
"""Elements up to which the range is computed."""


def _body(tensor: Tensor) -> Html:
    facts = [tensor.dtype]
    if tensor.device != "cpu":
        facts.append(tensor.device)
    if tensor.node is not None:
        facts.append(f"made by {tensor.node.primitive.name}")
    elif tensor.requires_grad:
        facts.append("requires a gradient" + (", has one" if tensor.grad is not None else ""))
    return join([heading(f"{type(tensor).__name__} {tensor.shape}", *facts), _range(tensor), _values(tensor)])


def _range(tensor: Tensor) -> Html:
    """Return the least, mean and greatest value of floats, and how many are not finite."""
    array = tensor._data
    if not 1 < tensor.size <= COUNTED or tensor.dtype.kind != "f" or tensor.device != "cpu":
        return Html("")
    finite = array[numpy.isfinite(array)].astype(numpy.float64)
    counts = {"NaN": int(numpy.isnan(array).sum()), "infinite": int(numpy.isinf(array).sum())}
    bad = ", ".join(f"{count:,} {name}" for name, count in counts.items() if count)
    texts = []
    if finite.size:
        texts = [f"from {finite.min():.4g} to {finite.max():.4g}, mean {finite.mean():.4g}"]
    warning = element("b", bad, kind="red") if bad else ""
    return element("p", soft(*texts), " · " if texts and bad else "", warning)


def _values(tensor: Tensor) -> Html:
    """Return the values of a small array, or of its corners; of one with more axes, the first matrix."""
    if tensor.size == 0:
        return paragraphs("no elements")
    array = tensor._data
    if tensor.ndim == 0:
        return element("p", code(*written(to_host(array).reshape(1))))
    matrices = tensor.size // (tensor.shape[-1] * tensor.shape[-2]) if tensor.ndim > 2 else 1
    if tensor.ndim > 2:
        array = array[(0,) * (tensor.ndim - 2)]
    rows = _places(array.shape[0] if array.ndim == 2 else 1)
    columns = _places(array.shape[-1])
    xp = backend_of((array,)).xp
    with on_device_of(tensor._data, "display"):
        # Not by `take`, which copies the whole of an array that is not contiguous.
        down, right = (xp.asarray([place or 0 for place in places]) for places in (rows, columns))
        matrix = array[None] if array.ndim == 1 else array
        corner = to_host(matrix[down[:, None], right])
    texts = numpy.array(written(corner.reshape(-1)), object).reshape(corner.shape)
    return join([_grid(texts, rows, columns), _first(tensor.ndim, matrices)])


def _grid(texts: NDArray[Any], rows: list[int | None], columns: list[int | None]) -> Html:
    """Return the table of values with the numbers of rows and columns."""
    cells = [
        [soft("⋮" if row is None else row)]
        + [
            "⋮" if row is None else "⋯" if column is None else text
            for column, text in zip(columns, line, strict=True)
        ]
        for row, line in zip(rows, texts, strict=True)
    ]
    heads = ["", *("⋯" if column is None else column for column in columns)]
    return table(heads, cells, numbers=range(len(heads)))


def _first(ndim: int, matrices: int) -> Html:
    if matrices <= 1 and ndim <= 2:
        return Html("")
    index = ", ".join(["0"] * (ndim - 2) + [":", ":"])
    return paragraphs(
        f"[{index}], the first of {matrices:,} matrices" if matrices > 1 else f"[{index}], the only matrix"
    )


def _places(count: int) -> list[int | None]:
    """Return the indices that are shown; None stands for those between."""
    if count <= MOST:
        return list(range(count))
    return [*range(ENDS), None, *range(count - ENDS, count)]


def written(values: NDArray[Any]) -> list[str]:
    """Return numbers as NumPy writes the elements of one array: with equally many digits, up to four.

    Examples
    --------
    >>> written(numpy.array([0.25, 1 / 3, numpy.nan])), written(numpy.array([1e-9, 1.0]))
    (['0.2500', '0.3333', 'nan'], ['1.e-09', '1.e+00'])
    """
    sizes = numpy.abs(values[numpy.isfinite(values) & (values != 0)]) if values.dtype.kind == "f" else []
    fixed = not len(sizes) or (min(sizes) >= 1e-4 and max(sizes) < 1e6)
    line = numpy.array2string(
        values, separator="|", threshold=values.size + 1, max_line_width=10**9,
        floatmode="maxprec_equal", precision=4, suppress_small=bool(fixed),
    )  # fmt: skip
    return [text.strip() for text in line[1:-1].split("|")]


tensor_html = shown(_body)
