"""HIPS autograd, with the Adam of its `autograd.misc.optimizers` taken one step at a time.

Its function `adam` runs a whole loop, so this file repeats the body: the same formulas on one flat vector,
in float32. Convolution and pooling follow its own example of a convolutional network.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..workloads import Workload
from .base import Cannot, Peer, Step


class HipsAutograd(Peer):
    """HIPS autograd."""

    name = "autograd"
    packages = ("autograd",)
    imports = "import autograd.numpy"

    def train(self, workload: Workload) -> Step:
        from autograd import value_and_grad
        from autograd.misc import flatten

        inputs, labels = workload.data()
        if any(kind == "pool" and sizes[0] != sizes[1] for kind, *sizes in workload.layers):
            raise Cannot("its pooling, by reshaping, needs windows that do not overlap")

        def objective(weights: Any) -> Any:
            return cross_entropy(forward(workload.layers, weights, inputs), labels)

        x, unflatten = flatten([convolution_weights(pair) for pair in workload.weights()])
        loss_and_gradient = value_and_grad(objective)
        optimizer = Adam(len(x))

        def step() -> float:
            nonlocal x
            loss, gradient = loss_and_gradient(unflatten(x))
            x = optimizer.update(x, flatten(gradient)[0])
            return float(loss)

        return step

    def adam(self, size: int) -> Callable[[], None]:
        x, g = np.ones(size, np.float32), np.full(size, 0.1, np.float32)
        optimizer = Adam(size)

        def step() -> None:
            nonlocal x
            x = optimizer.update(x, g)

        return step

    def chain(self, length: int) -> Step:
        import autograd.numpy as anp
        from autograd import grad

        def composed(x: Any) -> Any:
            for _ in range(length // 2):
                x = x * 1.0001 + 0.001
            return anp.sum(x)

        x, gradient = np.ones(10, np.float32), grad(composed)
        return lambda: float(gradient(x)[0])


class Adam:
    """The loop body of `autograd.misc.optimizers.adam`, and its state."""

    def __init__(self, size: int) -> None:
        self.m = np.zeros(size, np.float32)
        self.v = np.zeros(size, np.float32)
        self.i = 0

    def update(self, x: Any, g: Any, step_size=0.001, b1=0.9, b2=0.999, eps=10**-8) -> Any:
        self.m = (1 - b1) * g + b1 * self.m
        self.v = (1 - b2) * (g**2) + b2 * self.v
        self.i += 1
        mhat = self.m / (1 - b1**self.i)
        vhat = self.v / (1 - b2**self.i)
        return x - step_size * mhat / (np.sqrt(vhat) + eps)


def convolution_weights(pair: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return flipped weights (in, out, height, width), because its convolution is the mathematical one."""
    w, b = pair
    return (np.ascontiguousarray(w[:, :, ::-1, ::-1].swapaxes(0, 1)), b) if w.ndim == 4 else pair


def forward(layers: tuple[Any, ...], weights: Any, x: Any) -> Any:
    """Return the logits."""
    import autograd.numpy as anp
    from autograd.scipy.signal import convolve

    rest = iter(weights)
    for kind, *sizes in layers:
        if kind == "linear":
            w, b = next(rest)
            x = anp.dot(x, w.T) + b
        elif kind == "conv":
            w, b = next(rest)
            pad = sizes[3]
            x = anp.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)), "constant")
            x = convolve(x, w, axes=([2, 3], [2, 3]), dot_axes=([1], [0]), mode="valid") + b[:, None, None]
        elif kind == "pool":
            n, channels, height, width = x.shape
            k = sizes[0]
            x = anp.max(anp.max(x.reshape(n, channels, height // k, k, width // k, k), axis=3), axis=4)
        elif kind == "relu":
            x = anp.maximum(x, 0)
        else:
            x = x.reshape(len(x), -1)
    return x


def cross_entropy(logits: Any, labels: np.ndarray) -> Any:
    """Return the mean cross-entropy."""
    import autograd.numpy as anp
    from autograd.scipy.special import logsumexp

    log_probabilities = logits - logsumexp(logits, axis=1, keepdims=True)
    return -anp.mean(log_probabilities[np.arange(len(labels)), labels])
