"""Adding at indices that repeat, in CUDA: the gradient of an embedding.

Atomic additions would be shorter code, but their order changes from run to run, and with it the rounding.
Here a stable sort puts equal indices side by side, and each run of equal indices is added up from its
beginning to its end in pieces, a long one in pieces of pieces.
"""

from __future__ import annotations

import math

from ...ops import indexing
from ...typing import Array
from .launching import Source, blocks_for, overriding

_PIECE = 32
"""Numbers in a piece, and pieces in a piece of the next size."""
_LONGEST = 1024
"""The most pieces that one thread adds up, if all indices are equal."""

SOURCE = Source(r"""
__device__ bool begins(const long long* rows, INDEX k) { return k == 0 || rows[k - 1] != rows[k]; }

// The rows are sorted; the k-th of them was at place order[k]. A run may be as long as all rows together, so
// it is added up in pieces that end at multiples of `piece`; the sum of a piece is stored at its beginning.
// The parts of a piece, which are numbers or smaller pieces, begin at multiples of `step`, except for the
// first.
// Sums of smaller pieces are in order already: `order` is null then.
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

// Adds the pieces of each run, which begin at multiples of `step`, except for the first.
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


@overriding(indexing._add_at.forward)
def add_at(a: Array, *, index: object, shape: tuple[int, ...]) -> Array:
    """See `indexing._add_at`; the order of additions is always the same.

    An index out of range wraps around, as it does in CuPy on reading.
    """
    import cupy

    if indexing.is_basic(index):  # nothing repeats
        total = cupy.zeros(shape, a.dtype)
        total[index] = a
        return total
    if not (isinstance(index, cupy.ndarray) and index.dtype.kind in "iu"):
        # Applied to the places of all elements, any other index returns the places that it picks.
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
