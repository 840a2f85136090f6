"""How CUDA kernels are written, compiled and launched.

A kernel is CUDA C in a Python string. Its first launch compiles it for the GPU at hand and for one type of
numbers, which takes a fraction of a second; CuPy keeps the compiled code on disk.

Three rules make the kernels readable, and let an ordinary C++ compiler run them without a GPU:

- A kernel is right for any number of blocks and of threads in a block, even for a single thread. These
  numbers affect speed only.
- Numbers are of type ``REAL``, which is float or double, and counts of type ``INDEX``, which is int unless an
  array is very large: a GPU divides 64-bit integers several times slower.
- No result depends on the order in which threads run. Sums are added up in an order that follows from sizes
  alone, never by atomic additions, so that every run and every GPU gives the same numbers.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy

from ...typing import Args, Array, DType, Xp

THREADS = 256
"""The most threads in a block: enough to hide each other's latency, few enough for many registers each."""
_MOST_BLOCKS = 1 << 14
"""The most blocks of an elementwise kernel, many times more than a GPU runs at once; then threads loop."""
_NARROW = 1 << 30
"""The most elements that are counted by an int, which leaves room for one more stride of a loop."""

_REALS = {numpy.dtype("float32"): "float", numpy.dtype("float64"): "double"}  # a dtype's name takes longer
_NOWHERE = numpy.uint64(0)

PRELUDE = r"""
// Visits 0 to count - 1, one after the other by neighboring threads, so that they read neighboring memory.
#define EACH(i, count)                                                                                  \
    for (INDEX i = (INDEX)blockIdx.x * blockDim.x + threadIdx.x, stride = (INDEX)gridDim.x * blockDim.x; \
         i < (count); i += stride)

// Combines the values of the threads of a line of the block (of one threadIdx.y) in pairs, the pairs in
// pairs, and so on; each thread gets the result. All threads of the block must call it.
template <class T, class Join>
__device__ T joined(T value, Join join) {
    __shared__ T values[THREADS];
    T* line = values + threadIdx.y * blockDim.x;
    __syncthreads();  // until all have read the result of the call before
    line[threadIdx.x] = value;
    for (int width = blockDim.x; width > 1; width = (width + 1) / 2) {
        const int half = (width + 1) / 2;
        __syncthreads();
        if (threadIdx.x + half < width) line[threadIdx.x] = join(line[threadIdx.x], line[threadIdx.x + half]);
    }
    __syncthreads();
    return line[0];
}

struct Plus {
    __device__ double operator()(double a, double b) const { return a + b; }
};
struct Greater {
    __device__ REAL operator()(REAL a, REAL b) const { return a > b ? a : b; }
};
"""
"""The beginning of every source."""


class Source:
    """CUDA C for kernels of one family.

    Parameters
    ----------
    text : str
        The kernels, declared ``extern "C" __global__ void``.
    """

    def __init__(self, text: str) -> None:
        self.text = PRELUDE + text

    def launch(
        self,
        name: str,
        real: DType,
        args: Args,
        blocks: int,
        block: tuple[int, ...] = (THREADS,),
    ) -> None:
        """Start a kernel on the current device, and return before it ends.

        Parameters
        ----------
        name : str
            The kernel.
        real : dtype
            float32 or float64: the type of the numbers.
        args : tuple
            Contiguous arrays for pointers, None for null pointers, int for ``INDEX``, float for ``double``.
        blocks : int
            The number of blocks; 0 launches nothing.
        block : tuple of int
            The threads of a block, at most `THREADS`.
        """
        if not blocks:
            return
        import cupy

        wide = False
        for a in args:
            if isinstance(a, cupy.ndarray) and a.size > _NARROW:
                wide = True
        index = numpy.int64 if wide else numpy.int32
        # A bool is an int, too.
        passed = [index(a) if isinstance(a, int) else _NOWHERE if a is None else a for a in args]
        _function(cupy, self.text, name, real, wide)((blocks,), block, tuple(passed))

    def compute(
        self, name: str, shape: tuple[int, ...], inputs: Args, *counts: int, dtype: DType = None
    ) -> Array:
        """Launch a kernel with a thread for each element of its result, and return the result.

        The kernel takes the inputs, the result, its size, and then `counts`.

        Parameters
        ----------
        name : str
            The kernel.
        shape : tuple of int
            The shape of the result.
        inputs : tuple
            Arrays and numbers; the dtype of the first array is the type of the numbers.
        *counts : int
            Further arguments.
        dtype : dtype, optional
            The dtype of the result, if another.
        """
        import cupy

        real = inputs[0].dtype
        made = cupy.empty(shape, dtype or real)
        dense = [cupy.ascontiguousarray(a) if isinstance(a, cupy.ndarray) else a for a in inputs]
        self.launch(name, real, (*dense, made, made.size, *counts), blocks_for(made.size))
        return made


def options(real: DType, wide: bool) -> tuple[str, ...]:
    """Return the compiler's options for a type of numbers, and for arrays that need 64-bit counts."""
    index = "long long" if wide else "int"
    # No --use_fast_math: divisions and roots must round as on the CPU, and NaN must stay NaN.
    return ("--std=c++17", f"-DREAL={_REALS[numpy.dtype(real)]}", f"-DINDEX={index}", f"-DTHREADS={THREADS}")


@functools.cache
def _function(cupy: Xp, text: str, name: str, real: DType, wide: bool) -> Callable[..., None]:
    function: Callable[..., None] = cupy.RawModule(code=text, options=options(real, wide)).get_function(name)
    return function


def blocks_for(count: int) -> int:
    """Return the number of blocks that visit `count` elements: one element a thread, unless they are many."""
    return min(-(-count // THREADS), _MOST_BLOCKS)


def has_kernels(*dtypes: DType) -> bool:
    """Return whether kernels are compiled for all of these types: float32 and float64."""
    return _REALS.keys() >= {*dtypes}


def floats(*arrays: Array) -> bool:
    """Return whether all arrays have types that kernels are compiled for."""
    return has_kernels(*[array.dtype for array in arrays])


def overriding(
    reference: Callable[..., Array], fits: Callable[..., bool] = floats
) -> Callable[[Callable[..., Array]], Callable[..., Array]]:
    """Decorate a kernel so that the reference computes arrays for which ``fits(*arrays)`` is false."""

    def decorate(kernel: Callable[..., Array]) -> Callable[..., Array]:
        @functools.wraps(kernel)
        def either(*arrays: Array, **settings: Any) -> Array:
            if fits(*arrays):
                return kernel(*arrays, **settings)
            import cupy

            return reference(cupy, *arrays, **settings)

        return either

    return decorate
