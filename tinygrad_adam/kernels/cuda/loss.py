"""Softmax cross-entropy in CUDA: each row of logits is read once from memory, and a second time from cache.

The host does not check the labels: it would have to wait for the GPU. A label out of range has the weight
NaN, and so makes the loss NaN. A mean over no row at all is NaN, too: 0 / 0.
"""

from __future__ import annotations

import numpy

from ...ops import classification
from ...typing import Array
from .launching import THREADS, Source, blocks_for, floats, overriding

_MOST_PARTS = 64
"""The most parts of a sum over rows, which are added up in parallel."""

SOURCE = Source(r"""
// The weight of a row's loss, before a mean divides by the sum of all weights.
__device__ double weight_of(long long label, const REAL* class_weight, INDEX classes, long long ignored) {
    if (label == ignored) return 0;
    if (label < 0 || label >= classes) return nan("");
    return class_weight ? class_weight[label] : 1;
}

// The threads of a line of the block share a row of logits; each takes every blockDim.x-th column.
#define EACH_ROW(row)                                                                     \
    for (INDEX first_row = (INDEX)blockIdx.x * blockDim.y, row; first_row < rows;         \
         first_row += (INDEX)gridDim.x * blockDim.y)                                      \
        if (row = first_row + threadIdx.y, true)
#define EACH_COLUMN(j) for (INDEX j = threadIdx.x; j < classes; j += blockDim.x)

__device__ REAL greatest(const REAL* z, INDEX classes) {
    REAL top = z[0];
    EACH_COLUMN(j) top = z[j] > top ? z[j] : top;
    return joined(top, Greater());
}

__device__ REAL sum_of_exp(const REAL* z, INDEX classes, REAL top) {
    double total = 0;
    EACH_COLUMN(j) total += exp(z[j] - top);
    return joined(total, Plus());
}

extern "C" __global__ void row_losses(
    const REAL* logits, const long long* labels, const REAL* class_weight, long long ignored,
    INDEX rows, INDEX classes, REAL* losses
) {
    EACH_ROW(row) {
        const bool inside = row < rows;  // threads beyond the last row must stay: the others wait for them
        const REAL* z = logits + (inside ? row : 0) * classes;
        const REAL top = greatest(z, classes);
        const REAL total = sum_of_exp(z, classes, top);
        if (inside && threadIdx.x == 0) {
            const double weight = weight_of(labels[row], class_weight, classes, ignored);
            const bool known = weight == weight;
            losses[row] = weight == 0 ? 0 : weight * (log(total) - (z[known ? labels[row] : 0] - top));
        }
    }
}

// For each block, the sum of its share of the losses, if there are any, and the sum of their weights.
extern "C" __global__ void partial_sums(
    const REAL* losses, const long long* labels, const REAL* class_weight, long long ignored,
    INDEX rows, INDEX classes, double* partial
) {
    double loss = 0, weight = 0;
    EACH(i, rows) {
        loss += losses ? losses[i] : 0;
        weight += weight_of(labels[i], class_weight, classes, ignored);
    }
    loss = joined(loss, Plus());
    weight = joined(weight, Plus());
    if (threadIdx.x == 0) {
        partial[2 * blockIdx.x] = loss;
        partial[2 * blockIdx.x + 1] = weight;
    }
}

__device__ double sum_of(const double* partial, INDEX parts, int which) {
    double total = 0;
    for (INDEX p = 0; p < parts; ++p) total += partial[2 * p + which];
    return total;
}

extern "C" __global__ void reduced(const double* partial, INDEX parts, INDEX mean, REAL* loss) {
    if (blockIdx.x == 0 && threadIdx.x == 0) {
        *loss = sum_of(partial, parts, 0) / (mean ? sum_of(partial, parts, 1) : 1);
    }
}

extern "C" __global__ void gradient(
    const REAL* g, INDEX one_g, const REAL* logits, const long long* labels, const REAL* class_weight,
    long long ignored, INDEX rows, INDEX classes, const double* partial, INDEX parts, REAL* out
) {
    const double all = partial ? sum_of(partial, parts, 1) : 1;
    EACH_ROW(row) {
        const bool inside = row < rows;
        const REAL* z = logits + (inside ? row : 0) * classes;
        const REAL top = greatest(z, classes);
        const REAL total = sum_of_exp(z, classes, top);
        if (!inside) continue;
        const double weight = weight_of(labels[row], class_weight, classes, ignored);
        const bool counts = weight != 0 && all != 0;
        const REAL factor = g[one_g ? 0 : row] * weight / all;
        EACH_COLUMN(j) {  // a row without weight is set to 0: times 0, an infinite g or logit would be NaN
            const REAL slope = factor / total * exp(z[j] - top) - (j == labels[row] ? factor : 0);
            out[row * classes + j] = counts ? slope : 0;
        }
    }
}
""")


class _Rows:
    """Rows of logits and their labels in the form that kernels take."""

    def __init__(self, logits: Array, labels: Array, class_weight: Array, ignore_index: int) -> None:
        import cupy

        self.logits = cupy.ascontiguousarray(logits)
        self.labels = cupy.ascontiguousarray(labels, cupy.int64)
        self.class_weight = (
            None if class_weight is None else cupy.ascontiguousarray(class_weight, logits.dtype)
        )
        self.ignored = numpy.int64(ignore_index)
        self.count, self.classes = logits.shape
        # One thread for a row of up to 32 classes, 32 threads for up to 1024, a whole block for more.
        lanes = 1 if self.classes <= 32 else 32 if self.classes <= 1024 else THREADS
        self.block = lanes, THREADS // lanes

    def launch(self, name: str, *args: Array) -> None:
        """Launch a kernel that visits all rows."""
        SOURCE.launch(name, self.logits.dtype, args, blocks_for(self.count * self.block[0]), self.block)

    def sums(self, losses: Array) -> Array:
        """Return partial sums of the losses, if given, and of the weights."""
        import cupy

        partial = cupy.empty((min(_MOST_PARTS, blocks_for(self.count)), 2), cupy.float64)
        args = losses, self.labels, self.class_weight, self.ignored, self.count, self.classes, partial
        SOURCE.launch("partial_sums", self.logits.dtype, args, len(partial))
        return partial


@overriding(
    classification._softmax_cross_entropy.forward, lambda logits, *others: floats(logits) and logits.size > 0
)
def softmax_cross_entropy(
    logits: Array, labels: Array, class_weight: Array = None, *, ignore_index: int, reduction: str
) -> Array:
    """See `classification._softmax_cross_entropy`."""
    import cupy

    rows = _Rows(logits, labels, class_weight, ignore_index)
    losses = cupy.empty(rows.count, logits.dtype)
    known = rows.logits, rows.labels, rows.class_weight, rows.ignored, rows.count, rows.classes
    rows.launch("row_losses", *known, losses)
    if reduction == "none":
        return losses
    partial = rows.sums(losses)
    loss = cupy.empty((), logits.dtype)
    SOURCE.launch("reduced", logits.dtype, (partial, len(partial), reduction == "mean", loss), 1)
    return loss


@overriding(
    classification._softmax_cross_entropy_vjp.forward,
    lambda g, logits, *others: floats(logits) and logits.size > 0,
)
def softmax_cross_entropy_vjp(
    g_in: Array,
    logits: Array,
    labels: Array,
    class_weight: Array = None,
    *,
    ignore_index: int,
    reduction: str,
) -> Array:
    """See `classification._softmax_cross_entropy_vjp`."""
    import cupy

    rows = _Rows(logits, labels, class_weight, ignore_index)
    g = cupy.ascontiguousarray(g_in, logits.dtype)
    partial = rows.sums(None) if reduction == "mean" else None
    parts = 0 if partial is None else len(partial)
    out = cupy.empty(logits.shape, logits.dtype)
    known = rows.logits, rows.labels, rows.class_weight, rows.ignored, rows.count, rows.classes
    rows.launch("gradient", g, g.size == 1, *known, partial, parts, out)
    return out
