"""What a function of Tensors does: its operations in order, written down while it runs.

Every value has a number, its place: arguments come first, then whatever an operation takes or gives, as it
comes. A `Recording` names operations and places and holds no result, so it is small.

A recording stands for the function only if the function does the same each time. What would make a
difference that no operation shows is refused with an error: a look at a number (``x.item()``), a change in
place, a backward pass inside. What else may vary shows when two recordings are compared, or is asked before
each replay.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Sequence
from types import CellType
from typing import Any, NamedTuple, NoReturn

from ..backend.convert import operand
from ..backend.device import is_array, to_host
from ..backend.overrides import chosen_kernels
from ..engine import events
from ..engine.graph import Primitive, Variable
from ..errors import DTypeError, GraphError

WHERE = "recorded"
"""Whose name errors carry."""


class At(NamedTuple):
    """In the settings of an operation, what was computed aside; here, its place."""

    place: int


class Call(NamedTuple):
    """An operation of the function, or what it computes aside.

    Attributes
    ----------
    does : Primitive or callable
        An operation, or a function of raw arrays; see `engine.aside`.
    inputs : tuple of int
        The places of its arguments.
    output : int
        The place of the result.
    settings : dict
        Of an operation, with `At` for what was computed aside.
    tape : object
        Of the node that it left: which inputs get a gradient, by which rules. None if it left none.
    """

    does: Primitive | Callable[..., Any]
    inputs: tuple[int, ...]
    output: int
    settings: dict[str, Any]
    tape: Any = None

    @property
    def name(self) -> str:
        """What errors call it."""
        return self.does.name if isinstance(self.does, Primitive) else self.does.__name__.strip("_")


class Recording(events.Watcher):
    """The operations of a function, heard while it ran.

    Attributes
    ----------
    arguments : int
        How many arguments the function takes; theirs are the first places.
    alone : bool
        Whether that was the loss without a tuple around it.
    calls : list of Call
        In order.
    forms : list of (shape, dtype)
        Of what was at each place.
    held : dict of int to object
        What came from elsewhere, by its place: parameters and other Tensors, arrays, numbers.
    looked_at : list of (Variable, int)
        Tensors from elsewhere whose value was looked at, with the version seen.
    modules : list of (Module, object)
        Modules that the function calls or names, with their condition then.
    results : tuple of int
        The places of what the function returned.
    """

    apart = False

    def __init__(self) -> None:
        self.arguments, self.alone = 0, True
        self.results: tuple[int, ...] = ()
        self.calls: list[Call] = []
        self.forms: list[tuple[Any, Any]] = []
        self.held: dict[int, Any] = {}
        self.looked_at: list[tuple[Variable, int]] = []
        self.modules: list[tuple[Any, Any]] = []
        self._kernels = chosen_kernels()
        self._nodes: dict[int, int] = {}  # places of results, by the id of the node
        self._places: dict[int, int] = {}  # of Tensors, by id
        self._raw: dict[int, int] = {}  # of raw arrays, and of what was computed aside
        self._alive: list[Any] = []  # what those ids are of

    def run(self, function: Callable[..., Any], arguments: Sequence[Variable]) -> tuple[Variable, ...]:
        """Call the function, listen, and return the loss and what came with it."""
        # New arrays over the same memory, so that what the function uses besides is not taken for them.
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
        # Results of operations may go now; ids mean nothing from here on.
        del self._places, self._nodes, self._raw, self._alive
        return returned

    def difference(self, earlier: Recording) -> str | None:
        """Say what this recording and an earlier one of the same function differ in, or None."""
        if len(self.calls) != len(earlier.calls):
            return f"{len(earlier.calls)} operations, then {len(self.calls)}"
        if self.results != earlier.results:
            return "what it returns"
        if any(self.held.get(place) is not earlier.held.get(place) for place in self.results):
            return "a Tensor that it returns, which none of its operations made"
        for call, before in zip(self.calls, earlier.calls, strict=True):
            if call.does is not before.does:
                return f"{before.name}, then {call.name}"
            if call.tape is not before.tape or call.inputs != before.inputs:
                return f"what {call.name} takes"
            if not _alike(call.settings, before.settings):
                return f"the settings of {call.name}"
            for position, place in enumerate(call.inputs):
                if place in self.held and not _alike(self.held[place], earlier.held[place]):
                    return f"argument {position} of {call.name}, which was made inside"
        return None

    # --- What it hears -------------------------------------------------------------------

    def operation(self, primitive: Any, args: tuple[Any, ...], settings: dict[str, Any], output: Any) -> None:
        """Write the operation down."""
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
        self.calls.append(Call(primitive, inputs, place, settings, tape))

    def _given(self, arg: Any) -> int:
        """Return the place of an operand that is no Tensor; a replay makes the array of a list anew."""
        value = _operand(arg)
        if not isinstance(arg, list | tuple):
            return self._place_of(value)
        place = self._enter(value)
        self.calls.append(Call(_operand, (self._place_of(arg),), place, {}))
        return place

    def aside(self, function: Any, args: tuple[Any, ...], result: Any) -> None:
        """Write down what is computed aside; of a tuple, each member too."""
        self._require_same_kernels()
        inputs = tuple(self._place_of(arg) for arg in args)
        place = self._enter(result)
        self._raw.setdefault(id(result), place)
        self._alive.append(result)
        self.calls.append(Call(function, inputs, place, {}))
        if isinstance(result, tuple):
            for i, member in enumerate(result):
                self.calls.append(Call(_member, (place, self._place_of(i)), self._enter(member), {}))

    def read(self, variable: Any, where: str) -> None:
        """Allow a look at a constant Tensor; refuse one at what a replay would compute anew."""
        place = self._places.get(id(variable))
        if variable.requires_grad or (place is not None and place not in self.held):
            _refuse(
                f"{where} looks at the value of a Tensor, which a replay would not do again; "
                "do so outside the function, or leave the function unrecorded",
                shape=variable._data.shape,
            )
        self.looked_at.append((variable, variable._writes))
        self._alive.append(variable)

    def changed(self, variable: Any, where: str) -> None:
        """Refuse a change, also of a gradient or of what is differentiated."""
        _refuse(
            f"{where} changes a Tensor, which a replay would not do again; do so outside the function",
            shape=variable._data.shape,
        )

    def replaced(self, variable: Any, before: Any) -> None:
        """Know the old value by the place of the Tensor; refuse a change of an argument."""
        place = self._place_of(variable)
        if place < self.arguments:
            self.changed(variable, "an operator such as +=")
        self._know(before, place)
        if self.held.get(place) is variable:
            self.held[place] = before

    def detached(self, variable: Any, result: Any) -> None:
        """Know a Tensor without history by the place of the one whose memory it shares."""
        self._know(result, self._place_of(variable))

    def draws(self) -> None:
        """Refuse random numbers but for the keys of dropout."""
        _refuse(
            "the function draws random numbers, which a replay would not do again; pass them as an argument"
        )

    def module_begins(self, module: Any, args: tuple[Any, ...]) -> None:
        """Remember the module and its condition."""
        if module._forward_hooks or module._forward_pre_hooks:
            _refuse(f"a hook of {type(module).__name__} would act once only; remove it")
        if not any(known is module for known, _ in self.modules):
            self.modules.append((module, condition(module)))

    def backward_begins(self, root: Any) -> None:
        """Refuse a pass within the pass."""
        _refuse("the function must not call backward; that is done for it")

    def step_begins(self, optimizer: Any) -> None:
        """Refuse a step within the pass."""
        _refuse("the function must not step; call step() after it")

    def _require_same_kernels(self) -> None:
        if chosen_kernels() != self._kernels:
            _refuse("use_kernels must stand around the call of the function, not inside")

    # --- Places --------------------------------------------------------------------------

    def _place_of(self, value: Any) -> int:
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

    def _enter(self, value: Any) -> int:
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
        """Remember the place of a Tensor as long as it lives; it must go when the function drops it.

        Its id may then be that of another one, and ``x += y`` asks whether views of `x` are in use.
        """
        self._places[id(variable)] = place
        self._alive.append(weakref.ref(variable, functools.partial(_forget, self._places, id(variable))))


def _forget(places: dict[int, int], key: int, _: object) -> None:
    places.pop(key, None)


def results_of(returned: Any) -> tuple[tuple[Variable, ...], bool]:
    """Return the loss and what came with it, and whether the loss came alone."""
    results = returned if isinstance(returned, tuple) else (returned,)
    for i, result in enumerate(results):
        if not isinstance(result, Variable):
            raise DTypeError(
                WHERE, "the function must return the loss, or a tuple of Tensors that begins with it",
                **{f"result[{i}]": type(result).__name__},
            )  # fmt: skip
    return results, results is not returned


def _operand(value: Any) -> Any:
    return operand(WHERE, value)


def _member(members: tuple[Any, ...], i: int) -> Any:
    return members[i]


def condition(module: Any) -> tuple[Any, ...]:
    """Return what the work of a module depends on beside its Tensors: mode, members and hooks."""
    hooks = len(module._forward_hooks) + len(module._forward_pre_hooks)
    return module.training, module._replaced, hooks


def _named_by(function: Any) -> list[Any]:
    """List the modules in the trees that a function or a method has a name for, called or not."""
    found: list[Any] = [getattr(function, "__self__", None)]
    code = getattr(function, "__code__", None)
    if code is not None:
        found += [function.__globals__.get(name) for name in code.co_names]
        found += [cell.cell_contents for cell in function.__closure__ or () if cell != _EMPTY]
    return [module for thing in found if hasattr(thing, "_forward_hooks") for module in thing.modules()]


_EMPTY = CellType()  # of a name that has no value yet


def _refuse(message: str, **facts: Any) -> NoReturn:
    raise GraphError(WHERE, message, **facts)


def _alike(a: Any, b: Any) -> bool:
    """Tell whether two things from elsewhere mean the same to an operation."""
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
