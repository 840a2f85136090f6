"""GPUs: CuPy as the array namespace, one backend for each, and errors that say what to do.

CuPy is imported when a GPU is asked for, never before.
"""

from __future__ import annotations

import functools
import re
from types import TracebackType
from typing import Any

import numpy

from ..errors import DeviceError
from .device import Backend
from .diagnosis import diagnose
from .kernels import KernelTable


def usable() -> bool:
    """Tell whether a GPU can be used: whether a small product there gives the right numbers.

    Whatever is missing or broken, a driver, a library, the GPU itself, the answer is no; nothing is raised.
    """
    try:
        import cupy

        matrix = cupy.asarray(numpy.array([[1.0, 2.0], [3.0, 4.0]], dtype="float32"))
        return bool((matrix @ matrix).get().tolist() == [[7.0, 10.0], [15.0, 22.0]])
    except Exception:
        return False


@functools.cache
def _library() -> Any:
    """Return CuPy, once it was seen to work.

    Raises
    ------
    DeviceError
        If there is no usable GPU, with what is missing and how to mend it.
    """
    if not usable():
        found = diagnose()
        raise DeviceError("cuda", f"{found.problem} {found.remedy}")
    import cupy

    return cupy


def find_gpu(number: int | None) -> Backend:
    """Return the backend of a GPU by its number, or of the current one.

    Raises
    ------
    DeviceError
        If no GPU can be used, or there is none of that number.
    """
    cupy = _library()
    if number is None:
        number = int(cupy.cuda.Device().id)
    count = cupy.cuda.runtime.getDeviceCount()
    if number >= count:
        raise DeviceError(
            "cuda",
            "there is no GPU of that number; numbers start at 0",
            asked=f"cuda:{number}",
            there_are=", ".join(f"cuda:{i}" for i in range(count)),
        )
    return backend_of_gpu(number)


@functools.cache
def backend_of_gpu(number: int) -> Backend:
    """Return the backend of the GPU of that number; there must be one."""
    import cupy

    tables = {name: KernelTable(cupy, override=None) for name in ("fast", "reference")}
    return Backend(f"cuda:{number}", cupy, cupy.ndarray, tables, lambda where: _Current(cupy, number, where))


class _Current:
    """Makes a GPU the current one in a ``with`` block, and tells of a lack of memory.

    A class, for a generator would take twice as long to enter, and every operation does.
    """

    __slots__ = ("_cupy", "_device", "_where")

    def __init__(self, cupy: Any, number: int, where: str) -> None:
        self._cupy, self._where = cupy, where
        self._device = cupy.cuda.Device(number)

    def __enter__(self) -> None:
        self._device.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if isinstance(error, self._cupy.cuda.memory.OutOfMemoryError):
                raise self._out_of_memory(str(error)) from error
        finally:
            self._device.__exit__(kind, error, trace)

    def _out_of_memory(self, message: str) -> DeviceError:
        """Say how much was asked for and who has the memory."""
        cupy = self._cupy
        asked = re.search(r"allocating ([\d,]+) bytes", message)
        pool = cupy.get_default_memory_pool()
        free, total = cupy.cuda.runtime.memGetInfo()
        return DeviceError(
            self._where,
            "the GPU is out of memory; try a smaller batch (with accumulate= for the same step), a smaller "
            "model, no_grad() where no gradient is needed, or del what is not needed any more",
            asked_for=_size(int(asked[1].replace(",", ""))) if asked else message,
            in_use=_size(pool.used_bytes()),
            kept_for_reuse=_size(pool.free_bytes()),
            free=f"{_size(free)} of {_size(total)} on cuda:{self._device.id}",
        )


def _size(count: int) -> str:
    """Write a number of bytes in a unit that fits.

    Examples
    --------
    >>> _size(500), _size(3 * 2**20)
    ('500 bytes', '3.0 MiB')
    """
    for unit, factor in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if count >= factor:
            return f"{count / factor:,.1f} {unit}"
    return f"{count} bytes"
