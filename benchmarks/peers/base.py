"""What a peer is: one way of using one framework, asked for the work that is measured."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..workloads import Workload

Step = Callable[[], float]
"""Takes one step and returns a number that must agree with everyone else's; it ends when the step is done."""

THREADS = 2
"""For everyone."""


class Cannot(Exception):
    """The framework has no way to do this work; the message says why."""


class Peer:
    """One way of using one framework.

    Attributes
    ----------
    name : str
        In the tables.
    packages : tuple of str
        What must be installed; the names of the distributions and of the modules are the same.
    imports : str
        The statement that imports the framework.
    device : {"cpu", "cuda"}
        Where it computes.
    """

    name: str
    packages: tuple[str, ...]
    imports: str
    device: str = "cpu"

    def train(self, workload: Workload) -> Step:
        """Return a training step: forward, backward, Adam, and reading the loss, which is returned."""
        raise Cannot("no training")

    def adam(self, size: int) -> Callable[[], Any]:
        """Return an Adam step on one parameter of `size` ones whose gradient is 0.1 throughout."""
        raise Cannot("no optimizer")

    def chain(self, length: int) -> Step:
        """Return forward and backward of ``x = x * 1.0001 + 0.001``, `length` operations on ten numbers.

        What is returned is the derivative of the sum with respect to the first number.
        """
        raise Cannot("no chain")


def network(nn: Any, workload: Workload) -> Any:
    """Build the network from the layers of `nn`, ours or PyTorch's: they have the same names."""
    layers = []
    for kind, *sizes in workload.layers:
        if kind == "linear":
            layers.append(nn.Linear(*sizes))
        elif kind == "conv":
            layers.append(nn.Conv2d(*sizes[:3], padding=sizes[3]))
        elif kind == "pool":
            layers.append(nn.MaxPool2d(*sizes))
        else:
            layers.append(nn.ReLU() if kind == "relu" else nn.Flatten())
    return nn.Sequential(*layers)
