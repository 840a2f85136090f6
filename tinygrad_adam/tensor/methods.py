"""The operations as methods of Tensor; the functions of the same names in `ops` describe them in full."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Generic, TypeVar

from .. import ops
from ..engine.graph import Variable
from ..ops.reduction import normalize_axes
from ..typing import TensorLike
from ..words import answer_calls

Axis = int | tuple[int, ...] | None
Sizes = int | Sequence[int]
T = TypeVar("T")


def unpacked(sizes: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the elements of a single tuple or list that was given instead of several numbers."""
    return tuple(sizes[0]) if len(sizes) == 1 and isinstance(sizes[0], tuple | list) else sizes


class Operations(Variable, Generic[T]):
    """The base of Tensor: a method for each operation on a single Tensor. `T`, the results, is Tensor."""

    __slots__ = ()

    def exp(self) -> T:
        """``e ** x``; overflows to inf beyond 88.72 in float32 and 709.78 in float64."""
        return ops.exp(self)

    def expm1(self) -> T:
        """``exp(x) - 1``, accurate also where `x` is near 0."""
        return ops.expm1(self)

    def log(self) -> T:
        """Natural logarithm: -inf at 0, NaN below."""
        return ops.log(self)

    def log1p(self) -> T:
        """``log(1 + x)``, accurate also where `x` is near 0."""
        return ops.log1p(self)

    def sqrt(self) -> T:
        """Square root; the gradient at 0 is infinite."""
        return ops.sqrt(self)

    def square(self) -> T:
        """``x * x``."""
        return ops.square(self)

    def reciprocal(self) -> T:
        """``1 / x``; integers give integers, as in NumPy."""
        return ops.reciprocal(self)

    def sin(self) -> T:
        """Sine of an angle in radians."""
        return ops.sin(self)

    def cos(self) -> T:
        """Cosine of an angle in radians."""
        return ops.cos(self)

    def tan(self) -> T:
        """Tangent of an angle in radians."""
        return ops.tan(self)

    def arctan(self) -> T:
        """Inverse tangent: an angle in radians, in (-pi / 2, pi / 2)."""
        return ops.arctan(self)

    def sinh(self) -> T:
        """Hyperbolic sine ``(exp(x) - exp(-x)) / 2``."""
        return ops.sinh(self)

    def cosh(self) -> T:
        """Hyperbolic cosine ``(exp(x) + exp(-x)) / 2``, at least 1."""
        return ops.cosh(self)

    def tanh(self) -> T:
        """Hyperbolic tangent: range (-1, 1), slope 1 at 0, saturates on both sides."""
        return ops.tanh(self)

    def sigmoid(self) -> T:
        """Logistic function ``1 / (1 + exp(-x))``: range (0, 1), slope 1/4 at 0."""
        return ops.sigmoid(self)

    def softplus(self) -> T:
        """``log(1 + exp(x))``: a smooth ReLU, positive everywhere."""
        return ops.softplus(self)

    def erf(self) -> T:
        """Error function: range (-1, 1); ``(1 + erf(x / sqrt(2))) / 2`` is the normal distribution's."""
        return ops.erf(self)

    def relu(self) -> T:
        """``max(x, 0)``; the gradient at 0 is 0."""
        return ops.relu(self)

    def silu(self) -> T:
        """``x * sigmoid(x)``, also called swish: smooth, with a minimum of -0.278."""
        return ops.silu(self)

    def round(self, decimals: int = 0) -> T:
        """Round to that many decimals, halves to even; the gradient is 0."""
        return ops.round(self, decimals=decimals)

    def abs(self) -> T:
        """Absolute value; the gradient at 0 is 0."""
        return ops.abs(self)

    def sign(self) -> T:
        """-1, 0 or 1; the gradient is 0."""
        return ops.sign(self)

    def gelu(self, approximate: str = "none") -> T:
        """Gaussian error linear unit, exact or (``"tanh"``) approximated."""
        return ops.gelu(self, approximate)

    def leaky_relu(self, negative_slope: float = 0.01) -> T:
        """``x`` where positive, ``negative_slope * x`` elsewhere."""
        return ops.leaky_relu(self, negative_slope=negative_slope)

    def elu(self, alpha: float = 1.0) -> T:
        """``x`` where positive, ``alpha * (exp(x) - 1)`` elsewhere: range (-alpha, inf)."""
        return ops.elu(self, alpha=alpha)

    def softmax(self, axis: int = -1) -> T:
        """Exponentials divided by their sum along `axis`: probabilities."""
        return ops.softmax(self, axis=axis)

    def log_softmax(self, axis: int = -1) -> T:
        """Logarithm of the softmax along `axis`, without its underflow."""
        return ops.log_softmax(self, axis=axis)

    def maximum(self, other: TensorLike) -> T:
        """The greater of two, element by element; equal ones share the gradient."""
        return ops.maximum(self, other)

    def minimum(self, other: TensorLike) -> T:
        """The lesser of two, element by element; equal ones share the gradient."""
        return ops.minimum(self, other)

    def clip(self, min: float | None = None, max: float | None = None) -> T:
        """Limit to [min, max], either of which may be None; the gradient outside is 0."""
        return ops.clip(self, min=min, max=max)

    def sum(self, axis: Axis = None, keepdims: bool = False) -> T:
        """Sum over `axis`; None stands for all axes."""
        return ops.sum(self, axis=axis, keepdims=keepdims)

    def mean(self, axis: Axis = None, keepdims: bool = False) -> T:
        """Arithmetic mean over `axis`; None stands for all axes."""
        return ops.mean(self, axis=axis, keepdims=keepdims)

    def max(self, axis: Axis = None, keepdims: bool = False) -> T:
        """Greatest element over `axis`; equal ones share the gradient."""
        return ops.max(self, axis=axis, keepdims=keepdims)

    def min(self, axis: Axis = None, keepdims: bool = False) -> T:
        """Least element over `axis`; equal ones share the gradient."""
        return ops.min(self, axis=axis, keepdims=keepdims)

    def prod(self, axis: Axis = None, keepdims: bool = False) -> T:
        """Product over `axis`; its gradient is right where elements are 0."""
        return ops.prod(self, axis=axis, keepdims=keepdims)

    def logsumexp(self, axis: Axis = None, keepdims: bool = False) -> T:
        """Logarithm of the sum of exponentials over `axis`, without overflow."""
        return ops.logsumexp(self, axis=axis, keepdims=keepdims)

    def var(self, axis: Axis = None, ddof: int = 0, keepdims: bool = False) -> T:
        """Variance over `axis`: the squared deviations divided by ``n - ddof``."""
        return ops.var(self, axis=axis, ddof=ddof, keepdims=keepdims)

    def std(self, axis: Axis = None, ddof: int = 0, keepdims: bool = False) -> T:
        """Standard deviation over `axis`: the root of `var`."""
        return ops.std(self, axis=axis, ddof=ddof, keepdims=keepdims)

    def norm(self, ord: float = 2, axis: Axis = None, keepdims: bool = False) -> T:
        """Vector norm of order `ord` over `axis`: 2 is Euclidean, 1 sums absolute values."""
        return ops.norm(self, ord, axis, keepdims)

    def cumsum(self, axis: int | None = None) -> T:
        """Partial sums along `axis`; with None, of the flattened Tensor."""
        return ops.cumsum(self, axis=axis)

    def argmax(self, axis: int | None = None, keepdims: bool = False) -> T:
        """Index of the first greatest element along `axis`; no gradient."""
        return ops.argmax(self, axis=axis, keepdims=keepdims)

    def argmin(self, axis: int | None = None, keepdims: bool = False) -> T:
        """Index of the first least element along `axis`; no gradient."""
        return ops.argmin(self, axis=axis, keepdims=keepdims)

    def reshape(self, *shape: Sizes) -> T:
        """The same elements in another shape, given as sizes or as one tuple."""
        return ops.reshape(self, shape=unpacked(shape))

    def flatten(self, start_axis: int = 0) -> T:
        """Merge the axes from `start_axis` on into one; a number becomes one axis."""
        shape = self._data.shape
        (first,) = normalize_axes(start_axis, max(len(shape), 1), "flatten")
        return ops.reshape(self, shape=(*shape[:first], math.prod(shape[first:])))

    def transpose(self, *axes: Sizes) -> T:
        """Permute the axes, given as numbers or as one tuple; without any, reverse them."""
        return ops.transpose(self, axes=unpacked(axes) if axes else None)

    def broadcast_to(self, shape: tuple[int, ...]) -> T:
        """Spread over `shape`, by NumPy's rules; the result is a view."""
        return ops.broadcast_to(self, shape=shape)

    def swapaxes(self, axis1: int, axis2: int) -> T:
        """Exchange two axes."""
        return ops.swapaxes(self, axis1, axis2)

    def moveaxis(self, source: int | Sequence[int], destination: int | Sequence[int]) -> T:
        """Move axes to new positions; the others keep their order."""
        return ops.moveaxis(self, source, destination)

    def squeeze(self, axis: Axis = None) -> T:
        """Drop the axes of size one, all of them, or only the axes in `axis`."""
        return ops.squeeze(self, axis)

    def expand_dims(self, axis: int | tuple[int, ...]) -> T:
        """Insert axes of size one at these positions of the result."""
        return ops.expand_dims(self, axis)

    def flip(self, axis: Axis = None) -> T:
        """Reverse the elements along `axis`; None stands for all axes."""
        return ops.flip(self, axis=axis)

    def roll(self, shift: int | tuple[int, ...], axis: Axis = None) -> T:
        """Shift the elements along `axis`; those pushed out come back at the other end."""
        return ops.roll(self, shift=shift, axis=axis)

    def repeat(self, repeats: int | Sequence[int], axis: int | None = None) -> T:
        """Repeat each element, `repeats` times, along `axis`; with None, of the flattened Tensor."""
        return ops.repeat(self, repeats, axis)

    def split(self, indices_or_sections: int | Sequence[int], axis: int = 0) -> list[T]:
        """Cut into equal parts, or at indices, along `axis`."""
        return ops.split(self, indices_or_sections, axis)

    def dot(self, other: TensorLike) -> T:
        """Inner product of vectors, product of matrices, for more axes as NumPy's ``dot``."""
        return ops.dot(self, other)

    def diagonal(self, offset: int = 0, axis1: int = 0, axis2: int = 1) -> T:
        """Elements on the diagonal of two axes, `offset` above it; they become the last axis."""
        return ops.diagonal(self, offset, axis1, axis2)

    def trace(self, offset: int = 0, axis1: int = 0, axis2: int = 1) -> T:
        """Sum of the elements on the diagonal of two axes."""
        return ops.trace(self, offset, axis1, axis2)


answer_calls(Operations)
