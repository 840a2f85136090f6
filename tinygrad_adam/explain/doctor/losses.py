"""The inputs of the loss: outputs squashed twice, labels that do not fit, constant outputs."""

from __future__ import annotations

from typing import Any

import numpy

from ...backend.device import backend_of, to_host
from ...engine.graph import Node, Primitive, Variable
from ...nn import Module
from ...typing import Args, Array, Settings
from .answers import raw
from .chart import Chart, Place
from .check import PERSISTENCE, Check, ranges

CARRYING = (
    "reshape", "moveaxis", "transpose", "slice", "getitem", "astype", "squeeze", "expand_dims", "swapaxes",
)  # fmt: skip
"""Operations that pass values on unchanged."""

LABEL_LOOKS = 5
"""Batches in a row of which each holds a single class: of ten even classes, one batch of 8 does so by chance
once in ten million."""

LEAST_BATCH = 8
"""Samples from which on a batch says something about labels and outputs."""

CONSTANT = 1e-4
"""How much outputs may differ within a batch, relative to their size, to count as the same. The least of
networks that learn well was 0.03, of sigmoid layers at the start."""


class LossInputs(Check):
    """Finds losses whose inputs are not of the kind that they expect."""

    def __init__(self, doctor: Chart) -> None:
        super().__init__(doctor)
        self.seen: dict[Any, Any] = {}

    def operation(self, primitive: Primitive, args: Args, settings: Settings, output: Variable) -> None:
        name = primitive.name
        if output.node is None or not isinstance(args[0], Variable):
            return
        if name in ("softmax_cross_entropy", "soft_cross_entropy"):
            self._softmax_twice(args[0], output)
            if name == "softmax_cross_entropy":
                self._labels(args[0], raw(args[1]), settings, output)
        elif name == "binary_cross_entropy":
            self._sigmoid_twice(args[0], output)
            self._targets("binary_cross_entropy_with_logits", raw(args[1]), 0, 1, output)
        elif name == "hinge":
            self._targets("hinge_loss", raw(args[1]), -1, 1, output)
        elif name == "nll":
            self._log_probabilities(args[0], output)

    def _softmax_twice(self, logits: Variable, output: Variable) -> None:
        node = maker_of(logits)
        if node is not None and node.primitive.name in ("softmax", "log_softmax"):
            twice = node.primitive.name == "softmax"
            self.find(
                ("softmax-twice", self.doctor.place(output.node)),
                kind="softmax-twice",
                what=f"cross_entropy is given the output of {node.primitive.name} "
                f"{logits._data.shape}, but applies the softmax itself. "
                + (
                    "Twice, it flattens: probabilities in [0, 1] leave the right class at most e "
                    "times as likely as another, so the loss cannot come near 0 and gradients are "
                    "small."
                    if twice
                    else "The number is the same, but each step computes it twice."
                ),
                where=self._both(node, output),
                remedy="give cross_entropy the logits, the output of the last Linear; take softmax "
                "only to show probabilities. " + ("" if twice else "Or keep log_softmax and use nll_loss."),
                evidence=f"{node.primitive.name} is the last operation before the loss; reported at once",
            )

    def _sigmoid_twice(self, x: Variable, output: Variable) -> None:
        node = maker_of(x)
        if node is not None and node.primitive.name == "sigmoid":
            self.find(
                ("sigmoid-twice", self.doctor.place(output.node)),
                kind="sigmoid-twice",
                what="binary_cross_entropy_with_logits is given the output of sigmoid "
                f"{x._data.shape}, but applies the sigmoid itself. Twice, no answer is below 0.5, "
                "so negatives cannot be learned.",
                where=self._both(node, output),
                remedy="give it the logits, the output of the last Linear; take sigmoid only to show "
                "probabilities.",
                evidence="sigmoid is the last operation before the loss; reported at once",
            )

    def _both(self, node: Node, output: Variable) -> str:
        squashed, loss = (self.doctor.where(self.doctor.place(n)) for n in (node, output.node))
        if squashed == loss:
            return loss
        return f"{node.primitive.name}: {squashed}; the loss: {loss}"

    def _log_probabilities(self, x: Variable, output: Variable) -> None:
        greatest = float(x._data.max())
        if self.lasts(("nll", self.doctor.place(output.node)), greatest > 0):
            self.find(
                ("nll", self.doctor.place(output.node)),
                kind="not-log-probabilities",
                what=f"nll_loss is given {x._data.shape} with numbers above 0. Logarithms of "
                "probabilities are never above 0; with others the loss falls without end while "
                "nothing is learned.",
                where=self.doctor.where(self.doctor.place(output.node)),
                remedy="apply log_softmax before nll_loss, or use cross_entropy, which does both.",
                evidence=f"values {ranges(x._data)}; reported above 0 in {PERSISTENCE} looks",
            )

    def _targets(self, loss: str, target: Array, low: int, high: int, output: Variable) -> None:
        xp = backend_of((target,)).xp
        wrong = (target != low) & (target != high) if low < 0 else (target < low) | (target > high)
        if bool(xp.any(wrong)):
            self.find(
                ("targets", self.doctor.place(output.node)),
                kind="labels-out-of-range",
                what=f"the targets {target.shape} of {loss} must be "
                + (f"{low} or {high}" if low < 0 else f"between {low} and {high}")
                + f", and are {ranges(target)}: the loss has no minimum where it should.",
                where=self.doctor.where(self.doctor.place(output.node)),
                remedy="write labels as 2 * y - 1 for hinge_loss."
                if low < 0
                else "write them as 0 and 1: (y > 0), or (y + 1) / 2 for -1 and 1.",
                evidence=f"{int(wrong.sum())} of {target.size} targets are outside; reported at once",
            )

    def _labels(self, logits: Variable, labels: Array, settings: Settings, output: Variable) -> None:
        classes, ignored = logits._data.shape[1], settings.get("ignore_index", -100)
        values = to_host(labels)
        values = values[values != ignored]
        if len(values) < LEAST_BATCH or classes < 2:
            return
        place = self.doctor.place(output.node)
        if self.lasts(("constant", place), bool((values == values[0]).all()), LABEL_LOOKS):
            self._one_class(values, place)
        counts = self.seen.setdefault((place, classes), numpy.zeros(classes, numpy.int64))
        numpy.add.at(counts, values, 1)
        # The first class was never right, and every other often enough.
        if classes > 2 and counts[0] == 0 and counts[1:].min() >= LEAST_BATCH and ignored != 0:
            self._shifted(counts, place)

    def _one_class(self, values: Array, place: Place) -> None:
        self.find(
            ("constant-labels", place),
            kind="constant-labels",
            what=f"every batch of labels ({len(values)},) holds one class only, the last one {values[0]}. "
            "The network learns to answer that, and forgets it with the next class.",
            where=self.doctor.where(place),
            remedy="shuffle: DataLoader(..., shuffle=True), for data are often stored class by class. If "
            "they are shuffled, look at how the labels are read.",
            evidence=f"one class in each of {LABEL_LOOKS} batches that were looked at; reported from "
            f"{LABEL_LOOKS} on",
        )

    def _shifted(self, counts: Array, place: Place) -> None:
        self.find(
            ("shifted", place),
            kind="labels-shifted",
            what=f"of {len(counts)} outputs the first is never the answer, and all others are: the labels "
            "seem to begin at 1, while classes are counted from 0.",
            where=self.doctor.where(place),
            remedy=f"subtract 1 from the labels, and make the last layer {len(counts) - 1} wide.",
            evidence=f"of {counts.sum()} labels none is 0, and each other class came {counts[1:].min()} "
            f"times or more; reported from {LEAST_BATCH} times on",
        )


class ConstantOutputs(Check):
    """Finds models that give the same output for every input."""

    def module_ends(self, module: Module, output: object) -> None:
        if not isinstance(output, Variable) or output.node is None:
            return
        y = output._data
        if y.ndim < 2 or len(y) < LEAST_BATCH:
            return
        xp = backend_of((y,)).xp
        flat = y.reshape(len(y), -1)
        size = float(xp.abs(flat).max())
        spread = float((xp.max(flat, axis=0) - xp.min(flat, axis=0)).max())
        place = self.doctor.place(output.node)
        if self.lasts(("constant", id(module)), spread <= CONSTANT * size):
            self.find(
                ("constant-output", id(module)),
                kind="constant-output",
                what=f"{type(module).__name__} gives the same output {y.shape} for every input of "
                "a batch: what it is asked no longer reaches its answer.",
                where=self.doctor.where(place),
                remedy="look at the layers before for dead or saturated units, lower the learning "
                "rate, and look whether the inputs differ at all and are of a size near 1.",
                evidence=f"outputs differ by {spread:.1e} within a batch, their size is {size:.1e}; "
                f"reported when that is below {CONSTANT:.0e} of the size in {PERSISTENCE} looks",
            )


def maker_of(x: Variable) -> Node | None:
    """Return the node that made the values of `x`, looking through operations that hand them on."""
    node: Node | None = x.node
    while node is not None and node.primitive.name in CARRYING and node.parents:
        parent = node.parents[0]
        node = parent if isinstance(parent, Node) else None
    return node
