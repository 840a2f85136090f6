"""The stand-in's ``cupy.cuda``: GPUs, streams, events and memory."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from .state import DEVICES, MEMORY, CUDARuntimeError, OutOfMemoryError, counts, limit, read, state
from .streams import Event, PinnedMemory, Stream


class Device:
    """A GPU, like ``cupy.cuda.Device``."""

    def __init__(self, device: Any = None) -> None:
        self.id = state.device if device is None else int(device)
        self._before: list[int] = []

    def __int__(self) -> int:
        return self.id

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Device) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"<CUDA Device {self.id}>"

    def use(self) -> None:
        if not 0 <= self.id < DEVICES:
            raise CUDARuntimeError("cudaErrorInvalidDevice: invalid device ordinal")
        state.device = self.id

    def __enter__(self) -> Device:
        self._before.append(state.device)
        self.use()
        return self

    def __exit__(self, *error: object) -> None:
        state.device = self._before.pop()

    def synchronize(self) -> None:
        read()

    @property
    def mem_info(self) -> tuple[int, int]:
        return memory_info()

    @property
    def compute_capability(self) -> str:
        return "90"


def memory_info() -> tuple[int, int]:
    return limit[0] - counts["used"], MEMORY


class MemoryPool:
    """Like ``cupy.cuda.MemoryPool``; a test sets the amount of memory in use."""

    def used_bytes(self) -> int:
        return counts["used"]

    def free_bytes(self) -> int:
        return 0

    def total_bytes(self) -> int:
        return counts["used"]

    def free_all_blocks(self, stream: Any = None) -> None: ...

    def set_limit(self, size: Any = None, fraction: Any = None) -> None: ...

    def get_limit(self) -> int:
        return 0


def alloc_pinned_memory(size: int) -> Any:
    """Host memory that a GPU can read directly; `numpy.frombuffer` accepts it."""
    return PinnedMemory(max(size, 1))


pool = MemoryPool()

runtime = ModuleType("cupy.cuda.runtime")
runtime.__dict__.update(
    CUDARuntimeError=CUDARuntimeError,
    getDeviceCount=lambda: DEVICES,
    getDevice=lambda: state.device,
    setDevice=lambda number: Device(number).use(),
    memGetInfo=memory_info,
    deviceSynchronize=read,
    driverGetVersion=lambda: 13000,
    runtimeGetVersion=lambda: 13000,
)
memory = ModuleType("cupy.cuda.memory")
memory.__dict__.update(OutOfMemoryError=OutOfMemoryError, MemoryPool=MemoryPool)
module = ModuleType("cupy.cuda")
module.__dict__.update(
    Device=Device,
    Event=Event,
    Stream=Stream,
    MemoryPool=MemoryPool,
    alloc_pinned_memory=alloc_pinned_memory,
    get_current_stream=lambda: Stream.null,
    is_available=lambda: True,
    memory=memory,
    runtime=runtime,
)
