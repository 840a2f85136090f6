"""The measured work: the same networks, initial weights and batches for all peers."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

ADAM_BYTES = 28
"""Memory traffic per float32 parameter: read it, its gradient and both moments; write it and both moments."""
Layer = tuple[Any, ...]
"""("linear", in, out), ("conv", in, out, kernel, padding), ("pool", kernel, stride, padding), ("relu",) or
("flatten",)."""


@dataclass(frozen=True)
class Workload:
    """A network and a batch.

    Attributes
    ----------
    name, description : str
    shape : tuple of int
        Shape of one input.
    batch : int
        Inputs per step.
    layers : tuple of Layer
        In order.
    steps : int
        Steps per round.
    """

    name: str
    description: str
    shape: tuple[int, ...]
    batch: int
    layers: tuple[Layer, ...]
    steps: int

    def data(self) -> tuple[np.ndarray, np.ndarray]:
        """Return inputs and labels."""
        rng = np.random.default_rng(1)
        return rng.random((self.batch, *self.shape), dtype=np.float32), rng.integers(0, 10, self.batch)

    def weights(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return the weight and bias of each layer that has parameters, in PyTorch's layouts."""
        rng = np.random.default_rng(0)
        weights = []
        for kind, *sizes in self.layers:
            if kind not in ("linear", "conv"):
                continue
            shape = (sizes[1], sizes[0]) if kind == "linear" else (sizes[1], sizes[0], sizes[2], sizes[2])
            bound = 1 / math.sqrt(math.prod(shape[1:]))
            weights.append(
                tuple(rng.uniform(-bound, bound, s).astype(np.float32) for s in (shape, shape[:1]))
            )
        return weights

    def arrays(self) -> list[np.ndarray]:
        """Return all weights and biases, in order."""
        return [array for pair in self.weights() for array in pair]

    def shapes(self) -> Iterator[tuple[Layer, tuple[int, ...], tuple[int, ...]]]:
        """Yield each layer with the shapes of one of its inputs and one of its outputs."""
        shape = self.shape
        for layer in self.layers:
            kind, *sizes = layer
            before = shape
            if kind == "linear":
                shape = (sizes[1],)
            elif kind == "conv":
                shape = (sizes[1], *shape[1:])
            elif kind == "pool":
                kernel, stride, padding = sizes
                shape = (shape[0], *((n + 2 * padding - kernel) // stride + 1 for n in shape[1:]))
            elif kind == "flatten":
                shape = (math.prod(shape),)
            yield layer, before, shape

    def work(self) -> tuple[float, float]:
        """Return the floating-point operations of a step's products, and the bytes that it must move.

        There are three products for each layer (forward, gradient of the weight, gradient of the input; the
        first layer needs no gradient of the input), and two operations for each multiplication. Adam moves 28
        bytes per parameter; each activation is written and read once in the forward and once in the backward
        pass.
        """
        flops = traffic = 0.0
        products = 2
        for (kind, *sizes), _, shape in self.shapes():
            if kind in ("linear", "conv"):
                window = sizes[2] ** 2 if kind == "conv" else 1
                weights = sizes[0] * sizes[1] * window
                places = math.prod(shape) // sizes[1]
                flops += 2 * self.batch * weights * places * products
                traffic += ADAM_BYTES * (weights + sizes[1])
                products = 3
            if kind != "flatten":
                traffic += 16 * self.batch * math.prod(shape)
        return flops, traffic


def _mlp(*sizes: int) -> tuple[Layer, ...]:
    layers: list[Layer] = []
    for inputs, outputs in itertools.pairwise(sizes):
        layers += [("linear", inputs, outputs), ("relu",)]
    return tuple(layers[:-1])


WORKLOADS = {
    w.name: w
    for w in (
        Workload("W1", "MLP 64-32-10, batch 32", (64,), 32, _mlp(64, 32, 10), 400),
        Workload("W2", "MLP 784-128-10, batch 64", (784,), 64, _mlp(784, 128, 10), 200),
        Workload("W3", "MLP 784-1000-1000-10, batch 128 (the Adam paper's)", (784,), 128,
                 _mlp(784, 1000, 1000, 10), 15),
        Workload("W4", "CNN 1x28x28, two 5x5 convolutions, batch 64", (1, 28, 28), 64,
                 (("conv", 1, 32, 5, 2), ("relu",), ("pool", 2, 2, 0), ("conv", 32, 64, 5, 2), ("relu",),
                  ("pool", 2, 2, 0), ("flatten",), *_mlp(64 * 49, 128, 10)), 8),
        Workload("W5", "CNN 3x32x32, three 5x5 convolutions, batch 128 (the Adam paper's)", (3, 32, 32), 128,
                 (("conv", 3, 64, 5, 2), ("relu",), ("pool", 3, 2, 1), ("conv", 64, 64, 5, 2), ("relu",),
                  ("pool", 3, 2, 1), ("conv", 64, 128, 5, 2), ("relu",), ("pool", 3, 2, 1), ("flatten",),
                  *_mlp(128 * 16, 1000, 10)), 2),
    )
}  # fmt: skip
ADAM_SIZES = {"A4": 10_000, "A5": 100_000, "A6": 1_800_000, "A7": 20_000_000}
CHAIN = 10_000
"""Operations of the deep graph."""
DEEP = "deep"
ROWS = (*WORKLOADS, *ADAM_SIZES, DEEP)
"""The names of the work that is timed step by step."""


def title(row: str) -> str:
    """Return the description of a row."""
    if row in WORKLOADS:
        return WORKLOADS[row].description
    if row in ADAM_SIZES:
        return f"Adam alone, {ADAM_SIZES[row]:,} parameters"
    return f"a chain of {CHAIN:,} operations on ten numbers, forward and backward"


def steps(row: str) -> int:
    """Return the number of steps per round."""
    if row in WORKLOADS:
        return WORKLOADS[row].steps
    return max(5, min(400, 40_000_000 // ADAM_SIZES[row])) if row in ADAM_SIZES else 5
