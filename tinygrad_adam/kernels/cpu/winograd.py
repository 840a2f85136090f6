"""Winograd's convolution: about a third of the multiplications for 5x5 filters, a quarter for 3x3.

A row of outputs of a filter is a polynomial product in reverse. Six values determine a polynomial of degree
5, and the values of a product are products of values: so m outputs of a filter of r elements, with m + r - 1
= 6, take six multiplications instead of m * r. In two dimensions, for a tile d of 6 x 6 pixels and a filter
w::

    y = A^T [ (G w G^T) * (B^T d B) ] A          * element by element, y of m x m outputs

(Toom and Cook, 1963 to 1966; Winograd, 1980; for networks: Lavin & Gray, 2016, equation 8). Summed over the
channels, the product in brackets becomes one matrix product for each of the 36 elements of a tile:
tiles by channels times channels by outputs. The transforms around it are cheap while they stay in cache.

The map is linear in d and in w, so the gradient of the filter is the transpose of these three steps::

    gradient of w = G^T [ (A gy A^T) * (B^T d B) ] G      summed over all tiles

and the gradient of the input is a convolution again.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy
from numpy.polynomial.polynomial import polyfromroots

from ...backend import memory
from ...backend.threads import products_in_pieces
from ...ops.windows import Sides
from ...typing import Array, DType
from ..geometry import HW
from .loops import clear, compiled, copy
from .products import finishing, matmul

TILE = 6
POINTS = (0.0, 0.75, -0.75, 1.5, -1.5)
"""The points, besides infinity, at which polynomials are evaluated.

With the usual 0, 1, -1, 2, -2 the powers grow faster and rounding errors are twice as large: for 64 channels
1.8e-6 of a typical output instead of 0.9e-6; a plain sum of float32 numbers has 0.3e-6.
"""


def matrices(r: int) -> tuple[Array, Array, Array]:
    """Return the matrices of a filter of `r` elements.

    Returns
    -------
    b_t : array, shape (6, 6)
        Maps pixels to values; row k is the polynomial that vanishes at all points but the k-th.
    g : array, shape (6, r)
        Maps a filter to its values at the points, divided by the values of those polynomials there.
    a : array, shape (6, m)
        Powers of the points: its transpose maps products of values to outputs.
    """
    b_t, g, a = numpy.zeros((TILE, TILE)), numpy.zeros((TILE, r)), numpy.zeros((TILE, TILE - r + 1))
    for k, point in enumerate(POINTS):
        others = [other for other in POINTS if other != point]
        b_t[k, :-1] = polyfromroots(others)
        g[k] = point ** numpy.arange(r) / numpy.prod([point - other for other in others])
        a[k] = point ** numpy.arange(TILE - r + 1)
    b_t[-1] = polyfromroots(POINTS)  # at infinity: the leading coefficients
    g[-1, -1] = a[-1, -1] = 1
    return b_t, g, a


def _both_ways(matrix: Array, dtype: DType) -> Array:
    """Return the matrix that applies `matrix` along both axes of flattened tiles: a Kronecker product."""
    return numpy.kron(matrix, matrix).astype(dtype)


def fits(weight: tuple[int, ...], stride: HW, padding: Sides, dilation: HW, groups: int) -> bool:
    """Return whether the algorithm applies to a convolution, and is faster for so many channels."""
    out, channels, height, width = weight
    return (
        height == width
        and 3 <= height <= 5
        and tuple(stride) == tuple(dilation) == (1, 1)
        and groups == 1
        and min(out, channels) >= 16
        and max(max(sides) for sides in padding) < height
    )


# --- The transforms --------------------------------------------------------------------------


# Places are unsigned: Numba checks the sign of a signed index, which keeps a loop from vectorizing.


@compiled
def _six(start, step):  # type: ignore[no-untyped-def]
    """Return six places, `step` apart."""
    return (
        numpy.uint64(start),
        numpy.uint64(start + step),
        numpy.uint64(start + 2 * step),
        numpy.uint64(start + 3 * step),
        numpy.uint64(start + 4 * step),
        numpy.uint64(start + 5 * step),
    )


@compiled
def _row(matrix, k):  # type: ignore[no-untyped-def]
    return matrix[k, 0], matrix[k, 1], matrix[k, 2], matrix[k, 3], matrix[k, 4], matrix[k, 5]


@compiled
def _combine(source, places, factors, target, to, length):  # type: ignore[no-untyped-def]
    """Write the sum of the stretches at six places of `source`, each times its factor."""
    p0, p1, p2, p3, p4, p5 = places
    f0, f1, f2, f3, f4, f5 = factors
    to = numpy.uint64(to)
    if f2 == 0 and f3 == 0 and f4 == 0 and f5 == 0:  # gradients of 5x5 filters: tiles of two rows
        for q in range(numpy.uint64(length)):
            target[to + q] = f0 * source[p0 + q] + f1 * source[p1 + q]
        return
    for q in range(numpy.uint64(length)):
        target[to + q] = (
            (f0 * source[p0 + q] + f1 * source[p1 + q])
            + (f2 * source[p2 + q] + f3 * source[p3 + q])
            + (f4 * source[p4 + q] + f5 * source[p5 + q])
        )


@compiled
def _pixel(j, m, phase, channels):  # type: ignore[no-untyped-def]
    """Return the place of pixel `j` in a strip; see `_to_values`."""
    return j % m * phase + j // m * channels


@compiled
def _pixels(start, m, phase, channels):  # type: ignore[no-untyped-def]
    """Return the places of the first six pixels of a strip that begins at `start`."""
    return (
        numpy.uint64(start),
        numpy.uint64(start + _pixel(1, m, phase, channels)),
        numpy.uint64(start + _pixel(2, m, phase, channels)),
        numpy.uint64(start + _pixel(3, m, phase, channels)),
        numpy.uint64(start + _pixel(4, m, phase, channels)),
        numpy.uint64(start + _pixel(5, m, phase, channels)),
    )


@compiled
def _to_values(x, before, m, strips, tiles, first, last, matrix, values):  # type: ignore[no-untyped-def]
    """Transform the tiles of some strips: ``matrix @ tile @ matrix.T`` for each channel.

    A strip is a row of tiles; tiles are m pixels apart and begin `before` pixels outside of the images
    x, shape (N, H, W, C). Element (k, j) of tile t goes to ``values[6 * k + j, t]``.
    """
    _, height, width, channels = x.shape
    x, values = x.reshape(-1), values.reshape(-1)
    # Pixels that are m apart lie side by side in a strip: element j of a tile is followed by element j of the
    # next tile, and one loop serves all tiles.
    phase = (tiles + (TILE - 1) // m) * channels
    length = m * phase
    seen = min(width, length // channels - before[1])
    strip = numpy.zeros(TILE * length, x.dtype)
    rows = numpy.empty(TILE * length, x.dtype)
    for s in range(first, last):
        for i in range(TILE):
            h = s % strips * m - before[0] + i
            for w in range(seen):
                to = i * length + _pixel(w + before[1], m, phase, channels)
                if 0 <= h < height:
                    copy(x, ((s // strips * height + h) * width + w) * channels, strip, to, channels)
                else:
                    clear(strip, to, channels)
        for k in range(TILE):
            _combine(strip, _six(0, length), _row(matrix, k), rows, k * length, length)
        for k in range(TILE):
            places = _pixels(k * length, m, phase, channels)
            for j in range(TILE):
                to = ((k * TILE + j) * (last - first) + s - first) * tiles * channels
                _combine(rows, places, _row(matrix, j), values, to, tiles * channels)


@compiled
def _to_outputs(values, m, strips, tiles, first, last, matrix, y):  # type: ignore[no-untyped-def]
    """Transform products back: ``matrix @ tile @ matrix.T``, (m, 6) matrices, into y, shape (N, H, W, O)."""
    _, height, width, channels = y.shape
    count = (last - first) * tiles * channels
    half = numpy.empty(m * TILE * count, y.dtype)
    y, values = y.reshape(-1), values.reshape(-1)
    for i in range(m):
        for j in range(TILE):
            to = (i * TILE + j) * count
            _combine(values, _six(j * count, TILE * count), _row(matrix, i), half, to, count)
    for s in range(first, last):
        for i in range(min(m, height - s % strips * m)):
            line = (s // strips * height + s % strips * m + i) * width
            for tile in range(tiles):
                begin = i * TILE * count + ((s - first) * tiles + tile) * channels
                for j in range(min(m, width - tile * m)):
                    to = (line + tile * m + j) * channels
                    _combine(half, _six(begin, count), _row(matrix, j), y, to, channels)


# --- The convolution -------------------------------------------------------------------------

_TILES = 96
"""Tiles at a time: enough for fast products, few enough for the cache of a core."""
_LEAST = 1 << 22
"""The fewest multiplications that are worth a thread."""


class _Tiling:
    """The division of the outputs of a convolution into tiles of m x m."""

    def __init__(self, r: int, size: tuple[int, int], channels: int, out: int) -> None:
        self.m, self.height = TILE - r + 1, size[0]
        self.strips, self.tiles = -(-size[0] // self.m), -(-size[1] // self.m)
        self.least = 1 + _LEAST // max(1, TILE**2 * self.tiles * channels * out)
        self._at_once = max(1, _TILES // max(1, self.tiles))

    def parts(self, start: int, stop: int) -> Iterator[tuple[int, int]]:
        """Cut a range of strips into parts that fit the cache."""
        for first in range(start, stop, self._at_once):
            yield first, min(first + self._at_once, stop)

    def line(self, strip: int) -> int:
        """Return the first line of outputs of a strip, counted through all images."""
        return strip // self.strips * self.height + min(strip % self.strips * self.m, self.height)

    def to_values(self, x: Array, before: HW, first: int, last: int, matrix: Array) -> Array:
        values = memory.empty((TILE**2, (last - first) * self.tiles, x.shape[3]), x.dtype)
        _to_values(x, before, self.m, self.strips, self.tiles, first, last, matrix, values)
        return values


def conv2d(x: Array, weight: Array, bias: Array, relu: bool, padding: Sides) -> Array:
    """Convolve x, shape (N, H, W, C), with weight, shape (r, r, C, O), to (N, H', W', O)."""
    r, _, channels, out = weight.shape
    size = tuple(n + sum(sides) - r + 1 for n, sides in zip(x.shape[1:3], padding, strict=True))
    tiling = _Tiling(r, size, channels, out)
    b_t, g, a = matrices(r)
    b_t, a_t = b_t.astype(x.dtype), numpy.ascontiguousarray(a.T, x.dtype)
    u = matmul(_both_ways(g, x.dtype), weight.reshape(r * r, -1)).reshape(TILE**2, channels, out)
    y = memory.empty((len(x), *size, out), x.dtype)
    finish = finishing(y.reshape(-1, out), bias, relu)
    before = padding[0][0], padding[1][0]

    def work(start: int, stop: int) -> None:
        for first, last in tiling.parts(start, stop):
            products = numpy.matmul(tiling.to_values(x, before, first, last, b_t), u)
            _to_outputs(products, tiling.m, tiling.strips, tiling.tiles, first, last, a_t, y)
            finish(tiling.line(first) * size[1], tiling.line(last) * size[1], 0, out)

    products_in_pieces(work, len(x) * tiling.strips, tiling.least)
    return y


def conv2d_weight(x: Array, gy: Array, r: int, padding: Sides) -> Array:
    """Return the gradient of the weight, shape (r, r, C, O), from x (N, H, W, C) and gy (N, H', W', O)."""
    channels, out = x.shape[3], gy.shape[3]
    tiling = _Tiling(r, gy.shape[1:3], channels, out)
    b_t, g, a = matrices(r)
    b_t, a_wide = b_t.astype(x.dtype), numpy.zeros((TILE, TILE), x.dtype)
    a_wide[:, : tiling.m] = a  # so that elements shared by neighboring tiles of gy count once
    before = padding[0][0], padding[1][0]

    def work(start: int, stop: int) -> Array:
        total = numpy.zeros((TILE**2, channels, out), x.dtype)
        for first, last in tiling.parts(start, stop):
            v = tiling.to_values(x, before, first, last, b_t)
            z = tiling.to_values(gy, (0, 0), first, last, a_wide)
            total += numpy.matmul(v.swapaxes(1, 2), z)
        return total

    total = sum(products_in_pieces(work, len(x) * tiling.strips, tiling.least))
    return matmul(_both_ways(g.T, x.dtype), total.reshape(TILE**2, -1)).reshape(r, r, channels, out)
