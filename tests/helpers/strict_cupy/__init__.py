"""A stand-in for CuPy 14.2 that is equally strict: arrays of a simulated GPU, on the host.

`installed` puts it in place of ``cupy`` and ``cupyx``. Its features and restrictions follow CuPy's source
(``cupy/__init__.py`` for the names, each function's file for its parameters):

- An array is a wrapper around a NumPy array, not a subclass: NumPy cannot see inside. ``np.asarray`` rejects
  it, and every function rejects a NumPy array as another argument; numbers and NumPy scalars are accepted.
- Reductions return arrays without axes, never scalars. ``float32_array + np.float64(1)`` is float64.
- Shapes, dtypes, strides and exceptions of about a hundred calls equal CuPy's: see `cupy_forms`.
- Every transfer of a value to the host is counted in `host_reads`, and rejected inside `no_host_reads`:
  ``.get()``, ``.item()``, ``float()``, ``bool()``, a boolean mask as an index, in reading or assignment,
  ``unique``, ``nonzero`` and ``argpartition``.
- Names and parameters that CuPy lacks are missing.
- There are two GPUs. Mixing their arrays in one operation is rejected, and so is an operation on a GPU that
  is not the current one. CuPy would let the GPUs read each other's memory if they can, and warn.
- An operation whose result is undefined in CuPy, such as an assignment to repeated indices, is rejected.
- Results of functions are C-contiguous, whatever the order of their inputs; casts, `zeros_like`
  and similar functions, and copies from the host keep the order. However, the axis of a sort or a cumulative
  sum is innermost, products of ``einsum`` keep the layout of the last multiplication, and sums of the columns
  of an array in Fortran order are also in Fortran order.
- It rejects a few things that CuPy accepts: NumPy arrays and lists as indices of ``take`` or as values,
  and features that this package does not use.
- Work on a stream is not done until another stream waits for it; `streams` has the rules.

CUDA sources are compiled and run on the host; see `cuda_on_host`. Without a compiler there are only reference
kernels.
"""

from __future__ import annotations

import contextlib
import sys
import types
from collections.abc import Iterator
from typing import Any

import cuda_on_host
import numpy as np

from tinygrad_adam import use_kernels
from tinygrad_adam.backend import device
from tinygrad_adam.backend.cuda.diagnosis import Driver, Gpu

from . import devices, streams
from .arrays import UFUNCS, define_operators, module, ndarray, raw, ufunc
from .functions import FROM_NUMPY, FUNCTIONS, METHODS, REDUCTIONS, as_strided, reduction
from .state import (
    DEVICES,
    MEMORY,
    DeviceSynchronized,
    counts,
    host_reads,
    limit,
    no_host_reads,
    reading,
    state,
)


class RawModule(cuda_on_host.RawModule):
    """A stand-in for ``cupy.RawModule``, whose kernels take arrays of the current GPU."""

    def get_function(self, name: str) -> Any:
        kernel = super().get_function(name)

        def launch(grid: Any, block: Any, args: Any) -> None:
            for arg in args:
                raw(arg)
            kernel(grid, block, args)

        return launch


def _bound(function: Any) -> Any:
    """Turn a function into a method."""
    return lambda self, *args, **settings: function(self, *args, **settings)


def _fill() -> None:
    """Fill the module, and add methods of the same names to its arrays."""
    names = module.__dict__
    names.update(
        __version__="14.2.0",
        ndarray=ndarray,
        ufunc=ufunc,
        cuda=devices.module,
        RawModule=RawModule,
        lib=types.SimpleNamespace(stride_tricks=types.SimpleNamespace(as_strided=as_strided)),
        is_available=lambda: True,
        get_default_memory_pool=lambda: devices.pool,
        get_array_module=lambda *args: module if any(isinstance(a, ndarray) for a in args) else np,
    )
    names.update({name: getattr(np, name) for name in FROM_NUMPY})
    names.update({name: ufunc(name, getattr(np, name)) for name in UFUNCS})
    names.update({function.__name__: function for function in FUNCTIONS})
    names.update({name: reduction(name, **how) for name, how in REDUCTIONS.items()})
    for name in METHODS:
        setattr(ndarray, name, _bound(names[name]))
    define_operators()


_fill()


def scatter_add(a: ndarray, slices: Any, value: Any) -> None:
    module.add.at(a, slices, value)


cupyx = types.ModuleType("cupyx")
cupyx.__dict__.update(
    scatter_add=scatter_add, DeviceSynchronized=DeviceSynchronized, allow_synchronize=reading
)


GPUS = tuple(Gpu(number, "Stand-in", MEMORY, (9, 0)) for number in range(DEVICES))
PROBES = {
    "read_driver": lambda: Driver(True, "580.65.06", (13, 0), "", GPUS),
    "installed_packages": lambda: {"cupy-cuda13x": "14.2.0"},
    "find_libraries": lambda: dict.fromkeys(("cublas", "nvrtc", "cudart"), "stand-in"),
}
"""The driver and GPUs that the diagnosis finds."""


@contextlib.contextmanager
def installed() -> Iterator[types.ModuleType]:
    """Make ``import cupy`` return the stand-in, and clear the package's cache of GPUs."""
    from tinygrad_adam.backend.cuda import diagnosis
    from tinygrad_adam.backend.cuda import finding as cuda

    names = {"cupy": module, "cupy.cuda": devices.module, "cupyx": cupyx}
    before = {name: sys.modules.get(name) for name in names}
    sys.modules.update(names)
    _forget(cuda)
    probes = {name: getattr(diagnosis, name) for name in PROBES}
    vars(diagnosis).update(PROBES)
    try:
        with contextlib.nullcontext() if cuda_on_host.COMPILER else use_kernels("reference"):
            yield module
    finally:
        vars(diagnosis).update(probes)
        for name, was in before.items():
            if was is None:
                sys.modules.pop(name, None)
            else:
                sys.modules[name] = was
        _forget(cuda)
        state.device, counts["used"], limit[0] = 0, 0, MEMORY
    streams.check()


def _forget(cuda: Any) -> None:
    cuda._sound_gpu.cache_clear()
    cuda.backend_of_gpu.cache_clear()
    device.GPUS.clear()
