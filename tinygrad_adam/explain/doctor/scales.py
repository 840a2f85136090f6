"""The scales of data: inputs and targets far from the size near 1 that networks are made for."""

from __future__ import annotations

from ...backend.device import backend_of
from ...engine.graph import Variable
from ...typing import Array
from .answers import is_constant, raw
from .chart import Place
from .check import PERSISTENCE, Check
from .losses import maker_of

LARGE = 20.0
"""Root mean square of inputs. LeCun et al. (1998), "Efficient BackProp", section 4.3: inputs of mean 0 and of
variance 1. Pixels up to 255 have about 100; digits of 8x8 pixels up to 16, which networks learn well as they
are, have 8."""

TINY = 0.05
"""The greatest size of an input. Pixels that were divided by 255 twice end at 0.004."""

UNLIKE = 300.0
"""The ratio of the standard deviations of two columns of inputs that are both mostly not 0."""

FILLED = 0.5
"""The share of a column that is not 0, for it to be compared; pixels at the margin are 0 but for a few."""

LEAST = 8
"""Examples from which on a batch has a standard deviation."""

FAR = 4.0
"""Ratio of the root mean squares of targets and outputs."""

FAR_TARGETS = 10.0
"""Root mean square of targets from which on that is the fault of their scale."""

FAR_STEPS = 50
"""Steps after which outputs should have come near their targets."""

WEIGHTED = ("linear", "linear_relu", "conv2d", "conv2d_relu", "matmul")
"""Operations with weights, whose first input may be data."""


class InputScale(Check):
    """Finds inputs of weights that are far from a size near 1.

    What the program or a layer does to the data before the first weights is done by then. Where a
    normalization layer follows the first weights, the scale of the inputs does not matter.
    """

    def backward_begins(self, root: Variable) -> None:
        made = self.doctor.made
        normalized = {
            node.number
            for operation in made.values()
            if operation.name == "standardize" and isinstance(operation.args[0], Variable)
            if (node := maker_of(operation.args[0])) is not None
        }
        for number, operation in made.items():
            if operation.name in WEIGHTED and number not in normalized and is_constant(operation.args[0]):
                weight = operation.args[1]
                x = raw(operation.args[0])
                leaf = isinstance(weight, Variable) and maker_of(weight) is None  # or a view of one
                if leaf and x.dtype.kind == "f" and x.size:
                    self._look(number, operation.name, x)

    def _look(self, number: int, name: str, x: Array) -> None:
        xp = backend_of((x,)).xp
        size, greatest = float(xp.sqrt(xp.mean(xp.square(x)))), float(xp.abs(x).max())
        place = self.doctor.place_of(number)
        if self.lasts(("large", place), size > LARGE):
            self._words(
                number, f"the inputs {x.shape} of {name} are large: root mean square {size:.3g}, the "
                f"greatest {greatest:.4g}. Gradients of the first weights are as much too large, and no "
                "single learning rate suits all layers.",
                f"root mean square {size:.3g}, reported above {LARGE:g}",
            )  # fmt: skip
        elif self.lasts(("tiny", place), 0 < greatest < TINY):
            self._words(
                number, f"the inputs {x.shape} of {name} are tiny: none is beyond {greatest:.2g}, as if "
                "they had been scaled twice. For the first layer they hardly differ from 0.",
                f"greatest input {greatest:.2g}, reported below {TINY:g}",
            )  # fmt: skip
        elif x.ndim == 2 and x.shape[1] > 1 and len(x) >= LEAST:
            filled = xp.mean(x != 0, axis=0) > FILLED
            spread = xp.where(filled, xp.std(x, axis=0), 0)
            largest, smallest = float(spread.max()), float(xp.where(spread > 0, spread, spread.max()).min())
            if self.lasts(("unlike", place), largest > UNLIKE * smallest > 0):
                wide, narrow = int(spread.argmax()), int(xp.where(spread > 0, spread, xp.inf).argmin())
                self._words(
                    number, f"the columns of the inputs {x.shape} of {name} have very different scales: "
                    f"column {wide} varies by {largest:.2g}, column {narrow} by {smallest:.2g}, which "
                    "the network hardly notices.",
                    f"standard deviations {largest / smallest:.2g} times as large, reported above {UNLIKE:g}",
                )  # fmt: skip

    def _words(self, number: int, what: str, evidence: str) -> None:
        place = self.doctor.place_of(number)
        self.find(
            ("inputs", place),
            kind="input-scale",
            what=what,
            where=self.doctor.where(place),
            remedy="scale them once, before training: pixels / 255, or (x - mean) / std of each column, "
            "with mean and std of the training examples; or begin with a normalization layer.",
            evidence=f"{evidence} in {PERSISTENCE} looks",
        )


class TargetScale(Check):
    """Finds targets of a regression that the outputs do not come near, because they are so large."""

    def backward_begins(self, root: Variable) -> None:
        for answer in self.doctor.answers:
            if answer.kind != "values" or self.doctor.step < FAR_STEPS:
                continue
            sizes = [_size(answer.target), _size(answer.output._data)]
            place = self.doctor.place_of(answer.number)
            far = sizes[0] > FAR_TARGETS and sizes[0] > FAR * sizes[1]
            if self.lasts(("far", place), far):
                self._words(place, *sizes)

    def _words(self, place: Place, target: float, output: float) -> None:
        self.find(
            ("far", place),
            kind="target-scale",
            what=f"the targets have a size of about {target:.3g}, and after {self.doctor.step} steps the "
            f"outputs still one of {output:.2g}: the last layer spends its steps on growing instead of "
            "learning.",
            where=self.doctor.where(place),
            remedy="standardize the targets, (y - mean) / std of the training examples, and undo it on the "
            "predictions: prediction * std + mean.",
            evidence=f"root mean squares {target:.3g} and {output:.2g}, reported when the targets' is "
            f"{FAR:g} times the outputs' and above {FAR_TARGETS:g}, after {FAR_STEPS} steps, in "
            f"{PERSISTENCE} looks",
        )


def _size(array: Array) -> float:
    xp = backend_of((array,)).xp
    return float(xp.sqrt(xp.mean(xp.square(array)))) if array.size else 0.0
