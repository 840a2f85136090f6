"""The stand-in's arrays and elementwise functions, ``cupy.ndarray`` and ``cupy.ufunc``."""

from __future__ import annotations

import builtins
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np

from .state import SUPPORTED, OutOfMemoryError, clock, counts, limit, read, state
from .streams import Stream

module = ModuleType("cupy")
"""The module returned by ``import cupy``; the package fills it."""


def own(values: Any, order: str = "C") -> ndarray:
    """Wrap a new NumPy array, or what a NumPy function returned, as an array of the current GPU."""
    array = np.asarray(values)
    if array.dtype.char not in SUPPORTED or not array.dtype.isnative:
        raise ValueError(f"Unsupported dtype {array.dtype}")
    if counts["used"] + array.nbytes > limit[0]:
        raise OutOfMemoryError(array.nbytes, counts["used"])
    if array.ndim and order == "C":
        array = np.ascontiguousarray(array)
    return ndarray._of(array, state.device)


def own_along(values: Any, axis: int) -> ndarray:
    """Wrap a result computed along an axis, which CuPy makes the innermost one."""
    made = own(np.moveaxis(values, axis, -1))
    return made._view(np.moveaxis(made._host, -1, axis))


def raw(value: Any, scalar: bool = True) -> Any:
    """Unwrap an array on the current GPU, or a number, for NumPy."""
    if isinstance(value, ndarray):
        if value._gpu != state.device:
            raise ValueError(
                f"The device where the array resides ({value._gpu}) is different from the current device "
                f"({state.device}). Peer access is unavailable between these devices."
            )
        return value._host
    if scalar and type(value) in (int, float, bool, complex):
        if type(value) is int and not -(2**63) <= value < 2**64:
            raise OverflowError("Python int too large to convert to C long")
        return value
    if scalar and isinstance(value, np.generic):
        return value
    raise TypeError(f"Unsupported type {type(value)}")


class _Flags:
    def __init__(self, flags: Any, owndata: bool) -> None:
        self.c_contiguous, self.f_contiguous, self.owndata = flags.c_contiguous, flags.f_contiguous, owndata


class _Pointer:
    """The memory of an array, like ``ndarray.data``."""

    def __init__(self, array: ndarray) -> None:
        self.ptr = array._host.__array_interface__["data"][0]
        self.device_id, self.device = array._gpu, module.cuda.Device(array._gpu)


class ndarray:
    """An array on a GPU, like ``cupy.ndarray``."""

    __array_priority__ = 100
    __hash__ = None  # type: ignore[assignment]
    __slots__ = ("__weakref__", "_gpu", "_host", "_made", "base")

    def __init__(
        self, shape: Any, dtype: Any = float, memptr: Any = None, strides: Any = None, order: str = "C"
    ):
        if memptr is not None or strides is not None:
            raise NotImplementedError("memory of one's own")
        made = own(np.empty(shape, dtype, order), order)
        self._host, self._gpu, self._made, self.base = made._host, made._gpu, made._made, None

    @classmethod
    def _of(cls, host: np.ndarray, gpu: int, base: Any = None) -> ndarray:
        made = object.__new__(cls)
        made._host, made._gpu, made._made, made.base = host, gpu, next(clock), base
        return made

    def _view(self, host: np.ndarray) -> ndarray:
        return ndarray._of(host, self._gpu, self if self.base is None else self.base)

    # Properties known without reading values.

    shape = property(lambda self: self._host.shape)
    dtype = property(lambda self: self._host.dtype)
    ndim = property(lambda self: self._host.ndim)
    size = property(lambda self: self._host.size)
    itemsize = property(lambda self: self._host.itemsize)
    nbytes = property(lambda self: self._host.nbytes)
    strides = property(lambda self: self._host.strides)
    flags = property(lambda self: _Flags(self._host.flags, self.base is None))
    device = property(lambda self: module.cuda.Device(self._gpu))
    data = property(_Pointer)
    T = property(lambda self: self._view(self._host.T))
    mT = property(lambda self: self._view(self._host.mT))

    def __len__(self) -> int:
        return len(self._host)

    def __iter__(self) -> Iterator[ndarray]:
        if not self.ndim:
            raise TypeError("iteration over a 0-d array")
        return (self[i] for i in builtins.range(len(self)))

    # Transfers of values to the host.

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        raise TypeError(
            "Implicit conversion to a NumPy array is not allowed. "
            "Please use `.get()` to construct a NumPy array explicitly."
        )

    def get(self, stream: Any = None, order: str = "C", out: Any = None, blocking: bool = True) -> np.ndarray:
        read()
        if out is None:
            return np.array(self._host, order=order)
        if out.dtype != self.dtype:
            raise TypeError(f"{self.dtype} array cannot be obtained to {out.dtype} array")
        if out.shape != self.shape:
            raise ValueError("Shape mismatch.")
        if not (out.flags.c_contiguous or out.flags.f_contiguous):
            raise RuntimeError("Cannot get to non-contiguous array")
        out[...] = self._host
        return out

    def item(self) -> Any:
        return self.get().item()

    def tolist(self) -> Any:
        return self.get().tolist()

    def tobytes(self, order: str = "C") -> bytes:
        return self.get().tobytes(order)

    def __reduce__(self) -> Any:
        return module.asarray, (self.get(),)

    def __bool__(self) -> bool:
        if not self.size:
            return False
        if self.size != 1:
            raise ValueError("The truth value of an array with more than one element is ambiguous.")
        return bool(self.get())

    def __int__(self) -> int:
        return int(self.get())

    def __float__(self) -> float:
        return float(self.get())

    def __complex__(self) -> complex:
        return complex(self.get())

    def __repr__(self) -> str:
        return repr(self.get())

    def __str__(self) -> str:
        return str(self.get())

    def __format__(self, spec: str) -> str:
        return format(self.get(), spec)

    # Copies and views.

    def set(self, arr: np.ndarray, stream: Any = None) -> None:
        if not isinstance(arr, np.ndarray):
            raise TypeError("Only numpy.ndarray can be set to cupy.ndarray")
        if self.dtype != arr.dtype:
            raise TypeError(f"{arr.dtype} array cannot be set to {self.dtype} array")
        if self.shape != arr.shape:
            raise ValueError("Shape mismatch.")
        if not (self._host.flags.c_contiguous or self._host.flags.f_contiguous):
            raise RuntimeError("Cannot set to non-contiguous array")
        (stream or Stream.null)._copy(self, arr)

    def copy(self, order: str = "C") -> ndarray:
        return own(self._host.copy(order), order)  # on the current GPU, wherever this one is

    def __copy__(self) -> ndarray:
        return self.copy()

    def __deepcopy__(self, memo: dict[int, Any]) -> ndarray:
        with self.device:
            return self.copy()

    def astype(
        self, dtype: Any, order: str = "K", casting: Any = None, subok: Any = None, copy: bool = True
    ) -> ndarray:
        if casting is not None or subok is not None:
            raise TypeError("casting and subok are not supported yet")
        if not copy and np.dtype(dtype) == self.dtype:
            return self
        return own(raw(self).astype(dtype, order), "K")

    def view(self, dtype: Any = None) -> ndarray:
        return self._view(self._host.view() if dtype is None else self._host.view(dtype))

    def reshape(self, *shape: Any, order: str = "C") -> ndarray:
        made = self._host.reshape(*shape, order=order)
        return self._view(made) if np.may_share_memory(made, self._host) else own(made, "K")

    def ravel(self, order: str = "C") -> ndarray:
        made = self._host.ravel(order)
        return self._view(made) if np.may_share_memory(made, self._host) else own(made)

    def flatten(self, order: str = "C") -> ndarray:
        return own(raw(self).flatten(order))

    def transpose(self, *axes: Any) -> ndarray:
        return self._view(self._host.transpose(*axes))

    def swapaxes(self, axis1: int, axis2: int) -> ndarray:
        if not builtins.all(-self.ndim <= axis < self.ndim for axis in (axis1, axis2)):
            raise ValueError("Axis out of range")
        return self._view(self._host.swapaxes(axis1, axis2))

    def squeeze(self, axis: Any = None) -> ndarray:
        return self._view(self._host.squeeze(axis))

    def diagonal(self, offset: int = 0, axis1: int = 0, axis2: int = 1) -> ndarray:
        return self._view(self._host.diagonal(offset, axis1, axis2))

    def fill(self, value: Any) -> None:
        if np.shape(value if not isinstance(value, ndarray) else value._host):
            raise ValueError("non-scalar numpy.ndarray cannot be used for fill")
        if isinstance(value, ndarray):
            read()
        raw(self)[...] = raw(value)

    def round(self, decimals: int = 0) -> ndarray:
        return own(raw(self).round(decimals))

    # Indices.

    def __getitem__(self, index: Any) -> ndarray:
        index, advanced = _index(self, index)
        if advanced:
            if _has_mask(index):
                read()  # the shape depends on the number of true entries
            return own(raw(self)[index])
        return self._view(self._host[index])

    def __setitem__(self, index: Any, value: Any) -> None:
        index, advanced = _index(self, index)
        if not advanced and isinstance(value, np.ndarray | list | tuple) and np.ndim(value):
            raise ValueError("non-scalar numpy.ndarray cannot be used for fill")
        host, values = raw(self), raw(value)
        if _has_mask(index):
            read()  # CuPy converts a mask to indices
        elif advanced and np.ndim(values):
            places = np.arange(host.size).reshape(host.shape)[index]
            if np.unique(places).size != places.size:
                raise AssertionError("the result of an assignment with repeated indices is undefined")
        host[index] = values

    # Arithmetic. In-place operations must not mix devices either.

    def __array_ufunc__(self, function: Any, method: str, *inputs: Any, **settings: Any) -> Any:
        name = {"absolute": "abs"}.get(function.__name__, function.__name__)
        if method != "__call__" or not hasattr(module, name):
            return NotImplemented
        out = settings.get("out")
        if isinstance(out, tuple):
            settings["out"] = out[0]
        return getattr(module, name)(*inputs, **settings)

    def __array_function__(self, function: Any, types: Any, args: Any, settings: Any) -> Any:
        place: Any = module
        for part in function.__module__.split(".")[1:]:
            place = getattr(place, part, None)
        found = getattr(place, function.__name__, None)
        if found is None or any(t not in (ndarray, np.ndarray) for t in types):
            return NotImplemented
        return found(*args, **settings)


def _has_mask(index: Any) -> bool:
    parts = index if isinstance(index, tuple) else (index,)
    return builtins.any(isinstance(p, np.ndarray) and p.dtype.kind == "b" for p in parts)


def _index(array: ndarray, index: Any) -> tuple[Any, bool]:
    """Return the index for NumPy, wrapped into range as in CuPy, and whether it is advanced."""
    parts = list(index) if isinstance(index, tuple) else [index]
    advanced = False
    for i, part in enumerate(parts):
        if isinstance(part, ndarray):
            parts[i] = raw(part)
        elif isinstance(part, list):
            parts[i] = np.array(part, dtype=None if part else np.int32)
        elif isinstance(part, bool | np.bool_):
            parts[i] = np.array(part)
        elif isinstance(part, np.ndarray):
            pass
        else:
            continue
        advanced = True
        if parts[i].dtype.kind not in "iub":
            raise IndexError(
                f"arrays used as indices must be of integer or boolean type. (actual: {part.dtype})"
            )
    if advanced:
        taken = [p.ndim if isinstance(p, np.ndarray) and p.dtype.kind == "b" else p not in (None, Ellipsis)
                 if not isinstance(p, np.ndarray) else 1 for p in parts]  # fmt: skip
        axis = 0
        for i, (part, count) in enumerate(zip(parts, taken, strict=True)):
            if part is Ellipsis:
                axis += array.ndim - builtins.sum(taken)
            elif isinstance(part, np.ndarray) and part.dtype.kind in "iu" and array.shape[axis]:
                parts[i] = part % array.shape[axis]
            axis += count
    return tuple(parts) if isinstance(index, tuple) else parts[0], advanced


# --- Functions of elements --------------------------------------------------------------------------


class ufunc:
    """An elementwise function, like ``cupy.ufunc``, with the parameters out, dtype and casting."""

    def __init__(self, name: str, function: Any) -> None:
        self.__name__, self.name, self._function, self.nin = name, f"cupy_{name}", function, function.nin

    def __call__(self, *args: Any, **settings: Any) -> Any:
        out, dtype = settings.pop("out", None), settings.pop("dtype", None)
        casting = settings.pop("casting", "same_kind")
        if settings:
            raise TypeError(f"Wrong arguments {settings}")
        if not self.nin <= len(args) <= self.nin + 1:
            raise TypeError(f"Wrong number of arguments for {self.name!r}")
        if len(args) > self.nin:
            *args, out = args  # type: ignore[assignment]
        if isinstance(out, tuple) and len(out) == 1:
            (out,) = out
        if out is not None and not isinstance(out, ndarray):
            raise TypeError(f"Unsupported type {type(out)}")
        more = {"casting": casting}
        more |= {} if dtype is None else {"dtype": dtype}
        more |= {} if out is None else {"out": raw(out)}
        with np.errstate(all="ignore"):
            try:
                result = self._compute(*[raw(arg) for arg in args], **more)
            except TypeError as error:  # of a class specific to NumPy
                raise TypeError(str(error)) from None
        if out is not None:
            return out
        return tuple(map(own, result)) if isinstance(result, tuple) else own(result)

    def _compute(self, *args: Any, **settings: Any) -> Any:
        dtype = np.result_type(*args)
        if self.__name__ == "sign" and dtype.kind == "b":
            args = (args[0].view("int8"),)
        if self.__name__ == "power" and dtype.kind == "i" and np.any(np.less(args[1], 0)):
            # NumPy rejects values that an integer cannot hold; CuPy truncates: 0 except for 1 and -1.
            whole = np.trunc(self._function(np.asarray(args[0], "float64"), args[1]))
            return np.positive(whole.astype(dtype), **settings)
        return self._function(*args, **settings)

    def at(self, a: ndarray, indices: Any, b: Any = None) -> None:
        """Unbuffered, like ``add.at``; for the types with atomic addition in hardware."""
        if self.__name__ not in ("add", "subtract", "maximum", "minimum"):
            raise NotImplementedError(f"`{self.name}.at` is not supported yet")
        if a.dtype.char not in {"add": "ifdeILQlq", "subtract": "iI"}.get(self.__name__, "ifdILQlq"):
            raise TypeError(f"cupy.{self.__name__}.at does not support this data type: {a.dtype}")
        index, _ = _index(a, indices)
        if _has_mask(index):
            read()
        self._function.at(raw(a), index, raw(b))


UFUNCS = [
    "abs", "absolute", "add", "arccos", "arccosh", "arcsin", "arcsinh", "arctan", "arctan2", "arctanh",
    "bitwise_and", "bitwise_not", "bitwise_or", "bitwise_xor", "cbrt", "ceil", "copysign", "cos",
    "cosh", "deg2rad", "degrees", "divide", "equal", "exp", "exp2", "expm1", "fabs", "floor",
    "floor_divide", "fmax", "fmin", "fmod", "frexp", "greater", "greater_equal", "hypot", "invert",
    "isfinite", "isinf", "isnan", "ldexp", "left_shift", "less", "less_equal", "log", "log10", "log1p",
    "log2", "logaddexp", "logaddexp2", "logical_and", "logical_not", "logical_or", "logical_xor", "maximum",
    "minimum", "mod", "multiply", "negative", "nextafter", "not_equal", "positive", "power", "rad2deg",
    "radians", "reciprocal", "remainder", "right_shift", "rint", "sign", "signbit", "sin", "sinh",
    "sqrt", "square", "subtract", "tan", "tanh", "true_divide", "trunc",
]  # fmt: skip

OPERATORS = {
    "add": "add", "sub": "subtract", "mul": "multiply", "truediv": "true_divide", "floordiv": "floor_divide",
    "mod": "remainder", "pow": "power", "lshift": "left_shift", "rshift": "right_shift", "and": "bitwise_and",
    "or": "bitwise_or", "xor": "bitwise_xor",
}  # fmt: skip


def _foreign(value: Any) -> bool:
    """Return whether an operator defers to the other operand, such as a Tensor."""
    return not isinstance(value, ndarray | np.ndarray | np.generic | int | float | complex)


def _operator(name: str, reflected: bool) -> Any:
    def apply(self: ndarray, other: Any) -> Any:
        if name in ("equal", "not_equal") and other is None:
            return module.full(self.shape, name == "not_equal")
        if _foreign(other):
            if name in ("equal", "not_equal") and not hasattr(other, "__array_ufunc__"):
                raise TypeError(f"Unsupported type {type(other)}")  # other types would only compare unequal
            return NotImplemented
        return getattr(module, name)(*((other, self) if reflected else (self, other)))

    return apply


def _in_place(name: str) -> Any:
    def apply(self: ndarray, other: Any) -> Any:
        if _foreign(other):
            return NotImplemented
        return getattr(module, name)(self, other, out=self)

    return apply


def define_operators() -> None:
    for short, name in OPERATORS.items():
        setattr(ndarray, f"__{short}__", _operator(name, False))
        setattr(ndarray, f"__r{short}__", _operator(name, True))
        setattr(ndarray, f"__i{short}__", _in_place(name))
    for short, name in {
        "eq": "equal", "ne": "not_equal", "lt": "less", "le": "less_equal", "gt": "greater",
        "ge": "greater_equal",
    }.items():  # fmt: skip
        setattr(ndarray, f"__{short}__", _operator(name, False))
    for short, name in {"neg": "negative", "pos": "positive", "abs": "absolute", "invert": "invert"}.items():
        setattr(ndarray, f"__{short}__", lambda self, name=name: getattr(module, name)(self))
    ndarray.__divmod__ = lambda self, other: (self // other, self % other)  # type: ignore[attr-defined]
    ndarray.__matmul__ = lambda self, other: NotImplemented if _foreign(other) else module.matmul(self, other)  # type: ignore[attr-defined]
