"""The stand-in's functions of arrays: CuPy's parameters, NumPy's work."""

from __future__ import annotations

import builtins
import functools
import inspect
from typing import Any

import numpy as np

from .arrays import ndarray, own, raw
from .state import SUPPORTED, read, state


def _array(value: Any) -> Any:
    """Return the inside of an array, and of nothing else: these functions take no numbers."""
    if not isinstance(value, ndarray):
        raise TypeError(f"Unsupported type {type(value)}")
    return raw(value)


def reduction(name: str, *, dtype: bool = True, ddof: bool = False, keepdims: bool = True) -> Any:
    work = getattr(np, name)

    def reduce(a: ndarray, axis: Any = None, **settings: Any) -> ndarray:
        out = settings.pop("out", None)
        with np.errstate(all="ignore"):
            result = work(_array(a), axis=axis, **settings)
        if out is None:
            return own(result)
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
    return own(np.full(shape, 77, dtype, order), order)  # what was there before


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
    return own(np.eye(N, M, k, dtype))


def arange(start: Any, stop: Any = None, step: Any = 1, dtype: Any = None) -> ndarray:
    for bound in (start, stop, step):
        if isinstance(bound, ndarray):
            read()
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
        if obj._gpu != state.device:
            return obj.copy().astype(dtype or obj.dtype, copy=False)
        return obj.astype(obj.dtype if dtype is None else dtype, copy=bool(copy))
    if isinstance(obj, list | tuple) and builtins.any(isinstance(part, ndarray) for part in obj):
        return stack([part if dtype is None else part.astype(dtype) for part in obj])
    host = np.array(obj, dtype=dtype, ndmin=ndmin)
    if host.dtype.char not in SUPPORTED:
        raise ValueError(f"Unsupported dtype {host.dtype}")
    return own(host, "F" if isinstance(obj, np.ndarray) and obj.flags.fnc else "C")


def asarray(
    a: Any, dtype: Any = None, order: Any = None, *, copy: Any = None, blocking: bool = False
) -> ndarray:
    return array(a, dtype, copy=bool(copy))


def ascontiguousarray(a: Any, dtype: Any = None) -> ndarray:
    made = asarray(a, dtype)
    return made if made.flags.c_contiguous and made.ndim else own(np.ascontiguousarray(made._host))


def asnumpy(
    a: Any, stream: Any = None, order: str = "C", out: Any = None, *, blocking: bool = True
) -> np.ndarray:
    return a.get(stream, order, out) if isinstance(a, ndarray) else np.asarray(a)


def where(condition: ndarray, x: Any = None, y: Any = None) -> Any:
    if x is None or y is None:
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
    if a_min is None and a_max is None:
        raise ValueError("array_clip: must set either max or min")
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
    return own(np.einsum(subscripts, *[raw(asarray(a)) for a in arrays]))


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
    return own(np.roll(_array(a), shift, axis))


def concatenate(
    tup: Any, axis: Any = 0, out: Any = None, *, dtype: Any = None, casting: str = "same_kind"
) -> ndarray:
    return own(np.concatenate([_array(part) for part in tup], axis, dtype=dtype, casting=casting))


def stack(
    tup: Any, axis: int = 0, out: Any = None, *, dtype: Any = None, casting: str = "same_kind"
) -> ndarray:
    return own(np.stack([_array(part) for part in tup], axis, dtype=dtype, casting=casting))


def tile(A: ndarray, reps: Any) -> ndarray:
    return own(np.tile(_array(A), reps))


def repeat(a: ndarray, repeats: Any, axis: Any = None) -> ndarray:
    return own(np.repeat(_array(a), repeats, axis))


def pad(array: ndarray, pad_width: Any, mode: str = "constant", **settings: Any) -> ndarray:
    return own(np.pad(_array(array), pad_width, mode, **settings))


def tril(m: ndarray, k: int = 0) -> ndarray:
    return own(np.tril(_array(m), k))


def triu(m: ndarray, k: int = 0) -> ndarray:
    return own(np.triu(_array(m), k))


def count_nonzero(a: ndarray, axis: Any = None) -> ndarray:
    return own(np.asarray(np.count_nonzero(_array(a), axis)))


def median(
    a: ndarray, axis: Any = None, out: Any = None, overwrite_input: bool = False, keepdims: bool = False
) -> ndarray:
    return own(np.asarray(np.median(_array(a), axis, keepdims=keepdims)))


def cumsum(a: ndarray, axis: Any = None, dtype: Any = None, out: Any = None) -> ndarray:
    return own(np.cumsum(_array(a), axis, dtype))


def searchsorted(a: ndarray, v: ndarray, side: str = "left", sorter: Any = None) -> ndarray:
    return own(np.searchsorted(_array(a), _array(v), side))


def take(a: ndarray, indices: Any, axis: Any = None, out: Any = None) -> ndarray:
    return own(np.take(_array(a), raw(indices), axis, mode="wrap"))


def take_along_axis(a: ndarray, indices: ndarray, axis: Any) -> ndarray:
    return own(np.take_along_axis(_array(a), _array(indices), axis))


def argsort(a: ndarray, axis: int = -1, kind: Any = None) -> ndarray:
    return own(np.argsort(_array(a), axis, "stable"))


def argpartition(a: ndarray, kth: Any, axis: int = -1) -> ndarray:
    return own(np.argsort(_array(a), axis, "stable"))  # CuPy sorts the whole


def sort(a: ndarray, axis: int = -1, kind: Any = None) -> ndarray:
    return own(np.sort(_array(a), axis))


def bincount(x: ndarray, weights: Any = None, minlength: Any = None) -> ndarray:
    read()  # the length depends on the greatest
    return own(np.bincount(_array(x), None if weights is None else _array(weights), minlength or 0))


def result_type(*arrays_and_dtypes: Any) -> Any:
    return np.result_type(*[a.dtype if isinstance(a, ndarray) else a for a in arrays_and_dtypes])


def can_cast(from_: Any, to: Any, casting: str = "safe") -> bool:
    return np.can_cast(from_.dtype if isinstance(from_, ndarray) else from_, to, casting)


def copyto(dst: ndarray, src: Any, casting: str = "same_kind", where: Any = None) -> None:
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
"""Names that CuPy takes over from NumPy as they are."""

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
"""Functions that arrays have as methods too, with the same parameters."""
