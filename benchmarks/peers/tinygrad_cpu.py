"""The project named tinygrad, on the CPU, with the whole step under its TinyJit. It compiles with clang."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..workloads import Workload
from .base import Cannot, Peer, Step


class TinygradCpu(Peer):
    """tinygrad."""

    name = "tinygrad"
    packages = ("tinygrad",)
    imports = "import tinygrad"

    def train(self, workload: Workload) -> Step:
        from tinygrad import Context, Tensor, TinyJit, nn

        inputs, labels = workload.data()
        x, y = cpu(inputs), cpu(labels.astype(np.int32))
        parameters = [cpu(value) for value in workload.arrays()]
        optimizer = nn.optim.Adam(parameters)

        @TinyJit
        @Context(TRAINING=1)
        def update() -> Tensor:
            optimizer.zero_grad()
            loss = forward(workload.layers, parameters, x).sparse_categorical_crossentropy(y).backward()
            return loss.realize(*optimizer.schedule_step())

        return lambda: update().item()

    def adam(self, size: int) -> Callable[[], None]:
        from tinygrad import Context, Device, TinyJit, nn

        p, g = cpu(np.ones(size, np.float32)), cpu(np.full(size, 0.1, np.float32))
        optimizer = nn.optim.Adam([p])

        @TinyJit
        @Context(TRAINING=1)
        def update() -> None:
            p.grad = g
            optimizer.step()

        def step() -> None:
            update()
            Device["CPU"].synchronize()

        return step

    def chain(self, length: int) -> Step:
        raise Cannot("it compiles the chain, with no graph left to walk")


def cpu(array: np.ndarray) -> Any:
    """Return a Tensor on the CPU."""
    from tinygrad import Tensor

    return Tensor(array, device="CPU").realize()


def forward(layers: tuple[Any, ...], parameters: list[Any], x: Any) -> Any:
    """Return the logits."""
    rest = iter(parameters)
    for kind, *sizes in layers:
        if kind == "linear":
            w, b = next(rest), next(rest)
            x = x.linear(w.T, b)
        elif kind == "conv":
            x = x.conv2d(next(rest), next(rest), padding=sizes[3])
        elif kind == "pool":
            kernel, stride, pad = sizes
            x = x.max_pool2d((kernel, kernel), stride=stride, padding=pad)
        else:
            x = x.relu() if kind == "relu" else x.flatten(1)
    return x
