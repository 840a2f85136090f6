"""PyTorch: eager, with its fused Adam, compiled, and on a GPU as a CUDA graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..workloads import Workload
from .base import THREADS, Cannot, Peer, Step, network


class PyTorch(Peer):
    """PyTorch."""

    packages = ("torch",)
    imports = "import torch"

    def __init__(
        self, name: str, fused: bool = False, compiled: bool = False, graph: bool = False, device: str = "cpu"
    ) -> None:
        self.name = name
        self.fused = fused
        self.compiled = compiled
        self.graph = graph
        self.device = device

    def train(self, workload: Workload) -> Step:
        import torch
        from torch import nn
        from torch.nn import functional as F

        torch.set_num_threads(THREADS)
        # Our products use full float32; on a GPU, PyTorch's convolutions would use TF32.
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
        model = network(nn, workload).to(self.device)

        def begin() -> None:
            with torch.no_grad():
                for p, value in zip(model.parameters(), workload.arrays(), strict=True):
                    p.copy_(torch.from_numpy(value))

        begin()
        x, y = (torch.from_numpy(array).to(self.device) for array in workload.data())
        optimizer = torch.optim.Adam(model.parameters(), fused=self.fused, capturable=self.graph)
        forward = torch.compile(model) if self.compiled else model

        def update() -> Any:
            loss = F.cross_entropy(forward(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss

        if not self.graph:
            return lambda: float(update().item())
        replay, loss = self.captured(update)
        begin()  # again, because the warm-up steps changed the weights
        for state in optimizer.state.values():
            for tensor in state.values():
                tensor.zero_()

        def step() -> float:
            replay()
            return float(loss.item())

        return step

    def captured(self, work: Callable[[], Any]) -> tuple[Callable[[], None], Any]:
        """Capture `work` in a CUDA graph; return a function that replays it, and the captured return value.

        Follows "whole-network capture" in PyTorch's notes on CUDA graphs.
        """
        import torch

        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(3):
                work()
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            returned = work()
        return graph.replay, returned

    def adam(self, size: int) -> Callable[[], None]:
        import torch

        torch.set_num_threads(THREADS)
        p = torch.nn.Parameter(torch.ones(size, device=self.device))
        p.grad = torch.full((size,), 0.1, device=self.device)
        optimizer = torch.optim.Adam([p], fused=self.fused and not self.compiled, capturable=self.graph)
        if self.compiled:  # as in PyTorch's tutorial on compiled optimizers
            return torch.compile(lambda: optimizer.step(), fullgraph=False)
        if self.device == "cpu":
            return optimizer.step
        work = self.captured(optimizer.step)[0] if self.graph else optimizer.step

        def step() -> None:
            work()
            torch.cuda.synchronize()

        return step

    def chain(self, length: int) -> Step:
        if self.compiled:
            raise Cannot("it would compile the chain into one loop, with no graph left to walk")
        if self.fused:
            raise Cannot("the chain has no optimizer, so this would equal torch")
        import torch

        torch.set_num_threads(THREADS)
        x = torch.ones(10, device=self.device, requires_grad=True)

        def step() -> float:
            y = x
            for _ in range(length // 2):
                y = y * 1.0001 + 0.001
            x.grad = None
            y.sum().backward()
            return float(x.grad[0])

        return step
