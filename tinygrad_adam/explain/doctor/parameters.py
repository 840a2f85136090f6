"""Parameters that cannot learn: left out, out of the gradient's reach, or on the wrong device."""

from __future__ import annotations

from typing import Any

from ...engine.graph import Node, Primitive, Variable
from ...nn import Module, Parameter
from ...optim import Optimizer
from ...typing import Args, Array, Settings
from ..optimizers import parameters_of
from .chart import Chart
from .check import Check

DECIDED_AFTER = 20
"""Steps before a parameter counts as left out: some optimizers of several step only now and then, such as a
GAN's generator, usually after five steps of its critic (Arjovsky et al., 2017, algorithm 1)."""

LEAST = 3
"""Steps that must have been taken if training ends before that."""


class LeftOut(Check):
    """Finds parameters that are not given to any optimizer, and those that never get a gradient."""

    every_step = True

    def __init__(self, doctor: Chart) -> None:
        super().__init__(doctor)
        self.reached: set[int] = set()
        self.called: set[int] = set()
        self.decided = False

    def operation(self, primitive: Primitive, args: Args, settings: Settings, output: Variable) -> None:
        if not self.decided:
            self.called.update(id(arg) for arg in args if isinstance(arg, Variable) and arg.node is None)

    def share(self, node: Node, position: int, parent: Node | Variable, share: Array) -> None:
        if not self.decided and isinstance(parent, Variable):
            self.reached.add(id(parent))  # by tg.grad, which leaves .grad as it is

    def backward_ends(self, root: Variable) -> None:
        self._look()

    def step_begins(self, optimizer: Optimizer) -> None:
        self._look()  # gradients may be assigned
        if not self.decided and self.doctor.step + 1 >= DECIDED_AFTER:
            self._decide()

    def end(self) -> None:
        if not self.decided and self.doctor.step >= LEAST:
            self._decide()

    def _look(self) -> None:
        if not self.decided:
            self.reached.update(id(p) for p in self._parameters() if p._grad is not None)

    def _parameters(self) -> list[Parameter]:
        own = {id(p): p for o in self.doctor.optimizers for p in parameters_of(o)}
        for model in self.doctor.models:
            own.update((id(p), p) for p in model.parameters() if p.requires_grad)
        return list(own.values())

    def _decide(self) -> None:
        self.decided = True
        given = {id(p) for o in self.doctor.optimizers for p in parameters_of(o)}
        parameters = self._parameters()
        if self.doctor.optimizers:
            self._tell_left_out([p for p in parameters if id(p) in self.reached and id(p) not in given])
        self._tell_out_of_reach([p for p in parameters if id(p) not in self.reached])

    def _tell_left_out(self, left: list[Parameter]) -> None:
        if left:
            self.find(
                "not-in-optimizer",
                kind="not-in-optimizer",
                what=f"backward() gives gradients to {self._list(left)}, but no optimizer holds "
                f"{'it' if len(left) == 1 else 'them'}: "
                f"{'it stays as it' if len(left) == 1 else 'they stay as they'} began, while the "
                "gradient adds up.",
                remedy="give the optimizer model.parameters(), made after the last layer was added "
                "or replaced. What is not to be trained: p.requires_grad_(False).",
                **self._since(),
            )

    def _tell_out_of_reach(self, left: list[Parameter]) -> None:
        unused = [p for p in left if id(p) not in self.called]
        cut = [p for p in left if id(p) in self.called]
        if unused:
            self.find(
                ("no-gradient", "unused"),
                kind="no-gradient",
                what=f"{self._list(unused)} never got a gradient: no operation has used "
                f"{'it' if len(unused) == 1 else 'them'}. The layer was made, but forward() does not "
                "call it.",
                remedy="call the layer in forward(), or remove it.",
                **self._since(),
            )
        if cut:
            self.find(
                ("no-gradient", "cut"),
                kind="no-gradient",
                what=f"{self._list(cut)} never got a gradient, though operations have used "
                f"{'it' if len(cut) == 1 else 'them'}: the graph is cut between there and the loss.",
                remedy="look for .detach(), .numpy(), .item(), tg.no_grad() or a comparison on the "
                "way to the loss; compute that part with Tensors.",
                **self._since(),
            )

    def _list(self, parameters: list[Parameter]) -> str:
        names = [self.doctor.name(p) for p in parameters]
        return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")

    def _since(self) -> dict[str, str]:
        models = ", ".join(type(m).__name__ for m in self.doctor.models)
        return {
            "where": models or "the optimizer's parameters",
            "evidence": f"after {self.doctor.step + 1} steps; judged after {DECIDED_AFTER}, or at the end",
        }


class Devices(Check):
    """Finds a model whose parameters are not where its input is."""

    def module_begins(self, module: Module, args: tuple[Any, ...]) -> None:
        inputs = [arg for arg in args if isinstance(arg, Variable)]
        if not inputs:
            return
        wanted = inputs[0].device  # type: ignore[attr-defined]
        apart = [(name, p) for name, p in module.named_parameters() if p.device != wanted]
        if apart:
            (name, p), count = apart[0], len(apart)
            self.find(
                ("wrong-device", id(module)),
                kind="wrong-device",
                what=f"{count} of the {len(list(module.parameters()))} parameters of "
                f"{type(module).__name__} are not where its input {inputs[0]._data.shape} is: "
                f"'{name}' {p.shape} is on {p.device!r}, the input on {wanted!r}.",
                where=self.doctor.where(),
                remedy=f"move all of them, model.to({wanted!r}), or the input, x.to({p.device!r}); a "
                "DataLoader moves batches with device=.",
                evidence=f"{p.device!r} against {wanted!r}; reported at once",
            )
