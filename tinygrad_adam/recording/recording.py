"""The operations of a function of Tensors in order, recorded while it runs.

Every value has a number, its place: first the arguments, then the inputs and results of operations in the
order in which they appear. A `Recording` holds operations and places but no results, so it is small.

A recording can replace the function only if the function does the same each time. Any dependence that no
operation shows is refused with an error: a read of a number (``x.item()``), a change in place, a backward
pass inside. All else that may vary differs between two recordings, or is checked before each replay.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Sequence
from types import CellType
from typing import Any, NamedTuple, NoReturn, TypeAlias

from ..backend.convert import operand
from ..backend.device import is_array, to_host
from ..backend.overrides import chosen_kernels
from ..engine import events
from ..engine.graph import Primitive, Variable
from ..engine.rules import Tape
from ..errors import DTypeError, GraphError
from ..typing import Args, Array, Settings, TensorLike

WHERE = "recorded"
"""The name at the beginning of errors."""

Module: TypeAlias = Any
"""A module, which a higher room defines."""


class At(NamedTuple):
    """A setting of an operation that was computed aside, by its place."""

    place: int


class RecordedCall(NamedTuple):
    """A call of an operation, or of a function that is computed aside.

    Attributes
    ----------
    does : Primitive or callable
        An operation, or a function of raw arrays; see `engine.aside`.
    inputs : tuple of int
        The places of its arguments.
    output : int
        The place of the result.
    settings : dict
        The settings of an operation, with `At` for a value that was computed aside.
    tape : Tape or None
        The inputs of its node that get a gradient, and their rules; None if it left no node.
    """

    does: Primitive | Callable[..., Any]
    inputs: tuple[int, ...]
    output: int
    settings: Settings
    tape: Tape | None = None

    @property
    def name(self) -> str:
        """The name that errors use."""
        return self.does.name if isinstance(self.does, Primitive) else self.does.__name__.strip("_")


class Recording(events.Watcher):
    """The operations of one run of a function.

    Attributes
    ----------
    arguments : int
        The number of arguments of the function; they have the first places.
    alone : bool
        Whether the function returned the loss without a tuple around it.
    calls : list of RecordedCall
        In order.
    forms : list of (shape, dtype)
        The shape and dtype of the value at each place.
    held : dict of int to object
        Values from outside the function, by place: parameters and other Tensors, arrays, numbers.
    reads : list of (Variable, int)
        Tensors from outside whose value was read, with their version then.
    modules : list of (Module, object)
        Modules that the function calls or names, with their condition then.
    results : tuple of int
        The places of the results of the function.
    """

    apart = False

    def __init__(self) -> None:
        self.arguments, self.alone = 0, True
        self.results: tuple[int, ...] = ()
        self.calls: list[RecordedCall] = []
        self.forms: list[tuple[Any, Any]] = []
        self.held: dict[int, TensorLike] = {}
        self.reads: list[tuple[Variable, int]] = []
        self.modules: list[tuple[Module, object]] = []
        self._kernels = chosen_kernels()
        self._nodes: dict[int, int] = {}  # places of results, by the id of the node
        self._places: dict[int, int] = {}  # places of Tensors, by id
        self._raw: dict[int, int] = {}  # places of raw arrays and of values computed aside, by id
        self._alive: list[object] = []  # keeps ids from being used again

    def run(self, function: Callable[..., Any], arguments: Sequence[Variable]) -> tuple[Variable, ...]:
        """Call the function, record its operations, and return its results as a tuple."""
        # New arrays over the same memory: the same arrays from outside the function are other values.
        arguments = [argument._alias() for argument in arguments]
        for argument in arguments:
            argument._data = argument._data[...]
        self.arguments = len(arguments)
        for argument in arguments:
            self._enter(argument)
        self.modules = [(module, condition(module)) for module in _named_by(function)]
        with events.watch(self):
            returned, self.alone = results_of(function(*arguments))
        self.results = tuple(self._place_of(result) for result in returned)
        if self.results[0] in self.held:
            _refuse("the function returns a loss that none of its operations made")
        for module, before in self.modules:
            if condition(module) != before:
                _refuse(f"the function changes the mode, members or hooks of {type(module).__name__}")
        # Results of operations may be freed now; ids mean nothing from here on.
        del self._places, self._nodes, self._raw, self._alive
        return returned

    def difference(self, earlier: Recording) -> str | None:
        """Return the first difference from an earlier recording of the same function, or None."""
        if len(self.calls) != len(earlier.calls):
            return f"{len(earlier.calls)} operations, then {len(self.calls)}"
        if self.results != earlier.results:
            return "the results"
        if any(self.held.get(place) is not earlier.held.get(place) for place in self.results):
            return "a Tensor that it returns, which none of its operations made"
        for call, before in zip(self.calls, earlier.calls, strict=True):
            if call.does is not before.does:
                return f"{before.name}, then {call.name}"
            if call.tape is not before.tape or call.inputs != before.inputs:
                return f"the inputs of {call.name}"
            if not _alike(call.settings, before.settings):
                return f"the settings of {call.name}"
            for position, place in enumerate(call.inputs):
                if place in self.held and not _alike(self.held[place], earlier.held[place]):
                    return f"argument {position} of {call.name}, which was made inside"
        return None

    # --- Events --------------------------------------------------------------------------

    def operation(self, primitive: Primitive, args: Args, settings: Settings, output: Variable) -> None:
        """Record the operation."""
        inputs = tuple(self._place_of(arg) if isinstance(arg, Variable) else self._given(arg) for arg in args)
        self._require_same_kernels()
        settings = {
            name: At(self._raw[id(value)]) if id(value) in self._raw else value
            for name, value in settings.items()
        }
        place = self._enter(output)
        tape = None
        if output.node is not None:
            tape = output.node.tape
            self._nodes[id(output.node)] = place
            self._alive.append(output.node)
        self.calls.append(RecordedCall(primitive, inputs, place, settings, tape))

    def _given(self, arg: TensorLike) -> int:
        """Return the place of an operand that is not a Tensor; a replay converts a list again."""
        value = _operand(arg)
        if not isinstance(arg, list | tuple):
            return self._place_of(value)
        place = self._enter(value)
        self.calls.append(RecordedCall(_operand, (self._place_of(arg),), place, {}))
        return place

    def aside(self, function: Callable[..., Any], args: Args, result: Any) -> None:
        """Record a function that is computed aside, and the members of its result if that is a tuple."""
        self._require_same_kernels()
        inputs = tuple(self._place_of(arg) for arg in args)
        place = self._enter(result)
        self._raw.setdefault(id(result), place)
        self._alive.append(result)
        self.calls.append(RecordedCall(function, inputs, place, {}))
        if isinstance(result, tuple):
            for i, member in enumerate(result):
                origin = place, self._place_of(i)
                self.calls.append(RecordedCall(_member, origin, self._enter(member), {}))

    def read(self, variable: Variable, where: str) -> None:
        """Allow a read of a constant Tensor; refuse a read of a value that a replay computes again."""
        place = self._places.get(id(variable))
        if variable.requires_grad or (place is not None and place not in self.held):
            _refuse(
                f"{where} reads the value of a Tensor, which a replay would not do again; "
                "do so outside the function, or leave the function unrecorded",
                shape=variable._data.shape,
            )
        self.reads.append((variable, variable._writes))
        self._alive.append(variable)

    def changed(self, variable: Variable, where: str) -> None:
        """Refuse a change of a value, a gradient, a hook or `requires_grad`."""
        _refuse(
            f"{where} changes a Tensor, which a replay would not do again; do so outside the function",
            shape=variable._data.shape,
        )

    def replaced(self, variable: Variable, before: Variable) -> None:
        """Give the old value the place of the Tensor; refuse a change of an argument."""
        place = self._place_of(variable)
        if place < self.arguments:
            self.changed(variable, "an operator such as +=")
        self._know(before, place)
        if self.held.get(place) is variable:
            self.held[place] = before

    def detached(self, variable: Variable, result: Variable) -> None:
        """Give a Tensor without history the place of the Tensor whose memory it shares."""
        self._know(result, self._place_of(variable))

    def draws(self) -> None:
        """Refuse random numbers other than the keys of dropout, which cause no event."""
        _refuse(
            "the function draws random numbers, which a replay would not do again; pass them as an argument"
        )

    def module_begins(self, module: Module, args: Args) -> None:
        """Record the module and its condition."""
        if module._forward_hooks or module._forward_pre_hooks:
            _refuse(
                f"a hook of {type(module).__name__} would run only while the function is recorded; remove it"
            )
        if not any(known is module for known, _ in self.modules):
            self.modules.append((module, condition(module)))

    def backward_begins(self, root: Variable) -> None:
        """Refuse a backward pass inside the function."""
        _refuse("the function must not call backward, which the recorded function does by itself")

    def step_begins(self, optimizer: object) -> None:
        """Refuse an optimizer's step inside the function."""
        _refuse("the function must not call step of an optimizer; call it afterwards")

    def _require_same_kernels(self) -> None:
        if chosen_kernels() != self._kernels:
            _refuse("use_kernels must stand around the call of the function, not inside")

    # --- Places --------------------------------------------------------------------------

    def _place_of(self, value: TensorLike) -> int:
        if isinstance(value, Variable):
            place = self._nodes.get(id(value.node)) if value.node else self._places.get(id(value))
            if place is not None:
                return place
            if value.node is not None:
                _refuse(
                    "the function uses a Tensor that was computed outside; pass it as an argument, detached",
                    shape=value._data.shape,
                )
        elif id(value) in self._raw:
            return self._raw[id(value)]
        place = self._enter(value)
        self.held[place] = value
        return place

    def _enter(self, value: TensorLike) -> int:
        place = len(self.forms)
        array = value
        if isinstance(value, Variable):
            array = value._data
            self._know(value, place)
        if is_array(array):
            self._raw.setdefault(id(array), place)
            self._alive.append(array)
        self.forms.append((getattr(array, "shape", None), getattr(array, "dtype", None)))
        return place

    def _know(self, variable: Variable, place: int) -> None:
        """Store the place of a Tensor as long as it lives, without keeping it alive.

        Its id may later belong to another Tensor, and ``x += y`` checks whether views of `x` are in use.
        """
        self._places[id(variable)] = place
        self._alive.append(weakref.ref(variable, functools.partial(_forget, self._places, id(variable))))


def _forget(places: dict[int, int], key: int, _: object) -> None:
    places.pop(key, None)


def results_of(returned: object) -> tuple[tuple[Variable, ...], bool]:
    """Return the results of the function as a tuple, and whether they are the loss alone."""
    results = returned if isinstance(returned, tuple) else (returned,)
    for i, result in enumerate(results):
        if not isinstance(result, Variable):
            raise DTypeError(
                WHERE, "the function must return the loss, or a tuple of Tensors that begins with it",
                **{f"result[{i}]": type(result).__name__},
            )  # fmt: skip
    return results, results is not returned


def _operand(value: TensorLike) -> TensorLike:
    return operand(WHERE, value)


def _member(members: tuple[Array, ...], i: int) -> Array:
    return members[i]


def condition(module: Module) -> tuple[object, ...]:
    """Return the state of a module besides its Tensors: mode, count of replaced members, count of hooks."""
    hooks = len(module._forward_hooks) + len(module._forward_pre_hooks)
    return module.training, module._replaced, hooks


def _named_by(function: Callable[..., Any]) -> list[Module]:
    """List the modules that a function or a method names, called or not, and all modules in them."""
    found: list[Module] = [getattr(function, "__self__", None)]
    code = getattr(function, "__code__", None)
    if code is not None:
        found += [function.__globals__.get(name) for name in code.co_names]
        found += [cell.cell_contents for cell in function.__closure__ or () if cell != _EMPTY]
    return [module for thing in found if hasattr(thing, "_forward_hooks") for module in thing.modules()]


_EMPTY = CellType()  # the cell of a name that has no value yet


def _refuse(message: str, **facts: object) -> NoReturn:
    raise GraphError(WHERE, message, **facts)


def _alike(a: Any, b: Any) -> bool:
    """Return whether two values from outside are equal to an operation."""
    if a is b:
        return True
    if isinstance(a, Variable) and isinstance(b, Variable):
        return not a.requires_grad and not b.requires_grad and _alike(a._data, b._data)
    if type(a) is not type(b):
        return False
    if is_array(a):
        same_form = a.shape == b.shape and a.dtype == b.dtype
        return same_form and to_host(a).tobytes() == to_host(b).tobytes()
    if isinstance(a, tuple | list):
        return len(a) == len(b) and all(map(_alike, a, b))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_alike(a[key], b[key]) for key in a)
    return bool(a == b)
