"""The table of calls: every differentiable operation except operations of images, in all relevant ways.

The tests compare each row with NumPy and PyTorch; `selfcheck` compares devices.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from ... import ops
from ...ops import activation
from ...ops.indexing import lookup
from ...tensor.tensor import Tensor
from .calls import Call, away, between, call, distinct, fixed, normal, positive

MASK = np.array([[True, False, True, True], [False, False, True, False], [True, True, False, False]])


NOT_OF_ONE_ELEMENT = ("dropout", "log_softmax", "softmax")
"""The activations with rows of their own; every other one is drawn below."""


def of_one_element() -> Iterator[Call]:
    """Functions of one element."""
    for op, drawn in [
        *((name, normal(3, 4)) for name in ("negative", "exp", "expm1", "square", "sin", "cos", "arctan")),
        *((name, normal(3, 4)) for name in ("sinh", "cosh", "tanh", "zeros_like")),
        *((name, away(3, 4)) for name in ("abs", "reciprocal", "sign", "round")),
        *((name, positive(3, 4)) for name in ("log", "sqrt")),
        ("log1p", between(-0.7, 2, 3, 4)),
        ("tan", between(-1.2, 1.2, 3, 4)),
        ("erf", between(-5, 5, 4, 5)),
        *((name, normal(3, 4)) for name in activation.__all__ if name not in NOT_OF_ONE_ELEMENT),
    ]:
        yield call(op, "", drawn, elementwise=True)
    for op in ("sigmoid", "tanh", "softplus"):
        yield call(op, "far out", fixed([-40.0, 40.0]))
    kink = fixed([-1.0, 0.0, 2.0])
    for op in ("abs", "sign", "relu"):
        yield call(op, "at zero", kink)
    yield call("leaky_relu", "at zero, slope", kink, negative_slope=0.2)
    yield call("leaky_relu", "slope", normal(4), negative_slope=0.3)
    yield call("leaky_relu", "at zero, no slope", kink, negative_slope=0.0)
    yield call("elu", "at zero, alpha", kink, alpha=1.5)
    yield call("elu", "alpha", normal(5), alpha=0.7)
    yield call("elu", "far out", fixed([-800.0, 800.0]))
    yield call("gelu", "tanh", normal(3, 4), approximate="tanh", elementwise=True)
    yield call("astype", "", normal(3, 4), dtype=np.float64, keeps_dtype=False, elementwise=True)
    yield call("round", "decimals", fixed([0.26, -0.34, 12.57]), decimals=1)
    yield call("round", "halves", fixed([-1.5, -0.5, 0.5, 1.5, 2.5]))
    yield call("isfinite", "", fixed([0.0, np.inf, -np.inf, np.nan]), differentiable=False, keeps_dtype=False)
    for label, low, high in [("both", -0.5, 0.7), ("min", 0.1, None), ("max", None, 0.1)]:
        yield call("clip", label, normal(3, 4), min=low, max=high, elementwise=True)
    yield call("clip", "bounds that exclude each other", fixed([0.0, 1.0, 1.5, 2.0, 3.0]), min=2.0, max=1.0)
    yield call("clip", "on the bounds", fixed([-2.0, -1.0, 0.5, 2.0, 3.0]), min=-1.0, max=2.0)
    for p in (0.0, 0.3, 0.9):
        yield call("dropout", f"p={p}", away(3, 5), p=p, key=7, elementwise=True)


def of_two_elements() -> Iterator[Call]:
    """Functions of two elements, which broadcast."""
    for op, first, second in [
        *((name, normal, normal) for name in ("add", "subtract", "multiply", "maximum", "minimum")),
        *((name, normal, away) for name in ("divide", "floor_divide", "remainder")),
        ("power", positive, normal),
    ]:
        yield call(op, "", (first(3, 4), second(3, 4)), elementwise=True)
        yield call(op, "(3, 1) and (4,)", (first(3, 1), second(4)))
        yield call(op, "() and (2, 3)", (first(), second(2, 3)))
    yield call("add", "one input twice", normal(3), lambda a: ops.add(a, a))
    yield call("multiply", "one input twice", normal(3), lambda a: ops.multiply(a, a))
    yield call("subtract", "from a number", normal(3), lambda a: ops.subtract(2.0, a))
    yield call("divide", "a number", away(3), lambda a: ops.divide(2.0, a))
    for exponent in (2, 3, 0.5, -1, 1, 0):
        yield call("power", f"of {exponent}", positive(2, 3), b=exponent)
    yield call("power", "of a number", normal(4), lambda b: ops.power(2.0, b))
    yield call("power", "exponents with zero", (positive(3), fixed([0.0, 1.0, 2.0])))
    yield call("power", "negative base", away(4), b=3)
    yield call("power", "integer exponents as an array", away(3), b=np.array([2, 3, 0]))
    yield call("power", "at zero", (fixed([0.0, 0.0, 0.0, 2.0]), fixed([0.0, 1.0, 2.0, 0.0])))
    yield call("power", "zero to the number zero", fixed([0.0, 1.0]), b=0)
    yield call("maximum", "and a number", normal(5), b=0.1)
    yield call("maximum", "ties", (fixed([1.0, 2.0, 3.0]), fixed([1.0, 0.0, 5.0])))
    yield call("minimum", "ties", (fixed([1.0, 2.0, 3.0]), fixed([1.0, 0.0, 5.0])))

    def where(a: Any, b: Any, condition: Any) -> Any:
        return ops.where(condition, a, b)

    yield call("where", "", (normal(3, 4), normal(3, 4)), where, condition=MASK)
    yield call("where", "broadcast", (normal(4), normal(3, 1)), where, condition=MASK[:, :1])
    yield call("where", "and a number", normal(3, 4), lambda a, condition: ops.where(condition, 0.0, a),
               condition=MASK)  # fmt: skip
    yield call("where", "by comparison", away(3, 4), lambda a: ops.where(a > 0, a, a * a))
    for op in ("equal", "not_equal", "less", "less_equal", "greater", "greater_equal"):
        yield call(op, "", (fixed([1.0, 2.0, 3.0]), fixed([2.0, 2.0, 2.0])),
                   differentiable=False, keeps_dtype=False)  # fmt: skip

    numbers = fixed([[5, 0], [-6, 1]]), fixed([3, -12])
    for op in ("bitwise_and", "bitwise_or", "bitwise_xor", "invert"):
        inputs = numbers[: 1 if op == "invert" else 2]
        for kind in (np.bool_, np.int64):

            def cast(*arrays: Any, op: str = op, kind: Any = kind) -> Any:
                return getattr(ops, op)(*[ops.astype(a, dtype=kind) for a in arrays])

            yield call(op, kind.__name__, inputs, cast, differentiable=False, keeps_dtype=False)


def reductions() -> Iterator[Call]:
    """Softmax and its relatives, sums, extrema, products, norms."""
    axis: Any
    for axis, op in itertools.product((-1, 0, 1), ("softmax", "log_softmax")):
        yield call(op, f"axis {axis}", normal(3, 4, 2), axis=axis)
        if axis < 1:
            yield call(op, f"0-d, axis {axis}", normal(), axis=axis)
    for op, largest in [("softmax", 901.0), ("log_softmax", 902.0)]:
        yield call(op, "no rows", normal(0, 3))
        yield call(op, "large", fixed([[900.0, largest]]))

    for op, draw in [
        *((name, normal) for name in ("sum", "mean", "var", "std")),
        *((name, distinct) for name in ("max", "min")),
        ("prod", away),
        ("logsumexp", normal),
    ]:
        for axis, keep in itertools.product([None, 0, 1, -1, (0, 2), (-1, 0), (0, 1, 2)], (False, True)):
            yield call(op, f"axis {axis}{', kept' * keep}", draw(2, 3, 4), axis=axis, keepdims=keep)
        yield call(op, "0-d", draw())
        for axis in (0, -1):
            yield call(op, f"0-d, axis {axis}", draw(), axis=axis)
    for op in ("sum", "prod"):
        yield call(op, "no elements", normal(0, 3))
        yield call(op, "no elements along the axis", normal(0, 3), axis=0)
    for op in ("mean", "max", "prod", "logsumexp"):
        yield call(op, "no rows", normal(0, 3), axis=1)
    for op, axis in itertools.product(("var", "std"), (None, 1, (0, 2))):
        yield call(op, f"axis {axis}, ddof 1", normal(2, 3, 4), axis=axis, ddof=1)
    yield call("std", "of equal elements", fixed([2.0, 2.0, 2.0]))
    for op, values in [("max", [1.0, 3.0, 3.0, 3.0]), ("min", [1.0, 0.5, 0.5, 0.5])]:
        yield call(op, "ties of three", fixed(values))
        yield call(op, "ties in a row", fixed([[2.0, 2.0, 2.0], [1.0, 1.0, 2.0]]), axis=1, keepdims=True)
    for zeros in range(4):
        yield call("prod", f"{zeros} zeros", fixed([0.0] * zeros + [1.5, -2.0, 0.7, 3.0, -1.1][zeros:]))
    rows = [[1.0, 0.0, 3.0], [0.0, 0.0, 2.0], [0.0, 0.0, 0.0], [4.0, 5.0, 6.0]]
    yield call("prod", "rows with zeros", fixed(rows), axis=1)
    yield call("prod", "one element", normal(1))
    yield call("prod", "seven elements", away(7))
    yield call("logsumexp", "large", fixed([900.0, 901.0]))
    yield call("logsumexp", "with minus infinity", fixed([-np.inf, 1.0, 2.0]))
    for order in (1, 2, 3, 1.5, 0.5, -1, -2.5, math.inf, -math.inf):
        for axis, keep in [(None, False), (1, False), ((0, -1), True)]:
            yield call("norm", f"order {order}, axis {axis}", away(2, 3, 2),
                       ord=order, axis=axis, keepdims=keep)  # fmt: skip
    for order in (2, 3, 1.5, 0.5):
        yield call("norm", f"order {order}, at zero", fixed([0.0, 0.0]), ord=order)
    yield call("norm", "order 3, beside zeros", fixed([[0.0, -3.0], [0.0, 4.0]]), ord=3, axis=1)
    yield call("norm", "order 0", fixed([[0.0, -3.0], [2.0, 4.0]]), ord=0, axis=1, differentiable=False)
    yield call("norm", "order inf, ties", fixed([2.0, -2.0, 1.0]), ord=math.inf)
    for axis in (None, 0, 1, -1):
        yield call("cumsum", f"axis {axis}", normal(3, 4), axis=axis)
    yield call("cumsum", "0-d", normal())
    yield call("cumsum", "no elements", normal(0))
    yield call("cumsum", "0-d, axis 0", normal(), axis=0)
    for op in ("argmax", "argmin"):
        yield call(op, "0-d, axis 0", normal(), differentiable=False, keeps_dtype=False, axis=0)
    several: list[dict[str, Any]] = [{}, {"axis": 0}, {"axis": -1, "keepdims": True}]
    for op, settings in itertools.product(("argmax", "argmin"), several):
        yield call(op, str(settings), distinct(3, 4), differentiable=False, keeps_dtype=False, **settings)


def shapes() -> Iterator[Call]:
    """Operations that move elements and compute nothing."""
    shape: Any
    for label, shape in [
        ("", (4, 3)),
        ("inferred", (2, -1)),
        ("to one axis", -1),
        ("more axes", (1, 3, 2, 2)),
    ]:
        yield call("reshape", label, normal(3, 4), shape=shape)
    yield call("reshape", "no elements", normal(0, 5), shape=(2, 0, 3))
    yield call("reshape", "to 0-d", normal(1, 1), shape=())
    for axes in (None, (2, 0, 1), (0, 2, 1), (-1, 0, -2)):
        yield call("transpose", f"axes {axes}", normal(2, 3, 4), axes=axes)
    for first, second in [(0, 2), (-1, 1), (1, 1)]:
        yield call("swapaxes", f"{(first, second)}", normal(2, 3, 4), axis1=first, axis2=second)
    pair: Any
    for pair in [(0, 2), (-1, 0), ((0, 1), (2, 0)), ((2, 0), (0, 1))]:
        yield call("moveaxis", f"{pair}", normal(2, 3, 4), source=pair[0], destination=pair[1])
    axis: Any
    for axis in (None, 0, -1, (0, 2)):
        yield call("squeeze", f"axis {axis}", normal(1, 3, 1), axis=axis)
    for axis in (0, 1, -1, (0, 2), (-1, 0)):
        yield call("expand_dims", f"axis {axis}", normal(2, 3), axis=axis)
    before: Any
    for before, after in [
        ((3, 1), (3, 4)), ((4,), (2, 3, 4)), ((), (2, 2)), ((1, 3), (0, 3)), ((2, 1, 3), (2, 4, 3)),
    ]:  # fmt: skip
        yield call("broadcast_to", f"{before} to {after}", normal(*before), shape=after)
    for axis in (None, 0, -1, (0, 2)):
        yield call("flip", f"axis {axis}", normal(2, 3, 4), axis=axis)
    shift: Any
    for shift, axis in [(2, None), (-1, 0), (1, 1), ((1, 2), (0, 1)), ((1, -1), (1, 1)), (np.int64(1), 0)]:
        yield call("roll", f"by {shift}, axis {axis}", normal(3, 4), shift=shift, axis=axis)

    def concatenate(*arrays: Any, axis: int = 0) -> Any:
        return ops.concatenate(arrays, axis)

    def stack(*arrays: Any, axis: int = 0) -> Any:
        return ops.stack(arrays, axis)

    for axis in (0, 1, -1):
        sizes = [[2, 3], [2, 3], [2, 3]]
        for n, size in enumerate(sizes, 1):
            size[axis] = n
        yield call("concatenate", f"axis {axis}", tuple(normal(*size) for size in sizes), concatenate,
                   axis=axis)  # fmt: skip
        yield call("stack", f"axis {axis}", (normal(2, 3), normal(2, 3)), stack, axis=axis)
    yield call("concatenate", "one of them constant, one empty", (normal(2, 2), normal(0, 2)),
               lambda a, b, constant: ops.concatenate([ops.astype(constant, dtype=a.dtype), a, b]),
               constant=np.ones((1, 2)))  # fmt: skip
    yield call("concatenate", "one array twice", normal(2, 2), lambda a, axis: ops.concatenate([a, a], axis),
               axis=1)  # fmt: skip
    yield call("stack", "0-d", (normal(), normal()), stack)
    how: Any
    for how, axis in [(2, 0), (3, -1), ([1, 3], 0), ([2], 1)]:
        yield call("split", f"{how}, axis {axis}", normal(4, 3), indices_or_sections=how, axis=axis)
    yield call("split", "no elements", normal(0, 3), indices_or_sections=2)
    width: Any
    for width in (1, (1, 2), ((0, 2), (1, 0)), ((2, 1),)):
        yield call("pad", f"{width}", normal(2, 3), pad_width=width, constant_values=3.0)
    yield call("pad", "with zeros", normal(3), pad_width=((1, 0),))
    repeats: Any
    for repeats, axis in [(2, None), (3, 0), (2, -1), ([1, 0, 2], 1), (0, 0)]:
        yield call("repeat", f"{repeats}, axis {axis}", normal(2, 3), repeats=repeats, axis=axis)
    for repeats in (2, (2, 3), (1, 1), (2, 1, 2), (0, 1)):
        yield call("tile", f"{repeats}", normal(2, 3), reps=repeats)


INDICES: list[Any] = [
    1, -1, slice(1, 3), slice(None, None, 2), (slice(None), 1), (Ellipsis, 0), (0, Ellipsis, slice(1)), None,
    (slice(None), None, 2), (), Ellipsis, slice(2, 2), np.int64(1), (np.int64(2), slice(None), 1),
    [0, 0, 2], [-1, 0, -1], (slice(None), [3, 3, 1]), ([0, 1, 0], [2, 2, 2]), ([0, 0], slice(None), [1, 1]),
    np.array([[0, 2], [2, 2]]), (np.array([[0, 2], [2, 2]]), 1), (0, [1, 1]), (slice(1), [0, 2, 2], None),
    MASK, (slice(None), MASK[0]), [], np.array([True, False, True]), (np.array([True, True, False]), [0, 0]),
    np.zeros((3, 4), bool), True,
]  # fmt: skip


def indices() -> Iterator[Call]:
    """Reading parts of arrays, and adding into parts of zeros."""
    index: Any
    for index in INDICES:
        yield call("getitem", repr(index).replace("\n", ""), normal(3, 4, 2), index=index)
    yield call("getitem", "backwards", normal(3, 4), index=(slice(None, None, -1), slice(2, None, -2)))
    yield call("getitem", "Tensors", normal(3, 4), lambda x, index: ops.getitem(x, tuple(map(Tensor, index))),
               index=(np.array([2, 0, 2]), np.array(1)))  # fmt: skip
    # The row-sparse gradient of a Tensor that is no leaf becomes dense, as the table needs it.
    yield call("getitem", "rows, row-sparse", normal(6, 3, 2),
               lambda x, index: lookup(x * 1, index, sparse=True),
               index=np.array([[2, 0, 2], [4, 4, 2]]))  # fmt: skip
    yield call("getitem", "from no elements", normal(0, 3), index=(slice(None), 1))
    for label, index, size in [
        ("slice", (slice(1, 3), 0), 2), ("repeated", ([0, 0, 2], [1, 1, 3]), 3), ("basic", 1, 4),
        ("mask", MASK, 6),
    ]:  # fmt: skip
        yield call("_add_at", label, normal(size), index=index, shape=(3, 4))
    for axis, chosen in [(0, [[1, 1, 0, 2]]), (1, [[0, 0], [3, 1], [2, 2]]), (-1, [[3], [0], [3]])]:
        yield call("take_along_axis", f"axis {axis}", normal(3, 4), indices=np.array(chosen), axis=axis)
    yield call("take_along_axis", "broadcast", normal(3, 4),
               lambda x, indices, axis: ops.take_along_axis(x, Tensor(indices), axis),
               indices=np.array([[3, 0, 3]]), axis=1)  # fmt: skip


EINSUMS: list[tuple[Any, ...]] = [
    ("ij,jk->ik", (2, 3), (3, 4)), ("ij,jk", (2, 3), (3, 4)), ("ba,cb", (2, 3), (4, 2)), ("ij->ji", (2, 3)),
    ("ji", (2, 3)), ("ij->", (2, 3)), ("ij->j", (2, 3)), ("ii", (3, 3)), ("ii->i", (3, 3)),
    ("iij->j", (3, 3, 2)), ("iii->i", (2, 2, 2)), ("ijij->ji", (2, 3, 2, 3)), ("ii,ij->j", (3, 3), (3, 2)),
    ("i,i", (3,), (3,)), ("i,j->ij", (3,), (2,)), ("i,j->", (3,), (2,)), ("ij,k->i", (2, 3), (4,)),
    (",ij->ij", (), (2, 3)), ("->", ()), ("bij,bjk->bik", (2, 3, 2), (2, 2, 3)),
    ("...ij,...jk->...ik", (2, 3, 2), (2, 2, 3)), ("...ij,...jk->...ik", (5, 1, 2, 3), (4, 3, 2)),
    ("...ij,jk", (4, 2, 3), (3, 2)), ("...i->...", (2, 3)), ("...i->i...", (2, 4, 3)),
    ("i...,i...->...", (3, 2), (3, 2)), ("ij,jk,kl->il", (2, 3), (3, 4), (4, 2)),
    ("i,ij,j->", (2,), (2, 3), (3,)), ("ij,ij,ij->i", (2, 3), (2, 3), (2, 3)),
    ("bi,oi,b->bo", (4, 3), (2, 3), (4,)), (" i j , j k -> i k ", (2, 3), (3, 4)),
    ("ij,jk->ik", (2, 1), (3, 4)), ("ij,ij->ij", (1, 3), (2, 3)), ("ij,jk->ik", (0, 3), (3, 2)),
    ("ij,jk->ik", (2, 0), (0, 3)),
]  # fmt: skip


def products() -> Iterator[Call]:
    """Matrix products, sums of products, and parts of matrices."""
    a: tuple[int, ...]
    b: tuple[int, ...]
    for a, b in [
        ((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 2)), ((2, 3), (3, 4)), ((5, 2, 3), (3, 4)),
        ((2, 3), (5, 3, 4)), ((5, 2, 3), (5, 3, 4)), ((5, 1, 2, 3), (2, 3, 4)), ((1, 2, 3), (5, 3, 4)),
        ((5, 2, 3), (3,)), ((3,), (5, 3, 2)), ((1, 1), (1, 1)),
        ((0, 3), (3, 2)), ((2, 0), (0, 3)), ((4, 2, 0), (0, 3)), ((4, 0, 3), (3, 2)), ((0,), (0,)),
    ]:  # fmt: skip
        yield call("matmul", f"{a} @ {b}", (normal(*a), normal(*b)))
    for a, b in [((3,), (3,)), ((2, 3), (3, 4)), ((2, 3), (3,)), ((2, 3), (5, 3, 4)), ((3,), (2, 3, 4)),
                 ((2, 2, 3), (5, 3, 2)), ((), (2, 3)), ((3,), ()), ((2, 0), (3, 0, 2))]:  # fmt: skip
        yield call("dot", f"{a} {b}", (normal(*a), normal(*b)))
    for a, b in [((3,), (4,)), ((2, 2), (3,)), ((), (3,)), ((0,), (3,))]:
        yield call("outer", f"{a} {b}", (normal(*a), normal(*b)))
    for a in [(3,), (2, 3), (4, 2, 3), (2, 1, 2, 3), (0, 3), (2, 0, 3)]:
        yield call("linear", f"{a}", (normal(*a), normal(5, 3)))
        yield call("linear", f"{a}, bias", (normal(*a), normal(5, 3), normal(5)))
        yield call("linear", f"{a}, ReLU", (normal(*a), normal(5, 3)), activation="relu")
        yield call("linear", f"{a}, bias, ReLU", (normal(*a), normal(5, 3), normal(5)), activation="relu")
    yield call("linear", "no features", (normal(2, 3, 0), normal(4, 0)))
    yield call("linear", "no outputs", (normal(2, 3, 2), normal(0, 2)))

    def einsum(*operands: Any, subscripts: str) -> Any:
        return ops.einsum(subscripts, *operands)

    for subscripts, *operands in EINSUMS:
        yield call("einsum", f"{subscripts!r} {' '.join(map(str, operands))}",
                   tuple(normal(*size) for size in operands), einsum, subscripts=subscripts)  # fmt: skip
    yield call("einsum", "one operand twice", normal(2, 3), lambda a: ops.einsum("ij,kj->ik", a, a))
    yield call("einsum", "a constant operand", normal(3, 2),
               lambda a, constant: ops.einsum("i,ij->j", ops.astype(constant, dtype=a.dtype), a),
               constant=np.arange(3.0))  # fmt: skip
    for op in ("diagonal", "trace"):
        for size, where in [
            ((3, 3), (0, 0, 1)), ((3, 4), (1, 0, 1)), ((3, 4), (-1, 0, 1)), ((2, 3, 4), (0, -1, 1)),
            ((3, 2, 3), (1, 0, 2)), ((2, 3), (5, 0, 1)),
        ]:  # fmt: skip
            settings: dict[str, Any] = dict(zip(("offset", "axis1", "axis2"), where, strict=True))
            yield call(op, f"{size} {where}", normal(*size), **settings)
    for op in ("tril", "triu"):
        for size, k in [((3, 4), 0), ((2, 3, 3), 1), ((4, 3), -1)]:
            yield call(op, f"{size} {k}", normal(*size), k=k)


REDUCTIONS = ("mean", "sum", "none")
LABELS = np.array([0, 2, 1, 2])
WEIGHT = np.array([0.5, 2.0, 1.5])


def _probabilities(seed: int, *size: int, axis: int = -1) -> Any:
    e = np.exp(np.random.default_rng(seed).standard_normal(size))
    return e / e.sum(axis=axis, keepdims=True)


def losses() -> Iterator[Call]:
    """Losses, with their reductions and weights."""
    soft = _probabilities(5, 4, 3)
    size: tuple[int, ...]
    extra: dict[str, Any]
    for label, size, target in [
        ("labels", (4, 3), LABELS),
        ("one sample", (3,), np.array(1)),
        ("(N, C, d)", (2, 3, 2), np.array([[0, 1], [2, -100]])),
        ("(N, C, d1, d2)", (2, 3, 2, 2), np.array([[[0, 1], [2, 2]], [[1, 0], [-100, 2]]])),
        ("soft", (4, 3), soft),
        ("soft (N, C, d1, d2)", (2, 3, 2, 2), _probabilities(6, 2, 3, 2, 2, axis=1)),
        ("one soft sample", (3,), soft[0]),
    ]:
        for reduction in REDUCTIONS:
            for extra in (
                {}, {"weight": WEIGHT}, {"label_smoothing": 0.2}, {"weight": WEIGHT, "label_smoothing": 0.1},
                {"ignore_index": 2}, {"ignore_index": 2, "weight": WEIGHT, "label_smoothing": 0.1},
            ):  # fmt: skip
                if "ignore_index" in extra and (target.dtype.kind == "f" or np.any(target == -100)):
                    continue
                yield call("cross_entropy", ", ".join([label, reduction, *extra]), normal(*size),
                           target=target, reduction=reduction, **extra)  # fmt: skip
    yield call("cross_entropy", "soft targets that need a gradient", (normal(4, 3), fixed(soft)))
    for offset in (1e6, -1e6):
        for each, target in (("label", np.array([1])), ("soft target", np.array([[0.2, 0.5, 0.3]]))):
            yield call("cross_entropy", f"offset {offset:g}, {each}", fixed(offset + np.arange(3.0)[None]),
                       target=target, label_smoothing=0.1)  # fmt: skip
    yield call("cross_entropy", "large logits", fixed([[900.0, 901.0], [0.0, -900.0]]),
               target=np.array([1, 0]), reduction="none")  # fmt: skip
    for reduction in REDUCTIONS:
        for extra in ({}, {"weight": WEIGHT}, {"ignore_index": 2}, {"weight": WEIGHT, "ignore_index": 0}):
            yield call("nll_loss", ", ".join([reduction, *extra]), normal(4, 3),
                       target=LABELS, reduction=reduction, **extra)  # fmt: skip
    for reduction in REDUCTIONS:
        for extra in (
            {}, {"pos_weight": 3.0}, {"pos_weight": WEIGHT}, {"weight": WEIGHT},
            {"weight": 0.5, "pos_weight": WEIGHT},
        ):  # fmt: skip
            settings: dict[str, Any] = {"reduction": reduction, **extra}
            yield call("binary_cross_entropy_with_logits", ", ".join(f"{k} {v}" for k, v in settings.items()),
                       (normal(2, 3), between(0.1, 0.9, 2, 3)), **settings)  # fmt: skip
    yield call("binary_cross_entropy_with_logits", "integer targets, far out",
               fixed([50.0, -50.0, -50.0, 50.0]), target=np.array([1, 0, 1, 0]),
               reduction="none")  # fmt: skip
    signs = np.array([1.0, -1.0, 1.0, -1.0])
    for reduction in REDUCTIONS:
        for op in ("mse_loss", "l1_loss", "huber_loss"):
            yield call(op, reduction, (normal(3, 4), normal(3, 4)), reduction=reduction)
        yield call("hinge_loss", reduction, normal(4), target=signs, reduction=reduction)
    for reduction in ("mean", "batchmean", "sum", "none"):
        yield call("kl_div", reduction, (normal(3, 4), between(0.1, 0.9, 3, 4)), reduction=reduction)
    yield call("mse_loss", "0-d", (normal(), normal()))
    yield call("mse_loss", "no elements", normal(0, 2), target=np.zeros((0, 2)), reduction="sum")
    yield call("l1_loss", "at zero", (fixed([1.0, 2.0]), fixed([1.0, 0.0])), reduction="none")
    yield call("huber_loss", "delta 0.3", (normal(4, 4), normal(4, 4)), delta=0.3)
    yield call("huber_loss", "at delta", (fixed([0.5, 0.0]), fixed([0.0, 0.5])), delta=0.5)
    yield call("hinge_loss", "at the margin", fixed([2.0, 1.0]), target=signs[:2], margin=2.0,
               reduction="none")  # fmt: skip
    yield call("kl_div", "target of zero", fixed([-0.5, -1.0]), target=np.array([0.0, 1.0]), reduction="sum")


MEAN, VARIANCE = np.array([0.1, -0.2, 0.3]), np.array([0.5, 1.5, 2.0])


def normalizations() -> Iterator[Call]:
    """Normalizations of layers, batches and groups."""
    size: tuple[int, ...]
    last: tuple[int, ...]
    axes: tuple[int, ...]
    for size, last in [((3, 4), (4,)), ((2, 3, 4), (3, 4)), ((2, 3, 4), (4,)), ((5,), (5,)), ((0, 4), (4,))]:
        yield call("layer_norm", f"{size} over {last}", normal(*size), normalized_shape=last)
        yield call("layer_norm", f"{size} over {last}, affine", (normal(*size), normal(*last), normal(*last)),
                   lambda x, w, b, normalized_shape, eps: ops.layer_norm(x, normalized_shape, w, b, eps),
                   normalized_shape=last, eps=0.1)  # fmt: skip
    for size, axes in [((2, 3, 2, 2), (0, 2, 3)), ((4, 3), (0,)), ((2, 5), (1,)), ((2, 2, 3, 2), (2, 3))]:
        yield call("_standardize_vjp", f"{size} over {axes}", (normal(*size), normal(*size)),
                   axes=axes, eps=0.1)  # fmt: skip

    def batch_norm(x: Any, w: Any, b: Any, mean: Any = None, var: Any = None, **settings: Any) -> Any:
        if mean is not None:
            mean, var = (ops.astype(value, dtype=x.dtype) for value in (mean, var))
            if isinstance(x, Tensor):
                mean, var = Tensor(mean), Tensor(var)
        return ops.batch_norm(x, mean, var, w, b, **settings)

    for size in [(4, 3), (2, 3, 4), (2, 3, 2, 2)]:
        inputs = (normal(*size), normal(3), normal(3))
        yield call("batch_norm", f"{size}, training", normal(*size), training=True)
        yield call("batch_norm", f"{size}, training, affine", inputs, batch_norm, training=True, eps=0.01)
        yield call("batch_norm", f"{size}, running averages, affine", inputs, batch_norm,
                   mean=MEAN, var=VARIANCE)  # fmt: skip
    for size, groups in [((2, 4), 2), ((2, 4, 3), 1), ((3, 6, 2, 2), 3)]:
        yield call("group_norm", f"{size} in {groups}, affine",
                   (normal(*size), normal(size[1]), normal(size[1])),
                   lambda x, w, b, num_groups, eps: ops.group_norm(x, num_groups, w, b, eps),
                   num_groups=groups, eps=0.1)  # fmt: skip


OPERATIONS: list[Call] = [
    *of_one_element(),
    *of_two_elements(),
    *reductions(),
    *shapes(),
    *indices(),
    *products(),
    *losses(),
    *normalizations(),
]
