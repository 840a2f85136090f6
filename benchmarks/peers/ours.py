"""tinygrad_adam with one of its kernel sets, run by the engine or recorded."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from ..workloads import Workload
from .base import Cannot, Peer, Step, network


class Ours(Peer):
    """The package itself."""

    packages = ("tinygrad_adam",)
    imports = "import tinygrad_adam"

    def __init__(self, name: str, kernels: str = "fast", device: str = "cpu", recorded: bool = False) -> None:
        self.name = name
        self.kernels = kernels
        self.recorded = recorded
        self.device = device
        self.held = contextlib.ExitStack()  # contexts that last for the life of the process

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
        model.to(self.device)
        x, labels = (tg.tensor(array, device=self.device) for array in workload.data())
        optimizer = optim.Adam(model.parameters())
        training_pass = tg.recorded(lambda x, labels: F.cross_entropy(model(x), labels))

        def recorded_step() -> float:
            optimizer.zero_grad()
            loss = training_pass(x, labels)
            optimizer.step()
            return float(loss.item())

        def step() -> float:
            loss = F.cross_entropy(model(x), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return float(loss.item())

        return recorded_step if self.recorded else step

    def adam(self, size: int) -> Callable[[], None]:
        import tinygrad_adam as tg
        from tinygrad_adam import nn, optim

        if self.recorded:
            raise Cannot("the optimizer is the same")
        self.choose_kernels()
        p = nn.Parameter(tg.ones(size, device=self.device))
        optimizer = optim.Adam([p])
        p.grad = tg.full((size,), 0.1, device=self.device)
        if self.device == "cpu":
            return optimizer.step

        def step() -> None:
            optimizer.step()
            tg.cuda.synchronize(self.device)

        return step

    def chain(self, length: int) -> Step:
        import tinygrad_adam as tg

        self.choose_kernels()
        x = tg.ones(10, device=self.device, requires_grad=True)

        def last() -> Any:
            y = x
            for _ in range(length // 2):
                y = y * 1.0001 + 0.001
            return y.sum()

        run = tg.recorded(last) if self.recorded else lambda: last().backward()

        def step() -> float:
            x.grad = None
            run()
            return float(x.grad.numpy()[0])

        return step
