"""Tracing: which line of the user's code, and which module, made each node of a graph.

The engine keeps what a backward pass needs and nothing else. Inside ``with tracing():`` a watcher keeps more
beside each node, for as long as the node lives: where it came from, what it was computed from and what the
backward pass brought it. `Tensor.explain` and the drawing of a graph read that.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import numpy

from ...backend.device import address_of, backend_of, is_array, on_device_of
from ...backend.scopes import scope
from ...engine.events import Watcher, watch
from ...engine.graph import Node, Variable
from ...engine.rowsparse import RowSparse
from .source_lines import SourceLine, users_line


@dataclass(eq=False)
class Call:
    """One call of a module.

    Attributes
    ----------
    path : str
        The dotted name within the outermost module that was called; empty for that one itself.
    kind, settings : str
        The class and the settings that its representation shows.
    parameters : list of (str, Parameter)
        Its own parameters and those below it, by their names within it.
    within : Call or None
        The call that made this one.
    inputs : list of tuple of int
        The shapes of the Tensors that it was given.
    given : list of Variable or Constant
        Those of them that no operation made.
    output : tuple of int or None
        The shape of the Tensor that it returned; None if it returned something else, or failed.
    """

    path: str
    kind: str
    settings: str
    parameters: list[tuple[str, Variable]]
    within: Call | None
    inputs: list[tuple[int, ...]]
    given: list[Any]
    output: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Measure:
    """How great a gradient is.

    Attributes
    ----------
    norm : float
        The Euclidean norm of all its elements.
    value : float or None
        The gradient itself, if it has one element.
    """

    norm: float
    value: float | None = None


def measure(array: Any) -> Measure:
    """Take the norm of an array or a row-sparse gradient; on the host from here on."""
    if isinstance(array, Variable):
        array = array._data
    is_number = math.prod(array.shape) == 1
    if isinstance(array, RowSparse):
        array = array.values  # the others are zero, and rows that repeat have been added up
    if is_number and array.size:
        value = float(array.reshape(-1)[0])
        return Measure(abs(value), value)
    xp = backend_of((array,)).xp
    with on_device_of(array, "explain"):
        flat = xp.asarray(array).reshape(-1)
        square = float(xp.vdot(flat, flat))  # NumPy's only product that does not warn of infinity
        if not 1e-30 < square < 1e30:  # squares may have left the range of their dtype
            wide = flat.astype(numpy.float64)
            square = float(xp.vdot(wide, wide))
        return Measure(math.sqrt(square))


@dataclass(frozen=True)
class Kept:
    """An array that an operation keeps for its rules.

    Attributes
    ----------
    name : str
        What the rules call it.
    shape, dtype : tuple of int, numpy.dtype
        Of the array.
    nbytes : int
        The memory that it takes: elements that a broadcast repeats count once.
    place : tuple of int
        Where that memory is; what is kept twice has one place.
    """

    name: str
    shape: tuple[int, ...]
    dtype: Any
    nbytes: int
    place: tuple[int, int]


def kept_arrays(saved: dict[str, Any]) -> list[Kept]:
    """List the arrays among what a node keeps; shapes, numbers and other settings hardly take memory."""
    found: list[Kept] = []
    for name, value in saved.items():
        for array in value if isinstance(value, tuple | list) else (value,):
            if is_array(array):
                sizes = [n for n, step in zip(array.shape, array.strides, strict=True) if step]
                nbytes = array.dtype.itemsize * math.prod(sizes) * bool(array.size)
                place = (address_of(array), nbytes)
                found.append(Kept(name, tuple(array.shape), array.dtype, nbytes, place))
    return found


class Constant:
    """What an operation was given that has no gradient: data, labels, a number.

    Attributes
    ----------
    shape : tuple of int
        Of the array; empty for a number.
    value : float or None
        The number, if it is one.
    """

    __slots__ = ("__weakref__", "_variable", "shape", "value")

    def __init__(self, given: Any) -> None:
        self._variable = weakref.ref(given) if isinstance(given, Variable) else None
        raw = given._data if isinstance(given, Variable) else given
        nested = isinstance(raw, list | tuple)
        self.shape: tuple[int, ...] = numpy.shape(raw) if nested else tuple(getattr(raw, "shape", ()))
        self.value = number_in(raw)

    def variable(self) -> Variable | None:
        """Return the Tensor that was given, while it lives."""
        return None if self._variable is None else self._variable()


def number_in(raw: Any) -> float | None:
    """Return the only element of an array, or a number, as a float; None for anything else."""
    if isinstance(raw, int | float):
        return float(raw)
    return float(raw.reshape(-1)[0]) if getattr(raw, "size", 0) == 1 else None


@dataclass(eq=False)
class Record:
    """What is known of a node beyond what the node knows.

    Attributes
    ----------
    line : SourceLine or None
        The user's line; None if no code outside the package was running.
    call : Call or None
        The innermost module.
    inputs : list
        For each argument the node or leaf that made it, a `Constant`, or None if it was left out.
    kept : list of Kept
        What its rules keep.
    value : float or None
        The output, if it has one element.
    gradient : Measure or None
        What reached the output in the latest backward pass.
    shares : dict of int to Measure
        What that pass gave each input, by position.
    """

    line: SourceLine | None
    call: Call | None
    inputs: list[Any]
    kept: list[Kept]
    value: float | None
    gradient: Measure | None = None
    shares: dict[int, Measure] = field(default_factory=dict)


_records: WeakKeyDictionary[Node, Record] = WeakKeyDictionary()


def record_of(node: Node) -> Record | None:
    """Return what was traced of a node, or None."""
    return _records.get(node)


class _Tracer(Watcher):
    """Keeps a `Record` of each node that is made while it watches."""

    def __init__(self) -> None:
        self.call: Call | None = None
        self.names: dict[int, str] = {}
        self.constants: dict[int, Constant] = {}

    def operation(self, primitive: Any, args: tuple[Any, ...], settings: dict[str, Any], output: Any) -> None:
        node = output.node
        if node is not None:
            _records[node] = Record(
                users_line(),
                self.call,
                [self._origin(arg) for arg in args],
                kept_arrays(node.saved),
                number_in(output._data),
            )

    def _origin(self, arg: Any) -> Any:
        if not isinstance(arg, Variable):
            return None if arg is None else Constant(arg)
        if arg.requires_grad:
            return arg.node or arg
        constant = self.constants.get(id(arg))
        if constant is None or constant.variable() is not arg:  # another Tensor may have the id by now
            constant = self.constants[id(arg)] = Constant(arg)
        return constant

    def module_begins(self, module: Any, args: tuple[Any, ...]) -> None:
        if self.call is None:
            self.names = {id(m): name for name, m in module.named_modules()}
        self.call = Call(
            self.names.get(id(module), ""),
            type(module).__name__,
            module.extra_repr(),
            list(module.named_parameters()),
            self.call,
            [tuple(arg.shape) for arg in args if hasattr(arg, "shape")],
            [self._origin(arg) for arg in args if isinstance(arg, Variable) and arg.node is None],
        )

    def module_ends(self, module: Any, output: Any) -> None:
        if self.call is not None:  # the block may have begun inside a module
            self.call.output = tuple(output.shape) if hasattr(output, "shape") else None
            self.call = self.call.within

    def gradient(self, node: Any, g: Any) -> None:
        record = _records.get(node)
        if record is not None:
            record.gradient = measure(g)

    def share(self, node: Any, position: int, parent: Any, share: Any) -> None:
        record = _records.get(node)
        if record is not None:
            record.shares[position] = measure(share)


@scope
def tracing() -> Iterator[None]:
    """Remember the source line and the module of every operation recorded inside the block.

    Also what each was computed from and, of backward passes inside the block, the norms of the gradients;
    so a graph can be explained and drawn after `backward` has freed it. All of it is kept beside the nodes
    of the graph and goes when they go. A traced step costs several times an ordinary one.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> x = tg.tensor([1.0, 2.0], requires_grad=True)
    >>> with tg.tracing():
    ...     loss = (x * x).sum()
    >>> print(loss.explain().steps[1].line.text)
    loss = (x * x).sum()
    """
    with watch(_Tracer()):
        yield
