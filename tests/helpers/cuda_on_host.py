"""Compile CUDA sources with an ordinary C++ compiler and run them on the host, slowly.

A dozen macros turn CUDA C into C++. The threads of a block take turns on one thread of the operating system:
each runs until it calls ``__syncthreads``, and then the next one runs. No thread waits for a core, and a
missing ``__syncthreads`` gives the same wrong numbers every time. Blocks run one after the other.

It is stricter than a GPU. The order of the turns changes at each ``__syncthreads``, and all threads of a
block must call it equally often. An argument must have exactly the type that the kernel declares, where a
GPU would misread the memory. Arrays are copied between guards, which a kernel must not write to and which
read as NaN.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import hashlib
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from tinygrad_adam.backend.device import CPU
from tinygrad_adam.backend.overrides import Overrides, Rules

COMPILER = shutil.which(os.environ.get("CXX", "g++")) if os.name == "posix" else None

needs_compiler = pytest.mark.skipif(
    COMPILER is None, reason="needs a C++ compiler and POSIX to run CUDA sources; CXX chooses the compiler"
)

BEFORE = r"""
#include <math.h>
#include <string.h>
#include <ucontext.h>
#include <utility>
#include <vector>

#define __global__
#define __device__
#define __shared__ static
struct Index3 { unsigned x, y, z; };
static Index3 threadIdx, blockIdx, blockDim, gridDim;

struct Turns {  // the state of one thread of the block
    ucontext_t context;
    bool ended;
    char stack[1 << 16];
};
static ucontext_t between;  // runs between two turns
static Turns* now;
static void __syncthreads() { swapcontext(&now->context, &between); }
"""

AFTER = r"""
template <class T> struct Named;
template <> struct Named<float> { static constexpr const char* name = "float32"; };
template <> struct Named<double> { static constexpr const char* name = "float64"; };
template <> struct Named<int> { static constexpr const char* name = "int32"; };
template <> struct Named<long long> { static constexpr const char* name = "int64"; };
template <> struct Named<unsigned long long> { static constexpr const char* name = "uint64"; };
template <class T> static void describe(char* to, T*) {
    strcat(strcat(to, Named<T>::name), ",");
}
template <class T> static void describe(char* to, T**) {
    strcat(strcat(to, Named<T>::name), "*,");
}
template <class T> static void describe(char* to, const T**) {
    strcat(strcat(strcat(to, "const "), Named<T>::name), "*,");
}
template <class... P> static void declared(char* to, void (*)(P...)) {
    (describe(to, (P*)nullptr), ...);
}

template <class... P, size_t... I>
static void called(void (*kernel)(P...), void** args, std::index_sequence<I...>) {
    kernel(*(P*)args[I]...);
}
template <class... P> struct Launch {
    static inline void (*kernel)(P...);
    static inline void** args;
    static void thread() {
        called(kernel, args, std::index_sequence_for<P...>());
        now->ended = true;
    }
};
template <class... P> static bool launch(void (*kernel)(P...), void** args) {
    Launch<P...>::kernel = kernel;
    Launch<P...>::args = args;
    const unsigned all = blockDim.x * blockDim.y;
    std::vector<Turns> threads(all);
    unsigned random = 1;
    for (unsigned b = 0; b < gridDim.x; ++b) {
        blockIdx = {b, 0, 0};
        for (Turns& each : threads) {
            getcontext(&each.context);
            each.context.uc_stack.ss_sp = each.stack;
            each.context.uc_stack.ss_size = sizeof each.stack;
            each.context.uc_link = &between;
            each.ended = false;
            makecontext(&each.context, Launch<P...>::thread, 0);
        }
        unsigned ended = 0;
        while (ended == 0) {  // from one __syncthreads to the next
            random = 1664525 * random + 1013904223;
            for (unsigned i = 0; i < all; ++i) {
                const unsigned turn = ((random >> 8) % all + (random >> 31 ? i : all - i)) % all;
                threadIdx = {turn % blockDim.x, turn / blockDim.x, 0};
                now = &threads[turn];
                swapcontext(&between, &now->context);
                ended += now->ended;
            }
        }
        if (ended < all) return false;
    }
    return true;
}
extern "C" void set_shape(unsigned blocks, unsigned x, unsigned y) {
    gridDim = {blocks, 1, 1};
    blockDim = {x, y, 1};
}
"""

FOR_EACH_KERNEL = r"""
extern "C" void declared_{name}(char* to) {{ declared(to, {name}); }}
extern "C" bool launch_{name}(void** args) {{ return launch({name}, args); }}
"""

launched: list[str] = []
"""The names of the kernels launched so far."""

_threads = (1, 1)
_lock = threading.Lock()  # the indices of threads and blocks are global to the library


@contextlib.contextmanager
def threads_in_a_block(x: int, y: int = 1) -> Iterator[None]:
    """Run kernels in blocks of up to this many threads, instead of one."""
    global _threads
    before, _threads = _threads, (x, y)
    try:
        yield
    finally:
        _threads = before


@functools.cache
def _folder() -> Path:
    folder = Path(tempfile.gettempdir()) / f"tinygrad_adam_cuda_on_host_{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


@functools.cache
def library(code: str, options: tuple[str, ...]) -> ctypes.CDLL:
    """Compile a source, once for all of its kernels, or load the cached library."""
    names = re.findall(r'extern "C" __global__ void (\w+)', code)
    text = BEFORE + code + AFTER + "".join(FOR_EACH_KERNEL.format(name=name) for name in names)
    flags = ["-std=c++17", "-O1", "-fPIC", "-shared", "-fno-strict-aliasing", "-w"]
    flags += [option for option in options if option.startswith("-D")]
    command = [COMPILER, *flags, *os.environ.get("CXXFLAGS", "").split()]
    made = _folder() / f"{hashlib.sha256(repr((command, text)).encode()).hexdigest()}.so"
    if not made.exists():
        with tempfile.TemporaryDirectory(dir=_folder()) as folder:
            (Path(folder) / "source.cpp").write_text(text)
            output = [f"{folder}/source.cpp", "-o", f"{folder}/made.so"]
            done = subprocess.run([*command, *output], capture_output=True, text=True)
            assert done.returncode == 0, done.stderr[:4000]
            os.replace(f"{folder}/made.so", made)  # several processes may compile the same source
    return ctypes.CDLL(str(made))


class RawModule:
    """A stand-in for ``cupy.RawModule``, with the features that this package uses."""

    def __init__(self, *, code: str, options: tuple[str, ...] = ()) -> None:
        self._library = library(code, options)

    def get_function(self, name: str) -> RawKernel:
        return RawKernel(self._library, name)


class RawKernel:
    """A stand-in for ``cupy.RawKernel``, obtained from a module.

    Arrays are NumPy arrays, or have ``data.ptr``, ``dtype``, ``shape`` and ``flags`` like CuPy's, in the
    memory of this process.
    """

    def __init__(self, library: ctypes.CDLL, name: str) -> None:
        self.name = name
        self._library = library
        self._launch = getattr(library, f"launch_{name}")
        self._launch.restype = ctypes.c_bool
        text = ctypes.create_string_buffer(4096)
        getattr(library, f"declared_{name}")(text)
        self.declared = text.value.decode().split(",")[:-1]

    def __call__(self, grid: tuple[int, ...], block: tuple[int, ...], args: tuple[Any, ...]) -> None:
        x, y = (*block, 1)[:2]
        assert len(grid) == 1, grid
        assert 0 < grid[0] < 2**31, grid
        assert len(block) <= 2, block
        assert 0 < x * y <= 1024, block
        assert len(args) == len(self.declared), (self.name, len(args), self.declared)
        guarded: dict[int, _Guarded] = {}
        values = [self._value(i, arg, guarded) for i, arg in enumerate(args)]
        pointers = (ctypes.c_void_p * len(values))(*[ctypes.addressof(v) for v in values])
        launched.append(self.name)
        with _lock:
            x, y = min(x, _threads[0]), min(y, _threads[1])
            self._library.set_shape(grid[0], x, y)
            assert self._launch(pointers), f"{self.name}: not all threads come to a __syncthreads"
        for each in guarded.values():
            each.give_back(self.name)

    def _value(self, place: int, arg: Any, guarded: dict[int, _Guarded]) -> Any:
        """Convert an argument to C, and reject one that a GPU would misread."""
        wanted = self.declared[place]
        what = f"array of {arg.dtype}" if getattr(arg, "shape", ()) else type(arg).__name__
        where = f"{self.name}: argument {place} is {wanted}, not {what}"
        if not wanted.endswith("*"):
            kind = np.float64 if type(arg) is float else type(arg)  # as CuPy passes them
            assert kind in (np.float64, np.int32, np.int64, np.uint64), where
            assert np.dtype(kind).name == wanted, where
            return np.ctypeslib.as_ctypes_type(kind)(arg)
        if isinstance(arg, np.uint64):
            assert arg == 0, where
            return ctypes.c_void_p(None)
        array = _host(arg)
        assert f"{array.dtype.name}*" == wanted.removeprefix("const "), where
        assert array.flags.c_contiguous, f"{where}: it has gaps, strides {array.strides}"
        writes = not wanted.startswith("const ")
        assert array.flags.writeable or not writes, where
        address = array.ctypes.data
        if address not in guarded:
            guarded[address] = _Guarded(array, writes)
        same = guarded[address]
        same.writes |= writes
        return ctypes.c_void_p(same.inside.ctypes.data)


def _host(array: Any) -> np.ndarray:
    if isinstance(array, np.ndarray):
        return array
    assert array.flags.c_contiguous, array
    count = math.prod(array.shape)
    memory = (ctypes.c_byte * (count * array.dtype.itemsize)).from_address(array.data.ptr)
    return np.frombuffer(memory, array.dtype, count).reshape(array.shape)


class _Guarded:
    """A copy of an array with guards before and after it."""

    GUARD = 256
    """Bytes of a guard; each is 255, so that floats read as NaN and integers as -1."""

    def __init__(self, array: np.ndarray, writes: bool) -> None:
        self.array, self.writes = array, writes
        room = np.full(2 * self.GUARD + array.nbytes + 32, 255, np.uint8)
        # Keep the alignment of the array itself with respect to 16 bytes.
        start = self.GUARD + (array.ctypes.data - room.ctypes.data) % 16
        self.before, self.after = room[:start], room[start + array.nbytes :]
        self.inside = room[start : start + array.nbytes]
        self.inside.view(array.dtype)[...] = array.reshape(-1)

    def give_back(self, name: str) -> None:
        assert min(self.before.min(), self.after.min()) == 255, f"{name} writes beyond an array"
        after = self.inside.view(self.array.dtype).reshape(self.array.shape)
        if self.writes:
            self.array[...] = after
        else:
            assert after.tobytes() == self.array.tobytes(), f"{name} writes to what it declares const"


@functools.cache
def numpy_as_cupy() -> ModuleType:
    """Return a module that is NumPy, with CUDA kernels that run on the host."""
    module = ModuleType("cupy")
    module.__dict__.update({name: value for name, value in vars(np).items() if not name.startswith("__")})
    module.__dict__.update(RawModule=RawModule, RawKernel=RawKernel)
    return module


def install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace the fast kernels of the CPU by CUDA kernels that run on the host."""
    monkeypatch.setitem(sys.modules, "cupy", numpy_as_cupy())
    monkeypatch.setitem(CPU.rules, "fast", Rules(np, Overrides("cuda")))
