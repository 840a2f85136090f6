"""SmallPebble with its own Adam. Its images are channels-last, so the weights are rearranged."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from ..workloads import Workload
from .base import Peer, Step


class SmallPebble(Peer):
    """SmallPebble."""

    name = "smallpebble"
    packages = ("smallpebble",)
    imports = "import smallpebble"

    def train(self, workload: Workload) -> Step:
        import smallpebble as sp

        inputs, labels = workload.data()
        images = inputs.ndim == 4
        x = sp.Variable(np.ascontiguousarray(inputs.transpose(0, 2, 3, 1)) if images else inputs)
        parameters = [sp.Variable(value) for value in channels_last(workload)]
        count = sp.Variable(np.float32(len(labels)))
        optimizer = sp.Adam()

        def step() -> float:
            logits = forward(workload.layers, parameters, x)
            loss = sp.cross_entropy(sp.softmax(logits), labels) / count  # it sums over the batch
            optimizer.training_step(parameters, sp.get_gradients(loss))
            return float(loss.array)

        return step

    def adam(self, size: int) -> Callable[[], None]:
        import smallpebble as sp

        p = sp.Variable(np.ones(size, np.float32))
        gradients = {p: np.full(size, 0.1, np.float32)}
        optimizer = sp.Adam()
        return lambda: optimizer.training_step([p], gradients)

    def chain(self, length: int) -> Step:
        import smallpebble as sp

        sys.setrecursionlimit(10 * length)  # its backward pass is recursive, beyond Python's default
        x = sp.Variable(np.ones(10, np.float32))
        factor, shift = sp.Variable(np.float32(1.0001)), sp.Variable(np.float32(0.001))

        def step() -> float:
            y = x
            for _ in range(length // 2):
                y = y * factor + shift
            return float(sp.get_gradients(sp.sum(y))[x][0])

        return step


def channels_last(workload: Workload) -> list[np.ndarray]:
    """Return weights and biases that compute the same functions for channels-last images."""
    arrays = []
    weights = iter(workload.weights())
    flattened: tuple[int, ...] = ()  # channels, height and width, if the last layer flattened images
    for (kind, *_), shape, _ in workload.shapes():
        if kind == "flatten":
            flattened = shape
        if kind not in ("linear", "conv"):
            continue
        w, b = next(weights)
        if kind == "conv":
            w = w.transpose(2, 3, 1, 0)
        elif flattened:
            w = w.reshape(-1, *flattened).transpose(0, 2, 3, 1).reshape(len(w), -1).T
            flattened = ()
        else:
            w = w.T
        arrays += [np.ascontiguousarray(w), b]
    return arrays


def forward(layers: tuple[Any, ...], parameters: list[Any], x: Any) -> Any:
    """Return the logits."""
    import smallpebble as sp

    rest = iter(parameters)
    for kind, *sizes in layers:
        if kind == "linear":
            x = sp.matmul(x, next(rest)) + next(rest)
        elif kind == "conv":
            x = sp.conv2d(x, next(rest), padding="SAME") + next(rest)
        elif kind == "pool":
            kernel, stride, pad = sizes
            if pad:  # zeros above and to the left, as needed by windows of stride 2 on even sizes
                x = sp.pad(x, ((0, 0), (pad, 0), (pad, 0), (0, 0)))
            x = sp.maxpool2d(x, kernel, kernel, padding="VALID", strides=(stride, stride))
        elif kind == "relu":
            x = sp.leaky_relu(x, alpha=0)
        else:
            x = sp.reshape(x, (len(x.array), -1))
    return x
