"""Gradients that fade or grow on their way back through the layers."""

from __future__ import annotations

import math
from typing import Any

from ...engine.graph import Variable
from .check import Check, norm
from .finding import Finding

VANISHING = 1e-3
"""How small the gradient of a layer's weights may be beside that of a later layer. Each sigmoid layer takes a
factor of at most 1/4 (Glorot & Bengio, 2010; Hochreiter, 1991). The least ratio of networks that learn well
was 0.02, of three sigmoid layers."""

EXPLODING = 100.0
"""How large it may be beside the weights themselves: from there on, a step of plain gradient descent with a
rate of 0.01 is as large as the weights (Pascanu et al., 2013, on clipping). In the examples it is below 1."""


class Gradients(Check):
    """Compares the gradients of the weight matrices of a model, layer by layer."""

    def __init__(self, doctor: Any) -> None:
        super().__init__(doctor)
        self.used: dict[int, Any] = {}

    def share(self, node: Any, position: int, parent: Any, share: Any) -> None:
        if isinstance(parent, Variable) and parent._data.ndim > 1:
            self.used[id(parent)] = node

    def step_begins(self, optimizer: Any) -> None:
        weights = [p for group in optimizer.param_groups for p in group["params"] if p.ndim > 1]
        layers = [
            (self.used[id(p)].number, p, norm(p._grad), norm(p._data))
            for p in weights
            if p._grad is not None and id(p) in self.used
        ]
        layers.sort(key=lambda layer: layer[0])
        if layers and all(math.isfinite(size) for _, _, size, _ in layers):
            self._compare(layers)
        self.used.clear()

    def _compare(self, layers: list[Any]) -> None:
        _, last, reference, _ = max(layers, key=lambda layer: layer[2])
        at = next(i for i, layer in enumerate(layers) if layer[1] is last)
        least = min(layers[: at + 1], key=lambda layer: layer[2])
        if self.lasts("vanishing", least[2] < VANISHING * reference):
            self.doctor.find("vanishing", lambda: self._vanishing(layers, least[1], least[2] / reference))
        _, steep, size, weight = max(layers, key=lambda layer: layer[2] / max(layer[3], 1e-30))
        if self.lasts("exploding", size > EXPLODING * weight > 0):
            self.doctor.find("exploding", lambda: self._exploding(layers, steep, size / weight))

    def _profile(self, layers: list[Any]) -> str:
        """List the norms from the first layer to the last, the middle left out if there are many."""
        shown = [f"{self.doctor.name(p).split(' (')[0]} {size:.1e}" for _, p, size, _ in layers]
        if len(shown) > 6:
            shown = [*shown[:3], "...", *shown[-2:]]
        return "norms from the first layer to the last: " + ", ".join(shown)

    def _where(self, p: Any) -> str:
        return self.doctor.where(self.doctor.place(self.used.get(id(p))))

    def _vanishing(self, layers: list[Any], p: Any, ratio: float) -> Finding:
        return Finding(
            kind="vanishing-gradient",
            what=f"the gradient fades on its way back: at {self.doctor.name(p)} there is {ratio:.1g} of "
            "what a later layer gets, so the first layers hardly learn.",
            where=self._where(p),
            remedy="use ReLU instead of sigmoid or tanh, start from Kaiming or Xavier weights (nn.init), "
            "put BatchNorm or LayerNorm between, or add skip connections.",
            evidence=f"{self._profile(layers)}; told below {VANISHING:.0e} of a later layer's",
        )

    def _exploding(self, layers: list[Any], p: Any, ratio: float) -> Finding:
        return Finding(
            kind="exploding-gradient",
            what=f"the gradient of {self.doctor.name(p)} is huge: a step of plain gradient descent would "
            "throw the weights far away.",
            where=self._where(p),
            remedy="start from smaller weights (Kaiming or Xavier, nn.init), scale inputs and targets to "
            "a size near 1, or clip: optim.clip_grad_norm_(model.parameters(), 1.0) before step().",
            evidence=f"norm over that of the weights {ratio:.1e}, told above {EXPLODING:.0e}; "
            f"{self._profile(layers)}",
        )
