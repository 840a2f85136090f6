"""Find waits of the host for a GPU inside a training step; each costs the time of the whole queue.

CuPy does not count waits, and its reads are compiled code that cannot be intercepted. So the GPU is held: a
kernel runs for a known time, the step is queued on the GPU behind it, and when the host has done its part,
the kernel must still be running. If it is not, the host waited for it. This finds every kind of wait: a value
that was read, a copy from the host's ordinary memory, a synchronization inside a library. CuPy, which can
refuse the waits that it knows of, then tells the line.
"""

from __future__ import annotations

import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy

from ...backend.device import Backend, get_backend
from ...cuda import synchronize
from ...nn import Module, Parameter
from ...nn.functional import cross_entropy
from ...optim import OPTIMIZERS, Adam, Optimizer, build_optimizer
from ...tensor.creation import tensor
from ...tensor.random import fork_rng
from ...training import build_model
from .report import Check

HOLD = r"""
extern "C" __global__ void hold(unsigned long long nanoseconds) {
    unsigned long long begun, now;
    asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(begun));
    do {
        asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(now));
    } while (now - begun < nanoseconds);
}
"""
"""A kernel that does nothing for a time."""
LONGER = 20
"""How many times as long as the host needs the GPU is held."""
LEAST, MOST = 0.05, 1.0
"""The least and the most seconds of that; a display's driver ends kernels after two."""
TRIES = 3
"""A host that is busy may be late; one that waits is late every time."""
LINES = 3
"""How many lines of the program to name where it waits, the innermost last."""


class Hold:
    """Holds a GPU, and tells whether the host waited for it.

    Parameters
    ----------
    backend : Backend
        Of the GPU.
    """

    def __init__(self, backend: Backend) -> None:
        self._cuda = backend.xp.cuda
        self._kernel = backend.xp.RawKernel(HOLD, "hold")

    def waited(self, work: Callable[[], object], seconds: float) -> bool:
        """Do some work while the GPU is held, and tell whether the host waited for the GPU."""
        event = self._cuda.Event(disable_timing=True)
        self._kernel((1,), (1,), (numpy.uint64(seconds * 1e9),))
        event.record()
        work()
        return bool(event.done)


def count_waits(device: str) -> Check:
    """Look for waits in the forward pass, the backward pass and the step of every optimizer.

    Parameters
    ----------
    device : str
        A GPU; on the CPU there is nothing to wait for.
    """
    check = Check("host waits in a training step")
    if device == "cpu":
        check.note = "on the CPU there is nothing to wait for"
        return check
    backend = get_backend(device)
    with check.timed(), backend.current("selfcheck"):
        hold = Hold(backend)
        for name, prepare, work in parts_of_steps(device):
            with check.case(name):
                if _waits(hold, prepare, work, device):
                    check.fail(f"the host waits for the GPU{_place(partial(work, prepare()))}")
    return check


def _place(work: Callable[[], object]) -> str:
    """Say in which line the host waits, and from where that was called, if CuPy knows."""
    import cupyx

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the switch is deprecated, for it does not know every wait
        try:
            with cupyx.allow_synchronize(False):
                work()
        except cupyx.DeviceSynchronized as error:
            frames = traceback.extract_tb(error.__traceback__)
            ours = [frame for frame in frames if "cupy" not in frame.filename]
            return ", at " + " > ".join(f"{Path(f.filename).name}:{f.lineno}" for f in ours[-LINES:])
    return ""


def _waits(hold: Hold, prepare: Callable[[], object], work: Callable[[Any], object], device: str) -> bool:
    for _ in range(2):  # compiles, and fills the pool of memory
        given = prepare()
        synchronize(device)
        started = time.perf_counter()
        work(given)
        taken = time.perf_counter() - started
    for _ in range(TRIES):
        given = prepare()
        synchronize(device)
        waited = hold.waited(partial(work, given), min(max(LEAST, LONGER * taken), MOST))
        synchronize(device)
        if not waited:
            return False
    return True


Part = tuple[str, Callable[[], Any], Callable[[Any], object]]
"""A name, a preparation, and the work that must not wait, which takes the result of the preparation."""


def parts_of_steps(device: str) -> Iterator[Part]:
    """Yield the parts of training steps: of two models, and of every optimizer."""
    rng = numpy.random.default_rng(0)
    x = tensor(rng.random((64, 1, 8, 8), numpy.float32), device=device)
    y = tensor(rng.integers(0, 10, 64), device=device)

    for name in ("mlp:64,64", "cnn"):
        with fork_rng(0):
            model = build_model(name, (1, 8, 8), 10, dropout=0.3).to(device)
        yield from _parts_of_a_model(name, model, x, y)
    for name in OPTIMIZERS:
        params = [Parameter(rng.standard_normal(shape, numpy.float32)) for shape in ((60, 67), (5,))]
        holder = Module()
        holder.weight, holder.bias = params
        holder.to(device)
        opt = build_optimizer(name, params)
        for p in params:
            p.grad = p._data * 0.1
        yield f"step of {name}", lambda: None, partial(_step, opt)


def _parts_of_a_model(name: str, model: Module, x: Any, y: Any) -> Iterator[Part]:
    opt = Adam(model.parameters())

    def forward(_: object = None) -> Any:
        return cross_entropy(model(x), y)

    def backward(loss: Any) -> None:
        opt.zero_grad()
        loss.backward()

    yield f"{name}, forward and loss", lambda: None, forward
    yield f"{name}, backward", forward, backward
    yield f"{name}, step of adam", lambda: backward(forward()), partial(_step, opt)


def _step(opt: Optimizer, _: object) -> None:
    opt.step()
