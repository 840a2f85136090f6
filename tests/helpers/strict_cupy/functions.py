"""The stand-in's functions of arrays: CuPy's parameters, computed by NumPy."""

from __future__ import annotations

import builtins
import functools
import inspect
from typing import Any

import numpy as np

from .arrays import ndarray, own, own_along, raw
from .state import SUPPORTED, read, state


def _array(value: Any) -> Any:
    """Unwrap an array, and reject anything else: these functions take no numbers."""
    if not isinstance(value, ndarray):
        raise TypeError(f"Unsupported type {type(value)}")
    return raw(value)


CUB = {"sum": "lqLQefd", "prod": "lqLQefd", "mean": "fd"}
CUB.update(dict.fromkeys(("max", "min", "amax", "amin"), "bBhHiIlqLQefd"))
"""Reductions that CuPy delegates to CUB, with the types for which it does so by default."""


def _order_of_reduction(name: str, host: np.ndarray, axis: Any, dtype: Any) -> str:
    """Return the layout of a result: Fortran order if CUB sums whole columns of an array in that order."""
    axes = sorted(each % host.ndim for each in np.atleast_1d(axis)) if axis is not None and host.ndim else []
    leading = axes == list(range(len(axes))) and 0 < len(axes) < host.ndim
    able = host.dtype.char in CUB.get(name, "") if dtype is None else host.dtype == dtype and name in CUB
    return "F" if leading and able and host.flags.fnc else "C"


def reduction(name: str, *, dtype: bool = True, ddof: bool = False, keepdims: bool = True) -> Any:
    work = getattr(np, name)

    def reduce(a: ndarray, axis: Any = None, **settings: Any) -> ndarray:
        out, host = settings.pop("out", None), _array(a)
        axis = tuple(axis) if isinstance(axis, list) else axis
        if not host.ndim and axis not in (None, ()):
            raise (IndexError if ddof else np.exceptions.AxisError)("an array without axes has none of these")
        with np.errstate(all="ignore"):
            result = work(host, axis=axis, **settings)
        if out is None:
            order = _order_of_reduction(name, host, axis, settings.get("dtype"))
            return own(np.asarray(result, order=order), order)
        if out.shape != np.shape(result):
            raise ValueError("Output shape does not match")
        _array(out)[...] = result
        return out

    keyword = inspect.Parameter.POSITIONAL_OR_KEYWORD
    names = ["a", "axis", *(["dtype"] if dtype else []), "out", *(["ddof"] if ddof else [])]
    names += ["keepdims"] if keepdims else []
    signature = inspect.Signature([inspect.Parameter(n, keyword) for n in names])

    @functools.wraps(reduce)
    def checked(*args: Any, **settings: Any) -> ndarray:
        return reduce(**signature.bind_partial(*args, **settings).arguments)

    checked.__name__ = name
    return checked


def empty(shape: Any, dtype: Any = float, order: str = "C") -> ndarray:
    return own(np.full(shape, 77, dtype, order), order)  # arbitrary previous contents


def empty_like(prototype: ndarray, dtype: Any = None, order: str = "K", subok: Any = None, shape: Any = None):
    return own(np.full_like(_array(prototype), 77, dtype=dtype, order=order, shape=shape), "K")


def zeros(shape: Any, dtype: Any = float, order: str = "C") -> ndarray:
    return own(np.zeros(shape, dtype, order), order)


def ones(shape: Any, dtype: Any = float, order: str = "C") -> ndarray:
    return own(np.ones(shape, dtype, order), order)


def full(shape: Any, fill_value: Any, dtype: Any = None, order: str = "C") -> ndarray:
    return own(np.full(shape, raw(fill_value), dtype, order), order)


def zeros_like(
    a: ndarray, dtype: Any = None, order: str = "K", subok: Any = None, shape: Any = None
) -> ndarray:
    return own(np.zeros_like(_array(a), dtype=dtype, order=order, shape=shape), "K")


def ones_like(
    a: ndarray, dtype: Any = None, order: str = "K", subok: Any = None, shape: Any = None
) -> ndarray:
    return own(np.ones_like(_array(a), dtype=dtype, order=order, shape=shape), "K")


def full_like(
    a: ndarray, fill_value: Any, dtype: Any = None, order: str = "K", subok: Any = None, shape: Any = None
):
    return own(np.full_like(_array(a), raw(fill_value), dtype=dtype, order=order, shape=shape), "K")


def eye(N: int, M: Any = None, k: int = 0, dtype: Any = float, order: str = "C") -> ndarray:
    return own(np.eye(N, M, k, dtype, order), order)


def arange(start: Any, stop: Any = None, step: Any = 1, dtype: Any = None) -> ndarray:
    start, stop, step = (b.item() if isinstance(b, ndarray) else b for b in (start, stop, step))
    return own(np.arange(start, dtype=dtype) if stop is None else np.arange(start, stop, step, dtype=dtype))


def linspace(
    start: Any, stop: Any, num: int = 50, endpoint: bool = True, retstep: bool = False, dtype: Any = None
):
    return own(np.linspace(start, stop, num, endpoint, dtype=dtype))


def array(
    obj: Any, dtype: Any = None, copy: Any = True, order: str = "K", subok: bool = False, ndmin: int = 0,
    *, blocking: bool = False,
) -> ndarray:  # fmt: skip
    if isinstance(obj, ndarray):
        here = obj if obj._gpu == state.device else obj.copy()
        laid = order in (None, "K") or here.flags.c_contiguous
        made = here.astype(here.dtype if dtype is None else dtype, order or "K", copy=bool(copy) or not laid)
        return made._view(made._host[(None,) * (ndmin - made.ndim)]) if made.ndim < ndmin else made
    if isinstance(obj, list | tuple) and builtins.any(isinstance(part, ndarray) for part in obj):
        return stack([part if dtype is None else part.astype(dtype) for part in obj])
    host = np.array(obj, dtype=dtype, ndmin=ndmin)
    host = host.astype(host.dtype.newbyteorder("="), copy=False)
    if host.dtype.char not in SUPPORTED:
        raise ValueError(f"Unsupported dtype {host.dtype}")
    return own(host, "F" if isinstance(obj, np.ndarray) and obj.flags.fnc else "C")


def asarray(
    a: Any, dtype: Any = None, order: Any = None, *, copy: Any = None, blocking: bool = False
) -> ndarray:
    return array(a, dtype, copy=bool(copy), order=order)


def ascontiguousarray(a: Any, dtype: Any = None) -> ndarray:
    made = asarray(a, dtype)
    return made if made.flags.c_contiguous and made.ndim else own(np.ascontiguousarray(made._host))


def asnumpy(
    a: Any, stream: Any = None, order: str = "C", out: Any = None, *, blocking: bool = True
) -> np.ndarray:
    return a.get(stream, order, out) if isinstance(a, ndarray) else np.asarray(a)


def where(condition: ndarray, x: Any = None, y: Any = None) -> Any:
    if (x is None) != (y is None):
        raise ValueError("Must provide both 'x' and 'y' or neither.")
    if x is None:
        return nonzero(condition)
    return own(np.where(raw(condition.astype("?", copy=False)), raw(x), raw(y)))


def nonzero(a: ndarray) -> tuple[ndarray, ...]:
    read()
    return tuple(own(part) for part in np.nonzero(_array(a)))


def unique(
    ar: ndarray, return_index: bool = False, return_inverse: bool = False, return_counts: bool = False,
    axis: Any = None, *, equal_nan: bool = True,
) -> Any:  # fmt: skip
    read()
    result = np.unique(_array(ar), return_index, return_inverse, return_counts, axis, equal_nan=equal_nan)
    return tuple(own(part) for part in result) if isinstance(result, tuple) else own(result)


def clip(a: ndarray, a_min: Any, a_max: Any, out: Any = None) -> ndarray:
    bounds = [None if bound is None else raw(bound) for bound in (a_min, a_max)]
    result = np.clip(_array(a), *bounds)
    if out is None:
        return own(result)
    _array(out)[...] = result
    return out


def matmul(x1: ndarray, x2: ndarray, /, out: Any = None, **settings: Any) -> ndarray:
    if settings.keys() - {"casting", "order", "dtype", "axes", "axis", "keepdims"}:
        raise TypeError(f"Wrong arguments {settings}")
    if out is None:
        return own(np.matmul(_array(x1), _array(x2)))
    np.matmul(_array(x1), _array(x2), out=_array(out))
    return out


def dot(a: ndarray, b: ndarray, out: Any = None) -> ndarray:
    return own(np.dot(_array(a), _array(b)))


def vdot(a: ndarray, b: ndarray) -> ndarray:
    return own(np.vdot(_array(a), _array(b)))


def einsum(*operands: Any, **settings: Any) -> ndarray:
    subscripts, *arrays = operands
    unknown = settings.keys() - {"dtype", "optimize"}
    if unknown:
        raise TypeError(f"Did not understand the following kwargs: {sorted(unknown)}")
    hosts = [raw(asarray(a)) for a in arrays]
    if len(hosts) == 1 and np.may_share_memory(view := np.einsum(subscripts, *hosts), hosts[0]):
        return arrays[0]._view(view)
    dtype = settings.get("dtype") or np.result_type(*hosts)
    result = np.einsum(subscripts, *hosts, dtype=dtype, casting="unsafe")
    order = _order_of_einsum(subscripts, hosts, settings.get("optimize", False))
    made = own(result.transpose(order))
    return made._view(made._host.transpose(np.argsort(order)))


def _order_of_einsum(subscripts: str, hosts: list[np.ndarray], optimize: Any) -> list[int]:
    """Return the order of a result's axes, from the outermost to the innermost.

    CuPy takes two operands at a time, the later one first, and multiplies matrices.
    """
    terms, output = _terms(subscripts.replace(" ", ""), hosts)
    if len(hosts) > 1:  # axes of size 1 are omitted until the end
        terms = [
            "".join(c for c, size in zip(term, host.shape, strict=True) if size > 1)
            for term, host in zip(terms, hosts, strict=True)
        ]
    left = [  # axes that only one operand has are summed first
        [c for c in dict.fromkeys(term) if c in output + "".join(terms[:i] + terms[i + 1 :])]
        for i, term in enumerate(terms)
    ]
    path: Any = [range(len(left))]
    if optimize:
        path = np.einsum_path(subscripts, *hosts, optimize="greedy" if optimize is True else optimize)[0][1:]
    for places in path:
        first, *others = [left.pop(place) for place in sorted(places, reverse=True)]
        for second in others:
            first = _order_of_product(first, second, [*output, *(c for term in left for c in term)])
        left.append(first)
    (order,) = left
    return [output.index(c) for c in [*(c for c in output if c not in order), *order] if c in output]


def _order_of_product(first: list[str], second: list[str], wanted: list[str]) -> list[str]:
    """Return the layout of a product of two: shared axes, rows, columns; or the requested one."""
    shared = {*first} & {*second}
    order = [*sorted(shared & {*wanted}), *sorted({*first} - shared), *sorted({*second} - shared)]
    return wanted if shared <= {*wanted} and len(order) == len(wanted) else order


def _terms(subscripts: str, hosts: list[np.ndarray]) -> tuple[list[str], str]:
    """Return the letters of each operand and of the result, with digits for the axes of an ellipsis."""
    given, arrow, output = subscripts.partition("->")
    terms = []
    for term, host in zip(given.split(","), hosts, strict=True):
        terms.append(term.replace("...", "0123456789"[10 - (host.ndim - len(term) + 3) :]))
    joined = "".join(terms)
    dots = "".join(c for c in "0123456789" if c in joined)
    if not arrow:
        output = dots + "".join(c for c in sorted({*joined} - {*dots}) if joined.count(c) == 1)
    return terms, output.replace("...", dots)


def outer(a: ndarray, b: ndarray, out: Any = None) -> ndarray:
    return own(np.outer(_array(a), _array(b)))


def tensordot(a: ndarray, b: ndarray, axes: Any = 2) -> ndarray:
    return own(np.tensordot(_array(a), _array(b), axes))


def reshape(a: ndarray, newshape: Any, order: str = "C", *, copy: Any = None) -> ndarray:
    return a.reshape(newshape, order=order)


def ravel(a: ndarray, order: str = "C") -> ndarray:
    return a.ravel(order)


def transpose(a: ndarray, axes: Any = None) -> ndarray:
    return a.transpose(axes)


def swapaxes(a: ndarray, axis1: int, axis2: int) -> ndarray:
    return a.swapaxes(axis1, axis2)


def moveaxis(a: ndarray, source: Any, destination: Any) -> ndarray:
    return a._view(np.moveaxis(a._host, source, destination))


def broadcast_to(array: ndarray, shape: Any) -> ndarray:
    spread = np.broadcast_to(_array(array), shape)  # CuPy has no read-only arrays
    return array._view(np.lib.stride_tricks.as_strided(array._host, spread.shape, spread.strides))


def expand_dims(a: ndarray, axis: Any) -> ndarray:
    return a._view(np.expand_dims(a._host, axis))


def squeeze(a: ndarray, axis: Any = None) -> ndarray:
    return a.squeeze(axis)


def flip(a: ndarray, axis: Any = None) -> ndarray:
    return a._view(np.flip(a._host, axis))


def around(a: ndarray, decimals: int = 0) -> ndarray:
    return own(np.around(_array(a), decimals))


def as_strided(x: ndarray, shape: Any = None, strides: Any = None) -> ndarray:
    return x._view(np.lib.stride_tricks.as_strided(x._host, shape, strides))


def roll(a: ndarray, shift: Any, axis: Any = None) -> ndarray:
    return own(np.roll(_array(a), shift, axis), "C" if axis is None else "K")


def concatenate(
    tup: Any, axis: Any = 0, out: Any = None, *, dtype: Any = None, casting: str = "same_kind"
) -> ndarray:
    parts = [_array(part) for part in tup]
    if not builtins.all(part.ndim for part in parts):
        raise TypeError("zero-dimensional arrays cannot be concatenated")
    return own(np.concatenate(parts, axis, dtype=dtype, casting=casting))


def stack(
    tup: Any, axis: int = 0, out: Any = None, *, dtype: Any = None, casting: str = "same_kind"
) -> ndarray:
    return own(np.stack([_array(part) for part in tup], axis, dtype=dtype, casting=casting))


def tile(A: ndarray, reps: Any) -> ndarray:
    return own(np.tile(_array(A), reps))


def repeat(a: ndarray, repeats: Any, axis: Any = None) -> ndarray:
    if not isinstance(repeats, int):
        read()  # the shape depends on their sum
    return own(np.repeat(_array(a), raw(repeats) if isinstance(repeats, ndarray) else repeats, axis))


def pad(array: ndarray, pad_width: Any, mode: str = "constant", **settings: Any) -> ndarray:
    return own(np.pad(_array(array), pad_width, mode, **settings), "K")


def tril(m: ndarray, k: int = 0) -> ndarray:
    return own(np.tril(_array(m), k))


def triu(m: ndarray, k: int = 0) -> ndarray:
    return own(np.triu(_array(m), k))


def count_nonzero(a: ndarray, axis: Any = None) -> ndarray:
    return own(np.asarray(np.count_nonzero(_array(a), axis)))


def median(
    a: ndarray, axis: Any = None, out: Any = None, overwrite_input: bool = False, keepdims: bool = False
) -> ndarray:
    if not a.size:
        raise ValueError("zero-size array to reduction operation which has no identity")
    return own(np.asarray(np.median(_array(a), axis, keepdims=keepdims)))


def cumsum(a: ndarray, axis: Any = None, dtype: Any = None, out: Any = None) -> ndarray:
    if not a.ndim and axis is not None:
        raise np.exceptions.AxisError(axis, 0)
    result = np.cumsum(_array(a), axis, dtype)
    return own(result) if axis is None or axis % a.ndim == 0 else own_along(result, axis)


def searchsorted(a: ndarray, v: ndarray, side: str = "left", sorter: Any = None) -> ndarray:
    return own(np.searchsorted(_array(a), raw(v), side))


def take(a: ndarray, indices: Any, axis: Any = None, out: Any = None) -> ndarray:
    return own(np.take(_array(a), raw(indices), axis, mode="wrap"))


def take_along_axis(a: ndarray, indices: ndarray, axis: Any) -> ndarray:
    return own(np.take_along_axis(_array(a), _array(indices), axis))


def argsort(a: ndarray, axis: Any = -1, kind: Any = None) -> ndarray:
    result = np.argsort(_array(a), axis, "stable")
    return own(result) if axis is None or not a.ndim else own_along(result, axis)


def argpartition(a: ndarray, kth: Any, axis: Any = -1) -> ndarray:
    np.argpartition(_array(a), kth, axis)  # rejects values out of range
    read()  # CuPy 14.2 reads `kth` from the GPU
    return argsort(a, axis)  # and sorts the whole array


def sort(a: ndarray, axis: int = -1, kind: Any = None) -> ndarray:
    return own(np.sort(_array(a), axis))


def bincount(x: ndarray, weights: Any = None, minlength: Any = None) -> ndarray:
    read()  # the length depends on the largest value
    return own(np.bincount(_array(x), None if weights is None else _array(weights), minlength or 0))


def result_type(*arrays_and_dtypes: Any) -> Any:
    return np.result_type(*[a.dtype if isinstance(a, ndarray) else a for a in arrays_and_dtypes])


def can_cast(from_: Any, to: Any, casting: str = "safe") -> bool:
    return np.can_cast(from_.dtype if isinstance(from_, ndarray) else from_, to, casting)


def copyto(dst: ndarray, src: Any, casting: str = "same_kind", where: Any = None) -> None:
    if isinstance(src, np.ndarray) and src.ndim:
        raise ValueError("non-scalar numpy.ndarray cannot be used for copyto")
    np.copyto(_array(dst), raw(src), casting=casting)


def ndim(a: Any) -> int:
    return a.ndim if isinstance(a, ndarray) else np.ndim(a)


REDUCTIONS = {
    "sum": {}, "prod": {}, "mean": {}, "var": {"ddof": True}, "std": {"ddof": True},
    "max": {"dtype": False}, "min": {"dtype": False}, "amax": {"dtype": False}, "amin": {"dtype": False},
    "all": {"dtype": False}, "any": {"dtype": False}, "argmax": {"dtype": False}, "argmin": {"dtype": False},
}  # fmt: skip

FROM_NUMPY = [
    "bool_", "complex128", "complex64", "dtype", "e", "finfo", "float16", "float32", "float64",
    "floating", "generic", "iinfo", "inf", "inexact", "int16", "int32", "int64", "int8", "integer",
    "intp", "issubdtype", "nan", "newaxis", "number", "pi", "promote_types", "uint16", "uint32",
    "uint64", "uint8", "unsignedinteger", "broadcast_shapes", "bool", "ndindex",
]  # fmt: skip
"""Names that CuPy re-exports from NumPy unchanged."""

FUNCTIONS = [
    arange, argpartition, argsort, around, array, asarray, ascontiguousarray, asnumpy, bincount, broadcast_to,
    can_cast, clip, concatenate, copyto, count_nonzero, cumsum, dot, einsum, empty, empty_like,
    expand_dims, eye, flip, full, full_like, linspace, matmul, median, moveaxis, ndim, nonzero, ones,
    ones_like, outer, pad, ravel, repeat, reshape, result_type, roll, searchsorted, sort, squeeze,
    stack, swapaxes, take, take_along_axis, tensordot, tile, transpose, tril, triu, unique, vdot, where,
    zeros, zeros_like,
]  # fmt: skip


METHODS = [
    *[name for name in REDUCTIONS if name not in ("amax", "amin")],
    "clip", "cumsum", "dot", "repeat", "take", "nonzero", "argsort", "argpartition",
]  # fmt: skip
"""Functions that are also methods of arrays, with the same parameters."""
