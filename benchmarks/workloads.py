"""What is measured: the same networks, initial weights and batches for everyone."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

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
        Of one input.
    batch : int
        Inputs a step.
    layers : tuple of Layer
        In order.
    steps : int
        How many steps to take in each round.
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
        """Return weight and bias of each layer that has some, in PyTorch's layouts."""
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

    def work(self) -> tuple[float, float]:
        """Return the floating-point operations of a step's products, and the bytes it must move.

        Three products for each layer (forward, gradient of the weight, gradient of the input; the first
        layer needs no gradient of the input), two operations for each multiplication. Bytes: 28 for each
        parameter in Adam, and each activation written and read once on the way forward and once back.
        """
        flops = traffic = 0.0
        shape = self.shape
        first = True
        for kind, *sizes in self.layers:
            if kind == "linear":
                shape, multiplications = (sizes[1],), sizes[0] * sizes[1]
                parameters = multiplications + sizes[1]
            elif kind == "conv":
                shape = (sizes[1], *shape[1:])
                parameters = sizes[0] * sizes[1] * sizes[2] ** 2 + sizes[1]
                multiplications = (parameters - sizes[1]) * shape[1] * shape[2]
            else:
                multiplications = parameters = 0
                if kind == "pool":
                    kernel, stride, padding = sizes
                    shape = (shape[0], *((n + 2 * padding - kernel) // stride + 1 for n in shape[1:]))
                elif kind == "flatten":
                    shape = (math.prod(shape),)
            flops += 2 * self.batch * multiplications * (2 if first else 3)
            first = first and not multiplications
            traffic += 28 * parameters + (0 if kind == "flatten" else 16 * self.batch * math.prod(shape))
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
