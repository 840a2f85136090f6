"""The doctor itself: it watches a training, hands the events to the checks and reports their findings."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import Any, Self

from ...backend.device import is_array, on_device_of
from ...engine.events import Watcher, watch
from ...engine.graph import Node, Primitive, Variable
from ...engine.modes import is_grad_enabled
from ...engine.rowsparse import RowSparse
from ...engine.viewers import view
from ...files.text import counted
from ...nn import Module
from ...optim import Optimizer
from ...training import Callback, Trainer
from ...typing import Args, Array, Settings
from .affine import NothingBetween
from .answers import Made, answers, first_array
from .batch_axis import BatchAxis
from .broadcasting import Broadcast
from .chart import Chart
from .check import PERSISTENCE, Check
from .curves import Curves, Epochs
from .decay import Decay
from .dropout import Dropout
from .evaluation import EvaluationMode
from .finding import part
from .grad_passes import GradPasses
from .gradients import Gradients
from .kept_graphs import KeptGraphs
from .last_operation import LastOperation
from .leak import Leak
from .losses import ConstantOutputs, LossInputs
from .majority import Majority
from .memory import Memory, Refused
from .nonfinite import NonFinite
from .normalizers import Normalizers
from .parameters import Devices, LeftOut
from .procedure import Procedure
from .registration import Registration
from .renewed_optimizer import RenewedOptimizer
from .rows import Rows
from .scales import InputScale, TargetScale
from .schedules import Rates
from .several_labels import SeveralLabels
from .signs import Signs
from .sorted_data import SortedData
from .summed_loss import SummedLoss
from .target_range import TargetRange
from .twins import Twins
from .units import DeadUnits, SaturatedUnits
from .unrelated_labels import UnrelatedLabels
from .updates import Epsilon, UpdateSizes

CHECKS: tuple[type[Check], ...] = (
    NonFinite, Procedure, LeftOut, Devices, Memory, Refused, LossInputs, ConstantOutputs, DeadUnits,
    SaturatedUnits, Gradients, UpdateSizes, Epsilon, Curves,
    LastOperation, Dropout, Normalizers, NothingBetween, Twins, Registration, BatchAxis,
    Signs, Broadcast,
    TargetRange, SeveralLabels, Leak, TargetScale, InputScale,
    SortedData, UnrelatedLabels, Rows, Majority,
    Rates, Decay, SummedLoss, RenewedOptimizer, EvaluationMode, KeptGraphs,
    Epochs,  # last: it reports underfitting only if nothing else explains it
)  # fmt: skip
EVENTS = [name for name in vars(Watcher) if not name.startswith("_")] + ["evaluated"]
EVERY = 7
"""One step in so many is looked at closely. A prime, so that of two or more optimizers that step in turn, as
in a GAN, each is seen."""


class Doctor(Chart, Callback, Watcher):
    """Watches training steps and reports their faults: ``with tg.doctor():`` around the loop.

    It checks the order of the calls, and for NaN, in every step; activations, gradients, updates and moments
    in every 7th. A symptom that may be chance is reported only after several looks in a row, and once. The
    doctor changes no number.

    Overfitting shows in the validation loss of each epoch: for that, give the doctor to a `Trainer` as one of
    its callbacks as well.

    Parameters
    ----------
    tell : callable, optional
        Called with each finding as soon as the doctor is sure, and at the end with a line that counts them.
        None for a silent doctor, whose `findings` are read afterwards.

    Attributes
    ----------
    findings : list of Finding
        The faults, in the order in which they were found.
    step : int
        The number of optimizer steps watched.

    Notes
    -----
    ``docs/explain.md`` lists the faults, the thresholds and their sources. On a GPU, where each look at a
    number waits, the doctor looks for NaN only in the steps that it looks at closely.

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
        super().__init__(tell)
        self._passed = self._running_back = self._steps_by_hand = False
        self._grad_passes = GradPasses()
        self._versions: dict[int, int] = {}  # of the leaves, before the first optimizer's step
        self._watching: AbstractContextManager[None] | None = None
        self.checks: list[Check] = [check(self) for check in CHECKS]
        self._close = {event: self._listeners(event, self.checks) for event in EVENTS}
        always = [check for check in self.checks if check.every_step]
        self._always = {event: self._listeners(event, always) for event in EVENTS}
        self._hear = self._close

    @staticmethod
    def _listeners(event: str, checks: list[Check]) -> list[Callable[..., None]]:
        return [
            getattr(check, event)
            for check in checks
            if getattr(type(check), event) is not getattr(Check, event)
        ]

    # --- Events ---------------------------------------------------------------------------

    def operation(self, primitive: Primitive, args: Args, settings: Settings, output: Variable) -> None:
        """Remember the place of the operation, and hand the event on."""
        if output.node is not None:
            self._places[output.node.number] = self.place()
            self._grad_passes.operation(output)
            if self.close:
                self.made[output.node.number] = Made(primitive, args, settings, weakref.ref(output.node))
        self._hand_on("operation", output, primitive, args, settings, output)

    def module_begins(self, module: Module, args: tuple[Any, ...]) -> None:
        """Remember the model, which names layers and parameters, and its input."""
        if not self._running:
            self._drop_dead()
            if module.training and is_grad_enabled():
                if not any(module is model for model in self.models) and module.parameter_count():
                    self.models.append(module)
                if self.inputs is None:
                    self.inputs = first_array(args)
                self._hand_on("module_begins", None, module, args)
            else:
                self._hand_on("evaluated", None, module, args)
        self._running.append(module)

    def _drop_dead(self) -> None:
        """Forget operations whose graph is gone, so that outputs that nothing differentiates are not kept.

        The last come first: each holds the nodes before it.
        """
        for number in reversed(list(self.made)):
            if self.made[number].node() is None:
                del self.made[number]

    def module_ends(self, module: Module, output: object) -> None:
        """Hand the output of a whole model on."""
        self._running.pop()
        if not self._running and module.training and is_grad_enabled():
            self._hand_on("module_ends", output, module, output)

    def backward_begins(self, root: Variable) -> None:
        self._running_back = self.accumulates = True
        self._begin(root)

    def _begin(self, root: Variable) -> None:
        """Hand the event on; without an optimizer, a step begins with each backward pass but the first."""
        if self._passed and not self.optimizers:
            self._advance()
        self._passed = True
        if self.close:
            self.answers = list(answers(self.made, root))
        self._hand_on("backward_begins", root, root)

    def backward_ends(self, root: Variable) -> None:
        self._running_back = False
        self._hand_on("backward_ends", root, root)

    def gradient(self, node: Node, g: Array) -> None:
        if not self._running_back:
            self._grad_passes.gradient(node)
        self._hand_on("gradient", g, node, g)

    def share(self, node: Node, position: int, parent: Node | Variable, share: Array) -> None:
        if not self._running_back and (root := self._grad_passes.begins(parent, share)) is not None:
            self.accumulates = False
            self._begin(root)
        if not self.optimizers and isinstance(parent, Variable):
            self._steps_by_hand |= self._versions.setdefault(id(parent), parent._writes) != parent._writes
        self._hand_on("share", share, node, position, parent, share)

    def assigned(self, leaf: Variable) -> None:
        self._hand_on("assigned", leaf, leaf)

    def step_begins(self, optimizer: Optimizer) -> None:
        """Remember the optimizer, and hand the event on."""
        if not self.optimizers:
            if not self._steps_by_hand:  # all passes so far belong to this step: gradients accumulate
                self.step = 0
            self.close, self._hear = True, self._close
        if not any(optimizer is other for other in self.optimizers):
            self.optimizers.append(optimizer)
        if (root := self._grad_passes.end()) is not None:
            self._hand_on("backward_ends", root, root)
        self._hand_on("step_begins", optimizer.param_groups[0]["params"][0], optimizer)

    def step_ends(self, optimizer: Optimizer) -> None:
        """Hand the event on; the next step begins."""
        self._hand_on("step_ends", optimizer.param_groups[0]["params"][0], optimizer)
        self._advance()

    def _hand_on(self, event: str, about: object, *facts: object) -> None:
        """Tell the checks, on the device of the array that the event is about."""
        hearing = self._hear[event]
        if not hearing:
            return
        array = about.values if isinstance(about, RowSparse) else getattr(about, "_data", about)
        with on_device_of(array, "doctor") if is_array(array) else nullcontext():
            for hear in hearing:
                hear(*facts)

    def _advance(self) -> None:
        self.step += 1
        self.close = self.step % EVERY == 0
        self._hear = self._close if self.close else self._always
        self._places, self._older_places = {}, self._places
        self.made, self.answers, self.inputs = {}, [], None
        self._grad_passes.forget()

    def on_fit_start(self, trainer: Trainer) -> None:
        """Note the steps of an epoch."""
        self.epoch = -(-trainer.batches_per_epoch // trainer.accumulate)

    def on_epoch_end(self, trainer: Trainer) -> None:
        """Look at the losses of the epochs so far."""
        self.check_of(Epochs).epoch(trainer)

    # --- Beginning and end ---------------------------------------------------------------

    def __enter__(self) -> Self:
        self._watching = watch(self)
        self._watching.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._watching is not None  # __enter__ came before
        self._watching.__exit__(None, None, None)
        self._running.clear()
        self.error = error
        for check in self.checks:
            check.end()
        if self.tell is not None:
            self.tell(self.summary())

    def summary(self) -> str:
        """Return the steps watched and the faults with their counts; without any, the extent of the check."""
        steps = f"doctor: watched {counted(self.step, 'step')}"
        if not self.findings:
            return f"{steps} and found none of the faults that it knows\n{self._extent()}"
        counts = [f"{f.kind} ({f.times}x)" if f.times > 1 else f.kind for f in self.findings]
        return f"{steps} and found: {', '.join(counts)}"

    def __repr__(self) -> str:
        return "\n\n".join([*map(str, self.findings), self.summary()])

    def _repr_html_(self) -> str | None:
        return view("Doctor._repr_html_")(self)

    def _extent(self) -> str:
        """Return the course of the loss, the checks that were made, and the questions that stay open."""
        curves, epochs = self.check_of(Curves), self.check_of(Epochs)
        looks = -(-self.step // EVERY)
        in_every, in_some = (
            ("loss, NaN and the calls", "") if curves.complete() else ("the calls", "loss, NaN, ")
        )
        looked = f"{in_every} in every step; {in_some}layers, gradients and updates in {looks:,}"
        if looks < PERSISTENCE:
            looked += f", too few for faults that must show {PERSISTENCE} times"
        unknown = "whether the labels are right, and how well the network does on data it has not seen"
        if epochs.validated():
            looked += "; the validation loss of each epoch"
            unknown = "whether the labels are right, and whether another network would do better"
        parts = {"loss": curves.words(), "looked at": looked, "unknown": unknown}
        return "\n".join(part(name, text) for name, text in parts.items())
