"""Elementwise kernels in CUDA, where plain array code would take several passes.

A ReLU by itself is not among them: the reference is one pass already. Products are cuBLAS's.
"""

from __future__ import annotations

from typing import Any

import numpy

from .. import reference
from .launching import Source, blocks_for, has_kernels

SOURCE = Source(r"""
// Adds a bias to each channel, of which each has `inner` numbers side by side; then ReLU, if asked for.
extern "C" __global__ void add_bias(
    REAL* y, const REAL* bias, INDEX relu, INDEX channels, INDEX inner, INDEX n
) {
    EACH(i, n) {
        const REAL value = bias ? y[i] + bias[i / inner % channels] : y[i];
        y[i] = relu && value <= 0 ? 0 : value;  // NaN stays NaN
    }
}

extern "C" __global__ void relu_vjp(const REAL* g, const REAL* y, REAL* out, INDEX n) {
    EACH(i, n) out[i] = y[i] <= 0 ? 0 : g[i];
}

extern "C" __global__ void error_function(const REAL* x, REAL* out, INDEX n) {
    EACH(i, n) out[i] = erf(x[i]);
}

// SplitMix64: which elements are kept follows from the key and the place alone; see reference.random_bits.
extern "C" __global__ void dropout(
    const REAL* x, REAL* out, unsigned long long key, unsigned long long threshold, double scale, INDEX n
) {
    EACH(i, n) {
        unsigned long long word = ((unsigned long long)i + 1) * 0x9E3779B97F4A7C15ULL + key;
        word = (word ^ (word >> 30)) * 0xBF58476D1CE4E5B9ULL;
        word = (word ^ (word >> 27)) * 0x94D049BB133111EBULL;
        word ^= word >> 31;
        out[i] = (word >> 32) >= threshold ? x[i] * (REAL)scale : 0;
    }
}
""")


def add_bias(y: Any, bias: Any, relu: bool, inner: int) -> None:
    """Add a bias to each channel of a contiguous array, in place, and then set what is negative to 0.

    The channels lie `inner` numbers apart; they are the last axis if that is 1.
    """
    import cupy

    if bias is None and not relu:
        return
    bias = None if bias is None else cupy.ascontiguousarray(bias, y.dtype)
    channels = 1 if bias is None else bias.size
    SOURCE.launch("add_bias", y.dtype, (y, bias, relu, channels, inner, y.size), blocks_for(y.size))


def matmul(a: Any, b: Any, into: Any = None) -> Any:
    """Product of matrices; many times a single one are one product; see `reference.matmul`.

    CuPy's ``matmul`` would make as many small products, and copy a single matrix that is transposed.
    """
    import cupy

    if into is None and a.ndim > 2 and b.ndim == 2:
        return cupy.dot(a, b)
    return reference.matmul(cupy, a, b, into)


def linear(x: Any, weight: Any, bias: Any, relu: bool) -> Any:
    """Affine map of the last axis: a product of cuBLAS, then one pass; see `reference.linear`."""
    import cupy

    if not has_kernels(cupy.result_type(x, weight)):
        return reference.linear(cupy, x, weight, bias, relu)
    y = cupy.ascontiguousarray(matmul(x, weight.T))
    add_bias(y, bias, relu, inner=1)
    return y


def relu_vjp(g: Any, y: Any) -> Any:
    """0 where `y` is 0; see `reference.relu_vjp`."""
    import cupy

    if g.shape != y.shape or g.dtype != y.dtype or not has_kernels(g.dtype):
        return reference.relu_vjp(cupy, g, y)
    out = cupy.empty(g.shape, g.dtype)
    arrays = cupy.ascontiguousarray(g), cupy.ascontiguousarray(y), out
    SOURCE.launch("relu_vjp", g.dtype, (*arrays, out.size), blocks_for(out.size))
    return out


def erf(x: Any) -> Any:
    """Error function; see `reference.erf`."""
    import cupy

    if not has_kernels(x.dtype):
        return reference.erf(cupy, x)
    out = cupy.empty(x.shape, x.dtype)
    SOURCE.launch("error_function", x.dtype, (cupy.ascontiguousarray(x), out, out.size), blocks_for(out.size))
    return out


def dropout(x: Any, p: float, key: int) -> Any:
    """Drop elements by a counter-based generator, the same as on the CPU; see `reference.dropout`."""
    import cupy

    if not has_kernels(x.dtype):
        return reference.dropout(cupy, x, p, key)
    out = cupy.empty(x.shape, x.dtype)
    chance = numpy.uint64(key), numpy.uint64(reference.dropout_threshold(p)), 1.0 / (1.0 - p)
    SOURCE.launch(
        "dropout", x.dtype, (cupy.ascontiguousarray(x), out, *chance, out.size), blocks_for(out.size)
    )
    return out
