"""Elementwise kernels in CUDA, where plain array code would take several passes.

A ReLU by itself is not among them: the reference is one pass already. Products are cuBLAS's.
"""

from __future__ import annotations

import numpy

from ...ops import activation, linalg, special
from ...typing import Array
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

// SplitMix64: which elements are kept follows from the key and the place alone; see activation.random_bits.
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


def add_bias(y: Array, bias: Array, relu: bool, inner: int) -> None:
    """Add a bias to each channel of a contiguous array, in place, and then set what is negative to 0.

    The channels lie `inner` numbers apart; they are the last axis if that is 1.
    """
    import cupy

    if bias is None and not relu:
        return
    bias = None if bias is None else cupy.ascontiguousarray(bias, y.dtype)
    channels = 1 if bias is None else bias.size
    SOURCE.launch("add_bias", y.dtype, (y, bias, relu, channels, inner, y.size), blocks_for(y.size))


def matmul(a: Array, b: Array, *, into: Array = None) -> Array:
    """See `linalg._matmul`; many matrices times a single one are one product.

    CuPy's ``matmul`` would make as many small products, and copy a single matrix that is transposed.
    """
    import cupy

    if into is None and a.ndim > 2 and b.ndim == 2:
        return cupy.dot(a, b)
    return linalg._matmul.forward(cupy, a, b, into=into)


def linear(x: Array, weight: Array, bias: Array = None) -> Array:
    """See `linalg._linear`."""
    return _affine(x, weight, bias, relu=False)


def linear_relu(x: Array, weight: Array, bias: Array = None) -> Array:
    """See `linalg._linear_relu`."""
    return _affine(x, weight, bias, relu=True)


def _affine(x: Array, weight: Array, bias: Array, relu: bool) -> Array:
    """Compute a product of cuBLAS, then make one pass."""
    import cupy

    if not has_kernels(cupy.result_type(x, weight)):
        reference = linalg._linear_relu if relu else linalg._linear
        return reference.forward(cupy, x, weight, bias)
    y = cupy.ascontiguousarray(matmul(x, weight.T))
    add_bias(y, bias, relu, inner=1)
    return y


def relu_vjp(a: Array, output: Array) -> Array:
    """See `ops.activation.relu_vjp`."""
    import cupy

    if a.shape != output.shape or a.dtype != output.dtype or not has_kernels(a.dtype):
        return activation.relu_vjp.forward(cupy, a, output)
    out = cupy.empty(a.shape, a.dtype)
    arrays = cupy.ascontiguousarray(a), cupy.ascontiguousarray(output), out
    SOURCE.launch("relu_vjp", a.dtype, (*arrays, out.size), blocks_for(out.size))
    return out


def erf(a: Array) -> Array:
    """See `ops.erf`."""
    import cupy

    if not has_kernels(a.dtype):
        return special.erf.forward(cupy, a)
    out = cupy.empty(a.shape, a.dtype)
    SOURCE.launch("error_function", a.dtype, (cupy.ascontiguousarray(a), out, out.size), blocks_for(out.size))
    return out


def dropout(a: Array, *, p: float, key: int) -> Array:
    """See `ops.dropout`; the same elements as on the CPU."""
    import cupy

    if not has_kernels(a.dtype):
        return activation.dropout.forward(cupy, a, p=p, key=key)
    out = cupy.empty(a.shape, a.dtype)
    chance = numpy.uint64(key), numpy.uint64(activation.dropout_threshold(p)), 1.0 / (1.0 - p)
    SOURCE.launch(
        "dropout", a.dtype, (cupy.ascontiguousarray(a), out, *chance, out.size), blocks_for(out.size)
    )
    return out
