"""Adding at indices that repeat, in CUDA: the gradient of an embedding.

Atomic additions would be the short way, but floats added in another order each time round differently each
time. Here the indices are sorted, which leaves equal ones in their order, and each run of equal ones
is added up from its beginning to its end, in pieces, and long ones in pieces of pieces.
"""

from __future__ import annotations

import math
from typing import Any

from ...ops import indexing
from ...typing import Array
from .launching import Source, blocks_for, has_kernels

_PIECE = 32
"""Numbers in a piece, and pieces in a piece of the next size."""
_LONGEST = 1024
"""Pieces that a thread may have to add up one after the other, where all indices are the same."""

SOURCE = Source(r"""
__device__ bool begins(const long long* rows, INDEX k) { return k == 0 || rows[k - 1] != rows[k]; }

// rows are sorted, and order[k] is where the k-th of them comes from. A run may be as long as all of them, so
// it is added up in pieces, which end at multiples of `piece`; the sum of a piece is put where it begins.
// What it consists of begins at multiples of `step`, but for the first: numbers, or smaller pieces, of which
// the values are the sums, in order already.
extern "C" __global__ void add_pieces(
    const REAL* values, const long long* order, const long long* rows, INDEX count, INDEX width, INDEX step,
    INDEX piece, REAL* sums
) {
    EACH(i, count * width) {
        INDEX k = i / width;
        if (k % piece && !begins(rows, k)) continue;
        const long long row = rows[k];
        double sum = 0;
        do {
            sum += values[(order ? order[k] : k) * width + i % width];
            k = (k / step + 1) * step;
        } while (k < count && k % piece && rows[k] == row);
        sums[i] = sum;
    }
}

// The pieces of each run, which begin at multiples of `step` but for the first.
extern "C" __global__ void add_runs(
    const REAL* sums, const long long* rows, INDEX count, INDEX width, INDEX step, REAL* total
) {
    EACH(i, count * width) {
        INDEX k = i / width;
        if (!begins(rows, k)) continue;
        const long long row = rows[k];
        double sum = sums[i];
        for (k = (k / step + 1) * step; k < count && rows[k] == row; k += step) {
            sum += sums[k * width + i % width];
        }
        total[row * width + i % width] = sum;
    }
}
""")


def add_at(a: Array, *, index: Any, shape: tuple[int, ...]) -> Array:
    """See `indexing._add_at`; the order of additions is always the same.

    An index out of range wraps around, as it does in CuPy where it is read from.
    """
    import cupy

    if not has_kernels(a.dtype):
        return indexing._add_at.forward(cupy, a, index=index, shape=shape)
    if indexing.is_basic(index):  # nothing repeats
        total = cupy.zeros(shape, a.dtype)
        total[index] = a
        return total
    if not (isinstance(index, cupy.ndarray) and index.dtype.kind in "iu"):
        # Any other index picks elements of the flat array: which ones, it says itself.
        index = cupy.arange(math.prod(shape)).reshape(shape)[index]
        return add_at(a, index=index, shape=(math.prod(shape),)).reshape(shape)
    total = cupy.zeros(shape, a.dtype)
    if not a.size:
        return total
    count, width = index.size, a.size // index.size
    rows = index.reshape(-1).astype(cupy.int64) % shape[0]  # cast before: a byte cannot hold every length
    order = cupy.argsort(rows, kind="stable")
    rows = rows[order]
    sums = cupy.empty((count, width), a.dtype)
    blocks = blocks_for(count * width)
    parts, step, piece = cupy.ascontiguousarray(a), 1, _PIECE
    while step == 1 or count > _LONGEST * step:
        known = parts, order, rows, count, width, step, piece, sums
        SOURCE.launch("add_pieces", a.dtype, known, blocks)
        parts, order, step, piece = sums, None, piece, _PIECE * piece
    SOURCE.launch("add_runs", a.dtype, (sums, rows, count, width, step, total), blocks)
    return total
