"""DeZero, with its own layers and Adam.

Its release 0.0.13 is older than NumPy 2. Two patches restore the behavior of NumPy 1: without the first it
cannot be imported, and without the second every Python number turns float32 arrays into float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..workloads import Workload
from .base import Peer, Step


class DeZero(Peer):
    """DeZero."""

    name = "dezero"
    packages = ("dezero",)
    imports = "import numpy; numpy.int = int; import dezero"

    def train(self, workload: Workload) -> Step:
        repair()
        import dezero.functions as F
        from dezero import optimizers

        model = network(workload)
        inputs, labels = workload.data()
        labels = labels.astype(np.uint8)  # as in its own MNIST; wider types make the backward pass float64
        # It adds eps before correcting the bias of the second moment; this value acts like 1e-8 in step 1.
        optimizer = optimizers.Adam(eps=1e-8 * math.sqrt(1 - 0.999)).setup(model)

        def step() -> float:
            loss = F.softmax_cross_entropy(model(inputs), labels)
            model.cleargrads()
            loss.backward()
            optimizer.update()
            return float(loss.data)

        return step

    def adam(self, size: int) -> Callable[[], None]:
        repair()
        from dezero import Layer, Parameter, Variable, optimizers

        layer = Layer()
        layer.p = Parameter(np.ones(size, np.float32))
        layer.p.grad = Variable(np.full(size, 0.1, np.float32))
        return optimizers.Adam().setup(layer).update

    def chain(self, length: int) -> Step:
        repair()
        import dezero.functions as F
        from dezero import Variable

        x = Variable(np.ones(10, np.float32))

        def step() -> float:
            y = x
            for _ in range(length // 2):
                y = y * 1.0001 + 0.001
            x.cleargrad()
            F.sum(y).backward()
            return float(x.grad.data[0])

        return step


def repair() -> None:
    """Import DeZero on NumPy 2, and make it convert Python numbers to float32."""
    np.int = int  # noqa: NPY001 (DeZero uses it)
    import dezero.core

    dezero.core.as_array = lambda x, xp=np: xp.array(x, np.float32) if np.isscalar(x) else x


def network(workload: Workload) -> Any:
    """Build the network from DeZero's layers, with the workload's weights."""
    import dezero.functions as F
    from dezero import Model
    from dezero import layers as L

    class Network(Model):
        def __init__(self) -> None:
            super().__init__()
            weights = iter(workload.weights())
            for i, (kind, *sizes) in enumerate(workload.layers):
                if kind == "linear":
                    layer = L.Linear(sizes[1], in_size=sizes[0])
                elif kind == "conv":
                    layer = L.Conv2d(sizes[1], sizes[2], pad=sizes[3], in_channels=sizes[0])
                else:
                    continue
                w, layer.b.data = next(weights)
                layer.W.data = np.ascontiguousarray(w.T) if kind == "linear" else w
                setattr(self, f"layer{i}", layer)

        def forward(self, x: Any) -> Any:
            for i, (kind, *sizes) in enumerate(workload.layers):
                if kind in ("linear", "conv"):
                    x = getattr(self, f"layer{i}")(x)
                elif kind == "pool":
                    x = F.pooling(x, *sizes)  # pads with zeros, which change no maximum after a ReLU
                else:
                    x = F.relu(x) if kind == "relu" else F.reshape(x, (len(x), -1))
            return x

    return Network()
