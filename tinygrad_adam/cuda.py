"""GPUs, for programs: their availability, their memory, synchronization, and the precision of products.

No function here searches for a GPU before it is called.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from .backend.cuda import diagnosis
from .backend.cuda.finding import memory_use
from .backend.device import get_backend
from .backend.scopes import scope
from .errors import DeviceError

_TF32_TENSOR_OP_MATH = 3
"""cuBLAS's CUBLAS_TF32_TENSOR_OP_MATH, for which CuPy has no name."""


class Memory(NamedTuple):
    """The memory of a GPU, in bytes.

    Attributes
    ----------
    in_use : int
        Used by arrays of this process.
    kept : int
        Not used, but kept by this process for later arrays.
    free : int
        Free for this and other processes.
    total : int
        All memory of the GPU.
    """

    in_use: int
    kept: int
    free: int
    total: int


def is_available() -> bool:
    """Return whether the device "cuda" can be used: whether a small product on it is right.

    Never raises. The first call may take some seconds; after the first True, calls take no time.
    ``tinygrad-adam devices`` prints the cause of a False.

    Returns
    -------
    bool
    """
    try:
        get_backend("cuda")
    except DeviceError:
        return False
    return True


def device_count() -> int:
    """Return the number of GPUs that the driver lists, usable or not; never raises.

    The environment variable ``CUDA_VISIBLE_DEVICES`` hides some of them.

    Returns
    -------
    int
    """
    return len(diagnosis.read_driver().gpus)


def memory(device: str = "cuda") -> Memory:
    """Return the use of the memory of a GPU.

    Parameters
    ----------
    device : str
        ``"cuda"`` or ``"cuda:N"``.

    Returns
    -------
    Memory

    Raises
    ------
    DeviceError
        If it cannot be used.
    """
    backend = get_backend(device)
    with backend.current("memory"):
        return Memory(*memory_use(backend.xp))


def synchronize(device: str = "cuda") -> None:
    """Wait until a GPU has finished all work given to it, as is needed before a clock is read.

    Parameters
    ----------
    device : str
        ``"cuda"`` or ``"cuda:N"``.

    Raises
    ------
    DeviceError
        If it cannot be used.
    """
    backend = get_backend(device)
    with backend.current("synchronize"):
        backend.xp.cuda.Device().synchronize()


@scope
def allow_tf32(device: str = "cuda") -> Iterator[None]:
    """Let matrix products and convolutions round their inputs to TF32 inside a ``with`` block.

    TF32 has the range of float32, but 10 bits of precision instead of 23: an input is rounded by up to 1
    part in 2048. The tensor cores of GPUs of compute capability 8.0 and above multiply such numbers faster,
    and accumulate in float32. On older GPUs nothing changes, nor does float64.

    CuPy keeps one part of this setting for all threads, another for each thread and GPU: enter the block in
    the thread that computes, and while it lasts, expect TF32 in other threads, too.

    Parameters
    ----------
    device : str
        ``"cuda"`` or ``"cuda:N"``.

    Raises
    ------
    DeviceError
        If it cannot be used.

    References
    ----------
    NVIDIA A100 Tensor Core GPU Architecture (2020), "TensorFloat-32".
    """
    backend = get_backend(device)
    cupy = backend.xp
    with backend.current("allow_tf32"):
        able = int(cupy.cuda.Device().compute_capability) >= 80
        handle = cupy.cuda.get_cublas_handle()
    if not able:
        yield
        return
    from cupy._core import _routines_linalg as products
    from cupy_backends.cuda.libs import cublas

    # The compute type governs products of two matrices, the math mode products of stacks of matrices.
    before = products.get_compute_type("float32"), cublas.getMathMode(handle)
    try:
        with backend.current("allow_tf32"):
            products.set_compute_type("float32", products.COMPUTE_TYPE_TF32)
        cublas.setMathMode(handle, _TF32_TENSOR_OP_MATH)
        yield
    finally:
        with backend.current("allow_tf32"):
            products.set_compute_type("float32", before[0])
        cublas.setMathMode(handle, before[1])
