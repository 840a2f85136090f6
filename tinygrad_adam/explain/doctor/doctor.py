"""The doctor itself: hears what happens, hands it to the checks, and keeps what they find."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from ...backend.device import device_of, is_array, on_device_of
from ...engine.events import Watcher, watch
from ...engine.modes import is_grad_enabled
from ...engine.rowsparse import RowSparse
from ...training.loop import Callback
from ..chain_rule.source_lines import Line, users_line
from .check import Check
from .curves import Curves, Epochs
from .finding import Finding
from .gradients import Gradients
from .losses import LossInputs, Outputs
from .memory import Memory, Refused
from .nonfinite import NonFinite
from .parameters import Devices, LeftOut
from .procedure import Procedure
from .units import DeadUnits, SaturatedUnits
from .updates import Epsilon, UpdateSizes

if TYPE_CHECKING:
    from ...nn import Module
    from ...optim import Optimizer
    from ...training.loop import Trainer

CHECKS: tuple[type[Check], ...] = (
    NonFinite, Procedure, LeftOut, Devices, Memory, Refused, LossInputs, Outputs, DeadUnits, SaturatedUnits,
    Gradients, UpdateSizes, Epsilon, Curves, Epochs,
)  # fmt: skip
EVENTS = [name for name in vars(Watcher) if not name.startswith("_")]
EVERY = 7
"""Of how many steps one is looked at closely. A prime, so that of two or more optimizers that step in turn,
as in a GAN, each is seen."""


class Place(NamedTuple):
    """Where an operation was called: in which module, and on which line of the user's program."""

    module: Module | None
    line: Line | None


class Doctor(Callback, Watcher):
    """Watches training steps and says what is wrong with them: ``with tg.doctor():`` around the loop.

    It looks at the order of the calls and for NaN in every step, and closely at every 7th: at
    activations, gradients, updates and moments. What may be chance must be there in several looks before it
    is told, and is told once. It changes no number.

    Over- and underfitting show in the loss of each epoch: for those, give it to a `Trainer` as one of its
    callbacks as well.

    Parameters
    ----------
    tell : callable, optional
        Called with each finding as soon as the doctor is sure, and at the end with a line in which it says
        how often each was seen. None to be silent, and ask `findings` afterwards.

    Attributes
    ----------
    findings : list of Finding
        What is wrong, in the order in which it was found.
    step : int
        How many optimizer steps were watched.

    Notes
    -----
    The faults, the thresholds and where they come from are in ``docs/explain.md``. On a GPU, where each
    look at a number waits, NaN is looked for only in the steps that are looked at closely.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> x = tg.randn(16, 4)
    >>> model = tg.nn.Linear(4, 3)
    >>> opt = tg.optim.Adam(model.parameters())
    >>> with tg.doctor(tell=None) as doc:
    ...     for _ in range(3):
    ...         opt.zero_grad()
    ...         loss = tg.cross_entropy(tg.softmax(model(x)), [0, 1, 2, 0] * 4)
    ...         loss.backward()
    ...         opt.step()
    >>> [finding.kind for finding in doc.findings]
    ['softmax-twice']
    """

    def __init__(self, tell: Callable[[str], object] | None = print) -> None:
        self.tell = tell
        self.findings: list[Finding] = []
        self.step = 0
        self.error: BaseException | None = None
        self.models: list[Module] = []
        self.optimizers: list[Optimizer] = []
        self.close = True
        self._known: dict[Any, Finding] = {}
        self._seen_at: dict[Any, int] = {}
        self._places: dict[int, Place] = {}
        self._older_places: dict[int, Place] = {}
        self._running: list[Module] = []
        self._passed = False
        self._watching: AbstractContextManager[None] | None = None
        self.checks = [check(self) for check in CHECKS]
        self._close = {event: self._listeners(event, self.checks) for event in EVENTS}
        always = [check for check in self.checks if check.every_step]
        self._always = {event: self._listeners(event, always) for event in EVENTS}
        self._hear = self._close

    @staticmethod
    def _listeners(event: str, checks: list[Check]) -> list[Callable[..., None]]:
        return [
            getattr(check, event)
            for check in checks
            if getattr(type(check), event) is not getattr(Watcher, event)
        ]

    # --- What the checks ask for ---------------------------------------------------------

    def find(self, key: Any, make: Callable[[], Finding]) -> None:
        """Take note of a fault of which a check is sure.

        Parameters
        ----------
        key : hashable
            What and where: the same key is the same finding, told once and then counted, once a step.
        make : callable
            Returns the finding, but for the step.
        """
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
        """Tell whether a fault of this kind was found."""
        return any(finding.kind == kind for finding in self.findings)

    def place(self, node: Any = None) -> Place:
        """Return where the operation of `node` was called, or where the program is now."""
        if node is not None:
            for places in (self._places, self._older_places):  # a graph may be older than the last step
                if node.number in places:
                    return places[node.number]
        return Place(self._running[-1] if self._running else None, users_line())

    def where(self, place: Place | None = None) -> str:
        """Say where something is, in words: by default where the program is now."""
        module, line = place or self.place()
        words = [] if module is None else [self.layer(module)]
        return ", ".join(words + ([] if line is None else [str(line)])) or "the training loop"

    def layer(self, module: Module) -> str:
        """Name a module as the model that it belongs to does."""
        for model in self.models:
            for name, member in model.named_modules():
                if member is module and name:
                    return f"layer {name!r} ({type(module).__name__})"
        return f"{type(module).__name__}"

    def name(self, p: Any) -> str:
        """Name a parameter as its model does, or else as its optimizer does."""
        for model in self.models:
            for name, other in model.named_parameters():
                if other is p:
                    return f"'{name}' {p.shape}"
        for optimizer in self.optimizers:
            if id(p) in optimizer._names:
                return f"parameter '{optimizer._names[id(p)]}' {p.shape}"
        return f"a parameter {p.shape}"

    def may_read(self, array: Any) -> bool:
        """Tell whether numbers of `array` may be looked at now: on a GPU that waits, so seldom."""
        return self.close or device_of(array) == "cpu"

    # --- What it hears -------------------------------------------------------------------

    def operation(self, primitive: Any, args: tuple[Any, ...], settings: dict[str, Any], output: Any) -> None:
        """Remember where it was called, and hand it on."""
        if output.node is not None:
            self._places[output.node.number] = Place(
                self._running[-1] if self._running else None, users_line()
            )
        self._hand_on("operation", output, primitive, args, settings, output)

    def module_begins(self, module: Any, args: tuple[Any, ...]) -> None:
        """Remember the model; it names layers and parameters."""
        if not self._running and module.training and is_grad_enabled():
            if not any(module is model for model in self.models) and module.parameter_count():
                self.models.append(module)
            self._hand_on("module_begins", None, module, args)
        self._running.append(module)

    def module_ends(self, module: Any, output: Any) -> None:
        """Hand the output of a whole model on."""
        self._running.pop()
        if not self._running and module.training and is_grad_enabled():
            self._hand_on("module_ends", output, module, output)

    def backward_begins(self, root: Any) -> None:
        """Hand it on; without an optimizer, a step begins with each backward pass but the first."""
        if self._passed and not self.optimizers:
            self._advance()
        self._passed = True
        self._hand_on("backward_begins", root, root)

    def backward_ends(self, root: Any) -> None:
        """Hand it on."""
        self._hand_on("backward_ends", root, root)

    def gradient(self, node: Any, g: Any) -> None:
        """Hand it on."""
        self._hand_on("gradient", g, node, g)

    def share(self, node: Any, position: int, parent: Any, share: Any) -> None:
        """Hand it on."""
        self._hand_on("share", share, node, position, parent, share)

    def assigned(self, leaf: Any) -> None:
        """Hand it on."""
        self._hand_on("assigned", leaf, leaf)

    def step_begins(self, optimizer: Any) -> None:
        """Remember the optimizer, and hand it on."""
        if not any(optimizer is other for other in self.optimizers):
            self.optimizers.append(optimizer)
        self._hand_on("step_begins", optimizer.param_groups[0]["params"][0], optimizer)

    def step_ends(self, optimizer: Any) -> None:
        """Hand it on; the next step begins."""
        self._hand_on("step_ends", optimizer.param_groups[0]["params"][0], optimizer)
        self._advance()

    def _hand_on(self, event: str, about: Any, *what: Any) -> None:
        """Tell the checks, on the device where the array is that the event is about."""
        hearing = self._hear[event]
        if not hearing:
            return
        array = about.values if isinstance(about, RowSparse) else getattr(about, "_data", about)
        with on_device_of(array, "doctor") if is_array(array) else nullcontext():
            for hear in hearing:
                hear(*what)

    def _advance(self) -> None:
        self.step += 1
        self.close = self.step % EVERY == 0
        self._hear = self._close if self.close else self._always
        self._places, self._older_places = {}, self._places

    def on_epoch_end(self, trainer: Trainer) -> None:
        """Look at the losses of the epochs so far."""
        for check in self.checks:
            if isinstance(check, Epochs):
                check.epoch(trainer)

    # --- Beginning and end ---------------------------------------------------------------

    def __enter__(self) -> Self:
        self._watching = watch(self)
        self._watching.__enter__()
        return self

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        assert self._watching is not None  # __enter__ came before
        self._watching.__exit__(None, None, None)
        self._running.clear()
        self.error = error
        for check in self.checks:
            check.end()
        if self.tell is not None:
            self.tell(self.summary())

    def summary(self) -> str:
        """Return in a line how many steps were watched and what was found, how often."""
        steps = f"doctor: watched {self.step:,} step{'s' * (self.step != 1)}"
        if not self.findings:
            return f"{steps} and found nothing wrong"
        counts = [f"{f.kind} ({f.times}x)" if f.times > 1 else f.kind for f in self.findings]
        return f"{steps} and found: {', '.join(counts)}"
