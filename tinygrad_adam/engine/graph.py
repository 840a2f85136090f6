"""Primitives: operations that know their derivatives, and the graph that they leave behind.

An operation is one definition, a forward rule and one vector-Jacobian product for each input.
Calling it on `Variable` objects computes the output and, where a gradient will be wanted, leaves
a `Node` that keeps what those rules name. `backward.py` walks the nodes back.
"""

from __future__ import annotations

import functools
import inspect
import itertools
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy

from .. import words
from ..backend.convert import beside_floats, operand
from ..backend.device import CPU, Backend, backend_of, is_array, on_device_of, place_of
from ..backend.overrides import chosen_kernels
from ..errors import DeviceError, DTypeError, GraphError, IndexingError, ShapeError, TinygradAdamError
from ..typing import Array
from . import events
from .modes import is_grad_enabled

_FLOAT32, _FLOAT64, _BOOL = map(numpy.dtype, ("float32", "float64", "bool"))


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
        How often the memory was written to in place; one list, shared by all views of it. Once there are
        views, weak references to all that share it follow, for `sharers`.
    _grad_buffer : array or None
        Where the gradient of a leaf is to be put, if an optimizer reserved a place for it.
    _hooks : dict or None
        Functions of the leaf's gradient, called when a backward pass has summed it.
    """

    __slots__ = (
        "__weakref__",
        "_data",
        "_grad",
        "_grad_buffer",
        "_hooks",
        "_requires_grad",
        "_version",
        "node",
    )

    def __init__(
        self,
        data: Array,
        requires_grad: bool = False,
        node: Node | None = None,
        version: list[Any] | None = None,
    ) -> None:
        self._data = data
        self._grad: Any = None
        self._grad_buffer: Array = None
        self._hooks: dict[int, Callable[[Any], Any]] | None = None
        self._version: list[Any] = [0] if version is None else version
        self.node = node
        self._requires_grad = requires_grad

    @property
    def requires_grad(self) -> bool:
        """Whether a gradient is wanted for this value or for one it was computed from."""
        return self._requires_grad


def look_at(value: Any, where: str) -> Any:
    """Return the raw array of a Variable, for `where` to look at outside any graph; others as they are."""
    if not isinstance(value, Variable):
        return value
    if events.anyone:
        events.tell("read", value, where)
    return value._data


def detached(variable: Variable) -> Variable:
    """Return a Variable that shares the memory and has no history."""
    result = provided.tensor_class(variable._data, version=variable._version)
    share_version(variable, result)
    if events.anyone:
        events.tell("detached", variable, result)
    return result


class _Sharers(dict[int, Any]):
    """Weak references to all that look at one memory, by their ids; those to what is gone go, too."""

    def add(self, thing: Any) -> None:
        reference = weakref.ref(thing, self._forget)
        self[id(reference)] = reference

    def _forget(self, reference: Any) -> None:
        del self[id(reference)]


def share_version(base: Variable, view: Any) -> None:
    """Remember, as long as it lives, that `view` looks at the memory of `base`."""
    version = base._version
    if len(version) == 1:
        version.append(_Sharers())
        version[1].add(base)
    version[1].add(view)


def sharers(variable: Variable) -> list[Any]:
    """List the Variables and arrays in use that share the memory of a Variable, or once did."""
    version = variable._version
    things = [reference() for reference in list(version[1].values())] if len(version) > 1 else []
    return [thing for thing in things if thing is not None and thing is not variable]


def aside(function: Callable[..., Any], *args: Any) -> Any:
    """Compute what is no operation and has no gradient, from the raw arrays of Variables and other things.

    What operations depend on beside their inputs, such as checked indices or the moments of a batch, is
    computed this way, so that who watches hears of it, and may do it again.

    Parameters
    ----------
    function : callable
        One that lives as long as its module. Returns an array, a tuple of them, or None.
    *args
        What it takes, with Variables in place of raw arrays.
    """
    result = function(*[arg._data if isinstance(arg, Variable) else arg for arg in args])
    if events.anyone:
        events.tell("aside", function, args, result)
    return result


def relying_on(output: Any, where: str, **origins: Any) -> Any:
    """Return `output`, whose backward pass refuses if what it was computed from `aside` was changed since.

    Parameters
    ----------
    output : Variable or array
        Of an operation whose rules keep what was computed aside.
    where : str
        The name that the error begins with.
    **origins
        Variables, or tuples that may hold some, by the names that the error uses.
    """
    node = output.node if isinstance(output, Variable) else None
    if node is not None:
        for name, origin in origins.items():
            for part in origin if isinstance(origin, tuple) else (origin,):
                if isinstance(part, Variable):
                    node.versions.append(((where, name), part._version, part._version[0]))
    return output


_PLAIN = frozenset({int, float, bool, str, type(None)})


def _kept(value: Any) -> Any:
    """Return what a node may keep of a value that is no Variable: of arrays, also within tuples, a copy.

    A raw array has no version that would tell of a change before the backward pass.
    """
    if type(value) in _PLAIN:
        return value
    if isinstance(value, tuple | list):
        parts = [_kept(part) for part in value]
        same = all(part is before for part, before in zip(parts, value, strict=True))
        return parts if isinstance(value, list) else value if same else tuple(parts)
    if is_array(value):
        with on_device_of(value, "backward"):
            return value.copy(order="K")
    return value


class _Provided:
    """What higher rooms provide, so that the engine need not import them.

    Attributes
    ----------
    tensor_class : type
        The class of what operations return; set by tensor.py.
    ops : namespace
        What rules compute with when the gradient itself needs a graph; set by ops/.
    """

    tensor_class: type[Variable] = Variable
    ops: Any = None


provided = _Provided()

OUTPUT = -1
"""In a node's versions, the place of the output among the inputs' positions."""


class Node:
    """One recorded operation: the parents to pass gradients to, and what its rules keep.

    Attributes
    ----------
    number : int
        Nodes are numbered in the order of their making.
    parents : list of Node or Variable, or None
        For each input with a gradient, the node that made it, or the leaf itself; None once freed.
    saved : dict of str to object
        What the rules name.
    versions : list of (int or (str, str), list of int, int)
        For each array kept that a Tensor holds: the input's position, or the names that `relying_on` gave;
        the counter of in-place changes of its memory, and what that counter said.
    hooks : dict or None
        Functions of the output's gradient.
    retainer : weak reference to Variable, or None
        The output, if it wants to keep its gradient.
    """

    __slots__ = (
        "__weakref__",
        "dtype",
        "hooks",
        "number",
        "parents",
        "primitive",
        "retainer",
        "saved",
        "shape",
        "tape",
        "versions",
    )

    _numbers = itertools.count()

    def __init__(
        self,
        primitive: Primitive,
        tape: _Tape,
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
        self.hooks: dict[int, Callable[[Any], Any]] | None = None
        self.retainer: weakref.ref[Variable] | None = None
        saved = self.saved
        for name, position in tape.inputs:
            kept: Sequence[int] = (position,)
            if position == primitive.first_variadic:
                kept = range(position, len(args))
            elif position >= len(args):  # an optional input that was not given
                saved[name] = None
                continue
            for i in kept:
                if isinstance(args[i], Variable):
                    version_of_input = args[i]._version
                    self.versions.append((i, version_of_input, version_of_input[0]))
                else:
                    values[i] = _kept(values[i])
            saved[name] = values[position:] if position == primitive.first_variadic else values[position]
        for name, position in tape.shapes:
            if position == primitive.first_variadic:
                saved[name] = [value.shape for value in values[position:]]
            else:
                saved[name] = values[position].shape if position < len(args) else None
        for name, default in tape.settings:
            saved[name] = _kept(settings.get(name, default))
        if tape.output:
            saved["y"] = y
            self.versions.append((OUTPUT, version, version[0]))

    def names_of(self, position: int | tuple[str, str]) -> tuple[str, str]:
        """Name the operation and what it kept, of an entry of `versions`."""
        if isinstance(position, tuple):
            return position
        operation = self.primitive
        return operation.name, "its output" if position == OUTPUT else operation.name_of(position)

    def __reduce__(self) -> Any:
        raise GraphError(
            "pickle",
            "the result of an operation holds its graph, which cannot be pickled; call .detach() first",
            made_by=self.primitive.name,
        )

    def free(self) -> None:
        """Drop what was kept; the node cannot be differentiated again."""
        self.parents = None
        self.saved = {}
        self.versions = []


def _parameter_names(function: Callable[..., Any]) -> tuple[str, ...]:
    """Name the parameters in order, a variadic one last; `inspect.signature` would be slow to import with."""
    code = function.__code__
    count = code.co_argcount + code.co_kwonlyargcount + bool(code.co_flags & inspect.CO_VARARGS)
    return code.co_varnames[:count]


class Rule:
    """A vector-Jacobian product and the names of its parameters, which say what it needs."""

    __slots__ = ("function", "names")

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.names = _parameter_names(function)


class _Tape:
    """What a primitive records when a given set of its inputs needs a gradient.

    Attributes
    ----------
    pulls : list of (int, Rule)
        The inputs that get a gradient, by position, with their rules.
    first : Rule or None
        What the gradient passes before those rules see it.
    inputs, shapes : list of (str, int)
        The names that those rules use for an input or its shape, and its position.
    settings : list of (str, object)
        The settings that they use, with their defaults.
    output : bool
        Whether they use the output.
    """

    __slots__ = ("first", "inputs", "output", "pulls", "settings", "shapes")

    def __init__(self, primitive: Primitive, mask: int) -> None:
        positions = [i for i in range(mask.bit_length()) if mask >> i & 1]
        self.pulls = [
            (i, primitive.rules[primitive.name_of(i)])
            for i in positions
            if primitive.name_of(i) in primitive.rules
        ]
        self.first = primitive.rules.get("y")
        names = {name for _, rule in self.pulls for name in rule.names}
        names.update(self.first.names if self.first else ())
        places = list(enumerate(primitive.inputs))
        self.inputs = [(name, i) for i, name in places if name in names]
        self.shapes = [(f"{name}_shape", i) for i, name in places if f"{name}_shape" in names]
        self.settings = [(name, default) for name, default in primitive.static.items() if name in names]
        self.output = "y" in names


class Primitive:
    """A differentiable operation: a forward rule, and for each input the way back.

    Made by the decorator `primitive`. The forward rule takes the array namespace ``xp`` (or, if
    it names its first parameter so, the table of ``kernels``), then arrays by position, then
    static settings by keyword. A rule of the way back names what it needs, in any order:

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

    A rule for ``y`` comes first, and what it gives is the ``g`` of the others: so an operation with an
    activation at its end says once what that does.

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
        self.overridable = False  # by a kernel of this name, as the package's own are
        first, *names = _parameter_names(forward)
        self.wants_kernels = first == "kernels"
        self.variadic = bool(forward.__code__.co_flags & inspect.CO_VARARGS)
        arrays = forward.__code__.co_argcount - 1
        self.inputs = names[:arrays] + names[len(names) - self.variadic :]
        self.first_variadic = len(self.inputs) - 1 if self.variadic else None
        defaults = forward.__kwdefaults__ or {}
        self.static = {name: defaults.get(name) for name in names[arrays : len(names) - self.variadic]}
        unknown = set(rules) - {*self.inputs, "y"}
        if unknown:
            raise DTypeError(
                self.name, "rules for inputs that it does not have", rules=unknown, inputs=self.inputs
            )
        taken = {"g", "y", "xp", "out"} & {*self.inputs, *self.static}
        if taken:
            raise DTypeError(self.name, "rules use these names for something else", names=sorted(taken))
        self.rules = {name: Rule(rule) for name, rule in rules.items()}
        known = {"g", "y", "xp", "index", "out", *self.inputs, *self.static}
        known |= {f"{name}_shape" for name in self.inputs}
        for name, rule in self.rules.items():
            if not known.issuperset(rule.names):
                raise DTypeError(
                    self.name,
                    f"the rule for {name} asks for what there is not",
                    asks=rule.names,
                    there_is=known,
                )
        self._tapes: dict[int, _Tape] = {}

    @property
    def __signature__(self) -> inspect.Signature:
        """What callers may pass: the forward rule's parameters but for the namespace."""
        return inspect.Signature(list(inspect.signature(self.forward).parameters.values())[1:])

    def __repr__(self) -> str:
        return f"<primitive {self.name}{self.__signature__}>"

    def __reduce__(self) -> str:
        return self.__name__  # pickled and copied as functions are, by name

    def name_of(self, position: int) -> str:
        """Name the input at `position`."""
        return self.inputs[min(position, len(self.inputs) - 1)]

    def __call__(self, *args: Any, **settings: Any) -> Any:
        """Compute the output, and record the operation where a gradient will be wanted."""
        if settings and not settings.keys() <= self.static.keys():
            args, settings = self._inputs_by_keyword(args, settings)
        if len(args) > len(self.inputs) and not self.variadic:
            args, settings = self._settings_by_position(args, settings)
        for name, setting in settings.items():
            if isinstance(setting, numpy.generic):  # else it would widen float32, as beside a Tensor
                settings = {**settings, name: setting.item()}
            elif isinstance(setting, Variable):
                raise DTypeError(
                    self.name, f"{name} is a setting and cannot be a Tensor", shape=setting._data.shape
                )
        for arg in args:
            if isinstance(arg, Variable):
                break
        else:
            return self._compute(backend_of(args), args, settings)

        values = []
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
            raise DTypeError(self.name, "the result must hold real numbers or truth values", dtype=y.dtype)
        if y.dtype is _FLOAT64 and PRIMITIVES.get(self.__name__) is self:
            floats = {value.dtype for value in values if getattr(value, "dtype", _BOOL).kind == "f"}
            if floats == {_FLOAT32} and any(_is_integer_array(value) for value in values):
                # As in PyTorch, integers don't widen floats.
                return self(*map(_as_float32, args, values), **settings)
            if len(floats) > 1 and any(map(_is_rounded, args, values)):
                return self(*map(_as_float64, args, values), **settings)
        view = self.view and isinstance(args[0], Variable)
        version = args[0]._version if view else [0]
        node = None
        if mask and kind == "f" and self.rules and is_grad_enabled():
            tape = self._tapes.get(mask)
            if tape is None:
                tape = self._tapes[mask] = _Tape(self, mask)
            if tape.pulls:
                node = Node(self, tape, args, values, y, settings, version)
        output = provided.tensor_class(y, node is not None, node, version)
        if view:
            share_version(args[0], output)
        if events.anyone:
            events.tell("operation", self, args, settings, output)
        return output

    def _inputs_by_keyword(self, args: tuple[Any, ...], settings: dict[str, Any]) -> tuple[Any, Any]:
        """Take inputs that were given by name, as in ``where(condition, a=x, b=0)``."""
        settings, inputs = dict(settings), list(args)
        for name in self.inputs[len(args) :]:
            if name not in settings:
                break
            inputs.append(settings.pop(name))
        words.answer(self.name, settings.keys() - self.static.keys(), words.without_types(self.__signature__))
        return tuple(inputs), settings

    def _settings_by_position(self, args: tuple[Any, ...], settings: dict[str, Any]) -> tuple[Any, Any]:
        """Take settings that were given by position, as in ``sum(x, 0)``."""
        count = len(self.inputs)
        extra = args[count:]
        if len(extra) > len(self.static):
            raise DTypeError(
                self.name, f"takes {self.__signature__}", got=f"{len(args)} positional arguments"
            )
        return args[:count], {**dict(zip(self.static, extra, strict=False)), **settings}

    def _compute(self, backend: Backend, values: Sequence[Any], settings: dict[str, Any]) -> Any:
        kernel = backend.kernels[self.name] if self.overridable else None
        try:
            if backend is CPU:
                if kernel is not None and chosen_kernels() == "fast":
                    return kernel(*values, **settings)
                return self.forward(self._lead(backend), *values, **settings)
            if len(values) > 1:
                self._require_one_device(values)  # CuPy would compute with the arrays of another GPU, slowly
                values = beside_floats(values)
            with backend.current(self.name):
                return self.rule_on(backend)(*values, **settings)
        except TinygradAdamError:
            raise
        except Exception as error:
            self._require_one_device(values)
            of_input = isinstance(error, AttributeError) and any(error.obj is value for value in values)
            if of_input or isinstance(error, ValueError | TypeError | IndexError | OverflowError):
                raise self.explained(error, values, settings) from error
            raise

    def rule_on(self, backend: Backend) -> Callable[..., Any]:
        """Return the forward rule on a backend: the chosen kernel of this name, or the reference."""
        kernel = backend.kernels[self.name] if self.overridable and chosen_kernels() == "fast" else None
        return functools.partial(self.forward, self._lead(backend)) if kernel is None else kernel

    def _lead(self, backend: Backend) -> Any:
        return backend.tables[chosen_kernels()] if self.wants_kernels else backend.xp

    def _as_array(self, backend: Backend, y: Any, values: Sequence[Any]) -> Array:
        """Make an array of what NumPy's reductions give: scalars, which cannot be written in place."""
        if is_array(y):  # NumPy gave the operation away to the library of another argument
            self._require_one_device(values)
        return backend.xp.asarray(y)

    def _require_one_device(self, values: Sequence[Any]) -> None:
        """Refuse arrays that live apart."""
        places = [place_of(value) for value in values]
        if len({*places} - {None}) > 1:
            gpu = next(place for place in reversed(places) if place not in (None, "cpu"))
            raise DeviceError(
                self.name,
                f"all arrays must be on one device; move a Tensor with .to({gpu!r}), and make one of a NumPy "
                f"array with tg.tensor(array, device={gpu!r})",
                **{
                    self._label(i): f"{tuple(values[i].shape)} {values[i].dtype} on {place}"
                    for i, place in enumerate(places)
                    if place is not None
                },
            )

    def _label(self, position: int) -> str:
        """Name an argument, one of a variadic input by its number."""
        first = len(self.inputs) - 1
        numbered = self.variadic and position >= first
        return f"{self.name_of(position)}[{position - first}]" if numbered else self.name_of(position)

    def explained(
        self, error: Exception, values: Sequence[Any], settings: dict[str, Any]
    ) -> TinygradAdamError:
        """Turn an array library's error into one that names the operation and its arguments."""
        shown = {}
        for position, value in enumerate(values):
            text = f"{tuple(value.shape)} {value.dtype}" if hasattr(value, "dtype") else ""
            if isinstance(value, int) and value.bit_length() > 256:  # Python refuses to write long ones
                text = f"an integer of {value.bit_length()} bits"
            shown[self._label(position)] = text or repr(value)
        shown.update({name: repr(value) for name, value in settings.items()})
        kind: type[TinygradAdamError] = ShapeError
        if not isinstance(error, ValueError | IndexError):  # such as a number too large for the dtype
            kind = DTypeError
        elif isinstance(error, IndexError) and not isinstance(error, ValueError):
            kind = IndexingError
        return kind(self.name, str(error), **shown)


def _is_integer_array(value: Any) -> bool:
    return is_array(value) and value.dtype.kind in "iu"


def _integers_as_float32(values: Any) -> Any:
    array = operand("astype", values)
    with on_device_of(array, "astype"):
        return array.astype(_FLOAT32)


def _as_float32(arg: Any, value: Any) -> Any:
    """Cast what operations take for an array of integers, so that watchers hear of it; no other argument."""
    if not _is_integer_array(value):
        return arg
    if isinstance(arg, Variable):
        return provided.ops.astype(arg, dtype=_FLOAT32)
    return aside(_integers_as_float32, arg)


def _is_rounded(arg: Any, value: Any) -> bool:
    """Tell whether a sequence of numbers has become an array of less digits than float64."""
    return not isinstance(arg, Variable) and not is_array(arg) and getattr(value, "dtype", None) == _FLOAT32


def _sequence_as_float64(values: Any) -> Any:
    return numpy.array(values, _FLOAT64)


def _as_float64(arg: Any, value: Any) -> Any:
    """Read a sequence again that was rounded, beside an array that was not; return others as they are."""
    return aside(_sequence_as_float64, arg) if _is_rounded(arg, value) else arg


_PACKAGE = __name__.partition(".")[0] + "."

PRIMITIVES: dict[str, Primitive] = {}
"""Every primitive of the package by name: what the tests must cover."""


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
        for what a rule may name.

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
        if forward.__module__.startswith(_PACKAGE):
            PRIMITIVES[made.__name__] = made
            made.overridable = not made.wants_kernels
        return made

    return decorate
