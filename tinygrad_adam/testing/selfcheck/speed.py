"""Measure the speed of a device: training steps, Adam alone compared with copying, and the loader.

A call only queues work for a GPU, so several steps in a row are timed until the GPU has finished them, and no
value is read in between. The median of several such rows counts.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy

from ... import cuda
from ...backend.device import get_backend
from ...backend.threads import in_pieces
from ...data import DataLoader, ImageDataset
from ...nn import Parameter
from ...nn.functional import cross_entropy
from ...optim import Adam
from ...tensor.creation import full, ones, tensor
from ...tensor.random import fork_rng
from ...training import build_model
from .report import Speed


class Workload(NamedTuple):
    """A network and a batch; the same as in ``benchmarks``.

    Attributes
    ----------
    description : str
    model : str
        See `build_model`.
    shape : tuple of int
        Of one input.
    batch : int
        Inputs a step.
    """

    description: str
    model: str
    shape: tuple[int, ...]
    batch: int


WORKLOADS = {
    "W1": Workload("MLP 64-32-10", "mlp:32", (64,), 32),
    "W2": Workload("MLP 784-128-10", "mlp:128", (784,), 64),
    "W3": Workload("MLP 784-1000-1000-10", "mlp:1000,1000", (784,), 128),
    "W4": Workload("CNN 1x28x28, two 5x5 convolutions", "cnn", (1, 28, 28), 64),
    "W5": Workload("CNN 3x32x32, three 5x5 convolutions", "cnn:paper", (3, 32, 32), 128),
}
ADAM_SIZES = (10**6, 10**7, 10**8, 10**9)
ADAM_BYTES = 28
"""For each float32 parameter: read it, its gradient and both moments; write it and both moments."""
NEEDED = 32
"""Bytes of memory for each, including the arrays that it is made from."""
ROWS, SECONDS = 5, 0.1
"""How many rows of steps are timed, and about how long each takes."""
IMAGES = 20_000


def time_of(step: Callable[[], object], device: str) -> float:
    """Return the seconds of a step: the median of some rows, after some that warm up."""
    for _ in range(3):
        step()
    count, taken = 1, _row(step, 1, device)
    if taken < SECONDS:
        count = max(1, int(SECONDS / taken))
    return statistics.median(_row(step, count, device) for _ in range(ROWS)) / count


def _row(step: Callable[[], object], count: int, device: str) -> float:
    _wait(device)
    started = time.perf_counter()
    for _ in range(count):
        step()
    _wait(device)
    return time.perf_counter() - started


def _wait(device: str) -> None:
    if device != "cpu":
        cuda.synchronize(device)


def training_step(workload: Workload, device: str) -> Callable[[], None]:
    """Return a training step with Adam, on data that are on the device."""
    rng = numpy.random.default_rng(1)
    x = tensor(rng.random((workload.batch, *workload.shape), numpy.float32), device=device)
    y = tensor(rng.integers(0, 10, workload.batch), device=device)
    with fork_rng(0):
        model = build_model(workload.model, workload.shape, 10).to(device)
    opt = Adam(model.parameters())

    def step() -> None:
        loss = cross_entropy(model(x), y)
        opt.zero_grad()
        loss.backward()
        opt.step()

    return step


def adam_step(size: int, device: str) -> Callable[[], None]:
    """Return a step of Adam on one parameter of `size` numbers."""
    p = Parameter(ones(size, device=device))
    opt = Adam([p])
    p.grad = full((size,), 0.1, device=device)
    return opt.step


def copy_rate(device: str) -> float:
    """Return the best rate of copying a large array on the device, in bytes read and written a second."""
    backend = get_backend(device)
    count = min(2**28, _room(device) // 16)
    with backend.current("selfcheck"):
        source = backend.xp.ones(count, dtype="float32")
        target = backend.xp.zeros_like(source)

        def copy(start: int, stop: int) -> None:
            backend.xp.copyto(target[start:stop], source[start:stop])

        def step() -> None:
            if device == "cpu":
                in_pieces(copy, count, 1 << 20)
            else:
                copy(0, count)

        step()
        return 2 * int(source.nbytes) / min(_row(step, 1, device) for _ in range(3 * ROWS))


def _room(device: str) -> int:
    """Return how many bytes may be used: the free memory of a GPU, or a quarter of the host's."""
    if device != "cpu":
        memory = cuda.memory(device)
        return memory.free + memory.kept
    if not hasattr(os, "sysconf"):
        return 2**31
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 4


def _give_back(device: str) -> None:
    """Give back memory that is kept for reuse: its pieces do not fit the next measurement."""
    if device != "cpu":
        get_backend(device).xp.get_default_memory_pool().free_all_blocks()


def loader_rate(device: str) -> float:
    """Return how many images a second the loader brings to the device: bytes there, floats for the model."""
    rng = numpy.random.default_rng(0)
    images = ImageDataset(
        rng.integers(0, 256, (IMAGES, 28, 28), numpy.uint8), rng.integers(0, 10, IMAGES), 255.0
    )
    loader = DataLoader(images, 128, shuffle=True, prefetch=2, device=device)

    def epoch() -> None:
        for _ in loader:
            pass

    epoch()
    return IMAGES / statistics.median(_row(epoch, 1, device) for _ in range(ROWS))


def measure(device: str, told: Callable[[str], None] = lambda text: None) -> list[Speed]:
    """Measure everything.

    Parameters
    ----------
    device : str
    told : callable
        Called with the name of the next measurement.
    """
    told("copying")
    rate = copy_rate(device)
    speeds = [Speed("copy", "copying, bytes read and written", rate / 1e9, "GB/s")]
    for name, workload in WORKLOADS.items():
        told(name)
        seconds = time_of(training_step(workload, device), device)
        speeds.append(Speed(name, workload.description, seconds * 1e3, "ms a step"))
    for size in ADAM_SIZES:
        exponent = len(str(size)) - 1
        speed = Speed(f"1e{exponent}", f"Adam alone, 10^{exponent} parameters", None, "ms a step")
        told(speed.description)
        _give_back(device)
        if NEEDED * size > _room(device):
            speed.note = f"needs {NEEDED * size / 2**30:,.0f} GiB; {_room(device) / 2**30:.1f} may be used"
        else:
            seconds = time_of(adam_step(size, device), device)
            speed.value, speed.share = seconds * 1e3, ADAM_BYTES * size / seconds / rate
        speeds.append(speed)
    _give_back(device)
    told("the loader")
    images = loader_rate(device)
    speeds.append(Speed("loader", "images of 28x28 bytes to the device", images, "images/s"))
    return speeds
