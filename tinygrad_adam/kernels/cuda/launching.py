"""How CUDA kernels are written, compiled and launched.

A kernel is CUDA C in a Python string. It is compiled for the GPU at hand and for one type of numbers when it
is first launched, which takes a fraction of a second; CuPy keeps what was compiled on disk.

Three rules make the kernels readable, and let an ordinary C++ compiler run them without a GPU:

- A kernel is right for any number of blocks and of threads in a block, even for one thread that does all.
  How many there are is a matter of speed.
- Numbers are of type ``REAL``, which is float or double, and counts of type ``INDEX``, which is int unless an
  array is very large: a GPU divides 64-bit integers several times slower.
- Nothing depends on which thread comes first. Sums are added up in an order that follows from sizes alone,
  never by atomic additions, so that the same numbers come out each time and on each GPU.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy

from ...typing import Array

THREADS = 256
"""Threads in a block, at most: enough to hide each other's waiting, few enough to have many registers."""
_MOST_BLOCKS = 1 << 14
"""Blocks of an elementwise kernel, at most: many times what a GPU runs at once; each thread then loops."""
_NARROW = 1 << 30
"""Elements of an array up to which an int counts them, with room for one more stride of a loop."""

_REALS = {numpy.dtype("float32"): "float", numpy.dtype("float64"): "double"}  # a dtype's name takes longer
_NOWHERE = numpy.uint64(0)

PRELUDE = r"""
// Visits 0 to count - 1, one after the other by neighboring threads, so that they read neighboring memory.
#define EACH(i, count)                                                                                  \
    for (INDEX i = (INDEX)blockIdx.x * blockDim.x + threadIdx.x, stride = (INDEX)gridDim.x * blockDim.x; \
         i < (count); i += stride)

// What the threads of a line of the block (those of one threadIdx.y) have, put together in pairs, the pairs
// in pairs, and so on; each gets the result. All threads of the block must call it.
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
"""What all sources begin with."""


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
        real: Any,
        args: tuple[Any, ...],
        blocks: int,
        block: tuple[int, ...] = (THREADS,),
    ) -> None:
        """Start a kernel on the current device; nobody waits for its end.

        Parameters
        ----------
        name : str
            The kernel.
        real : dtype
            float32 or float64: the type of its numbers.
        args : tuple
            Contiguous arrays for pointers, and None for those that are null; int for ``INDEX``, float for
            ``double``.
        blocks : int
            How many blocks; without any, there is nothing to do.
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
        index: Any = numpy.int64 if wide else numpy.int32
        # A flag is an int, too.
        passed = [index(a) if isinstance(a, int) else _NOWHERE if a is None else a for a in args]
        _function(cupy, self.text, name, real, wide)((blocks,), block, tuple(passed))


def options(real: Any, wide: bool) -> tuple[str, ...]:
    """Return what the compiler is told for a type of numbers, and for large arrays."""
    index = "long long" if wide else "int"
    # Not --use_fast_math: divisions and roots are to be rounded as the CPU rounds them, and NaN to stay NaN.
    return ("--std=c++17", f"-DREAL={_REALS[numpy.dtype(real)]}", f"-DINDEX={index}", f"-DTHREADS={THREADS}")


@functools.cache
def _function(cupy: Any, text: str, name: str, real: Any, wide: bool) -> Any:
    return cupy.RawModule(code=text, options=options(real, wide)).get_function(name)


def blocks_for(count: int) -> int:
    """Return how many blocks visit `count` elements, one a thread, or several where there are very many."""
    return min(-(-count // THREADS), _MOST_BLOCKS)


def has_kernels(*dtypes: Array) -> bool:
    """Tell whether all are types that kernels are compiled for."""
    return _REALS.keys() >= {*dtypes}
