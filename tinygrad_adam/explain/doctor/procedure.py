"""The order of the calls: ``zero_grad``, ``backward``, ``step``, once a step each."""

from __future__ import annotations

from dataclasses import dataclass, field

from ...engine.graph import Node, Primitive, Variable
from ...nn import Parameter
from ...optim import Optimizer
from ...typing import Args, Array, Settings
from ..optimizers import parameters_of
from .chart import Chart, Place
from .check import PERSISTENCE, Check, squares


@dataclass
class _Course:
    """The events since the last step of an optimizer.

    Attributes
    ----------
    optimizer : Optimizer
    stepped : bool
        Whether it has stepped before.
    cleared : bool
        Whether its gradients were seen to be gone, or zero.
    passes : int
        Backward passes.
    assigned : set of int
        The ids of Tensors whose gradient the user's code has assigned before any of them.
    before : float
        The squares of the first gradient that the last step used.
    """

    optimizer: Optimizer
    stepped: bool = False
    cleared: bool = False
    passes: int = 0
    assigned: set[int] = field(default_factory=set)
    before: float = 0.0

    def gradients(self) -> list[Parameter]:
        """Return the parameters that have a gradient."""
        return [p for p in parameters_of(self.optimizer) if p._grad is not None]


class Procedure(Check):
    """Finds gradients that are never cleared, and steps and losses without a backward pass."""

    every_step = True

    def __init__(self, doctor: Chart) -> None:
        super().__init__(doctor)
        self.courses: dict[int, _Course] = {}
        self.differentiated = False
        self.losses = 0
        self.last_loss: tuple[str, Place] | None = None
        self.last_backward: Place | None = None

    def operation(self, primitive: Primitive, args: Args, settings: Settings, output: Variable) -> None:
        if output.node is not None and output._data.size == 1 and not self.differentiated:
            self.losses += 1
            self.last_loss = primitive.name, self.doctor.place(output.node)

    def gradient(self, node: Node, g: Array) -> None:
        self.differentiated = True  # by backward, or by tg.grad

    def backward_begins(self, root: Variable) -> None:
        self.differentiated = True
        if not self.doctor.accumulates:
            return
        self.last_backward = self.doctor.place()
        for course in self.courses.values():
            course.passes += 1
            if course.stepped and not course.cleared:
                left = [p for p in course.gradients() if id(p) not in course.assigned]
                # Some clear by writing zeros.
                course.cleared = not left or not any(self._remains(p._grad) for p in left)

    def assigned(self, leaf: Variable) -> None:
        for course in self.courses.values():
            if course.passes == 0:
                course.assigned.add(id(leaf))

    def _remains(self, gradient: Array) -> bool:
        return self.doctor.knows("gradients-not-cleared") or squares(gradient) > 0

    def step_begins(self, optimizer: Optimizer) -> None:
        course = self.courses.get(id(optimizer))
        if course is None:
            course = self.courses[id(optimizer)] = _Course(optimizer, passes=int(self.differentiated))
        having = course.gradients()
        if not having:
            if not self.differentiated:
                self._never(optimizer)
            return
        if course.stepped and course.passes:
            if self.lasts(("not cleared", id(optimizer)), not course.cleared):
                self._not_cleared(optimizer, having)
        elif course.stepped:  # the gradient may be new all the same, written in place
            assigned = all(id(p) in course.assigned for p in having)
            same = not assigned and squares(having[0]._grad) == course.before
            if self.lasts(("stale", id(optimizer)), same, PERSISTENCE - 1):
                self._stale(optimizer, having)

    def step_ends(self, optimizer: Optimizer) -> None:
        course = self.courses[id(optimizer)]
        if course.passes == 0 or self.doctor.close:
            having = course.gradients()
            course.before = squares(having[0]._grad) if having else 0.0
        course.stepped, course.cleared, course.passes, course.assigned = True, False, 0, set()

    def end(self) -> None:
        if self.losses >= PERSISTENCE and not self.differentiated and self.doctor.error is None:
            assert self.last_loss is not None  # it was counted
            name, place = self.last_loss
            self.find(
                "no-backward",
                kind="no-backward",
                what=f"{self.losses} scalars were computed from parameters, the last by {name}, but "
                "backward() was never called: without it no parameter gets a gradient, and nothing "
                "is learned.",
                where=self.doctor.where(place),
                remedy="call loss.backward() on each of them before optimizer.step(). If nothing is "
                "to be learned here, compute inside `with tg.no_grad():`.",
                evidence=f"backward passes: 0; reported from {PERSISTENCE} scalars on",
            )

    def _not_cleared(self, optimizer: Optimizer, having: list[Parameter]) -> None:
        self.find(
            ("not-cleared", id(optimizer)),
            kind="gradients-not-cleared",
            what=f"backward() adds to the gradients of {self._some(having)}, which the step before "
            "has used already. So each step follows the sum of all "
            "gradients since the first, most of them of weights long changed.",
            where=self.doctor.where(self.last_backward),
            remedy="call optimizer.zero_grad() once a step, before loss.backward().",
            evidence=f"not cleared in {PERSISTENCE} steps in a row; reported from {PERSISTENCE} on",
        )

    def _never(self, optimizer: Optimizer) -> None:
        count = len(parameters_of(optimizer))
        self.find(
            ("no-backward", id(optimizer)),
            kind="no-backward",
            what=f"{type(optimizer).__name__}.step() was called, but backward() never was: none of the "
            f"{count} parameters has a gradient to follow.",
            where=self.doctor.where(),
            remedy="call loss.backward() between optimizer.zero_grad() and optimizer.step().",
            evidence="backward passes since the start: 0; reported at the first step",
        )

    def _stale(self, optimizer: Optimizer, having: list[Parameter]) -> None:
        self.find(
            ("no-backward", id(optimizer)),
            kind="no-backward",
            what=f"{type(optimizer).__name__}.step() follows the same gradient again and again: "
            "backward() was not called since the step before, and "
            f"{self._some(having)} still have the old one.",
            where=self.doctor.where(),
            remedy="call optimizer.zero_grad() and loss.backward() in every step.",
            evidence=f"{PERSISTENCE - 1} steps in a row without a backward pass between; reported from "
            f"{PERSISTENCE - 1} on",
        )

    def _some(self, parameters: list[Parameter]) -> str:
        """Return the name of the first, and the number of the others."""
        count = len(parameters) - 1
        return self.doctor.name(parameters[0]) + (f" and {count} more" if count else "")
