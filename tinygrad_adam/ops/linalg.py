"""Products of matrices."""

from __future__ import annotations

import math
from contextlib import nullcontext
from typing import Any, Never

from ..backend.convert import array_of, default_dtype, operand
from ..backend.device import is_array
from ..engine.aside import aside
from ..engine.graph import Variable, primitive
from ..errors import ShapeError
from ..typing import Array, TensorLike, Xp
from ..words import refuse_words
from . import refusals
from .activation import relu_vjp
from .arithmetic import multiply
from .shaping import moveaxis, reshape

__all__ = ["dot", "linear", "matmul", "outer"]


def shaped(where: str, *values: TensorLike) -> tuple[Array, ...]:
    """Return arrays and Tensors as they are, and numbers and lists as arrays that widen no other."""
    shaped = [isinstance(value, Variable) or is_array(value) for value in values]
    if all(shaped):
        return values
    exact = any(value.dtype == "float64" for value, known in zip(values, shaped, strict=True) if known)
    return tuple(
        value if known else aside(_array_beside, where, value, exact)
        for value, known in zip(values, shaped, strict=True)
    )


def _array_beside(where: str, value: Any, exact: bool) -> Array:
    with default_dtype("float64") if exact else nullcontext():
        return array_of(where, operand(where, value))


def _matrix(vector: TensorLike, shape: tuple[int, int]) -> Array:
    """Make a row or a column; an array of a list aside, so that a recorded pass reads the list again."""
    return reshape(vector, shape=shape) if isinstance(vector, Variable) else aside(_reshaped, vector, shape)


def _reshaped(vector: TensorLike, shape: tuple[int, int]) -> Array:
    return vector.reshape(shape)


def _transposed(xp: Xp, a: Array) -> Array:
    return xp.swapaxes(a, -1, -2)


def _right_rule(xp: Xp, g: Array, a: Array, b_shape: tuple[int, ...]) -> Array:
    """Give a^T g; a single matrix on the right of a batch needs one product, not one for each."""
    if len(b_shape) == 2:
        return _matmul(_rows(xp, a).T, _rows(xp, g))
    return _matmul(_transposed(xp, a), g)


def _rows(xp: Xp, a: Array) -> Array:
    """Lay all leading axes out as rows."""
    return a if a.ndim == 2 else xp.reshape(a, (math.prod(a.shape[:-1]), a.shape[-1]))


@primitive(a=lambda xp, g, b: _matmul(g, _transposed(xp, b)), b=_right_rule)
def _matmul(xp: Xp, a: Array, b: Array, *, into: Array = None) -> Array:
    """Product of matrices, or of batches of them that broadcast; written `into` an array, if given."""
    return xp.matmul(a, b) if into is None else xp.matmul(a, b, out=into)


def matmul(a: TensorLike, b: TensorLike) -> Array:
    """Matrix product ``a @ b``, batched and broadcast over leading axes.

    Parameters
    ----------
    a : Tensor or array, shape (..., n, k) or (k,)
        A one-dimensional `a` counts as a row, whose axis the result lacks.
    b : Tensor or array, shape (..., k, m) or (k,)
        A one-dimensional `b` counts as a column, whose axis the result lacks.

    Returns
    -------
    Tensor or array, shape (..., n, m)

    Raises
    ------
    ShapeError
        If the inner sizes differ, or an operand is a scalar.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> tg.matmul(tg.tensor([[1.0, 2.0]]), tg.tensor([3.0, 4.0]))
    tensor([11.])
    """
    a, b = shaped("matmul", a, b)
    a_dim, b_dim = len(a.shape), len(b.shape)
    if not a_dim or not b_dim or a.shape[-1] != b.shape[-2 if b_dim > 1 else 0]:
        inner = "b.shape[-2]" if b_dim > 1 else "b.shape[0]"
        raise ShapeError("matmul", f"a.shape[-1] must equal {inner}", a=tuple(a.shape), b=tuple(b.shape))
    if a_dim > 1 and b_dim > 1:
        return _matmul(a, b)
    product = _matmul(a if a_dim > 1 else _matrix(a, (1, -1)), b if b_dim > 1 else _matrix(b, (-1, 1)))
    shape = product.shape
    return reshape(
        product, shape=(shape[:-2] if a_dim == 1 else shape[:-1]) + (() if b_dim == 1 else shape[-1:])
    )


def dot(a: TensorLike, b: TensorLike) -> Array:
    """Inner product of vectors, product of matrices; for more axes as NumPy's ``dot``.

    The last axis of `a` is summed against the last but one of `b` (its only one, if it is a
    vector), and all other axes remain: those of `a`, then those of `b`.

    Raises
    ------
    ShapeError
        If the sizes of the summed axes differ.
    """
    a, b = shaped("dot", a, b)
    if not a.ndim or not b.ndim:
        return multiply(a, b)
    if b.ndim <= 2:
        return matmul(a, b)
    b = moveaxis(b, -2, 0)
    # Sizes are spelled out: -1 would be ambiguous where another is zero.
    rows, columns = math.prod(a.shape[:-1]), math.prod(b.shape[1:])
    product = matmul(reshape(a, shape=(rows, a.shape[-1])), reshape(b, shape=(b.shape[0], columns)))
    return reshape(product, shape=a.shape[:-1] + b.shape[1:])


def outer(a: TensorLike, b: TensorLike) -> Array:
    """All products of an element of `a` with one of `b`, both flattened: shape (a.size, b.size)."""
    return multiply(reshape(a, shape=(-1, 1)), reshape(b, shape=(1, -1)))


def _weight_rule(xp: Xp, g: Array, x: Array, out: Array) -> Array:
    """Give g^T x, summed over the batch, straight into its place where there is one."""
    return _matmul(_rows(xp, g).T, _rows(xp, x), into=out)


@primitive(x=lambda g, weight: _matmul(g, weight), weight=_weight_rule, bias=lambda g: g)
def _linear(xp: Xp, x: Array, weight: Array, bias: Array = None) -> Array:
    """``x @ weight.T + bias`` of the last axis."""
    y = xp.matmul(x, weight.T)
    if bias is not None:
        y += bias
    return y


@primitive(
    y=lambda g, y: relu_vjp(g, y),
    x=lambda g, weight: _matmul(g, weight),
    weight=_weight_rule,
    bias=lambda g: g,
)
def _linear_relu(xp: Xp, x: Array, weight: Array, bias: Array = None) -> Array:
    """ReLU of an affine map of the last axis, in one pass."""
    return xp.maximum(_linear.forward(xp, x, weight, bias), 0)


def linear(
    x: TensorLike, weight: TensorLike, bias: TensorLike = None, activation: str | None = None, **words: Never
) -> Array:
    """Affine map ``x @ weight.T + bias`` of the last axis.

    Parameters
    ----------
    x : Tensor or array, shape (..., in_features)
        The input.
    weight : Tensor or array, shape (out_features, in_features)
        The weight, in PyTorch's layout.
    bias : Tensor or array, shape (out_features,), optional
        Added to every row.
    activation : {"relu"}, optional
        What follows, in the same pass over memory.

    Returns
    -------
    Tensor or array, shape (..., out_features)

    Raises
    ------
    ShapeError
        If the sizes do not match.
    DTypeError
        If `x` is a list or another thing without a shape.
    OptionError
        If there is no such activation.
    """
    if words:
        refuse_words(linear, words)
    if activation not in (None, "relu"):
        raise refusals.activation("linear", activation)
    operation = _linear if activation is None else _linear_relu
    try:
        x_shape, weight_shape = x.shape, weight.shape
        bias_shape = weight_shape[:1] if bias is None else bias.shape
    except AttributeError as error:
        raise refusals.no_array("linear", error.obj, x=x, weight=weight, bias=bias) from error
    if (
        not x_shape
        or len(weight_shape) != 2
        or x_shape[-1] != weight_shape[1]
        or bias_shape != weight_shape[:1]
    ):
        raise refusals.affine(x, weight, bias)
    return operation(x, weight) if bias is None else operation(x, weight, bias)
