"""MyGrad, which has no optimizer and is used with a plain Adam in NumPy.

The memory guard, which makes arrays read-only while a graph holds them, is turned off, as MyGrad's
documentation recommends for tested code.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..workloads import Workload
from .base import Cannot, Peer, Step


class MyGrad(Peer):
    """MyGrad."""

    name = "mygrad"
    packages = ("mygrad",)
    imports = "import mygrad"

    def train(self, workload: Workload) -> Step:
        import mygrad as mg
        from mygrad.nnet import softmax_crossentropy

        mg.turn_memory_guarding_off()
        inputs, labels = workload.data()
        parameters = [mg.tensor(value) for value in workload.arrays()]
        update = numpy_adam([p.data for p in parameters])

        def step() -> float:
            loss = softmax_crossentropy(forward(workload.layers, parameters, inputs), labels)
            loss.backward()
            update([p.grad for p in parameters])
            return float(loss.item())

        return step

    def adam(self, size: int) -> Any:
        raise Cannot("it has no optimizer")

    def chain(self, length: int) -> Step:
        import mygrad as mg

        mg.turn_memory_guarding_off()
        x = mg.tensor(np.ones(10, np.float32))
        factor, shift = np.float32(1.0001), np.float32(0.001)  # a Python number would make it float64

        def step() -> float:
            y = x
            for _ in range(length // 2):
                y = y * factor + shift
            y.sum().backward()
            return float(x.grad[0])

        return step


def numpy_adam(parameters: list[np.ndarray]) -> Any:
    """Return a function that takes gradients and updates `parameters` in place: Adam's Algorithm 1."""
    lr, beta1, beta2, eps = 1e-3, 0.9, 0.999, 1e-8
    first = [np.zeros_like(p) for p in parameters]
    second = [np.zeros_like(p) for p in parameters]
    t = 0

    def update(gradients: list[np.ndarray]) -> None:
        nonlocal t
        t += 1
        for p, g, m, v in zip(parameters, gradients, first, second, strict=True):
            m += (1 - beta1) * (g - m)
            v += (1 - beta2) * (g * g - v)
            p -= lr * (m / (1 - beta1**t)) / (np.sqrt(v / (1 - beta2**t)) + eps)

    return update


def forward(layers: tuple[Any, ...], parameters: list[Any], x: Any) -> Any:
    """Return the logits."""
    import mygrad as mg
    from mygrad.nnet import conv_nd, max_pool, relu

    rest = iter(parameters)
    for kind, *sizes in layers:
        if kind == "linear":
            w, b = next(rest), next(rest)
            x = mg.matmul(x, w.T) + b
        elif kind == "conv":
            w, b = next(rest), next(rest)
            x = conv_nd(x, w, stride=1, padding=sizes[3]) + b.reshape(-1, 1, 1)
        elif kind == "pool":
            kernel, stride, pad = sizes
            x = max_pool(padded(x, pad) if pad else x, (kernel, kernel), stride)
        elif kind == "relu":
            x = relu(x)
        else:
            x = x.reshape(len(x), -1)
    return x


def padded(x: Any, pad: int) -> Any:
    """Return `x` padded with zeros above and to the left, as needed by windows of stride 2 on even sizes.

    MyGrad's pooling supports neither padding nor a remainder. After a ReLU, a zero changes no maximum.
    """
    import mygrad as mg

    n, channels, height, width = x.shape
    out = mg.zeros((n, channels, height + pad, width + pad), dtype=np.float32)
    out[:, :, pad:, pad:] = x
    return out
