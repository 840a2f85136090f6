"""The array library and the device of arrays, old and new.

A backend is an array namespace (``xp``) and the faster kernels for it. No code outside this room depends on
which library that is: code that computes receives ``xp`` and uses it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from types import SimpleNamespace
from typing import Any

import numpy

from ..errors import DeviceError, DTypeError, OptionError
from ..typing import Array, DType, TensorLike
from .backends import CPU, GPUS, Backend

_HOST_ARRAY = numpy.ndarray


def backend_of(values: Sequence[object]) -> Backend:
    """Return the backend of the first array among `values`; plain numbers count as CPU."""
    for value in values:
        if type(value) is _HOST_ARRAY:
            return CPU
    for value in values:
        if _is_on_gpu(value):
            return _gpu_of(value)
    return CPU


def _is_on_gpu(value: object) -> bool:
    """Return whether `value` is an array of CuPy, without importing it."""
    # While another thread imports it, the module is there without its class.
    return isinstance(value, getattr(sys.modules.get("cupy"), "ndarray", ()))


def _gpu_of(array: Array) -> Backend:
    number = array.data.device_id
    if number not in GPUS:
        from .cuda.finding import backend_of_gpu

        GPUS[number] = backend_of_gpu(number)
    return GPUS[number]


def is_array(value: object) -> bool:
    """Return whether `value` is a raw array of NumPy or CuPy."""
    return isinstance(value, numpy.ndarray) or _is_on_gpu(value)


def get_backend(device: str) -> Backend:
    """Return the backend of a device.

    Parameters
    ----------
    device : str
        ``"cpu"``, ``"cuda"`` (the current GPU) or ``"cuda:N"``.

    Raises
    ------
    DeviceError
        If the device is not usable on this machine.
    OptionError
        If there is no device of that name.
    """
    if device == "cpu":
        return CPU
    if isinstance(device, str):
        kind, colon, number = device.partition(":")
        if kind == "cuda" and (number.isdecimal() if colon else True):
            from .cuda import finding

            return finding.find_gpu(int(number) if colon else None)
    raise OptionError(
        "device", f"unknown device {device!r}; write 'cpu', or 'cuda' for a GPU", known="cpu, cuda, cuda:N"
    )


def device(name: str) -> str:
    """Check that a device can be used, and return its full name.

    Parameters
    ----------
    name : str
        ``"cpu"``, ``"cuda"`` (the current GPU), ``"cuda:N"``, or ``"auto"``: the current GPU if it can be
        used, else the CPU.

    Returns
    -------
    str
        ``"cpu"`` or ``"cuda:N"``, as in ``Tensor.device``; any ``device=`` takes it.

    Raises
    ------
    DeviceError
        If the device is not usable on this machine.
    OptionError
        If there is no device of that name.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> tg.zeros(2, device=tg.device("cpu")).device
    'cpu'
    """
    if name != "auto":
        return get_backend(name).device
    try:
        return get_backend("cuda").device
    except DeviceError:
        return "cpu"


def asarray(data: TensorLike, dtype: DType = None, device: str = "cpu", where: str = "asarray") -> Array:
    """Turn nested sequences or an array into an array on `device`, copying only when needed.

    Raises
    ------
    DTypeError
        In the name of the operation `where`, if the data do not form an array, or hide values by a mask.
    """
    backend = get_backend(device)
    if _is_on_gpu(data):
        data = to_device(data, device)
    require_no_mask(where, data)
    with backend.current(where):
        try:
            return backend.xp.asarray(data, dtype=dtype)
        except (ValueError, TypeError, OverflowError) as error:
            raise DTypeError(where, f"the data do not form an array: {error}") from error


def require_no_mask(where: str, data: object) -> None:
    """Refuse arrays that hide some of their values by a mask: operations would use these values, too."""
    if type(data) is not numpy.ndarray:
        mask = getattr(data, "mask", None)
        if mask is not None and not callable(mask):  # `mask` is a method in pandas
            raise DTypeError(where, "a Tensor has no mask; call .filled() first", type=type(data).__name__)


def to_device(array: Array, device: str) -> Array:
    """Move `array` to `device`; an array that is there already is returned itself."""
    here, there = backend_of((array,)), get_backend(device)
    if here is there:
        return array
    if there is CPU:
        return to_host(array)
    with there.current("to"):
        # From one GPU to another: a copy is made on the current one.
        return there.xp.asarray(array) if here is CPU else array.copy()


def to_host(array: Array) -> numpy.ndarray[Any, Any]:
    """Return `array` as a NumPy array: itself if it is one, or else a copy, once the GPU has computed it."""
    return numpy.asarray(array) if backend_of((array,)) is CPU else array.get()


def address_of(array: Array) -> int:
    """Return the address of the first element of `array`."""
    if backend_of((array,)) is CPU:
        return int(array.__array_interface__["data"][0])
    return int(array.data.ptr)


_LONG_SEARCH = 100_000
"""Steps of a search for a common element of two arrays; so many take a few milliseconds."""


def share_memory(a: Array, b: Array) -> bool:
    """Return whether two arrays have an element in common, so that a change of one shows in the other.

    If the strides make the search too long, the answer is yes.
    """
    if device_of(a) != device_of(b):
        return False
    try:
        return numpy.shares_memory(_outline(a), _outline(b), max_work=_LONG_SEARCH)  # type: ignore[arg-type]
    except numpy.exceptions.TooHardError:
        return True


def same_view(array: Array, whole: Array, copy: Array) -> Array:
    """Return the view of `copy` that corresponds to `array`, a view of `whole`.

    All have one dtype. The result is None if `array` reaches beyond `whole`, or if `copy` has other strides,
    as the copy of an array with gaps has.
    """
    if array is whole:
        return copy
    first = (address_of(array) - address_of(whole)) // whole.itemsize
    steps = [stride // whole.itemsize * (n - 1) for n, stride in zip(array.shape, array.strides, strict=True)]
    low, high = first + sum(min(step, 0) for step in steps), first + sum(max(step, 0) for step in steps)
    if copy.strides != whole.strides or low < 0 or high >= whole.size:
        return None
    as_strided = backend_of((copy,)).xp.lib.stride_tricks.as_strided
    memory = as_strided(copy, (copy.size,), (copy.itemsize,))
    return as_strided(memory[first:], array.shape, array.strides)


def _outline(array: Array) -> Array:
    """Return a NumPy array with the memory layout of `array`, whose elements must not be read."""
    interface = {
        "shape": array.shape,
        "typestr": array.dtype.str,
        "data": (address_of(array), True),
        "strides": array.strides,
        "version": 3,
    }
    return numpy.asarray(SimpleNamespace(__array_interface__=interface))


def device_of(array: Array) -> str:
    """Return the name of the device of `array`."""
    return backend_of((array,)).device


def place_of(value: object) -> str | None:
    """Return the name of the device of an array; None for any other value."""
    if _is_on_gpu(value):
        return _gpu_of(value).device
    return CPU.device if isinstance(value, numpy.ndarray) else None


def on_device_of(array: Array, where: str) -> AbstractContextManager[Any]:
    """Compute on the device of `array` inside a ``with`` block, in the name of the operation `where`."""
    return backend_of((array,)).current(where)
