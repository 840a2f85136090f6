"""The last operation before the loss: an activation or dropout on the outputs, a softmax over one class."""

from __future__ import annotations

from ...engine.graph import Node, Primitive, Variable
from ...typing import Args, Settings
from .check import Check
from .losses import maker_of

LOGITS = {
    "softmax_cross_entropy": "cross_entropy",
    "soft_cross_entropy": "cross_entropy",
    "log_softmax": "log_softmax",
    "binary_cross_entropy": "binary_cross_entropy_with_logits",
    "hinge": "hinge_loss",
    "sigmoid": "sigmoid",
}
"""Operations that expect numbers of either sign and any size, and the names that users call them by."""

VALUES = ("squared_error", "absolute_error", "huber", "nll")
"""Operations of the other losses. Of these an activation on the outputs may be meant: a sigmoid for targets
between 0 and 1, a tanh for -1 to 1, a ReLU for counts."""

RELU = ("relu", "linear_relu", "conv2d_relu")


def _reached(activation: str, loss: str) -> str:
    """Return the outputs that the activation keeps from the loss, in words; nothing if it keeps none."""
    if activation in RELU:
        if loss == "sigmoid":
            return (
                "of numbers from 0 up it never gives a probability below 0.5, so negatives are not learned."
            )
        return (
            "no output is below 0. An output that is negative for all examples of a batch gets no gradient, "
            "and an answer cannot be ruled out."
        )
    if activation == "tanh" and loss not in ("sigmoid", "hinge"):
        return "outputs between -1 and 1 leave one answer at most e^2 = 7.4 times as likely as another."
    if activation == "sigmoid" and loss in ("softmax_cross_entropy", "soft_cross_entropy", "log_softmax"):
        return "outputs between 0 and 1 leave one class at most e = 2.7 times as likely as another."
    return ""


class LastOperation(Check):
    """Finds outputs that pass through an activation or dropout on their way to the loss."""

    def operation(self, primitive: Primitive, args: Args, settings: Settings, output: Variable) -> None:
        loss = primitive.name
        if output.node is None or not isinstance(args[0], Variable) or loss not in (*LOGITS, *VALUES):
            return
        x, last = args[0], maker_of(args[0])
        if loss in LOGITS and last is not None and (lack := _reached(last.primitive.name, loss)):
            self._squashed(last, x, loss, lack, output)
        if loss not in ("sigmoid", "log_softmax") and last is not None and last.primitive.name == "dropout":
            self._dropped(last, x, loss, output)
        if _single(loss, x, last):
            self._single_class(x, output)

    def _where(self, last: Node, output: Variable) -> str:
        before, after = (self.doctor.where(self.doctor.place(node)) for node in (last, output.node))
        return after if before == after else f"{before}; the loss: {after}"

    def _squashed(self, last: Node, x: Variable, loss: str, lack: str, output: Variable) -> None:
        activation = "relu" if last.primitive.name in RELU else last.primitive.name
        self.find(
            ("squashed", self.doctor.place(output.node)),
            kind="squashed-output",
            what=f"{LOGITS[loss]} is given the output of {activation} {x._data.shape}, but expects logits, "
            f"numbers of either sign and any size: {lack}",
            where=self._where(last, output),
            remedy=f"remove the {activation} after the last layer; activations belong between layers.",
            evidence=f"{activation} is the last operation before {LOGITS[loss]}; reported at once",
        )

    def _dropped(self, last: Node, x: Variable, loss: str, output: Variable) -> None:
        p = last.saved["p"]
        self.find(
            ("dropped", self.doctor.place(output.node)),
            kind="dropout-on-output",
            what=f"dropout is applied to the outputs {x._data.shape} themselves: {p:.0%} of the answers are "
            "0 whatever was asked, and the loss counts them as errors.",
            where=self._where(last, output),
            remedy="remove the dropout after the last layer; it belongs between hidden layers.",
            evidence=f"dropout with p={p:g} is the last operation before {LOGITS.get(loss, loss)}; "
            "reported at once",
        )

    def _single_class(self, x: Variable, output: Variable) -> None:
        self.find(
            ("single", self.doctor.place(output.node)),
            kind="softmax-of-one",
            what=f"the softmax is taken over one class {x._data.shape}: its probability is 1 whatever the "
            "network says, so the gradient is 0 and nothing is learned.",
            where=self.doctor.where(self.doctor.place(output.node)),
            remedy="for two classes with one output use binary_cross_entropy_with_logits, with targets of "
            "the output's shape; or make the last layer 2 wide.",
            evidence=f"1 class in outputs of shape {x._data.shape}; reported at once",
        )


def _single(loss: str, x: Variable, last: Node | None) -> bool:
    """Return whether a softmax for the loss, or in `last` before it, has a single class."""
    if loss in ("softmax_cross_entropy", "soft_cross_entropy"):
        return x._data.ndim > 1 and x._data.shape[1] == 1
    softmax = last is not None and last.primitive.name in ("softmax", "log_softmax")
    return softmax and last is not None and last.shape[last.saved["axis"]] == 1
