"""Which array library an array belongs to, and where new arrays go.

A backend is an array namespace (``xp``) and a table of kernels. Nothing outside this room asks
which library it is: code that computes receives ``xp`` or ``kernels`` and writes against it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from types import ModuleType
from typing import Any, NamedTuple

import numpy

from ..errors import DeviceError, OptionError
from .kernels import KernelTable

Array = Any
"""A raw array of some backend; the libraries share no common base class."""


class Backend(NamedTuple):
    """An array namespace with the kernels written for it.

    Attributes
    ----------
    device : str
        The device's name, such as ``"cpu"`` or ``"cuda:0"``.
    xp : module
        The array namespace: NumPy, or a library with NumPy's interface.
    array_type : type
        The class of its arrays.
    tables : dict of str to KernelTable
        The kernel sets, by the names that `use_kernels` takes.
    current : callable
        ``with current(where):`` new arrays go to this device, and a lack of memory there is a DeviceError in
        the name of `where`.
    """

    device: str
    xp: ModuleType
    array_type: type
    tables: dict[str, KernelTable]
    current: Callable[[str], AbstractContextManager[Any]] = nullcontext


CPU = Backend(
    "cpu",
    numpy,
    numpy.ndarray,
    {"fast": KernelTable(numpy, override="cpu"), "reference": KernelTable(numpy, override=None)},
)

_HOST_ARRAY = numpy.ndarray


def backend_of(values: Any) -> Backend:
    """Return the backend of the first array among `values`; plain numbers count as CPU."""
    for value in values:
        if type(value) is _HOST_ARRAY:
            return CPU
    return next((_gpu_of(value) for value in values if _is_on_gpu(value)), CPU)


def _is_on_gpu(value: object) -> bool:
    """Tell whether `value` is an array of CuPy, without importing it."""
    # Another thread may be in the middle of importing it.
    return isinstance(value, getattr(sys.modules.get("cupy"), "ndarray", ()))


def _gpu_of(array: Array) -> Backend:
    from . import cuda

    return cuda.backend_of_gpu(array.device.id)


def is_array(value: object) -> bool:
    """Tell whether `value` is a raw array of a known backend."""
    return isinstance(value, numpy.ndarray) or _is_on_gpu(value)


def get_backend(device: str) -> Backend:
    """Look a device up by name.

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
            from . import cuda

            return cuda.find_gpu(int(number) if colon else None)
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
        ``"cpu"`` or ``"cuda:N"``, as ``Tensor.device`` says it; any ``device=`` takes it.

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


def asarray(data: Any, dtype: Any = None, device: str = "cpu") -> Array:
    """Turn nested sequences or an array into an array on `device`, copying only when needed."""
    backend = get_backend(device)
    if _is_on_gpu(data):
        data = to_device(data, device)
    with backend.current("asarray"):
        return backend.xp.asarray(data, dtype=dtype)


def to_device(array: Array, device: str) -> Array:
    """Move `array` to `device`; an array that is there already is returned as it is."""
    here, there = backend_of((array,)), get_backend(device)
    if here is there:
        return array
    if there is CPU:
        return to_host(array)
    with there.current("to"):
        # From one GPU to another: a copy is made on the current one.
        return there.xp.asarray(array) if here is CPU else array.copy()


def to_host(array: Array) -> numpy.ndarray[Any, Any]:
    """Return `array` as a NumPy array, without a copy where it is one; from a GPU, wait for it."""
    return numpy.asarray(array) if backend_of((array,)) is CPU else array.get()


def address_of(array: Array) -> int:
    """Return where the memory of `array` begins."""
    if backend_of((array,)) is CPU:
        return int(array.__array_interface__["data"][0])
    return int(array.data.ptr)


def device_of(array: Array) -> str:
    """Name the device that `array` lives on."""
    return backend_of((array,)).device


def on_device_of(array: Array, where: str) -> AbstractContextManager[Any]:
    """Compute where `array` lives, inside a ``with`` block, in the name of the operation `where`."""
    return backend_of((array,)).current(where)
