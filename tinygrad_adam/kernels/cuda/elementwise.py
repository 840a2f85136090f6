"""Elementwise kernels in CUDA, where plain array code would take several passes.

A ReLU alone has no kernel: its reference is one pass already. Products are cuBLAS's.
"""

from __future__ import annotations

import numpy

from ...ops import activation, linalg, special
from ...typing import Array
from .launching import Source, blocks_for, floats, has_kernels, overriding

SOURCE = Source(r"""
// Adds a bias to each channel, `inner` numbers side by side; then ReLU, if `relu` is set.
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

// SplitMix64: the key and the place alone decide whether an element is kept; see activation.random_bits.
extern "C" __global__ void dropout(
    const REAL* x, unsigned long long key, unsigned long long threshold, double scale, REAL* out, INDEX n
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
    """Add a bias to each channel of a contiguous array in place, then apply ReLU if `relu` is set.

    The channels lie `inner` numbers apart; they are the last axis if that is 1.
    """
    import cupy

    if bias is None and not relu:
        return
    bias = None if bias is None else cupy.ascontiguousarray(bias, y.dtype)
    channels = 1 if bias is None else bias.size
    SOURCE.launch("add_bias", y.dtype, (y, bias, relu, channels, inner, y.size), blocks_for(y.size))


def matmul(a: Array, b: Array, *, into: Array = None) -> Array:
    """See `linalg._matmul`; a stack of matrices times a single one is one product.

    CuPy's ``matmul`` would make as many small products, and copy a single matrix that is transposed.
    """
    import cupy

    if into is None and a.ndim > 2 and b.ndim == 2:
        return cupy.dot(a, b)
    return linalg._matmul.forward(cupy, a, b, into=into)


def _real(x: Array, weight: Array, bias: Array = None) -> bool:
    import cupy

    return has_kernels(cupy.result_type(x, weight))


@overriding(linalg._linear.forward, _real)
def linear(x: Array, weight: Array, bias: Array = None) -> Array:
    """See `linalg._linear`."""
    return _affine(x, weight, bias, relu=False)


@overriding(linalg._linear_relu.forward, _real)
def linear_relu(x: Array, weight: Array, bias: Array = None) -> Array:
    """See `linalg._linear_relu`."""
    return _affine(x, weight, bias, relu=True)


def _affine(x: Array, weight: Array, bias: Array, relu: bool) -> Array:
    """Compute a product by cuBLAS, then bias and ReLU in one pass."""
    import cupy

    y = cupy.ascontiguousarray(matmul(x, weight.T))
    add_bias(y, bias, relu, inner=1)
    return y


@overriding(activation.relu_vjp.forward, lambda a, y: a.shape == y.shape and a.dtype == y.dtype and floats(a))
def relu_vjp(a: Array, output: Array) -> Array:
    """See `activation.relu_vjp`."""
    return SOURCE.compute("relu_vjp", a.shape, (a, output))


@overriding(special.erf.forward)
def erf(a: Array) -> Array:
    """See `special.erf`."""
    return SOURCE.compute("error_function", a.shape, (a,))


@overriding(activation.dropout.forward)
def dropout(a: Array, *, p: float, key: int) -> Array:
    """See `activation.dropout`; it keeps the same elements as on the CPU."""
    chance = numpy.uint64(key), numpy.uint64(activation.dropout_threshold(p)), 1.0 / (1.0 - p)
    return SOURCE.compute("dropout", a.shape, (a, *chance))
