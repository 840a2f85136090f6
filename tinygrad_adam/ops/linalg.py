"""Products of matrices, and parts of matrices."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any, Never

from ..backend.convert import array_of, default_dtype, operand
from ..backend.device import is_array
from ..engine.aside import aside
from ..engine.graph import Variable, primitive
from ..errors import DTypeError, ShapeError
from ..typing import Array, TensorLike, Xp
from ..values import integer
from ..words import refuse_words
from . import refusals
from .activation import relu_vjp
from .arithmetic import multiply
from .indexing import getitem
from .reduction import normalize_axes, sum
from .shaping import moveaxis, reshape, transpose

__all__ = [
    "diagonal",
    "dot",
    "einsum",
    "linear",
    "matmul",
    "outer",
    "trace",
    "tril",
    "triu",
]


def _shaped(where: str, *values: TensorLike) -> tuple[Array, ...]:
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
    a, b = _shaped("matmul", a, b)
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
    a, b = _shaped("dot", a, b)
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


def _einsum_rule(g: Array, operands: list[Any], index: int, subscripts: str) -> Array:
    """Exchange the roles of the output and one operand."""
    inputs, output = subscripts.split("->")
    terms = inputs.split(",")
    target = terms.pop(index)
    others = operands[:index] + operands[index + 1 :]
    return _einsum(g, *others, subscripts=f"{','.join([output, *terms])}->{target}")


@primitive(operands=_einsum_rule)
def _einsum(xp: Xp, *operands: Array, subscripts: str) -> Array:
    """Einstein sum in which each term has distinct letters, each of them found elsewhere too."""
    # As matrix products, where that pays: they are faster, and do not add many terms one by one.
    large = max(getattr(operand, "size", 1) for operand in operands) > 1024  # of numbers, 1
    return xp.einsum(subscripts, *operands, optimize=large or len(operands) > 2)


def einsum(subscripts: str, *operands: TensorLike) -> Array:
    """Sum products of operands over the indices that the output does not name.

    Parameters
    ----------
    subscripts : str
        As in NumPy, with an explicit or implicit output, repeated letters and ellipses.
    *operands : Tensor or array
        One for each term.

    Raises
    ------
    ShapeError
        If terms and operands do not match, or sizes of one letter differ.
    DTypeError
        If `subscripts` is no text, or an operand holds no numbers.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> tg.einsum("ii", tg.tensor([[1.0, 2.0], [3.0, 4.0]]))
    tensor(5.)
    """
    if not isinstance(subscripts, str):
        raise DTypeError("einsum", "subscripts come first, as in einsum('ij,jk', a, b)", got=repr(subscripts))
    operands = _shaped("einsum", *operands)
    terms, output = _explicit_terms(subscripts, operands)
    # The primitive's rule holds for terms of distinct letters that occur elsewhere: take the
    # diagonal of what repeats and sum over what stands alone first.
    simple = list(operands)
    sizes: dict[str, int] = {}
    for i, term in enumerate(terms):
        for letter, size in zip(term, operands[i].shape, strict=True):
            if sizes.setdefault(letter, size) != size:
                if 1 not in (sizes[letter], size):
                    raise ShapeError(
                        "einsum",
                        f"sizes of {letter!r} differ",
                        subscripts=subscripts,
                        sizes=(sizes[letter], size),
                    )
                sizes[letter] = max(sizes[letter], size)
        for letter in sorted(set(term)):
            while term.count(letter) > 1:
                first = term.index(letter)
                second = term.index(letter, first + 1)
                if simple[i].shape[first] != simple[i].shape[second]:
                    raise ShapeError(
                        "einsum",
                        f"sizes of {letter!r} differ",
                        subscripts=subscripts,
                        operand=tuple(operands[i].shape),
                    )
                simple[i] = moveaxis(diagonal(simple[i], axis1=first, axis2=second), -1, 0)
                term = letter + term[:first] + term[first + 1 : second] + term[second + 1 :]
        terms[i] = term
    for i, term in enumerate(terms):
        elsewhere = output + "".join(terms[:i] + terms[i + 1 :])
        alone = tuple(axis for axis, letter in enumerate(term) if letter not in elsewhere)
        if alone:
            simple[i] = sum(simple[i], axis=alone)
            terms[i] = "".join(letter for letter in term if letter in elsewhere)
    if len(terms) == 1 and sorted(terms[0]) == sorted(output):
        # NumPy would return a view here, and only a primitive that says so may.
        return transpose(simple[0], axes=tuple(terms[0].index(letter) for letter in output))
    return _einsum(*simple, subscripts=f"{','.join(terms)}->{output}")


def _explicit_terms(subscripts: str, operands: Sequence[Any]) -> tuple[list[str], str]:
    """Spell ellipses and an implicit output out in letters."""
    inputs, arrow, output = subscripts.replace(" ", "").partition("->")
    terms = inputs.split(",")
    if len(terms) != len(operands):
        raise ShapeError(
            "einsum", "there must be one term for each operand", subscripts=subscripts, operands=len(operands)
        )
    unused = [c for c in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz" if c not in subscripts]
    longest = ""
    for i, (term, array) in enumerate(zip(terms, operands, strict=True)):
        hidden = array.ndim - len(term.replace("...", ""))
        if hidden < 0 or (hidden and "..." not in term):
            raise ShapeError(
                "einsum",
                f"term {term!r} does not fit its operand",
                subscripts=subscripts,
                operand=tuple(array.shape),
            )
        # Broadcasting aligns at the end, so the last of the spare letters is shared by all.
        letters = "".join(unused[len(unused) - hidden :])
        longest = max(longest, letters, key=len)
        terms[i] = term.replace("...", letters)
    if not arrow:
        joined = "".join(terms)
        output = longest + "".join(
            sorted(c for c in set(joined) if joined.count(c) == 1 and c not in longest)
        )
    return terms, output.replace("...", longest)


def diagonal(a: TensorLike, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Array:
    """Read the diagonal of two axes, as the last axis of the result.

    Parameters
    ----------
    a : Tensor or array
        At least two-dimensional.
    offset : int
        Positive above the main diagonal, negative below.
    axis1, axis2 : int
        Rows and columns of the matrices.
    """
    return _diagonal("diagonal", a, offset, axis1, axis2)


def _diagonal(where: str, a: TensorLike, offset: int, axis1: int, axis2: int) -> Array:
    axes, offset = normalize_axes((axis1, axis2), a.ndim, where), integer(where, "offset", offset)
    a = moveaxis(a, axes, (-2, -1))
    rows, columns = a.shape[-2:]
    start_row, start_column = max(-offset, 0), max(offset, 0)
    length = max(0, min(rows - start_row, columns - start_column))
    return getitem(
        a,
        (
            Ellipsis,
            [start_row + i for i in range(length)],
            [start_column + i for i in range(length)],
        ),
    )


def trace(a: TensorLike, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Array:
    """Sum of the `diagonal`."""
    return sum(_diagonal("trace", a, offset, axis1, axis2), axis=-1)


@primitive(a=lambda g, k: tril(g, k=k))
def tril(xp: Xp, a: Array, *, k: int = 0) -> Array:
    """The lower triangle of the last two axes; zero above diagonal number `k`."""
    return xp.tril(a, k)


@primitive(a=lambda g, k: triu(g, k=k))
def triu(xp: Xp, a: Array, *, k: int = 0) -> Array:
    """The upper triangle of the last two axes; zero below diagonal number `k`."""
    return xp.triu(a, k)
