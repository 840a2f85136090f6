"""The backends of GPUs: CuPy as the array namespace, and errors with a remedy.

CuPy is imported on the first use of a GPU, never before.
"""

from __future__ import annotations

import functools
import re
import sys
from types import TracebackType

from ...errors import DeviceError
from ...typing import Xp
from ..backends import Backend
from ..overrides import Overrides, Rules
from .diagnosis import diagnose, lacks_memory


def find_gpu(number: int | None) -> Backend:
    """Return the backend of the GPU of this number, or of the current GPU.

    Raises
    ------
    DeviceError
        If it cannot be used, with the cause and the remedy.
    """
    return _sound_gpu(_current_number() if number is None else number)


def _current_number() -> int:
    """Return the number of the current GPU: 0 before CuPy is in use."""
    cupy = sys.modules.get("cupy")
    try:
        return int(cupy.cuda.Device().id) if cupy is not None else 0
    except RuntimeError:  # no driver, as the diagnosis will say
        return 0


@functools.cache  # errors are not cached: the cause may be gone at the next call
def _sound_gpu(number: int) -> Backend:
    found = diagnose(number)
    if found.problem is not None:
        raise DeviceError("cuda", f"{found.problem} {found.remedy}")
    return backend_of_gpu(number)


@functools.cache
def backend_of_gpu(number: int) -> Backend:
    """Return the backend of the GPU of that number, which must exist."""
    import cupy

    kernels = Overrides("cuda")
    rules = {"fast": Rules(cupy, kernels), "reference": Rules(cupy)}
    current = functools.partial(_Current, cupy, number)
    return Backend(f"cuda:{number}", cupy, cupy.ndarray, kernels, rules, current)


class _Current:
    """A ``with`` block in which a GPU is the current one, and lack of memory is a DeviceError.

    It is a class because every operation enters one, and a generator would take twice as long to enter.
    """

    __slots__ = ("_cupy", "_device", "_where")

    def __init__(self, cupy: Xp, number: int, where: str) -> None:
        self._cupy, self._where = cupy, where
        self._device = cupy.cuda.Device(number)

    def __enter__(self) -> None:
        self._device.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            # A DeviceError comes from a block inside this one, and says so already.
            if error is not None and not isinstance(error, DeviceError) and lacks_memory(error):
                raise self._out_of_memory(str(error)) from error
        finally:
            self._device.__exit__(kind, error, trace)

    def _out_of_memory(self, message: str) -> DeviceError:
        """Return an error with the size of the request and the use of the memory."""
        asked = re.search(r"allocating ([\d,]+) bytes", message)
        used, kept, free, total = memory_use(self._cupy)
        return DeviceError(
            self._where,
            "the GPU is out of memory; try a smaller batch (with accumulate= for the same step), a smaller "
            "model, no_grad() where no gradient is needed, or del for values that are not needed any more",
            asked_for=_size(int(asked[1].replace(",", ""))) if asked else message,
            in_use=_size(used),
            kept_for_reuse=_size(kept),
            free=f"{_size(free)} of {_size(total)} on cuda:{self._device.id}",
        )


def memory_use(cupy: Xp) -> tuple[int, int, int, int]:
    """Return the bytes of the current GPU that arrays use, that the pool keeps, that are free, and all."""
    pool = cupy.get_default_memory_pool()
    return pool.used_bytes(), pool.free_bytes(), *cupy.cuda.runtime.memGetInfo()


def _size(count: int) -> str:
    """Return a number of bytes in a suitable unit.

    Examples
    --------
    >>> _size(500), _size(3 * 2**20)
    ('500 bytes', '3.0 MiB')
    """
    for unit, factor in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if count >= factor:
            return f"{count / factor:,.1f} {unit}"
    return f"{count} bytes"
