"""The first NaN or infinity, and the operation that made it."""

from __future__ import annotations

from typing import Any

from ...backend.device import backend_of, is_array
from ...engine.graph import Node, Primitive, Variable
from ...typing import Args, Array, Settings, Xp
from .chart import Chart
from .check import Check, all_finite, numbers, ranges

HINTS = {
    "linear": "its sums overflow, float32 ends at 3.4e38: lower the learning rate, or clip gradients",
    "log": "add a small number before it, tg.log(x + 1e-8), or use log_softmax or a loss of logits",
    "sqrt": "its slope at 0 is infinite: add a small number before the root, tg.sqrt(x + 1e-8)",
    "divide": "keep the divisor away from 0: x / (y + 1e-8)",
    "power": "a negative base, or 0 to a negative power; the slope at 0 is infinite for exponents below 1",
    "exp": "float32 ends at exp(88.7): subtract the maximum first, as softmax and logsumexp do",
    "norm": "its slope at 0 is infinite: add a small number under the root",
}
"""Advice about the operations that usually make them."""

OTHERWISE = (
    "lower the learning rate, clip gradients (optim.clip_grad_norm_, --max-grad-norm), scale inputs and "
    "targets to a size near 1"
)


class NonFinite(Check):
    """Finds the first NaN or infinity on the way forward or back; all later ones follow from it.

    An infinity that the user put there, such as a mask of -inf before a softmax, is none.
    """

    every_step = True

    def __init__(self, doctor: Chart) -> None:
        super().__init__(doctor)
        self.found = False

    def operation(self, primitive: Primitive, args: Args, settings: Settings, output: Variable) -> None:
        y = output._data
        if self.found or y.dtype.kind != "f" or not self.doctor.may_read(y) or all_finite(y):
            return
        raw = [(primitive.name_of(i), a) for i, a in enumerate(args)]
        inputs = [(name, a._data if isinstance(a, Variable) else a, a) for name, a in raw]
        strange = [
            (name, value, given)
            for name, value, given in inputs
            if _nan(value) or (_is_weight(given) and not _finite(value))
        ]
        if not strange and not _nan(y) and not all(_finite(value) for _, value, _ in inputs):
            return  # an infinity came in and went out
        self.found = True
        shown = "; ".join(f"{name} {_shown(value)}" for name, value, _ in inputs)
        if strange:
            self._came_in(primitive.name, strange[0], y, shown)
            return
        self.find(
            "not-finite",
            kind="not-finite",
            what=f"{primitive.name} made the first {_kind(y)}: {_bad(y)} of its output {y.shape}.",
            where=self.doctor.where(self.doctor.place(output.node)),
            remedy=f"{HINTS.get(primitive.name, OTHERWISE)}.",
            evidence=f"its inputs: {shown}; reported at once",
        )

    def _came_in(self, operation: str, entry: tuple[str, Any, Any], y: Array, shown: str) -> None:
        name, _, given = entry
        if _is_weight(given):
            cause = f"the weights {self.doctor.name(given)} hold it, since the last step or from the start"
            remedy = (
                "lower the learning rate; on_nonfinite='raise' stops the optimizer before a bad gradient."
            )
        else:
            cause = f"it came in with {name}, from the data or from raw arrays"
            remedy = "look at the data: numpy.isnan(x).any(); fill or drop what is missing."
        self.find(
            "not-finite",
            kind="not-finite",
            what=f"{operation} gives {_kind(y)}, but did not make it: {cause}.",
            where=self.doctor.where(),
            remedy=remedy,
            evidence=f"its inputs: {shown}; reported at once",
        )

    def share(self, node: Node, position: int, parent: Node | Variable, share: Array) -> None:
        values = numbers(share)
        if self.found or not self.doctor.may_read(values) or all_finite(values):
            return
        self.found = True
        operation = node.primitive
        name = operation.name_of(position)
        kept = "; ".join(f"{key} {_shown(value)}" for key, value in node.saved.items() if is_array(value))
        self.find(
            "not-finite",
            kind="not-finite",
            what=f"on the way back, the rule of {operation.name} for {name} {values.shape} made "
            f"the first {_kind(values)}: {_bad(values)} of the gradient. Forward, all was finite.",
            where=self.doctor.where(self.doctor.place(node)),
            remedy=f"{HINTS.get(operation.name, OTHERWISE)}.",
            evidence=f"what the rule was given: {kept or 'the gradient alone'}; reported at once",
        )


def _is_weight(given: object) -> bool:
    return isinstance(given, Variable) and given.node is None and given.requires_grad


def _nan(value: Array) -> bool:
    array, xp = _floats(value)
    return bool(xp.isnan(array).any())


def _finite(value: Array) -> bool:
    array, xp = _floats(value)
    return bool(xp.isfinite(array).all())


def _floats(value: Array) -> tuple[Array, Xp]:
    """Return a value as an array of floats, or zero for other kinds, and its namespace."""
    xp = backend_of((value,)).xp
    array = xp.asarray(value)
    return (array if array.dtype.kind == "f" else xp.zeros(())), xp


def _shown(value: Array) -> str:
    if not is_array(value):
        return repr(value)
    return f"{value.shape} {ranges(value)}" if value.size and value.dtype.kind == "f" else f"{value.shape}"


def _kind(y: Array) -> str:
    return "NaN" if _nan(y) else "infinity"


def _bad(y: Array) -> str:
    count = int(y.size - backend_of((y,)).xp.isfinite(y).sum())
    return f"{count:,} of the {y.size:,} elements" if y.size > 1 else "the number"
