"""tinygrad_adam, with one of its kernel sets."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import numpy as np

from ..workloads import Workload
from .base import Peer, Step, network


class Ours(Peer):
    """The package itself."""

    packages = ("tinygrad_adam",)
    imports = "import tinygrad_adam"

    def __init__(self, name: str, kernels: str) -> None:
        self.name = name
        self.kernels = kernels
        self.held = contextlib.ExitStack()  # what holds for the life of the process

    def choose_kernels(self) -> None:
        import tinygrad_adam as tg

        self.held.enter_context(tg.use_kernels(self.kernels))

    def train(self, workload: Workload) -> Step:
        import tinygrad_adam as tg
        from tinygrad_adam import nn, optim
        from tinygrad_adam.nn import functional as F

        self.choose_kernels()
        model = network(nn, workload)
        for p, value in zip(model.parameters(), workload.arrays(), strict=True):
            p.data = value
        inputs, labels = workload.data()
        x = tg.tensor(inputs)
        optimizer = optim.Adam(model.parameters())

        def step() -> float:
            loss = F.cross_entropy(model(x), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return float(loss.item())

        return step

    def adam(self, size: int) -> Callable[[], None]:
        from tinygrad_adam import nn, optim

        self.choose_kernels()
        p = nn.Parameter(np.ones(size, np.float32))
        optimizer = optim.Adam([p])
        p.grad = np.full(size, 0.1, np.float32)
        return optimizer.step

    def chain(self, length: int) -> Step:
        import tinygrad_adam as tg

        self.choose_kernels()
        x = tg.tensor(np.ones(10, np.float32), requires_grad=True)

        def step() -> float:
            y = x
            for _ in range(length // 2):
                y = y * 1.0001 + 0.001
            x.grad = None
            y.sum().backward()
            return float(x.grad.numpy()[0])

        return step
