"""The doctor's chart: step, models, optimizers, places of operations, and findings."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple, TypeVar

from ...backend.device import device_of
from ...engine.events import Watcher
from ...engine.graph import Node
from ...nn import Module, Parameter
from ...optim import Optimizer
from ...typing import Array
from ..chain_rule.source_lines import SourceLine, users_line
from ..optimizers import name_of
from .answers import Answer, Made
from .finding import Finding

AnyCheck = TypeVar("AnyCheck", bound=Watcher)


class Place(NamedTuple):
    """The place of an operation: its module, and the line of the user's program that called it."""

    module: Module | None
    line: SourceLine | None


class Chart:
    """Holds the known facts of a training; checks read them and add their findings.

    Parameters
    ----------
    tell : callable, optional
        Called with each finding as soon as the doctor is sure.

    Attributes
    ----------
    findings : list of Finding
        The faults, in the order in which they were found.
    step : int
        The number of optimizer steps so far.
    close : bool
        Whether this step is looked at closely.
    made : dict of int to Made
        The operations of this step by the numbers of their nodes, if it is looked at closely.
    answers : list of Answer
        The predictions of the last backward pass and their targets, if this step is looked at closely.
    epoch : int or None
        The steps of an epoch, as soon as that is known.
    inputs : array or None
        The raw array that a model was given first in this step.
    accumulates : bool
        Whether the latest pass adds to ``.grad``: ``backward()`` does, ``tg.grad`` does not.
    error : BaseException or None
        The error that ended the training.
    models, optimizers : list
        All that were seen.
    checks : sequence of Check
        Those that read this chart.
    """

    def __init__(self, tell: Callable[[str], object] | None) -> None:
        self.tell = tell
        self.findings: list[Finding] = []
        self.step = 0
        self.close = True
        self.made: dict[int, Made] = {}
        self.answers: list[Answer] = []
        self.epoch: int | None = None
        self.inputs: Array | None = None
        self.accumulates = True
        self.error: BaseException | None = None
        self.models: list[Module] = []
        self.optimizers: list[Optimizer] = []
        self.checks: Sequence[Watcher] = ()
        self._known: dict[Hashable, Finding] = {}
        self._seen_at: dict[Hashable, int] = {}
        self._places: dict[int, Place] = {}
        self._older_places: dict[int, Place] = {}
        self._running: list[Module] = []

    def find(self, key: Hashable, make: Callable[[], Finding]) -> None:
        """Add the finding that `make` returns, or count the earlier one with this key again, once a step."""
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = make()
            found.step = self.step + 1
            self.findings.append(found)
            if self.tell is not None:
                self.tell(f"{found}\n")
        elif self._seen_at[key] != self.step:
            found.times += 1
        self._seen_at[key] = self.step

    def knows(self, kind: str) -> bool:
        """Return whether a fault of this kind was found."""
        return any(finding.kind == kind for finding in self.findings)

    def check_of(self, kind: type[AnyCheck]) -> AnyCheck:
        """Return the check of a class; some checks need the numbers of another."""
        return next(check for check in self.checks if isinstance(check, kind))

    def place(self, node: Node | None = None) -> Place:
        """Return the place where `node` was made, or the present one."""
        if node is not None and not self.is_old(node.number):
            return self.place_of(node.number)
        return Place(self._running[-1] if self._running else None, users_line())

    def is_old(self, number: int) -> bool:
        """Return whether the node of that number was made before the last step."""
        return number not in self._places and number not in self._older_places

    def place_of(self, number: int) -> Place:
        """Return the place of an operation of this step, or the last one, by the number of its node."""
        return (self._places if number in self._places else self._older_places)[number]

    def where(self, place: Place | None = None) -> str:
        """Describe a place in words: by default the present one."""
        module, line = place or self.place()
        words = [] if module is None else [self.layer(module)]
        return ", ".join(words + ([] if line is None else [str(line)])) or "the training loop"

    def layer(self, module: Module) -> str:
        """Return the name of a module in its model, and its class."""
        for model in self.models:
            for name, member in model.named_modules():
                if member is module and name:
                    return f"layer {name!r} ({type(module).__name__})"
        return type(module).__name__

    def name(self, p: Parameter) -> str:
        """Return the name of a parameter in its model, or else in its optimizer, and its shape."""
        for model in self.models:
            for name, other in model.named_parameters():
                if other is p:
                    return f"'{name}' {p.shape}"
        for optimizer in self.optimizers:
            if name := name_of(optimizer, p):
                return f"parameter '{name}' {p.shape}"
        return f"a parameter {p.shape}"

    def may_read(self, array: Array) -> bool:
        """Return whether a check may read numbers of `array` now: a GPU would wait, so there only seldom."""
        return self.close or device_of(array) == "cpu"
