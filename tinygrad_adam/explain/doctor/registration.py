"""Layers and weights that a model does not know as its own, made at the wrong time, or listed twice."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Any

from ...engine.graph import Node, Variable
from ...nn import Module, ModuleList, Parameter
from ...optim import Optimizer
from ...typing import Array
from ..optimizers import parameters_of
from .chart import Chart, Place
from .check import PERSISTENCE, Check


class Registration(Check):
    """Finds weights that take part in the loss and in no optimizer, since no module registered them."""

    def __init__(self, doctor: Chart) -> None:
        super().__init__(doctor)
        self.leaves: dict[int, tuple[Variable, Node]] = {}
        self.passing: dict[Hashable, tuple[list[Parameter], int]] = {}
        self.seen: set[int] = set()

    def module_begins(self, module: Module, args: tuple[Any, ...]) -> None:
        if id(module) not in self.seen:
            self.seen.add(id(module))
            for name, member in module.named_modules():
                if isinstance(member, ModuleList):
                    self._repeated(name, member)

    def _repeated(self, name: str, container: ModuleList) -> None:
        members = [member for member in container if member.parameter_count()]
        distinct = {id(member) for member in members}
        if len(distinct) == len(members):
            return
        kinds = sorted({type(member).__name__ for member in members})
        title = f"{type(container).__name__} {name!r}" if name else type(container).__name__
        self.find(
            ("repeated", id(container)),
            kind="layer-repeated",
            what=f"{title} lists {len(members)} layers with weights ({', '.join(kinds)}), but only "
            f"{len(distinct)} of them {'is' if len(distinct) == 1 else 'are'} different: the others are the "
            "same object again, with the same weights, as [layer] * 3 makes them.",
            where=self.doctor.where(),
            remedy="make each layer anew: [nn.Linear(32, 32) for _ in range(3)].",
            evidence=f"{len(members)} entries, {len(distinct)} objects; reported at once",
        )

    def share(self, node: Node, position: int, parent: Node | Variable, share: Array) -> None:
        if isinstance(parent, Variable):
            self.leaves.setdefault(id(parent), (parent, node))

    def step_begins(self, optimizer: Optimizer) -> None:
        held = {id(p) for o in self.doctor.optimizers for p in parameters_of(o)}
        own = {id(p) for model in self.doctor.models for p in model.parameters()}
        strangers = [leaf for leaf in self.leaves.values() if id(leaf[0]) not in held]
        self._look_for_new_ones(strangers)
        for leaf, node in strangers:
            found = None if id(leaf) in own else self._attribute(leaf)
            if found is not None and self.lasts(("stranger", id(leaf)), True):
                self._unregistered(leaf, *found, self.doctor.where(self.doctor.place(node)))
        self.leaves = {}

    def _look_for_new_ones(self, strangers: list[tuple[Variable, Node]]) -> None:
        """Look whether the weights that a line uses are other ones in each step."""
        here: dict[Hashable, list[tuple[Parameter, Place]]] = {}
        for leaf, node in strangers:
            if isinstance(leaf, Parameter):
                place = self.doctor.place(node)
                here.setdefault((place.line, node.primitive.name), []).append((leaf, place))
        for key, used in here.items():
            known, looks = self.passing.get(key, ([], 0))
            new = all(p is not other for p, _ in used for other in known)
            self.passing[key] = known + [p for p, _ in used], looks + 1 if new else 0
            if new and looks + 1 >= PERSISTENCE:
                self._made_anew(*max(used, key=lambda pair: pair[0].ndim))

    def _attribute(self, leaf: Variable) -> tuple[Module, str, Any] | None:
        """Return the module that holds a leaf in a plain attribute, and the attribute."""
        for model in self.doctor.models:
            for module in model.modules():
                for name, value in vars(module).items():
                    if not name.startswith("_") and any(leaf is part for part in _within(value)):
                        return module, name, value
        return None

    def _made_anew(self, leaf: Parameter, place: Place) -> None:
        self.find(
            ("anew", place.line),
            kind="layer-made-anew",
            what=f"the weights {leaf.shape} are new ones in every step: the layer is made where it is used, "
            "begins with random weights each time, and no optimizer ever changes it.",
            where=self.doctor.where(place),
            remedy="make the layer once, in __init__ of the module or before the loop, and only call it in "
            "forward().",
            evidence=f"others in each of {PERSISTENCE} looks; reported from {PERSISTENCE} on",
        )

    def _unregistered(self, leaf: Variable, module: Module, name: str, value: object, where: str) -> None:
        owner, kept = f"{type(module).__name__}.{name}", isinstance(leaf, Parameter)
        self.find(
            ("unregistered", owner),
            kind="unregistered-layer" if kept else "not-a-parameter",
            what=f"{owner} keeps layers in a plain {type(value).__name__}, which modules do not look into: "
            f"weights such as {leaf._data.shape} are missing from parameters() and state_dict(), so no "
            "optimizer changes them."
            if kept
            else f"{owner} {leaf._data.shape} is a Tensor that wants a gradient, but no Parameter: it is "
            "missing from parameters() and state_dict(), so no optimizer changes it.",
            where=where,
            remedy=f"write self.{name} = nn.{'ModuleList' if kept else 'Parameter'}(...), and then make the "
            "optimizer. For a Tensor that is not trained: requires_grad_(False).",
            evidence=f"a gradient and no optimizer in {PERSISTENCE} looks; reported from {PERSISTENCE} on",
        )


def _within(value: object) -> Iterator[Variable]:
    """Yield the Tensors in a plain attribute: itself, or within lists, dicts and modules that these hold."""
    if isinstance(value, Variable):
        yield value
    elif isinstance(value, list | tuple | set):
        for part in value:
            yield from _parts(part)
    elif isinstance(value, dict):
        for part in value.values():
            yield from _parts(part)


def _parts(part: object) -> Iterator[Variable]:
    if isinstance(part, Module):
        yield from part.parameters()
    else:
        yield from _within(part)
