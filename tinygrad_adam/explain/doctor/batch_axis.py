"""Examples that see each other: a softmax over the batch, or a reshape that mixes them."""

from __future__ import annotations

from typing import Any

from ...engine.graph import Primitive, Variable
from ...nn import Module
from ...typing import Args, Settings
from .chart import Chart
from .check import PERSISTENCE, Check
from .examples import Crossing, Examples

LOSSES = (
    "softmax_cross_entropy", "soft_cross_entropy", "binary_cross_entropy", "squared_error", "absolute_error",
    "huber", "hinge", "nll", "kl_div",
)  # fmt: skip
"""Losses that compare an answer with a target for each example."""


class BatchAxis(Check):
    """Finds answers to one example that depend on the others in its batch.

    Reported are a softmax, a normalization that is no BatchNorm, or a division by the sum, along an axis that
    belongs to the examples; and a layer that sums over elements of several examples after a reshape has
    brought them into a disorder in which no axis belongs to the examples.

    Networks that relate examples on purpose are not reported: they multiply the features of examples with
    each other (contrastive losses), sum over an axis of examples in order (pooling, graphs, sequences), or
    give one answer for all of them.
    """

    def __init__(self, doctor: Chart) -> None:
        super().__init__(doctor)
        self.examples = Examples(lambda output: doctor.place(output.node))
        self.steps: set[int] = set()

    def module_begins(self, module: Module, args: tuple[Any, ...]) -> None:
        if self._looks() and args and self.examples.of(args[0]) is None:
            self.examples.begin(args[0])

    def operation(self, primitive: Primitive, args: Args, settings: Settings, output: Variable) -> None:
        if not self._looks():
            return
        origin = self.examples.of(args[0])
        if primitive.name in LOSSES and origin is not None and origin.crossing is not None:
            if len(args[0]._data) == origin.examples:
                self._words(origin.crossing, origin.examples)
        else:
            self.examples.operation(primitive, args, settings, output)

    def backward_begins(self, root: Variable) -> None:
        origin = self.examples.of(root)
        if origin is not None and origin.crossing is not None:
            self._words(origin.crossing, origin.examples)
        self.examples.origins.clear()

    def _looks(self) -> bool:
        """Return whether this step is among the first ones; networks do the same in all others."""
        if self.doctor.step not in self.steps and len(self.steps) < PERSISTENCE:
            self.steps.add(self.doctor.step)
        return self.doctor.step in self.steps

    def _words(self, crossing: Crossing, count: int) -> None:
        mixed = bool(crossing.mover)
        self.find(
            ("crossing", crossing.place.line),
            kind="examples-mixed" if mixed else "over-the-batch",
            what=f"{crossing.mover} puts elements of different examples side by side, and {crossing.name} "
            f"{crossing.shape} adds them up: the answer to one example is made of parts of others."
            if mixed
            else f"{crossing.name} {crossing.shape} runs over the examples of the batch instead of over the "
            "classes or features of each: the answer to one example depends on the other examples, and "
            "a batch of one always gets the same answer.",
            where=self.doctor.where(crossing.place),
            remedy="keep the examples on the first axis: x.reshape(len(x), -1) or nn.Flatten(). A reshape "
            "exchanges no axes; transpose and moveaxis do."
            if mixed
            else "let it run over the last axis: axis=-1 instead of axis=0 (with keepdims=True for a sum or "
            "norm).",
            evidence=f"the {count} examples were followed from the input to the loss, which has an answer "
            "for each; reported at once",
        )
