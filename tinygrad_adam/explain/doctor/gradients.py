"""Gradients that fade or grow on their way back through the layers."""

from __future__ import annotations

import math
from typing import TypeAlias

from ...engine.graph import Node, Variable
from ...nn import Parameter
from ...optim import Optimizer
from ...typing import Array
from ..optimizers import parameters_of
from .chart import Chart
from .check import Check, norm

VANISHING = 1e-3
"""How small the gradient of a layer's weights may be in comparison with a later layer's. Each sigmoid layer
takes a factor of at most 1/4 (Glorot & Bengio, 2010; Hochreiter, 1991). The least ratio of networks that
learn well was 0.02, of three sigmoid layers."""

EXPLODING = 100.0
"""How large it may be in comparison with the weights themselves: from there on, a step of plain gradient
descent with a rate of 0.01 is as large as the weights (Pascanu et al., 2013, on clipping). In the examples it
is below 1."""


Layer: TypeAlias = tuple[int, Parameter, float, float]
"""The number of the operation, the weights, the norm of their gradient and their own."""


class Gradients(Check):
    """Compares the gradients of the weight matrices of a model, layer by layer."""

    def __init__(self, doctor: Chart) -> None:
        super().__init__(doctor)
        self.used: dict[int, Node] = {}

    def share(self, node: Node, position: int, parent: Node | Variable, share: Array) -> None:
        if isinstance(parent, Variable) and parent._data.ndim > 1:
            self.used[id(parent)] = node

    def step_begins(self, optimizer: Optimizer) -> None:
        weights = [p for p in parameters_of(optimizer) if p.ndim > 1]
        layers = [
            (self.used[id(p)].number, p, norm(p._grad), norm(p._data))
            for p in weights
            if p._grad is not None and id(p) in self.used
        ]
        layers.sort(key=lambda layer: layer[0])
        if layers and all(math.isfinite(size) for _, _, size, _ in layers):
            self._compare(layers)
        self.used.clear()

    def _compare(self, layers: list[Layer]) -> None:
        _, last, reference, _ = max(layers, key=lambda layer: layer[2])
        at = next(i for i, layer in enumerate(layers) if layer[1] is last)
        # Units of one input have no gradient by design before a BatchNorm, which takes out their scale.
        several = [layer for layer in layers[: at + 1] if layer[1][0].size > 1]
        least = min(several, key=lambda layer: layer[2], default=layers[at])
        if self.lasts("vanishing", least[2] < VANISHING * reference):
            self._vanishing(layers, least[1], least[2] / reference)
        _, steep, size, weight = max(layers, key=lambda layer: layer[2] / max(layer[3], 1e-30))
        if self.lasts("exploding", size > EXPLODING * weight > 0):
            self._exploding(layers, steep, size / weight)

    def _profile(self, layers: list[Layer]) -> str:
        """List the norms from the first layer to the last, the middle left out if there are many."""
        shown = [f"{self.doctor.name(p).split(' (')[0]} {size:.1e}" for _, p, size, _ in layers]
        if len(shown) > 6:
            shown = [*shown[:3], "...", *shown[-2:]]
        return "norms from the first layer to the last: " + ", ".join(shown)

    def _where(self, p: Parameter) -> str:
        return self.doctor.where(self.doctor.place(self.used.get(id(p))))

    def _vanishing(self, layers: list[Layer], p: Parameter, ratio: float) -> None:
        self.find(
            "vanishing",
            kind="vanishing-gradient",
            what=f"the gradient fades on its way back: at {self.doctor.name(p)} there is {ratio:.1g} of "
            "what a later layer gets, so the first layers hardly learn.",
            where=self._where(p),
            remedy="use ReLU instead of sigmoid or tanh, start from Kaiming or Xavier weights (nn.init), "
            "put BatchNorm or LayerNorm between, or add skip connections.",
            evidence=f"{self._profile(layers)}; reported below {VANISHING:.0e} of a later layer's",
        )

    def _exploding(self, layers: list[Layer], p: Parameter, ratio: float) -> None:
        self.find(
            "exploding",
            kind="exploding-gradient",
            what=f"the gradient of {self.doctor.name(p)} is huge: a step of plain gradient descent would "
            "throw the weights far away.",
            where=self._where(p),
            remedy="start from smaller weights (Kaiming or Xavier, nn.init), scale inputs and targets to "
            "a size near 1, or clip: optim.clip_grad_norm_(model.parameters(), 1.0) before step().",
            evidence=f"gradient norm over weight norm {ratio:.1e}, reported above {EXPLODING:.0e}; "
            f"{self._profile(layers)}",
        )
