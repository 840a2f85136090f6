"""Which example each element of an array belongs to, followed through the operations of a network.

Each array that is computed from the inputs has an array of *owners*: the number of the example that
an element comes from, with size 1 along axes on which it does not change. Operations that only move elements
move the owners in the same way, so a reshape that mixes examples shows. What cannot be followed is dropped.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy

from ...backend.device import is_array, to_host
from ...engine.graph import Primitive, Variable
from ...ops.reduction import normalize_axes
from ...typing import Args, Array, Settings, TensorLike
from .chart import Place

ELEMENTWISE = frozenset({
    "add", "subtract", "multiply", "divide", "power", "maximum", "minimum", "where", "negative", "abs", "exp",
    "expm1", "log", "log1p", "sqrt", "square", "reciprocal", "sin", "cos", "tan", "arctan", "sinh", "cosh",
    "tanh", "clip", "astype", "erf", "relu", "leaky_relu", "elu", "sigmoid", "softplus", "silu", "mish",
    "gelu_exact", "gelu_tanh", "dropout", "scale_channels",
})  # fmt: skip
MOVING = frozenset({"reshape", "transpose", "slice", "gather", "flip", "roll", "broadcast_to"})
REDUCTIONS = frozenset({"sum", "mean", "max", "min", "prod", "std", "var", "logsumexp", "norm"})
WINDOWS = frozenset({"conv2d", "conv2d_relu", "conv2d_input", "max_pool2d", "sum_pool2d", "pad", "mixed"})
"""Operations on (N, C, ...) that look at each N alone, if all of an example is in one N."""

TAKING = MOVING | WINDOWS | {"linear", "linear_relu", "matmul"}
"""Operations whose first operand may be the network's input."""

LEAST = 4
"""Examples from which on an axis of that size counts as the batch."""


class Crossing(NamedTuple):
    """An operation that lets examples see each other.

    Attributes
    ----------
    name : str
        The operation.
    shape : tuple of int
        Of its output.
    place : Place
        The operation's place; for elements in disorder, the place of the operation that moved them.
    mover : str
        The name of that operation, or nothing if examples are in order.
    """

    name: str
    shape: tuple[int, ...]
    place: Place
    mover: str


class Origin(NamedTuple):
    """The examples that an array comes from.

    Attributes
    ----------
    examples : int
        The number of examples.
    owners : array of int or None
        Of shapes that broadcast to the array's; None after examples have been combined.
    moved : tuple of Place and str, or None
        The operation that brought the elements into a disorder in which no axes belong to the examples.
    crossing : Crossing or None
        The first operation at which examples saw each other.
    total : bool
        Whether it is a sum over examples.
    source : bool
        Whether it is the input itself.
    """

    examples: int
    owners: Array = None
    moved: tuple[Place, str] | None = None
    crossing: Crossing | None = None
    total: bool = False
    source: bool = False


class Examples:
    """Follows the examples through the operations of one step.

    Parameters
    ----------
    place : callable
        Returns the place of an operation from its output.
    """

    def __init__(self, place: Callable[[Variable], Place]) -> None:
        self.place = place
        self.origins: dict[int, tuple[weakref.ref[Any], Origin]] = {}

    def of(self, value: object) -> Origin | None:
        """Return the origin of an array, or None if it is not followed."""
        reference, origin = self.origins.get(id(value), (None, None))
        return origin if reference is not None and reference() is value else None

    def begin(self, value: TensorLike, axis: int = 0) -> Origin | None:
        """Follow an input whose examples lie along an axis."""
        data = value._data if isinstance(value, Variable) else value
        if not is_array(data) or data.ndim == 0 or data.shape[axis] < LEAST:
            return None
        shape = [1] * data.ndim
        shape[axis] = count = data.shape[axis]
        return self._keep(value, Origin(count, numpy.arange(count).reshape(shape), source=True))

    def _keep(self, value: object, origin: Origin) -> Origin:
        self.origins[id(value)] = weakref.ref(value), origin
        return origin

    def operation(self, primitive: Primitive, args: Args, settings: Settings, output: Variable) -> None:
        """Follow one operation."""
        name = primitive.name
        self._find_inputs(name, args, settings)
        known = [self.of(arg) for arg in args]
        if name == "gather" and known[0] is None:
            known = [_looked_up(self.of(settings["index"]), output._data.ndim)]
        if not any(known):
            return
        crossing = next((origin.crossing for origin in known if origin and origin.crossing), None)
        result = self._through(primitive, args, known, settings, output)
        if result is None and crossing is not None and _stays(known, output):
            count = next(origin.examples for origin in known if origin)
            result = Origin(count)
        if result is not None:
            self._keep(output, result._replace(crossing=result.crossing or crossing))

    def _find_inputs(self, name: str, args: Args, settings: Settings) -> None:
        """Take what is first given to a layer, or moved before, for the inputs."""
        x = args[0]
        if name == "gather" and self.of(x) is None and isinstance(x, Variable) and x._requires_grad:
            index = settings["index"]  # rows of a table, looked up by the examples' numbers
            if x.node is None and is_array(index) and index.dtype.kind in "iu":
                self.begin(index)
        elif name == "matmul" and self.of(x) is None and _wants_gradient(x):
            origin = self.of(args[1])  # examples are columns
            if (origin is None and _is_input(args[1])) or (origin is not None and origin.source):
                self.begin(args[1], -1)
        elif name in TAKING and _is_input(x) and self.of(x) is None:
            self.begin(x)

    def _through(
        self,
        primitive: Primitive,
        args: Args,
        known: list[Origin | None],
        settings: Settings,
        output: Variable,
    ) -> Origin | None:
        name, first, shape = primitive.name, known[0], output._data.shape
        if name in ELEMENTWISE:
            return self._joined(name, known, output)
        if name == "matmul" and len(known) > 1 and known[1] is not None:
            return _paired(known[0], known[1], len(shape))
        if first is None or first.owners is None:
            return None
        if name == "gather" and self.of(args[0]) is None:
            return first
        if name in MOVING:
            return self._moved(primitive, first, args[0], settings, output)
        if name in REDUCTIONS:
            return _reduced(name, first, settings)
        if name in ("linear", "linear_relu", "matmul"):
            return self._mapped(name, first, (first.owners.ndim - 1,), output)
        if name in WINDOWS:
            return self._mapped(name, first, tuple(range(1, first.owners.ndim)), output)
        if name in ("softmax", "log_softmax"):
            return self._within(name, first, (settings.get("axis", -1),), output)
        if name == "standardize":
            axes = settings["axes"]
            by_feature = 0 in axes and len(axes) == len(shape) - 1 and 1 not in axes  # as BatchNorm does
            return (
                first._replace(source=False)
                if by_feature
                else self._within("layer_norm", first, axes, output)
            )
        return None

    def _joined(self, name: str, known: list[Origin | None], output: Variable) -> Origin | None:
        """Return the origin of an operation on elements."""
        followed = [origin for origin in known if origin is not None]
        whose = [origin for origin in followed if origin.owners is not None]
        if not whose:
            return followed[0] if followed[0].total or output._data.size == 1 else None
        owners, *others = [_as(origin.owners, output._data.ndim) for origin in whose]
        for other in others:
            if not _agree(owners, other):
                return None  # pairs of examples are compared, or an axis of the batch's size is another
            owners = owners if owners.size >= other.size else other
        result = whose[0]._replace(owners=owners, source=False)
        if name == "divide" and len(known) > 1 and known[1] is not None and known[1].total:
            return result._replace(crossing=self._crossing("a division by the sum", whose[0], output))
        return result

    def _moved(
        self, primitive: Primitive, origin: Origin, x: TensorLike, settings: Settings, output: Variable
    ) -> Origin | None:
        shape = x._data.shape if isinstance(x, Variable) else x.shape
        if "index" in settings:
            settings = {"index": _on_host(settings["index"])}
        owners = _shrunk(primitive.forward(numpy, numpy.broadcast_to(origin.owners, shape), **settings))
        moved = origin.moved
        if not _in_order(owners):
            moved = moved or (self.place(output), primitive.name)
        else:
            moved = None
        return Origin(origin.examples, owners, moved)

    def _mapped(self, name: str, origin: Origin, axes: tuple[int, ...], output: Variable) -> Origin | None:
        """Return the origin of an operation that sums over axes with weights."""
        owners = origin.owners
        if all(owners.shape[axis] == 1 for axis in axes):
            shape = [1 if axis in axes else size for axis, size in enumerate(owners.shape)]
            return Origin(origin.examples, owners.reshape(shape), origin.moved)
        if origin.moved is None:
            return None  # an axis is summed that belongs to the examples: they are meant to meet
        return Origin(origin.examples, None, crossing=self._crossing(name, origin, output))

    def _within(self, name: str, origin: Origin, axes: tuple[int, ...], output: Variable) -> Origin | None:
        """Return the origin of an operation that relates the elements along axes."""
        result = origin._replace(source=False)
        if all(origin.owners.shape[axis] == 1 for axis in axes):
            return result
        return result._replace(crossing=self._crossing(name, origin, output))

    def _crossing(self, name: str, origin: Origin, output: Variable) -> Crossing:
        place, mover = origin.moved or (self.place(output), "")
        return Crossing(name, output._data.shape, place, mover)


def _is_input(x: TensorLike) -> bool:
    """Return whether `x` is a raw array, or a Tensor without history that wants no gradient."""
    if isinstance(x, Variable):
        return x.node is None and not x._requires_grad and x._data.ndim > 1
    return is_array(x) and x.ndim > 1


def _wants_gradient(x: object) -> bool:
    return isinstance(x, Variable) and x._requires_grad


def _stays(known: list[Origin | None], output: Variable) -> bool:
    """Return whether the output may still hold an answer for each example, or is one number of all."""
    count = next(origin.examples for origin in known if origin)
    size, shape = output._data.size, output._data.shape
    combined = any(origin is not None and origin.crossing and origin.owners is None for origin in known)
    return size == 1 or (combined and shape[0] == count)


def _as(owners: Array, ndim: int) -> Array:
    """Return owners with axes of size 1 in front, as broadcasting adds them."""
    return owners.reshape((1,) * (ndim - owners.ndim) + owners.shape)


def _agree(one: Array, other: Array) -> bool:
    compatible = all(a == b or 1 in (a, b) for a, b in zip(one.shape, other.shape, strict=True))
    return compatible and bool((one == other).all())


def _shrunk(owners: Array) -> Array:
    """Return owners with size 1 along axes on which they do not change."""
    for axis in range(owners.ndim):
        first = owners.take([0], axis) if owners.shape[axis] else owners
        if owners.shape[axis] > 1 and (owners == first).all():
            owners = first
    return owners


def _in_order(owners: Array) -> bool:
    """Return whether some axes together count the examples, one place each."""
    return owners.size == len(numpy.unique(owners))


def _reduced(name: str, origin: Origin, settings: Settings) -> Origin | None:
    owners = origin.owners
    axes = normalize_axes(settings.get("axis"), owners.ndim)
    if any(owners.shape[axis] > 1 for axis in axes):
        return (
            Origin(origin.examples, total=True) if name in ("sum", "norm") and origin.moved is None else None
        )
    if not settings.get("keepdims"):
        owners = owners.reshape([n for axis, n in enumerate(owners.shape) if axis not in axes])
    return Origin(origin.examples, owners, origin.moved, origin.crossing)


def _paired(a: Origin | None, b: Origin, ndim: int) -> Origin | None:
    """Return the origin of a product with a followed second operand."""
    if b.owners is None or b.owners.ndim < 2 or b.owners.shape[-2] != 1:
        return None
    if a is None:  # weights times columns
        return Origin(b.examples, _as(b.owners, ndim), b.moved)
    if a.owners is None or a.owners.ndim < 2 or a.owners.shape[-1] != 1:
        return None
    one, other = _as(a.owners, ndim), _as(b.owners, ndim)
    return (
        Origin(a.examples, one if one.size >= other.size else other, a.moved) if _agree(one, other) else None
    )


def _looked_up(origin: Origin | None, ndim: int) -> Origin | None:
    if origin is None or origin.owners is None:
        return None
    owners = origin.owners.reshape(origin.owners.shape + (1,) * (ndim - origin.owners.ndim))
    return Origin(origin.examples, owners, origin.moved)


def _on_host(index: TensorLike) -> Any:
    if isinstance(index, tuple):
        return tuple(_on_host(part) for part in index)
    return to_host(index) if is_array(index) else index
