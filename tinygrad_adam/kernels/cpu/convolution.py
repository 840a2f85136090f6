"""Convolution, compiled by Numba: Winograd's algorithm where it pays, otherwise windows laid out as columns.

A convolution is a matrix product once each window of the images is a row of a matrix. (The field calls
them columns.) The windows of a whole batch would not fit the cache, so each thread takes lines of windows of
its own, lays a few hundred windows out, multiplies, and goes on to the next in the same buffer.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy

from ...backend import memory
from ...backend.threads import products_in_pieces
from ...ops.windows import Sides, output_size
from ...typing import Array, DType
from ..geometry import HW, Windows, windows_of
from . import winograd
from .layout import channels_first, channels_last
from .loops import add, clear, compiled, copy
from .products import finishing


@compiled
def _lay_out(x, columns, w, pixel, offset, channels, first, last):  # type: ignore[no-untyped-def]
    """Copy the windows of lines `first` to `last` of flat images, a row of `columns` for each window.

    Of the `pixel` channels there are, take `channels` from `offset` on.
    """
    to = 0
    for line in range(first, last):
        image, p = line // w.rows, line % w.rows
        for q in range(w.columns):
            left = q * w.stride_across - w.left
            for i in range(w.kernel_height):
                h = p * w.stride_down - w.top + i * w.dilation_down
                if h < 0 or h >= w.height:
                    clear(columns, to, w.kernel_width * channels)
                    to += w.kernel_width * channels
                    continue
                begin = (image * w.height + h) * w.width
                if w.dilation_across == 1 and channels == pixel:  # a line of the window in one piece
                    low = min(max(0, -left), w.kernel_width)
                    high = max(low, min(w.kernel_width, w.width - left))
                    clear(columns, to, low * channels)
                    copy(
                        x, (begin + left + low) * pixel, columns, to + low * channels, (high - low) * channels
                    )
                    clear(columns, to + high * channels, (w.kernel_width - high) * channels)
                    to += w.kernel_width * channels
                    continue
                for j in range(w.kernel_width):
                    v = left + j * w.dilation_across
                    if 0 <= v < w.width:
                        copy(x, (begin + v) * pixel + offset, columns, to, channels)
                    else:
                        clear(columns, to, channels)
                    to += channels


@compiled
def _add_back(columns, x, w, pixel, offset, channels, first, last):  # type: ignore[no-untyped-def]
    """Add each row of `columns` to the pixels of its window: the transpose of laying out."""
    begin = 0
    for line in range(first, last):
        image, p = line // w.rows, line % w.rows
        for q in range(w.columns):
            for i in range(w.kernel_height):
                h = p * w.stride_down - w.top + i * w.dilation_down
                for j in range(w.kernel_width):
                    v = q * w.stride_across - w.left + j * w.dilation_across
                    if 0 <= h < w.height and 0 <= v < w.width:
                        to = ((image * w.height + h) * w.width + v) * pixel + offset
                        add(columns, begin, x, to, channels)
                    begin += channels


_BUFFER = 1 << 18
"""Elements of columns that a thread works on at once: few enough for its cache, enough to be worth a call."""
_LEAST = 1 << 22
"""The fewest multiplications that are worth a thread."""


class _Columns:
    """The windows of a convolution as columns, a few lines of windows at a time."""

    def __init__(self, windows: Windows, pixel: int, groups: int, dtype: DType) -> None:
        self.windows, self.pixel, self.channels = windows, pixel, pixel // groups
        self.dtype = dtype
        self.length = windows.kernel_height * windows.kernel_width * self.channels
        self._at_once = max(1, _BUFFER // max(1, self.length * windows.columns))
        self._plain = groups == 1 and windows.one_to_one  # the images are the columns

    def least(self, out: int) -> int:
        """Return how many lines of windows are worth a thread."""
        return 1 + _LEAST // max(1, self.windows.columns * self.length * out)

    def parts(self, start: int, stop: int) -> Iterator[tuple[int, int]]:
        """Cut a range of lines of windows into parts that fit the buffer."""
        for first in range(start, stop, self._at_once):
            yield first, min(first + self._at_once, stop)

    def buffer(self) -> Array:
        return memory.empty((self._at_once * self.windows.columns * self.length,), self.dtype)

    def of(self, x: Array, group: int, first: int, last: int, buffer: Array) -> Array:
        """Return the windows of some lines of x, shape (N, H, W, C), as rows of a matrix."""
        if self._plain:
            return x.reshape(-1, self.pixel)[first * self.windows.columns : last * self.windows.columns]
        part = self._part(first, last, buffer)
        start = group * self.channels
        _lay_out(x.reshape(-1), buffer, self.windows, self.pixel, start, self.channels, first, last)
        return part

    def add_back(
        self, rows: Array, weight: Array, x: Array, group: int, first: int, last: int, buffer: Array
    ) -> None:
        """Add ``rows @ weight``, values of windows, to x, shape (N, H, W, C), which is zero at first."""
        if self._plain:
            begin, end = first * self.windows.columns, last * self.windows.columns
            numpy.matmul(rows, weight, out=x.reshape(-1, self.pixel)[begin:end])
            return
        numpy.matmul(rows, weight, out=self._part(first, last, buffer))
        start = group * self.channels
        _add_back(buffer, x.reshape(-1), self.windows, self.pixel, start, self.channels, first, last)

    def _part(self, first: int, last: int, buffer: Array) -> Array:
        count = (last - first) * self.windows.columns
        return buffer[: count * self.length].reshape(count, self.length)


def _matrices(weight: Array, groups: int) -> Array:
    """Return a weight as a matrix for each group: elements of a window by outputs."""
    out, inner, *kernel = weight.shape
    parts = weight.reshape(groups, out // groups, inner, *kernel).transpose(0, 3, 4, 2, 1)
    return parts.reshape(groups, kernel[0] * kernel[1] * inner, out // groups)


def conv2d(
    x: Array, weight: Array, bias: Array = None, *, stride: HW, padding: Sides, dilation: HW, groups: int
) -> Array:
    """See `convolution._conv2d`."""
    return _convolved(x, weight, bias, False, stride, padding, dilation, groups)


def conv2d_relu(
    x: Array, weight: Array, bias: Array = None, *, stride: HW, padding: Sides, dilation: HW, groups: int
) -> Array:
    """See `convolution._conv2d_relu`."""
    return _convolved(x, weight, bias, True, stride, padding, dilation, groups)


def _convolved(
    x: Array, weight: Array, bias: Array, relu: bool, stride: HW, padding: Sides, dilation: HW, groups: int
) -> Array:
    dtype = numpy.result_type(x, weight)
    x, weight = channels_last(x, dtype), weight.astype(dtype, copy=False)
    if winograd.fits(weight.shape, stride, padding, dilation, groups):
        return channels_first(winograd.conv2d(x, weight.transpose(2, 3, 1, 0), bias, relu, padding))
    out, _, *kernel = weight.shape
    count = output_size("conv2d", x.shape[1:3], kernel, stride, padding, dilation)
    windows = windows_of(x.shape[1:3], count, kernel, stride, padding, dilation)
    columns = _Columns(windows, x.shape[3], groups, dtype)
    matrices = _matrices(weight, groups)
    y = memory.empty((len(x) * count[0], count[1], out), dtype)
    share = out // groups
    finish = finishing(y.reshape(-1, out), bias, relu)

    def work(start: int, stop: int) -> None:
        buffer = columns.buffer()
        for first, last in columns.parts(start, stop):
            lines = y[first:last].reshape(-1, out)
            for g in range(groups):
                numpy.matmul(
                    columns.of(x, g, first, last, buffer),
                    matrices[g],
                    out=lines[:, g * share : (g + 1) * share],
                )
            finish(first * count[1], last * count[1], 0, out)

    products_in_pieces(work, len(y), columns.least(out))
    return channels_first(y.reshape(len(x), *count, out))


def conv2d_input(
    gy: Array, weight: Array, *, size: HW, stride: HW, padding: Sides, dilation: HW, groups: int
) -> Array:
    """See `convolution._conv2d_input`."""
    dtype = numpy.result_type(gy, weight)
    gy, weight = channels_last(gy, dtype), weight.astype(dtype, copy=False)
    out, inner, *kernel = weight.shape
    if winograd.fits(weight.shape, stride, padding, dilation, groups):
        # The same filters turned by 180 degrees, their inputs and outputs exchanged.
        turned = weight[:, :, ::-1, ::-1].transpose(2, 3, 0, 1)
        down, across = [(kernel[0] - 1 - before, kernel[0] - 1 - after) for before, after in padding]
        return channels_first(winograd.conv2d(gy, turned, None, False, (down, across)))
    windows = windows_of(size, gy.shape[1:3], kernel, stride, padding, dilation)
    columns = _Columns(windows, groups * inner, groups, dtype)
    matrices = numpy.ascontiguousarray(_matrices(weight, groups).swapaxes(1, 2))
    x = memory.zeros((len(gy), *size, groups * inner), dtype)
    lines, share = gy.reshape(-1, gy.shape[2], out), out // groups

    def work(start: int, stop: int) -> None:  # whole images: windows of neighboring lines overlap
        buffer = columns.buffer()
        for first, last in columns.parts(start * windows.rows, stop * windows.rows):
            rows = lines[first:last].reshape(-1, out)
            for g in range(groups):
                part = rows[:, g * share : (g + 1) * share]
                columns.add_back(part, matrices[g], x, g, first, last, buffer)

    products_in_pieces(work, len(gy), 1 + columns.least(out) // max(1, windows.rows))
    return channels_first(x)


def conv2d_weight(
    x: Array, gy: Array, *, size: HW, stride: HW, padding: Sides, dilation: HW, groups: int
) -> Array:
    """See `convolution._conv2d_weight`."""
    dtype = numpy.result_type(x, gy)
    x, gy = channels_last(x, dtype), channels_last(gy, dtype)
    inner, out = x.shape[3] // groups, gy.shape[3]
    if winograd.fits((out, inner, *size), stride, padding, dilation, groups):
        return winograd.conv2d_weight(x, gy, size[0], padding).transpose(3, 2, 0, 1)
    windows = windows_of(x.shape[1:3], gy.shape[1:3], size, stride, padding, dilation)
    columns = _Columns(windows, x.shape[3], groups, dtype)
    lines, share = gy.reshape(-1, gy.shape[2], out), out // groups

    def work(start: int, stop: int) -> Array:
        buffer = columns.buffer()
        total = numpy.zeros((groups, columns.length, share), dtype)
        for first, last in columns.parts(start, stop):
            rows = lines[first:last].reshape(-1, out)
            for g in range(groups):
                part = rows[:, g * share : (g + 1) * share]
                total[g] += numpy.matmul(columns.of(x, g, first, last, buffer).T, part)
        return total

    total = sum(products_in_pieces(work, len(lines), columns.least(out)))
    return total.reshape(groups, *size, inner, share).transpose(0, 4, 3, 1, 2).reshape(out, inner, *size)
