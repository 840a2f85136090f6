"""Traces: the line of the user's code and the module that made each node of a graph.

The engine keeps only the values that a backward pass needs. Inside ``with tracing():`` a watcher keeps a
trace of each node for as long as the node lives: its origin, its inputs and its gradients.
`Tensor.explain` and the drawing of a graph read them.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import numpy

from ...backend.device import address_of, backend_of, is_array, on_device_of
from ...backend.scopes import scope
from ...engine.events import Watcher, watch
from ...engine.graph import Node, Primitive, Variable
from ...engine.rowsparse import RowSparse
from ...nn import Module
from ...typing import Args, Array, Settings, TensorLike
from .source_lines import SourceLine, users_line


@dataclass(eq=False)
class ModuleCall:
    """One call of a module.

    Attributes
    ----------
    path : str
        The dotted name within the outermost module that was called; empty for that one itself.
    kind, settings : str
        The class and the settings that its representation shows.
    parameters : list of (str, Parameter)
        Its own parameters and those below it, by their names within it.
    within : ModuleCall or None
        The call that made this one.
    inputs : list of tuple of int
        The shapes of its arguments that are Tensors.
    given : list of Variable or Constant
        The arguments that no operation made.
    output : tuple of int or None
        The shape of the Tensor that it returned; None if it returned something else, or failed.
    """

    path: str
    kind: str
    settings: str
    parameters: list[tuple[str, Variable]]
    within: ModuleCall | None
    inputs: list[tuple[int, ...]]
    given: list[Any]
    output: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Measure:
    """The size of a gradient.

    Attributes
    ----------
    norm : float
        The Euclidean norm of all its elements.
    value : float or None
        The gradient itself, if it has one element.
    """

    norm: float
    value: float | None = None


def measure(array: Array) -> Measure:
    """Return the norm of an array or a row-sparse gradient, as a number on the host."""
    if isinstance(array, Variable):
        array = array._data
    is_number = math.prod(array.shape) == 1
    if isinstance(array, RowSparse):
        array = array.values  # all other rows are zero, and repeated ones have been added up
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
        Its name in the rules.
    shape, dtype : tuple of int, numpy.dtype
        Of the array.
    nbytes : int
        The memory that it takes: elements that a broadcast repeats count once.
    place : tuple of int
        The address of that memory; an array that is kept twice has one place.
    """

    name: str
    shape: tuple[int, ...]
    dtype: numpy.dtype
    nbytes: int
    place: tuple[int, int]


def kept_arrays(saved: dict[str, Any]) -> list[Kept]:
    """Return the arrays that a node keeps; its shapes, numbers and other settings hardly take memory."""
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
    """An argument of an operation that has no gradient: data, labels, a number.

    Attributes
    ----------
    shape : tuple of int
        Of the array; empty for a number.
    value : float or None
        The number, if it is one.
    """

    __slots__ = ("__weakref__", "_variable", "shape", "value")

    def __init__(self, given: TensorLike) -> None:
        self._variable = weakref.ref(given) if isinstance(given, Variable) else None
        raw = given._data if isinstance(given, Variable) else given
        nested = isinstance(raw, list | tuple)
        self.shape: tuple[int, ...] = numpy.shape(raw) if nested else tuple(getattr(raw, "shape", ()))
        self.value = number_in(raw)

    def variable(self) -> Variable | None:
        """Return the Tensor, as long as it lives."""
        return None if self._variable is None else self._variable()


def ancestors(root: Node, parents: Callable[[Node], Iterable[Node | Variable]]) -> set[Node]:
    """Return the nodes that `root` was computed from, and itself."""
    seen, stack = {root}, [root]
    while stack:
        for parent in parents(stack.pop()):
            if isinstance(parent, Node) and parent not in seen:
                seen.add(parent)
                stack.append(parent)
    return seen


def number_in(raw: TensorLike) -> float | None:
    """Return the only element of an array, or a number, as a float; None for anything else."""
    if isinstance(raw, int | float):
        return float(raw)
    return float(raw.reshape(-1)[0]) if is_array(raw) and raw.size == 1 else None


@dataclass(eq=False)
class Trace:
    """The facts about a node that the engine does not keep.

    Attributes
    ----------
    line : SourceLine or None
        The user's line; None if no code outside the package was running.
    call : ModuleCall or None
        The innermost module.
    inputs : list
        For each argument the node or leaf that made it, a `Constant`, or None if it was left out.
    kept : list of Kept
        The arrays that its rules keep.
    value : float or None
        The output, if it has one element.
    gradient : Measure or None
        The gradient of the output in the latest backward pass.
    shares : dict of int to Measure
        The gradients that the pass gave each input, by position.
    """

    line: SourceLine | None
    call: ModuleCall | None
    inputs: list[Any]
    kept: list[Kept]
    value: float | None
    gradient: Measure | None = None
    shares: dict[int, Measure] = field(default_factory=dict)


_traces: WeakKeyDictionary[Node, Trace] = WeakKeyDictionary()


def trace_of(node: Node) -> Trace | None:
    """Return the trace of a node, or None."""
    return _traces.get(node)


class _Tracer(Watcher):
    """Keeps a `Trace` of each node that is made while it watches."""

    def __init__(self) -> None:
        self.call: ModuleCall | None = None
        self.names: dict[int, str] = {}
        self.constants: dict[int, Constant] = {}

    def operation(self, primitive: Primitive, args: Args, settings: Settings, output: Variable) -> None:
        node = output.node
        if node is not None:
            _traces[node] = Trace(
                users_line(),
                self.call,
                [self._origin(arg) for arg in args],
                kept_arrays(node.saved),
                number_in(output._data),
            )

    def _origin(self, arg: TensorLike) -> Node | Variable | Constant | None:
        if not isinstance(arg, Variable):
            return None if arg is None else Constant(arg)
        if arg.requires_grad:
            return arg.node or arg
        constant = self.constants.get(id(arg))
        if constant is None or constant.variable() is not arg:  # another Tensor may have the id by now
            constant = self.constants[id(arg)] = Constant(arg)
        return constant

    def module_begins(self, module: Module, args: tuple[Any, ...]) -> None:
        if self.call is None:
            self.names = {id(m): name for name, m in module.named_modules()}
        self.call = ModuleCall(
            self.names.get(id(module), ""),
            type(module).__name__,
            module.extra_repr(),
            list(module.named_parameters()),
            self.call,
            [tuple(arg.shape) for arg in args if hasattr(arg, "shape")],
            [self._origin(arg) for arg in args if isinstance(arg, Variable) and arg.node is None],
        )

    def module_ends(self, module: Module, output: object) -> None:
        if self.call is not None:  # the block may have begun inside a module
            self.call.output = tuple(output._data.shape) if isinstance(output, Variable) else None
            self.call = self.call.within

    def gradient(self, node: Node, g: Array) -> None:
        trace = _traces.get(node)
        if trace is not None:
            trace.gradient = measure(g)

    def share(self, node: Node, position: int, parent: Node | Variable, share: Array) -> None:
        trace = _traces.get(node)
        if trace is not None:
            trace.shares[position] = measure(share)


@scope
def tracing() -> Iterator[None]:
    """Remember the source line and the module of every operation recorded inside the block.

    The block also remembers the inputs of each operation and the norms of the gradients in its backward
    passes, so a graph can be explained and drawn after `backward` has freed it. The traces live as long as
    the nodes of the graph. A traced step costs several times an ordinary one.

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
