"""Backends: an array namespace for each device, with the functions that compute on it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from types import ModuleType
from typing import Any, NamedTuple

import numpy

from .overrides import Overrides, Rules


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
    kernels : Overrides
        Faster versions of reference code, by name.
    rules : dict of str to Rules
        For each kernel set that `use_kernels` takes, what computes a reference function.
    current : callable
        ``with current(where):`` new arrays go to this device, and a lack of memory there is a DeviceError in
        the name of `where`.
    """

    device: str
    xp: ModuleType
    array_type: type
    kernels: Overrides
    rules: dict[str, Rules]
    current: Callable[[str], AbstractContextManager[Any]] = nullcontext


_KERNELS = Overrides("cpu")
CPU = Backend(
    "cpu",
    numpy,
    numpy.ndarray,
    _KERNELS,
    {"fast": Rules(numpy, _KERNELS), "reference": Rules(numpy)},
)

GPUS: dict[int, Backend] = {}
"""The backends of GPUs by number, from when they are first met: every operation on one asks."""
