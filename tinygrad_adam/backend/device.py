"""Which array library an array belongs to, and where new arrays go.

A backend is an array namespace (``xp``) and a table of kernels. Nothing outside this room asks
which library it is: code that computes receives ``xp`` or ``kernels`` and writes against it.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any, NamedTuple

import numpy

from ..errors import DeviceError, unknown_name
from .kernels import KernelTable

Array = Any
"""A raw array of some backend; the libraries share no common base class."""


class Backend(NamedTuple):
    """An array namespace with the kernels written for it.

    Attributes
    ----------
    device : str
        The device's name, such as ``"cpu"``.
    xp : module
        The array namespace: NumPy, or a library with NumPy's interface.
    array_type : type
        The class of its arrays.
    tables : dict of str to KernelTable
        The kernel sets, by the names that `use_kernels` takes.
    """

    device: str
    xp: ModuleType
    array_type: type
    tables: dict[str, KernelTable]


CPU = Backend(
    "cpu",
    numpy,
    numpy.ndarray,
    {"fast": KernelTable(numpy, override="cpu"), "reference": KernelTable(numpy, override=None)},
)

_BACKEND_OF_TYPE: dict[type, Backend] = {CPU.array_type: CPU}


def backend_of(values: Any) -> Backend:
    """Return the backend of the first array among `values`; plain numbers count as CPU."""
    for value in values:
        backend = _BACKEND_OF_TYPE.get(type(value))
        if backend is not None:
            return backend
    return CPU


def is_array(value: object) -> bool:
    """Tell whether `value` is a raw array of a known backend."""
    return type(value) in _BACKEND_OF_TYPE or isinstance(value, numpy.ndarray)


def get_backend(device: str) -> Backend:
    """Look a device up by name.

    Parameters
    ----------
    device : str
        ``"cpu"``, ``"cuda"`` or ``"cuda:N"``.

    Raises
    ------
    DeviceError
        If the device is not usable on this machine.
    OptionError
        If there is no device of that name.
    """
    if device == "cpu":
        return CPU
    if isinstance(device, str) and device.split(":")[0] == "cuda":
        raise DeviceError(
            "device", "CUDA devices are not supported by this version; use 'cpu'", device=device
        )
    raise unknown_name("device", "device", device, ["cpu"])


def asarray(data: Any, dtype: Any = None, device: str = "cpu") -> Array:
    """Turn nested sequences or an array into an array on `device`, copying only when needed."""
    return get_backend(device).xp.asarray(data, dtype=dtype)


def to_device(array: Array, device: str) -> Array:
    """Move `array` to `device`; an array that is there already is returned as it is."""
    if backend_of((array,)) is get_backend(device):
        return array
    return asarray(to_host(array), device=device)


def to_host(array: Array) -> numpy.ndarray[Any, Any]:
    """Return `array` as a NumPy array, without a copy where it is one."""
    return numpy.asarray(array)


def device_of(array: Array) -> str:
    """Name the device that `array` lives on."""
    return backend_of((array,)).device
