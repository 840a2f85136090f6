"""PyTorch on the CPU: eager, with its fused Adam, and compiled."""

from __future__ import annotations

from collections.abc import Callable

from ..workloads import Workload
from .base import THREADS, Cannot, Peer, Step, network


class PyTorch(Peer):
    """PyTorch."""

    packages = ("torch",)
    imports = "import torch"

    def __init__(self, name: str, fused: bool = False, compiled: bool = False) -> None:
        self.name = name
        self.fused = fused
        self.compiled = compiled

    def train(self, workload: Workload) -> Step:
        import torch
        from torch import nn
        from torch.nn import functional as F

        torch.set_num_threads(THREADS)
        model = network(nn, workload)
        with torch.no_grad():
            for p, value in zip(model.parameters(), workload.arrays(), strict=True):
                p.copy_(torch.from_numpy(value))
        inputs, labels = workload.data()
        x, y = torch.from_numpy(inputs), torch.from_numpy(labels)
        optimizer = torch.optim.Adam(model.parameters(), fused=self.fused)
        forward = torch.compile(model) if self.compiled else model

        def step() -> float:
            loss = F.cross_entropy(forward(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return float(loss.item())

        return step

    def adam(self, size: int) -> Callable[[], None]:
        import torch

        torch.set_num_threads(THREADS)
        p = torch.nn.Parameter(torch.ones(size))
        p.grad = torch.full((size,), 0.1)
        optimizer = torch.optim.Adam([p], fused=self.fused and not self.compiled)
        if self.compiled:  # as PyTorch's tutorial on compiled optimizers has it
            return torch.compile(lambda: optimizer.step(), fullgraph=False)
        return optimizer.step

    def chain(self, length: int) -> Step:
        if self.compiled:
            raise Cannot("it would compile the chain into one loop: there is no graph left to walk")
        if self.fused:
            raise Cannot("no optimizer takes part: the same as torch")
        import torch

        torch.set_num_threads(THREADS)
        x = torch.ones(10, requires_grad=True)

        def step() -> float:
            y = x
            for _ in range(length // 2):
                y = y * 1.0001 + 0.001
            x.grad = None
            y.sum().backward()
            return float(x.grad[0])

        return step
