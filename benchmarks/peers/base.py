"""The interface of a peer: one way of using one framework for the measured work."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..workloads import Workload

Step = Callable[[], float]
"""Takes one step, waits until it is done, and returns a number that must agree with all other peers."""

THREADS = 2
"""Threads of every peer."""


class Cannot(Exception):
    """The framework does not support this work; the message gives the reason."""


class Peer:
    """One way of using one framework.

    Attributes
    ----------
    name : str
        Name in the tables.
    packages : tuple of str
        Required packages; distributions and modules have the same names.
    imports : str
        The statement that imports the framework.
    device : {"cpu", "cuda"}
        The device that computes.
    """

    name: str
    packages: tuple[str, ...]
    imports: str
    device: str = "cpu"

    def train(self, workload: Workload) -> Step:
        """Return a training step: forward, backward, Adam, and reading the loss, which the step returns."""
        raise Cannot("no training")

    def adam(self, size: int) -> Callable[[], Any]:
        """Return an Adam step on one parameter of `size` ones with a constant gradient of 0.1."""
        raise Cannot("no optimizer")

    def chain(self, length: int) -> Step:
        """Return a pass through ``x = x * 1.0001 + 0.001``, `length` operations on ten numbers, and back.

        The step returns the derivative of the sum with respect to the first number.
        """
        raise Cannot("no chain")


def network(nn: Any, workload: Workload) -> Any:
    """Build the network from the layers of `nn`, ours or PyTorch's, which have the same names."""
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
