"""Training in evaluation mode: dropout is off, and batch normalization does not learn its averages."""

from __future__ import annotations

from typing import Any

from ...engine.modes import is_grad_enabled
from ...nn import Dropout, Module
from ...nn.normalization import _BatchNorm
from ...optim import Optimizer
from ..optimizers import parameters_of
from .chart import Chart
from .check import PERSISTENCE, Check


class EvaluationMode(Check):
    """Finds models that are trained as a whole in evaluation mode.

    A frozen part, or a submodule that alone is in evaluation mode, is no mistake: normalization layers may
    keep the averages of an earlier training.
    """

    every_step = True

    def __init__(self, doctor: Chart) -> None:
        super().__init__(doctor)
        self.evaluated_now: list[Module] = []
        self.trained_now = False

    def module_begins(self, module: Module, args: tuple[Any, ...]) -> None:
        self.trained_now = True

    def evaluated(self, module: Module, args: tuple[Any, ...]) -> None:
        if is_grad_enabled() and not any(module is other for other in self.evaluated_now):
            self.evaluated_now.append(module)

    def step_begins(self, optimizer: Optimizer) -> None:
        found = None
        if self.evaluated_now and not self.trained_now:
            held = {id(p) for p in parameters_of(optimizer)}
            for module in self.evaluated_now:
                own = [id(p) for p in module.parameters()]
                if own and held.issuperset(own) and (layers := _sensitive(module)):
                    found = module, layers
        if self.lasts(id(optimizer), found is not None) and found is not None:
            self._words(*found)
        self.evaluated_now, self.trained_now = [], False

    def _words(self, module: Module, layers: dict[str, Module]) -> None:
        name, layer = next(iter(layers.items()))
        others = f" and {len(layers) - 1} more" if len(layers) > 1 else ""
        self.find(
            ("evaluation", id(module)),
            kind="evaluation-mode",
            what=f"{type(module).__name__} is trained in evaluation mode: {name!r} "
            f"({type(layer).__name__}){others} behaves differently in training. Dropout is off, and batch "
            "normalization uses averages that it does not learn.",
            where=self.doctor.where(),
            remedy="call model.train() before the first batch of each epoch: model.eval() for the "
            "evaluation stays until then.",
            evidence=f"model.training is False in {PERSISTENCE} steps in a row; "
            f"reported from {PERSISTENCE} on",
        )


def _sensitive(module: Module) -> dict[str, Module]:
    """Return the layers in evaluation mode, by name, that behave differently in training."""
    return {
        name: layer
        for name, layer in module.named_modules()
        if not layer.training
        and (isinstance(layer, _BatchNorm) or (isinstance(layer, Dropout) and layer.p > 0))
    }
