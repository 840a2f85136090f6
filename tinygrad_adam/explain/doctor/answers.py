"""The way from the loss down to the predictions: which operations compare them with which targets."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy

from ...backend.device import is_array
from ...engine.graph import Node, Primitive, Variable
from ...typing import Args, Array, Settings, TensorLike

COMPARISONS = {
    "softmax_cross_entropy": "classes",
    "binary_cross_entropy": "binary",
    "squared_error": "values",
    "absolute_error": "values",
    "huber": "values",
}
"""Operations of the losses that take a prediction and a target, and the kind of the target."""

LAYERS = (
    "linear", "linear_relu", "matmul", "einsum", "conv2d", "conv2d_relu", "conv2d_input", "standardize",
    "softmax", "log_softmax", "sigmoid", "tanh", "relu", "leaky_relu", "elu", "gelu_exact", "gelu_tanh",
    "silu", "mish", "softplus", "soft_cross_entropy", "hinge", "kl_div", "nll",
)  # fmt: skip
"""Operations at which the way down from the loss ends: they belong to the model, or compare by themselves."""

FARTHEST = 200
"""Operations after which the search ends: a loss has ten or twenty."""


class Made(NamedTuple):
    """An operation of this step, as it was called, and a weak reference to its node."""

    primitive: Primitive
    args: Args
    settings: Settings
    node: weakref.ref[Node]

    @property
    def name(self) -> str:
        """The operation's name."""
        return self.primitive.name


class Answer(NamedTuple):
    """A prediction and its target.

    Attributes
    ----------
    number : int
        The number of the operation that compares them.
    operation : str
        Its name.
    output : Variable
        The prediction; logits for classes, if the loss takes them.
    target : array
        Raw; integers for classes.
    kind : str
        ``"classes"``, ``"binary"`` or ``"values"``.
    """

    number: int
    operation: str
    output: Variable
    target: Array
    kind: str


def below(made: Mapping[int, Made], root: Variable) -> Iterator[tuple[Node, Made]]:
    """Yield the operations between the loss and the model, from the loss down, each once."""
    waiting, seen = [root.node], set[int]()
    while waiting and len(seen) < FARTHEST:
        node = waiting.pop()
        if node is None or node.number in seen or node.number not in made:
            continue
        seen.add(node.number)
        operation = made[node.number]
        yield node, operation
        if operation.name not in LAYERS and operation.name not in COMPARISONS:
            waiting += [arg.node for arg in operation.args if isinstance(arg, Variable)]


def answers(made: Mapping[int, Made], root: Variable) -> Iterator[Answer]:
    """Yield the predictions under a loss, with their targets."""
    for node, (primitive, args, settings, _) in below(made, root):
        name = primitive.name
        if name in COMPARISONS and isinstance(args[0], Variable):
            yield Answer(node.number, name, args[0], raw(args[1]), COMPARISONS[name])
        elif name == "subtract":
            predictions = [arg for arg in args if isinstance(arg, Variable) and arg.node is not None]
            targets = [raw(arg) for arg in args if is_constant(arg)]
            if predictions and targets and targets[0].shape:
                yield Answer(node.number, name, predictions[0], targets[0], "values")
        elif name == "gather" and isinstance(index := settings.get("index"), tuple) and len(index) == 2:
            labels = raw(index[1])
            if labels.ndim == 1 and labels.dtype.kind in "iu" and args[0]._data.ndim == 2:
                yield Answer(node.number, name, args[0], labels, "classes")


def first_array(args: Args) -> Array | None:
    """Return the raw array that a model was given first, if that is a Tensor or an array."""
    return raw(args[0]) if args and (isinstance(args[0], Variable) or is_array(args[0])) else None


def is_constant(value: object) -> bool:
    """Return whether a value has no history and wants no gradient, as data have."""
    return not isinstance(value, Variable) or (value.node is None and not value.requires_grad)


def raw(value: TensorLike) -> Array:
    """Return the raw array of a Tensor, an array or a number."""
    if isinstance(value, Variable):
        return value._data
    return value if is_array(value) else numpy.asarray(value)
