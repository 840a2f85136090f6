"""GPUs, for programs: whether one can be used, its memory, waiting for it, and how exact its products are.

Nothing here looks for a GPU before it is called.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from .backend.cuda import diagnosis
from .backend.device import get_backend
from .backend.scopes import scope
from .errors import DeviceError

_TF32_TENSOR_OP_MATH = 3
"""cuBLAS's CUBLAS_TF32_TENSOR_OP_MATH, which CuPy has no name for."""


class Memory(NamedTuple):
    """The memory of a GPU, in bytes.

    Attributes
    ----------
    in_use : int
        Held by arrays of this process.
    kept : int
        Not in use, but kept by this process for arrays to come.
    free : int
        Left for this and other processes.
    total : int
        All there is.
    """

    in_use: int
    kept: int
    free: int
    total: int


def is_available() -> bool:
    """Tell whether the device "cuda" can be used: whether a small product on it is right.

    Never raises. The first call may take some seconds; once the answer was yes, the others take no time.
    ``tinygrad-adam devices`` tells why it is no.

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
    """Return how many GPUs the driver shows, whether or not they can be used; never raises.

    The environment variable ``CUDA_VISIBLE_DEVICES`` chooses among them.

    Returns
    -------
    int
    """
    return len(diagnosis.read_driver().gpus)


def memory(device: str = "cuda") -> Memory:
    """Return how the memory of a GPU is used.

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
        pool = backend.xp.get_default_memory_pool()
        return Memory(pool.used_bytes(), pool.free_bytes(), *backend.xp.cuda.Device().mem_info)


def synchronize(device: str = "cuda") -> None:
    """Wait until a GPU has done all that it was told to; a clock is read after it.

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

    TF32 has the range of float32, but 10 bits of precision in place of 23: an input is rounded by up to 1
    part in 2048. The tensor cores of GPUs of compute capability 8.0 and above multiply such numbers faster,
    and add up in float32; on older GPUs nothing changes. float64 stays as it is.

    CuPy holds one part of this setting for all threads, another for each thread and GPU: enter the block in
    the thread that computes, and while it lasts, expect TF32 in other threads too.

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

    # Products of two matrices ask for the type, those of stacks of matrices for the mode.
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
