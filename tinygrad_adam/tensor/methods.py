"""The operations as methods of Tensor; the functions of the same names say what they compute."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .. import ops
from ..engine.graph import Variable
from ..ops.reduction import normalize_axes
from ..words import answer_calls

if TYPE_CHECKING:
    from .tensor import Tensor

Axis = int | tuple[int, ...] | None
Operand = Any
"""What stands beside a Tensor in an expression: a Tensor, an array, or a number."""


def unpacked(sizes: tuple[Any, ...]) -> Any:
    """Return the one tuple or list that was given instead of several numbers."""
    return tuple(sizes[0]) if len(sizes) == 1 and isinstance(sizes[0], tuple | list) else sizes


class Operations(Variable):
    """What Tensor inherits: one method for each operation of a single Tensor."""

    __slots__ = ()

    def exp(self) -> Tensor:
        """Exponential."""
        return ops.exp(self)

    def expm1(self) -> Tensor:
        """``exp(x) - 1``."""
        return ops.expm1(self)

    def log(self) -> Tensor:
        """Natural logarithm."""
        return ops.log(self)

    def log1p(self) -> Tensor:
        """``log(1 + x)``."""
        return ops.log1p(self)

    def sqrt(self) -> Tensor:
        """Square root."""
        return ops.sqrt(self)

    def square(self) -> Tensor:
        """Square."""
        return ops.square(self)

    def reciprocal(self) -> Tensor:
        """``1 / x``."""
        return ops.reciprocal(self)

    def sin(self) -> Tensor:
        """Sine."""
        return ops.sin(self)

    def cos(self) -> Tensor:
        """Cosine."""
        return ops.cos(self)

    def tan(self) -> Tensor:
        """Tangent."""
        return ops.tan(self)

    def arctan(self) -> Tensor:
        """Inverse tangent."""
        return ops.arctan(self)

    def sinh(self) -> Tensor:
        """Hyperbolic sine."""
        return ops.sinh(self)

    def cosh(self) -> Tensor:
        """Hyperbolic cosine."""
        return ops.cosh(self)

    def tanh(self) -> Tensor:
        """Hyperbolic tangent."""
        return ops.tanh(self)

    def sigmoid(self) -> Tensor:
        """Logistic function."""
        return ops.sigmoid(self)

    def softplus(self) -> Tensor:
        """``log(1 + exp(x))``."""
        return ops.softplus(self)

    def erf(self) -> Tensor:
        """Error function."""
        return ops.erf(self)

    def relu(self) -> Tensor:
        """``max(x, 0)``."""
        return ops.relu(self)

    def silu(self) -> Tensor:
        """``x * sigmoid(x)``."""
        return ops.silu(self)

    def round(self, decimals: int = 0) -> Tensor:
        """Round to that many decimals, halves to even."""
        return ops.round(self, decimals=decimals)

    def abs(self) -> Tensor:
        """Absolute value."""
        return ops.abs(self)

    def sign(self) -> Tensor:
        """Sign: -1, 0 or 1."""
        return ops.sign(self)

    def gelu(self, approximate: str = "none") -> Tensor:
        """Gaussian error linear unit."""
        return ops.gelu(self, approximate)

    def leaky_relu(self, negative_slope: float = 0.01) -> Tensor:
        """``x`` where positive, a multiple of it elsewhere."""
        return ops.leaky_relu(self, negative_slope=negative_slope)

    def elu(self, alpha: float = 1.0) -> Tensor:
        """Exponential linear unit."""
        return ops.elu(self, alpha=alpha)

    def softmax(self, axis: int = -1) -> Tensor:
        """Exponentials divided by their sum along `axis`."""
        return ops.softmax(self, axis=axis)

    def log_softmax(self, axis: int = -1) -> Tensor:
        """Logarithm of the softmax along `axis`."""
        return ops.log_softmax(self, axis=axis)

    def maximum(self, other: Operand) -> Tensor:
        """The greater of two, element by element."""
        return ops.maximum(self, other)

    def minimum(self, other: Operand) -> Tensor:
        """The lesser of two, element by element."""
        return ops.minimum(self, other)

    def clip(self, min: float | None = None, max: float | None = None) -> Tensor:
        """Limit to an interval."""
        return ops.clip(self, min=min, max=max)

    def sum(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """Sum over `axis`."""
        return ops.sum(self, axis=axis, keepdims=keepdims)

    def mean(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """Arithmetic mean over `axis`."""
        return ops.mean(self, axis=axis, keepdims=keepdims)

    def max(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """Greatest element over `axis`."""
        return ops.max(self, axis=axis, keepdims=keepdims)

    def min(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """Least element over `axis`."""
        return ops.min(self, axis=axis, keepdims=keepdims)

    def prod(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """Product over `axis`."""
        return ops.prod(self, axis=axis, keepdims=keepdims)

    def logsumexp(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """Logarithm of the sum of exponentials over `axis`."""
        return ops.logsumexp(self, axis=axis, keepdims=keepdims)

    def var(self, axis: Axis = None, ddof: int = 0, keepdims: bool = False) -> Tensor:
        """Variance over `axis`."""
        return ops.var(self, axis=axis, ddof=ddof, keepdims=keepdims)

    def std(self, axis: Axis = None, ddof: int = 0, keepdims: bool = False) -> Tensor:
        """Standard deviation over `axis`."""
        return ops.std(self, axis=axis, ddof=ddof, keepdims=keepdims)

    def norm(self, ord: float = 2, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """Vector norm over `axis`."""
        return ops.norm(self, ord, axis, keepdims)

    def cumsum(self, axis: int | None = None) -> Tensor:
        """Partial sums along `axis`."""
        return ops.cumsum(self, axis=axis)

    def argmax(self, axis: int | None = None, keepdims: bool = False) -> Tensor:
        """Index of the greatest element along `axis`."""
        return ops.argmax(self, axis=axis, keepdims=keepdims)

    def argmin(self, axis: int | None = None, keepdims: bool = False) -> Tensor:
        """Index of the least element along `axis`."""
        return ops.argmin(self, axis=axis, keepdims=keepdims)

    def reshape(self, *shape: Any) -> Tensor:
        """The same elements in another shape, given as sizes or as one tuple."""
        return ops.reshape(self, shape=unpacked(shape))

    def flatten(self, start_axis: int = 0) -> Tensor:
        """Merge the axes from `start_axis` on into one; a number becomes one axis."""
        shape = self._data.shape
        (first,) = normalize_axes(start_axis, max(len(shape), 1), "flatten")
        return ops.reshape(self, shape=(*shape[:first], math.prod(shape[first:])))

    def transpose(self, *axes: Any) -> Tensor:
        """Permute the axes, or reverse them."""
        return ops.transpose(self, axes=unpacked(axes) if axes else None)

    def broadcast_to(self, shape: tuple[int, ...]) -> Tensor:
        """Spread over `shape`."""
        return ops.broadcast_to(self, shape=shape)

    def swapaxes(self, axis1: int, axis2: int) -> Tensor:
        """Exchange two axes."""
        return ops.swapaxes(self, axis1, axis2)

    def moveaxis(self, source: int | Sequence[int], destination: int | Sequence[int]) -> Tensor:
        """Move axes to new positions."""
        return ops.moveaxis(self, source, destination)

    def squeeze(self, axis: Axis = None) -> Tensor:
        """Drop axes of size one."""
        return ops.squeeze(self, axis)

    def expand_dims(self, axis: int | tuple[int, ...]) -> Tensor:
        """Insert axes of size one."""
        return ops.expand_dims(self, axis)

    def flip(self, axis: Axis = None) -> Tensor:
        """Reverse the elements along `axis`."""
        return ops.flip(self, axis=axis)

    def roll(self, shift: int | tuple[int, ...], axis: Axis = None) -> Tensor:
        """Shift the elements along `axis`, around the end."""
        return ops.roll(self, shift=shift, axis=axis)

    def repeat(self, repeats: int | Sequence[int], axis: int | None = None) -> Tensor:
        """Repeat each element along `axis`."""
        return ops.repeat(self, repeats, axis)

    def split(self, indices_or_sections: int | Sequence[int], axis: int = 0) -> list[Tensor]:
        """Cut into parts along `axis`."""
        return ops.split(self, indices_or_sections, axis)

    def dot(self, other: Operand) -> Tensor:
        """Inner product, as NumPy's ``dot``."""
        return ops.dot(self, other)

    def diagonal(self, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
        """Diagonal of two axes."""
        return ops.diagonal(self, offset, axis1, axis2)

    def trace(self, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
        """Sum of the diagonal."""
        return ops.trace(self, offset, axis1, axis2)


answer_calls(Operations)
