"""Values, operations that know their derivatives, and the graph that they leave behind.

An operation is one definition: a forward rule, and for each input a vector-Jacobian product. Called on
`Variable` objects it computes the output and, where a gradient will be wanted, leaves a `Node` that keeps
the values which those rules name. `backward.py` walks the nodes back.
"""

from __future__ import annotations

import inspect
import itertools
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy

from ..backend.convert import beside_floats, operand
from ..backend.device import CPU, Backend, backend_of, is_array, on_device_of
from ..backend.overrides import chosen_kernels
from ..typing import Array, TensorLike, Xp
from . import events, refusals
from .modes import grad_enabled
from .rules import Rule, Tape, parameter_names

# --- Values ----------------------------------------------------------------------------------


class Variable:
    """A value, its gradient, and its place in the graph: all that the engine needs of a Tensor.

    Attributes
    ----------
    _data : array
        The raw array.
    _grad : array, RowSparse, Variable or None
        The gradient: raw after an ordinary backward pass, a Variable after one with a graph.
    _requires_grad : bool
        Whether a gradient is wanted for this value or for one it was computed from.
    node : Node or None
        The operation that made it; None for a leaf.
    _version : list
        How often the memory was written to; one list, shared by all views of it. Once there are views, weak
        references to everything that shares the memory follow, for `_sharers`.
    _grad_buffer : array or None
        Where the gradient of a leaf is to be put, if an optimizer reserved a place for it.
    _hooks : dict or None
        Functions of the leaf's gradient, called when a backward pass has summed it.
    """

    __slots__ = (
        "__weakref__", "_data", "_grad", "_grad_buffer", "_hooks", "_requires_grad", "_version", "node"
    )  # fmt: skip

    def __init__(
        self,
        data: Array,
        requires_grad: bool = False,
        node: Node | None = None,
        version: list[Any] | None = None,
    ) -> None:
        self._data = data
        self._grad: TensorLike = None
        self._grad_buffer: Array = None
        self._hooks: dict[int, Callable[..., Any]] | None = None
        self._version: list[Any] = [0] if version is None else version
        self.node = node
        self._requires_grad = requires_grad

    @property
    def requires_grad(self) -> bool:
        """Whether a gradient is wanted for this value or for one it was computed from."""
        return self._requires_grad

    @property
    def _writes(self) -> int:
        """How often the memory was written to."""
        return int(self._version[0])

    def _read(self, where: str) -> Array:
        """Return the raw array, for `where` to read outside any graph."""
        events.tell(("read", self, where))
        return self._data

    def _changing(self, where: str) -> None:
        """Announce a change in place by `where`: of the value, the gradient, hooks or freezing."""
        events.tell(("changed", self, where))

    def _written(self) -> None:
        """Count that the memory is written to: a backward pass that needs the old value will refuse."""
        self._version[0] += 1

    def _write(self, where: str, index: object, value: TensorLike) -> None:
        """Write into the memory, which all views share."""
        self._changing(where)
        refusals.require_elements_of_its_own(where, self._data)
        try:
            with on_device_of(self._data, where):
                self._data[index] = value
        except (IndexError, ValueError, TypeError, OverflowError) as error:
            raise refusals.unwritten(where, error, self._data, index, value) from error
        self._written()

    def _alias(self, history: bool = False) -> Any:
        """Return a Variable over the same memory; a write to one is a write to the other."""
        if history:
            return provided.tensor_class(self._data, self._requires_grad, self.node, self._version)
        return provided.tensor_class(self._data, version=self._version)

    def _detached(self) -> Any:
        """Return an `_alias` that counts as a view, so that recorded changes in place mind it."""
        result = self._alias()
        self._share_memory_with(result)
        events.tell(("detached", self, result))
        return result

    def _share_memory_with(self, view: object) -> None:
        """Remember, as long as it lives, that `view` is a view of this memory."""
        if len(self._version) == 1:
            self._version.append(_Sharers())
            self._version[1].add(self)
        self._version[1].add(view)

    def _join(self, other: Variable) -> None:
        """Become a view of the memory of `other`, where the array already is."""
        self._version = other._version
        other._share_memory_with(self)

    def _sharers(self) -> list[Any]:
        """List the other Variables and arrays in use that share this memory, or once did."""
        things = [reference() for reference in list(self._version[1].values())] if self._version[1:] else []
        return [thing for thing in things if thing is not None and thing is not self]

    def _replace(self, result: Variable) -> None:
        """Take over the value and the history of `result`, as ``x += y`` does where it is recorded."""
        if self.node is not None and result.node is not None:
            # retain_grad() asked for the gradient of this Variable; a hook stays with the value that it saw.
            result.node.retainer, self.node.retainer = self.node.retainer, None
        self._data, self._version = result._data, result._version
        self.node, self._requires_grad = result.node, True


class _Sharers(dict[int, Any]):
    """Weak references to the views of one memory, by their ids; they go when the views go."""

    def add(self, thing: object) -> None:
        reference = weakref.ref(thing, self._forget)
        self[id(reference)] = reference

    def _forget(self, reference: object) -> None:
        del self[id(reference)]


def look_at(value: TensorLike, where: str) -> TensorLike:
    """Return the raw array of a Variable, for `where` to read; anything else as it is."""
    return value._read(where) if isinstance(value, Variable) else value


class _Provided:
    """Parts that higher rooms provide, so that the engine need not import them.

    Attributes
    ----------
    tensor_class : type
        The class of the results of operations; set by ``tensor/``.
    ops : namespace
        The operations that rules compute with when the gradient itself needs a graph; set by ``ops/``.
    recast : callable
        Returns arguments that widen no other, or None; set by ``ops/promotion.py``.
    """

    tensor_class: type[Variable] = Variable
    ops: Xp = None
    recast: Callable[[Sequence[Any], Sequence[Any]], list[Any] | None]


provided = _Provided()
_FLOAT64 = numpy.dtype("float64")

# --- Operations ------------------------------------------------------------------------------


class Primitive:
    """A differentiable operation: a forward rule, and for each input a rule of the way back.

    Made by the decorator `primitive`. The forward rule takes the array namespace ``xp``, then arrays by
    position, then static settings by keyword. It is the reference; a kernel of the same name may compute the
    package's own operations faster. A rule of the way back names what it needs, in any order:

    ============  ======================================================================
    name          what the rule receives
    ============  ======================================================================
    ``g``         the gradient of the output
    an input      its value; naming it is what keeps it alive until the backward pass
    ``a_shape``   the shape of input ``a``, which costs nothing to keep
    ``y``         the output
    a setting     the static setting's value
    ``xp``        the namespace to compute with
    ``index``     for a variadic input, which of them this gradient is for
    ``out``       where the result may be written, or None
    ============  ======================================================================

    A rule for ``y`` comes first, and its result is the ``g`` of the others: an operation that ends with an
    activation declares the derivative of the activation once.

    A result that is broadcast, or that lacks axes of size one, is summed or spread to the shape
    of its input by the engine, and cast to its dtype.

    Of raw arrays that rules name, inputs or settings, a copy is kept: the caller may change them before the
    backward pass. A Variable has a version, so it is not copied, and a change of it is an error.

    Called with raw arrays only, a primitive returns a raw array.
    """

    def __init__(self, forward: Callable[..., Any], rules: dict[str, Callable[..., Any]], view: bool) -> None:
        self.__name__ = forward.__name__
        self.name = forward.__name__.strip("_")  # as shown to users
        self.__doc__ = forward.__doc__
        self.__module__ = forward.__module__
        self.forward = forward
        self.view = view
        self.ours = forward.__module__.partition(".")[0] == __name__.partition(".")[0]
        _, *names = parameter_names(forward)
        self.variadic = bool(forward.__code__.co_flags & inspect.CO_VARARGS)
        arrays = forward.__code__.co_argcount - 1
        self.inputs = names[:arrays] + names[len(names) - self.variadic :]
        self.first_variadic = len(self.inputs) - 1 if self.variadic else None
        defaults = forward.__kwdefaults__ or {}
        self.static = {name: defaults.get(name) for name in names[arrays : len(names) - self.variadic]}
        self.rules = {name: Rule(rule) for name, rule in rules.items()}
        refusals.check_definition(self, self.rules)
        self._tapes: dict[int, Tape] = {}

    @property
    def __signature__(self) -> inspect.Signature:
        """The forward rule's parameters without the namespace."""
        return inspect.Signature(list(inspect.signature(self.forward).parameters.values())[1:])

    def __repr__(self) -> str:
        return f"<primitive {self.name}{self.__signature__}>"

    def __reduce__(self) -> str:
        return self.__name__  # pickled and copied as functions are, by name

    def name_of(self, position: int) -> str:
        """Name the input at `position`."""
        return self.inputs[min(position, len(self.inputs) - 1)]

    def __call__(self, *args: TensorLike, **settings: Any) -> Any:
        """Compute the output, and record the operation where a gradient will be wanted."""
        if settings or len(args) > len(self.inputs):
            args, settings = self._arranged(args, settings)
        for arg in args:
            if isinstance(arg, Variable):
                break
        else:
            return self._compute(backend_of(args), args, settings)
        values: list[Any] = []
        mask = 0  # bit i is set if input i needs a gradient
        for position, arg in enumerate(args):
            if isinstance(arg, Variable):
                values.append(arg._data)
                if arg._requires_grad:
                    mask |= 1 << position
            else:
                values.append(operand(self.name, arg))
        backend = backend_of(values)
        y = self._compute(backend, values, settings)
        if type(y) is not backend.array_type:
            y = self._as_array(backend, y, values)
        kind = y.dtype.kind
        if kind not in "fiub":
            raise refusals.no_real_result(self, y.dtype)
        if y.dtype is _FLOAT64 and self.ours:
            alike = provided.recast(args, values)
            if alike is not None:
                return self(*alike, **settings)
        view = self.view and isinstance(args[0], Variable)
        version = args[0]._version if view else [0]
        node = None
        if mask and kind == "f" and grad_enabled.get():
            tape = self._tapes.get(mask)
            if tape is None:
                tape = self._tapes[mask] = Tape(self, mask)
            if tape.pulls:
                node = Node(self, tape, args, values, y, settings, version)
        output = provided.tensor_class(y, node is not None, node, version)
        if view:
            args[0]._share_memory_with(output)
        events.tell(("operation", self, args, settings, output))
        return output

    def _arranged(self, args: tuple[Any, ...], settings: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        """Take inputs by name, as in ``where(condition, a=x, b=0)``, and settings by position or of NumPy."""
        count = len(self.inputs)
        if len(args) > count and not self.variadic:
            if len(args) > count + len(self.static):
                raise refusals.too_many(self, len(args))
            settings = {**dict(zip(self.static, args[count:], strict=False)), **settings}
            args = args[:count]
        if not settings.keys() <= self.static.keys():
            settings = dict(settings)
            for name in self.inputs[len(args) :]:
                if name not in settings:
                    break
                args = (*args, settings.pop(name))
            refusals.unknown_keyword(self, settings.keys() - self.static.keys())
        for name, setting in settings.items():
            if isinstance(setting, numpy.generic):  # else it would widen float32, as beside a Tensor
                settings = {**settings, name: setting.item()}
            elif isinstance(setting, Variable):
                raise refusals.not_a_setting(self, name, setting._data.shape)
        return args, settings

    def _compute(self, backend: Backend, values: Sequence[Any], settings: dict[str, Any]) -> Any:
        """Apply the forward rule, or the kernel that overrides it, to raw arrays and numbers."""
        try:
            if backend is CPU:
                return self.rule_on(backend)(*values, **settings)
            if len(values) > 1:
                refusals.require_one_device(self, values)  # CuPy would compute across GPUs, slowly
                values = beside_floats(values)
            with backend.current(self.name):
                return self.rule_on(backend)(*values, **settings)
        except Exception as error:
            explained = refusals.explained(self, error, values, settings)
            if explained is error:
                raise
            raise explained from error

    def rule_on(self, backend: Backend) -> Callable[..., Any]:
        """Return the forward rule on a backend: the chosen kernel of this name, or the reference."""
        return backend.rules[chosen_kernels()][self.forward]

    def _as_array(self, backend: Backend, y: Array, values: Sequence[Any]) -> Array:
        """Make an array of the scalars that NumPy's reductions give, which cannot be written in place."""
        if is_array(y):  # NumPy gave the operation away to the library of another argument
            refusals.require_one_device(self, values)
        return backend.xp.asarray(y)


PRIMITIVES: dict[str, Primitive] = {}
"""Every primitive of the package by name; the tests must cover them all."""


def primitive(
    *, view: bool = False, **rules: Callable[..., Any]
) -> Callable[[Callable[..., Any]], Primitive]:
    """Make a forward rule and its vector-Jacobian products into a differentiable operation.

    Parameters
    ----------
    view : bool
        Whether the output shares the memory of the first input.
    **rules
        For each input that has a gradient, the rule for it, and perhaps one for ``y``; see `Primitive`
        for the names that a rule may use.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> @tg.primitive(a=lambda g, a, b: 2 * g * a * b, b=lambda g, a: g * a**2)
    ... def square_times(xp, a, b):
    ...     return a**2 * b
    >>> x = tg.tensor([3.0], requires_grad=True)
    >>> square_times(x, 2.0).sum().backward()
    >>> x.grad
    tensor([12.])
    """

    def decorate(forward: Callable[..., Any]) -> Primitive:
        made = Primitive(forward, rules, view)
        if made.ours:
            PRIMITIVES[made.__name__] = made
        return made

    return decorate


# --- The graph -------------------------------------------------------------------------------

OUTPUT = -1
"""In a node's versions, the place of the output among the inputs' positions."""


class Node:
    """One recorded operation: the parents to pass gradients to, and the values that its rules need.

    Attributes
    ----------
    number : int
        Nodes are numbered in the order of their making.
    parents : list of Node or Variable, or None
        For each input with a gradient, the node that made it, or the leaf itself; None once freed.
    saved : dict of str to object
        The values that the rules name.
    versions : list of (int or (str, str), list of int, int)
        For each kept array that a Tensor holds: the input's position, or the names that `relying_on` gave;
        the counter of writes to its memory, and the count when it was kept.
    hooks : dict or None
        Functions of the output's gradient.
    retainer : weak reference to Variable, or None
        The output, if it wants to keep its gradient.
    """

    __slots__ = (
        "__weakref__", "dtype", "hooks", "number", "parents", "primitive", "retainer", "saved", "shape",
        "tape", "versions",
    )  # fmt: skip

    _numbers: Iterator[int] = itertools.count()

    def __init__(
        self,
        primitive: Primitive,
        tape: Tape,
        args: Sequence[Any],
        values: list[Any],
        y: Array,
        settings: dict[str, Any],
        version: list[Any],
    ) -> None:
        # A node is always made after those it depends on, so this number orders the graph.
        self.number = next(Node._numbers)
        self.primitive = primitive
        self.tape = tape
        self.shape = y.shape
        self.dtype = y.dtype
        self.parents: list[Node | Variable] | None = [args[i].node or args[i] for i, _ in tape.pulls]
        self.saved: dict[str, Any] = {}
        self.versions: list[tuple[int | tuple[str, str], list[Any], int]] = []
        self.hooks: dict[int, Callable[..., Any]] | None = None
        self.retainer: weakref.ref[Variable] | None = None
        saved, variadic = self.saved, primitive.first_variadic
        for name, position in tape.inputs:
            if position >= len(args):  # an optional input that was not given
                saved[name] = None
                continue
            for i in range(position, len(args)) if position == variadic else (position,):
                if isinstance(args[i], Variable):
                    self.rely_on(i, args[i]._version)
                else:
                    values[i] = _kept(values[i])
            saved[name] = values[position:] if position == variadic else values[position]
        for name, position in tape.shapes:
            if position == variadic:
                saved[name] = [value.shape for value in values[position:]]
            else:
                saved[name] = values[position].shape if position < len(args) else None
        for name, default in tape.settings:
            saved[name] = _kept(settings.get(name, default))
        if tape.output:
            saved["y"] = y
            self.rely_on(OUTPUT, version)

    def rely_on(self, name: int | tuple[str, str], version: list[Any]) -> None:
        """Refuse to go back through this node once memory of that version is written to."""
        self.versions.append((name, version, version[0]))

    def require_unchanged(self) -> None:
        """Refuse if a kept array was changed in place."""
        for name, version, kept in self.versions:
            if version[0] != kept:
                raise refusals.changed_in_place(*self.names_of(name), kept, version[0])

    def names_of(self, name: int | tuple[str, str]) -> tuple[str, str]:
        """Name the operation and the value that it kept, of an entry of `versions`."""
        if isinstance(name, tuple):
            return name
        return self.primitive.name, "its output" if name == OUTPUT else self.primitive.name_of(name)

    def __reduce__(self) -> Any:
        raise refusals.not_pickled(self.primitive)

    def free(self) -> None:
        """Drop the kept values; the node cannot be differentiated again."""
        self.parents = None
        self.saved = {}
        self.versions = []


_PLAIN = frozenset({int, float, bool, str, type(None)})


def _kept(value: TensorLike) -> TensorLike:
    """Return a value that is no Variable as a node may keep it: arrays, also within tuples, as copies.

    A raw array has no version that would tell of a change before the backward pass.
    """
    if type(value) in _PLAIN:
        return value
    if type(value) is numpy.ndarray:
        return value.copy(order="K")
    if isinstance(value, tuple | list):
        parts = [_kept(part) for part in value]
        same = all(part is before for part, before in zip(parts, value, strict=True))
        return parts if isinstance(value, list) else value if same else tuple(parts)
    if is_array(value):
        with on_device_of(value, "backward"):
            return value.copy(order="K")
    return value
