"""The sign of the loss: one that falls without end, and steps that go uphill."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from ...backend.device import backend_of, is_array
from ...engine.graph import Node, Variable
from ...typing import Array
from ..chain_rule.source_lines import SourceLine
from .answers import Made, is_constant, raw
from .chart import Chart, Place
from .check import PERSISTENCE, Check, squares

NEVER_NEGATIVE = (
    "softmax_cross_entropy", "soft_cross_entropy", "binary_cross_entropy", "squared_error", "absolute_error",
    "huber", "hinge", "abs", "square",
)  # fmt: skip
"""Operations whose results are never below 0 and have no greatest: their negative has no least."""

LOGARITHMS = ("log_softmax", "log")
"""Operations whose results are never above 0 if they are logarithms of probabilities."""

CARRYING = ("mean", "sum", "reshape", "astype", "squeeze", "expand_dims", "slice", "gather", "transpose")
"""Operations that keep the sign of all elements."""

UPHILL = 0.5
"""The cosine between a gradient and the change of the weights after it. A step of gradient descent has -1, of
Adam or of momentum still less than 0 on the average; 0.5 in several looks in a row is a step uphill."""


class _Term(NamedTuple):
    """A part of the loss: its sign, or 0 if that is unknown, and the operation that bounds it."""

    sign: int
    name: str
    node: Node


class Signs(Check):
    """Finds losses that are the negative of an error, and steps along the gradient instead of against it.

    A negative loss is no symptom: likelihoods of densities, rewards and similarities may be negative. So the
    check looks at the terms of the loss. With several optimizers, as in a GAN, one may well go uphill.
    """

    every_step = True

    def __init__(self, doctor: Chart) -> None:
        super().__init__(doctor)
        self.losses: dict[SourceLine | None, float] = {}
        self.before: list[tuple[Variable, Array, Array]] = []

    def backward_begins(self, root: Variable) -> None:
        self._uphill()
        if not self.doctor.close or root._data.size != 1 or len(self.doctor.optimizers) > 1:
            return
        place = self.doctor.place()
        terms = list(_terms(self.doctor.made, root))
        negative = bool(terms) and all(term.sign < 0 for term in terms)
        if self.lasts(("sign", place.line), negative) and not self._others(root):
            self._turned(terms, place)

    def backward_ends(self, root: Variable) -> None:
        if self.doctor.close and not self.doctor.optimizers:
            self.before = [
                (p, p._data.copy(), p._grad.copy())
                for model in self.doctor.models
                for p in model.parameters()
                if is_array(p._grad)
            ]

    def _others(self, root: Variable) -> bool:
        """Return whether gradients go to weights that no optimizer here steps: an attack on a fixed model."""
        own = {id(p) for o in self.doctor.optimizers for group in o.param_groups for p in group["params"]}
        leaves = {
            id(arg): arg
            for made in self.doctor.made.values()
            for arg in made.args
            if isinstance(arg, Variable) and arg.node is None and arg.requires_grad
        }
        return bool(own) and not own.issuperset(leaves)

    def _uphill(self) -> None:
        """Compare the last change of the weights with the gradient, in loops without an optimizer."""
        before, self.before = self.before, []
        if not before or self.doctor.optimizers:
            return
        changes = [p._data - data for p, data, _ in before]
        size = sum(squares(change) for change in changes) * sum(squares(g) for _, _, g in before)
        if size > 0:
            xp = backend_of((changes[0],)).xp
            dot = sum(float(xp.vdot(c, g)) for c, (_, _, g) in zip(changes, before, strict=True))
            cosine = dot / size**0.5
            # The look is one step late.
            if self.lasts("uphill", cosine > UPHILL):
                self._ascends(cosine)

    def _turned(self, terms: list[_Term], place: Place) -> None:
        term = terms[0]
        what = (
            "the logarithm of a probability is minimized: the right answer becomes ever less likely"
            if term.name in LOGARITHMS
            else f"the negative of {term.name} is minimized: the error grows, and the loss falls, without end"
        )
        self.find(
            ("sign", place.line),
            kind="sign-turned",
            what=f"{what}. A smaller loss means a worse network here.",
            where=self.doctor.where(self.doctor.place(term.node)),
            remedy="put a minus before the mean of the logarithms."
            if term.name in LOGARITHMS
            else "remove the minus: step() goes downhill by itself.",
            evidence=f"every term of the loss is bounded above but not below; "
            f"reported in {PERSISTENCE} looks",
        )

    def _ascends(self, cosine: float) -> None:
        self.find(
            "uphill",
            kind="sign-turned",
            what="the weights move along the gradient, which points uphill: the loss grows with each step.",
            where=self.doctor.where(),
            remedy="subtract the gradient: p.data -= lr * p.grad.",
            evidence=f"cosine of the change of the weights and the gradient {cosine:.2f}; reported above "
            f"{UPHILL} in {PERSISTENCE} looks",
        )


def _terms(made: dict[int, Made], root: Variable) -> Iterator[_Term]:
    """Yield the terms of a loss, with their signs; a penalty on weights alone is left out."""
    waiting = [(root.node, 1)]
    while waiting:
        node, sign = waiting.pop()
        if node is None:
            continue
        if node.number not in made or sign == 0:
            yield _Term(0, "", node)
            continue
        operation = made[node.number]
        name, (first, *rest) = operation.name, operation.args
        if name in NEVER_NEGATIVE or _is_even(operation):
            if any(isinstance(arg, Variable) and arg.node is not None for arg in operation.args):
                yield _Term(sign, name, node)
        elif name in LOGARITHMS:
            # Logarithms of densities, or of a variance, may be above 0.
            yield _Term(-sign if float(raw(first).max()) <= 1 or name != "log" else 0, name, node)
        elif name == "nll":
            yield _Term(sign if float(raw(first).max()) <= 0 else 0, name, node)
        elif name in CARRYING:
            waiting.append((first.node, sign))
        elif name == "negative":
            waiting.append((first.node, -sign))
        elif name in ("add", "subtract"):
            signs = (sign, sign if name == "add" else -sign)
            sides = zip(operation.args, signs, strict=True)
            waiting += [(arg.node, s) for arg, s in sides if isinstance(arg, Variable)]
        elif name in ("multiply", "divide"):
            constants = [raw(arg) for arg in operation.args if is_constant(arg)]
            factor = (
                _sign_of(constants[0]) if constants and (name == "multiply" or not is_constant(first)) else 0
            )
            waiting += [(arg.node, sign * factor) for arg in operation.args if isinstance(arg, Variable)]
        elif name == "where" and is_constant(first):
            waiting += [(arg.node, sign) for arg in rest if isinstance(arg, Variable)]
        else:
            yield _Term(0, name, node)


def _is_even(operation: Made) -> bool:
    """Return whether an operation is a square, however it is written."""
    name, args = operation.name, operation.args
    if name == "power":
        return isinstance(args[1], int | float) and args[1] > 0 and args[1] % 2 == 0
    return name == "multiply" and args[0] is args[1]


def _sign_of(factor: Array) -> int:
    """Return the sign of a factor, or 0 where a negative one may be meant.

    A number may be a reward and an array may be advantages, which are rightly negative at times:
    only 1 and -1 count, and rows of probabilities, such as one-hot labels; and positive numbers.
    """
    if factor.ndim == 0:
        value = float(factor)
        return -1 if value == -1 else int(value > 0)
    xp = backend_of((factor,)).xp
    rows = factor.sum(axis=-1)
    return int(factor.ndim > 1 and bool((factor >= 0).all()) and bool(xp.allclose(rows, 1, atol=1e-3)))
