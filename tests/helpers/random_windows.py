"""Convolution and pooling in random geometries and layouts, kernel set against kernel set."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

import tinygrad_adam as tg


@st.composite
def geometries(draw, pooling=False):
    """Draw the settings of windows that fit at least once, with all that may be left over.

    In pools every window meets the image: an image is not so small that one steps over it.
    """
    pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))
    kernel, stride, dilation = draw(st.tuples(st.integers(1, 4), st.integers(1, 4))), draw(pairs), draw(pairs)
    most = [min(3, (d * (k - 1) + 1) // 2) for k, d in zip(kernel, dilation, strict=True)]
    padding = tuple(draw(st.integers(0, p)) for p in most)
    least = [
        max(d if pooling else 1, d * (k - 1) + 1 - 2 * p)
        for k, d, p in zip(kernel, dilation, padding, strict=True)
    ]
    size = tuple(n + draw(st.integers(0, 6)) for n in least)
    return size, kernel, {"stride": stride, "padding": padding, "dilation": dilation}


counts = st.integers(0, 3)  # of images: none, one, several
layouts = st.sampled_from(["plain", "reversed", "strided", "channels last", "fortran"])


def laid_out(array, layout):
    """Copy the values into memory that is not in the order of the indices."""
    if layout == "reversed":
        return array[..., ::-1, ::-1].copy()[..., ::-1, ::-1]
    if layout == "strided":
        wide = np.full((*array.shape[:-1], 2 * array.shape[-1]), np.nan, array.dtype)
        wide[..., ::2] = array
        return wide[..., ::2]
    if layout == "channels last":
        return np.ascontiguousarray(np.moveaxis(array, 1, -1)).transpose(0, 3, 1, 2)
    return np.asarray(array, order="F") if layout == "fortran" else array


def results(function, arrays, kernels):
    """Return the value, the gradients, and the gradients of one more pass."""
    with tg.use_kernels(kernels):
        leaves = [tg.Tensor(a, requires_grad=True) for a in arrays]
        y = function(*leaves)
        g = np.random.default_rng(1).standard_normal(y.shape).astype(y.dtype)
        first = tg.grad((y * y * g).sum(), leaves, create_graph=True)
        second = tg.grad(sum((d * d).sum() for d in first), leaves)
    return [each.detach().numpy() for each in (y, *first, *second)]


def check_kernel_sets(function, shapes, layout, seed):
    rng = np.random.default_rng(seed)
    exact = [rng.standard_normal(shape) for shape in shapes]
    for dtype, tolerance in [(np.float64, 1e-12), (np.float32, 1e-5)]:
        arrays = [laid_out(a.astype(dtype), layout) for a in exact]
        before = [a.copy() for a in arrays]
        pairs = zip(results(function, arrays, "fast"), results(function, arrays, "reference"), strict=True)
        for fast, plain in pairs:
            assert fast.dtype == plain.dtype == dtype
            assert fast.shape == plain.shape
            scale = max(1.0, np.max(np.abs(plain), initial=0.0))
            np.testing.assert_allclose(fast, plain, rtol=tolerance, atol=tolerance * scale)
        for array, same in zip(arrays, before, strict=True):
            np.testing.assert_array_equal(array, same)
