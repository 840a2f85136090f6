"""A forward and backward pass that is recorded once and replayed afterwards.

In a small network most of a training step is not arithmetic: modules are called, arguments checked, nodes
made, visited and dropped, the same each time. Here that is done once. A straight line of calls remains: the
forward rules in order, then the backward rules in the opposite order. They are the same rules that the engine
calls, so the numbers are the same. Each call reads registers and writes one. They become the lines of a
Python function; for a network of two layers::

    def run(r0, r1, r2, r3, r5, r6, r17, r19, r22, r24):  # x, labels, parameters, places of gradients
        r4 = f0(r11, r0, r2, r3)                          # linear_relu
        r7 = f1(r11, r4, r5, r6)                          # linear
        r9 = f2(r11, r7, r1, r8)                          # softmax_cross_entropy
        r12 = f3()                                        # the gradient to start from
        r15 = f4(r10, r12, r7, r1, r8, r13, r14); del r12, r7
        ...
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from ..backend.convert import get_default_dtype
from ..backend.device import Backend, backend_of
from ..backend.overrides import chosen_kernels
from ..engine import events, refusals
from ..engine.backward import backward, fit, hand_over, reserved_place, reserving
from ..engine.graph import PRIMITIVES, Primitive, Rule, Variable, provided
from ..engine.modes import is_grad_enabled
from ..engine.rowsparse import RowSparse, alike
from ..errors import DTypeError, GraphError, ShapeError, TinygradAdamError
from ..typing import Array, DType, Xp
from .recording import WHERE, At, RecordedCall, Recording, condition, results_of

FIRST_LINE = 2
"""The line of the first step in the function that is made of the steps."""
MISSES = 1
"""How many times a recording may differ from the one before without an error."""


class Step(NamedTuple):
    """A call in a program.

    Attributes
    ----------
    function : callable
        The function to call.
    inputs : tuple of int
        The registers of its arguments.
    output : int
        The register of its result.
    dead : tuple of int
        The registers that no later step reads.
    """

    function: Callable[..., Any]
    inputs: tuple[int, ...]
    output: int
    dead: tuple[int, ...] = ()


class Program:
    """The calls of one pass.

    Parameters
    ----------
    recording : Recording
        The operations of the function.
    backend : Backend
        The backend of its arrays.

    Attributes
    ----------
    steps : list of Step
        Forward, then backward.
    """

    def __init__(self, recording: Recording, backend: Backend) -> None:
        self.backend, self.recording = backend, recording
        self.registers: list[object] = [None] * len(recording.forms)
        self.steps: list[Step] = []
        self.live = []
        for place, value in recording.held.items():
            if isinstance(value, Variable):
                self.live.append((place, value, value.requires_grad, recording.forms[place]))
            else:
                self.registers[place] = value
        self._constants: dict[int, int] = {}
        self.nothing, self.xp = self._constant(None), self._constant(backend.xp)
        self.gradients: dict[int, int] = {}  # by place, the register of the sum so far
        self.summed: set[int] = set()  # places whose sum has its own memory
        self.reserved: dict[int, int] = {}  # by place of a leaf, the register of its reserved memory
        self._forward()
        self._backward()
        self._free_early()
        self.leaves = [recording.held[place] for place in self.reserved]
        self.constants = {f"r{i}": value for i, value in enumerate(self.registers)}
        self.function = self._function()

    # --- Running it ----------------------------------------------------------------------

    def holds(self) -> bool:
        """Return whether all values from outside are as they were when the function was recorded."""
        for _, variable, wanted, form in self.live:
            data = variable._data
            if variable.requires_grad is not wanted or (data.shape, data.dtype) != form:
                return False
            if backend_of((data,)) is not self.backend:
                return False
        for module, before in self.recording.modules:
            if condition(module) != before:
                return False
        return all(seen._writes == version for seen, version in self.recording.reads)

    def run(self, arguments: Sequence[Variable]) -> list[Array]:
        """Compute the results, and add to the gradients of all leaves."""
        given = [argument._data for argument in arguments]
        values = [variable._data for _, variable, _, _ in self.live]
        may_reserve = reserving.acquire(blocking=False)
        try:
            places = [reserved_place(leaf) if may_reserve else None for leaf in self.leaves]
            with self.backend.current(WHERE):
                try:
                    results, gradients = self.function(*given, *values, *places)
                except (ValueError, TypeError, IndexError, OverflowError) as error:
                    self._explain(error)
                    raise
                for leaf, place, g in zip(self.leaves, places, gradients, strict=True):
                    hand_over(leaf, g, g is place, may_reserve)
        finally:
            if may_reserve:
                reserving.release()
        return results

    def _explain(self, error: Exception) -> None:
        """Raise an error that names the operation that failed, if it was an operation."""
        trace = error.__traceback__
        if isinstance(error, TinygradAdamError) or trace is None or trace.tb_next is None:
            return
        output = self.steps[trace.tb_next.tb_lineno - FIRST_LINE].output
        registers = {**self.constants, **trace.tb_next.tb_frame.f_locals}
        for call in self.recording.calls:
            if call.output == output and isinstance(call.does, Primitive):
                settings = {
                    name: registers[f"r{value.place}"] if isinstance(value, At) else value
                    for name, value in call.settings.items()
                }
                inputs = [registers[f"r{place}"] for place in call.inputs]
                raise refusals.explained(call.does, error, inputs, settings) from error

    # --- Making it -----------------------------------------------------------------------

    def _register(self, value: object = None) -> int:
        self.registers.append(value)
        return len(self.registers) - 1

    def _constant(self, value: object) -> int:
        known = self._constants.get(id(value))
        if known is None or self.registers[known] is not value:
            known = self._constants[id(value)] = self._register(value)
        return known

    def _step(self, function: Callable[..., Any], inputs: Sequence[int], output: int | None = None) -> int:
        output = self._register() if output is None else output
        self.steps.append(Step(function, tuple(inputs), output))
        return output

    def _forward(self) -> None:
        for call in self.recording.calls:
            if not isinstance(call.does, Primitive):
                shape = self.recording.forms[call.output][0]
                made = call.does if shape is None else _of_shape(call.name, shape, call.does)
                self._step(made, call.inputs, call.output)
                continue
            function: Callable[..., Any] = functools.partial(call.does.rule_on(self.backend), **call.settings)
            aside = {name: value.place for name, value in call.settings.items() if isinstance(value, At)}
            if aside:
                function = _with_settings(function, tuple(aside))
            if aside or PRIMITIVES.get(call.does.__name__) is not call.does:  # a user's own may read numbers
                function = _of_shape(call.name, self.recording.forms[call.output][0], function)
            self._step(function, (*aside.values(), *call.inputs), call.output)
            if self.recording.forms[call.output][0] == ():  # reductions return NumPy scalars
                self._step(self.backend.xp.asarray, (call.output,), call.output)

    def _backward(self) -> None:
        loss = self.recording.results[0]
        shape, dtype = self.recording.forms[loss]
        # A new array each time: hooks of a leaf may receive it, and change it.
        self.gradients[loss] = self._step(functools.partial(self.backend.xp.ones, shape, dtype), ())
        for call in reversed(self.recording.calls):
            if call.tape is None or call.output not in self.gradients:
                continue
            if call.tape.first is not None:
                first = call.tape.first
                named = [self._named(call, name, 0, self.nothing) for name in first.names]
                self.gradients[call.output] = self._step(first.function, named)
            for position, rule in call.tape.pulls:
                self._pull(call, position, rule)

    def _pull(self, call: RecordedCall, position: int, rule: Rule) -> None:
        """Add the step of the rule for one input, and of the sum with earlier shares of its gradient."""
        place = call.inputs[position]
        if place in self.recording.held and place not in self.reserved:
            self.reserved[place] = self._register()
        reserved = self.reserved.get(place, self.nothing)
        before = self.gradients.get(place)
        out = reserved if before is None else self.nothing
        shape, dtype = self.recording.forms[place]
        named = [self._named(call, name, position, out) for name in rule.names]
        share = self._step(
            _fitting(rule.function, self.backend.xp, shape, dtype, place in self.reserved), (out, *named)
        )
        if before is None:
            self.gradients[place] = share
        elif place in self.summed:
            self.gradients[place] = self._step(_add, (before, share))
        else:
            self.summed.add(place)
            self.gradients[place] = self._step(_sum, (before, share, reserved))

    def _named(self, call: RecordedCall, name: str, position: int, out: int) -> int:
        """Return the register of a value that a rule names; see `Primitive`."""
        operation, forms = call.does, self.recording.forms
        assert isinstance(operation, Primitive)
        fixed = {"g": self.gradients[call.output], "y": call.output, "xp": self.xp, "out": out}
        if name in fixed:
            return fixed[name]
        if name == "index" and operation.variadic:
            return self._constant(position - len(operation.inputs) + 1)
        if name in operation.static:
            setting = call.settings.get(name, operation.static[name])
            return setting.place if isinstance(setting, At) else self._constant(setting)
        of_shape = name not in operation.inputs
        which = operation.inputs.index(name.removesuffix("_shape") if of_shape else name)
        if which == operation.first_variadic:
            members = call.inputs[which:]
            if of_shape:
                return self._constant([forms[place][0] for place in members])
            return self._step(_listed, members)
        if which >= len(call.inputs):
            return self.nothing
        return self._constant(forms[call.inputs[which]][0]) if of_shape else call.inputs[which]

    def _free_early(self) -> None:
        """Set the dead registers of each step."""
        needed = {*self.recording.results, *self.reserved.values()}
        needed.update(self.gradients[place] for place in self.reserved)
        made = {step.output for step in self.steps}
        for i, step in reversed(list(enumerate(self.steps))):
            registers = {*step.inputs, step.output}
            self.steps[i] = step._replace(dead=tuple(made & registers - needed))
            needed |= registers

    def _function(self) -> Callable[..., Any]:
        """Make a Python function of the steps: a line for each, and a variable for each register."""
        arguments = range(self.recording.arguments)
        given = [*arguments, *(place for place, _, _, _ in self.live), *self.reserved.values()]
        lines = [f"def run({_names(given)}):"]
        functions = {}
        for i, step in enumerate(self.steps):
            functions[f"f{i}"] = step.function
            freed = f"; del {_names(step.dead)}" if step.dead else ""
            lines.append(f"    r{step.output} = f{i}({_names(step.inputs)}){freed}")
        gradients = [self.gradients[place] for place in self.reserved]
        lines.append(f"    return [{_names(self.recording.results)}], [{_names(gradients)}]")
        namespace: dict[str, Any] = self.constants | functions
        exec("\n".join(lines), namespace)
        made_function: Callable[..., Any] = namespace["run"]
        return made_function


def _names(registers: Iterable[int]) -> str:
    return ", ".join(f"r{i}" for i in registers)


def _with_settings(function: Callable[..., Any], names: tuple[str, ...]) -> Callable[..., Any]:
    """Return `function` with the settings of these names as its first arguments."""
    count = len(names)
    return lambda *args: function(*args[count:], **dict(zip(names, args[:count], strict=True)))


def _of_shape(name: str, shape: tuple[int, ...], function: Callable[..., Any]) -> Callable[..., Any]:
    """Return `function` with a check that its result still has this shape."""

    def checked(*args: object) -> Array:
        result = function(*args)
        if result.shape != shape:
            raise ShapeError(
                name,
                "the shape depends on numbers, as with a mask, and cannot change in a replay; multiply by "
                "the mask, or leave the function unrecorded",
                recorded=shape,
                now=result.shape,
            )
        return result

    return checked


def _listed(*members: Array) -> list[Array]:
    return list(members)


def _fitting(
    rule: Callable[..., Any], xp: Xp, shape: tuple[int, ...], dtype: DType, leaf: bool
) -> Callable[..., Any]:
    """Return `rule` with a result of the form of its input; the first argument is reserved memory or None."""

    def pull(out: Array, *named: object) -> Array | RowSparse:
        share = rule(*named)
        if isinstance(share, RowSparse) and not leaf:
            share = share.to_dense()
        if share.shape != shape:
            share = fit(xp, share, shape, out)
        return share if share.dtype == dtype else share.astype(dtype)

    return pull


def _sum(before: Array, share: Array, reserved: Array) -> Array:
    """Add a second share to the first, in place if that lies in the reserved memory."""
    if before is reserved:
        return _add(before, share)
    before, share = alike(before, share)
    return before + share


def _add(before: Array, share: Array) -> Array:
    """Add a share to a sum in place, as the engine does: a new array might have another order in memory."""
    before, share = alike(before, share)
    before += share
    return before


class Recorded:
    """A function with its recordings, and a program to replay for each kind of arguments.

    Attributes
    ----------
    function : callable
        The function itself.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self._programs: dict[object, Program] = {}
        self._recordings: dict[object, tuple[Recording, int]] = {}
        functools.update_wrapper(self, function, updated=())

    def __call__(self, *arguments: Any) -> Any:
        """Return the results of the function, and add the gradient of the loss to every leaf."""
        kind = self._kind(arguments)
        if events.watched() or not is_grad_enabled():
            returned, alone = results_of(self.function(*arguments))
            backward(returned[0])
            return _detached([result._data for result in returned], alone)
        program = self._programs.get(kind)
        if program is not None and program.holds():
            return _detached(program.run(arguments), program.recording.alone)
        recording = Recording()
        returned = recording.run(self.function, arguments)
        backward(returned[0])
        self._learn(kind, recording, backend_of((returned[0]._data,)))
        return _detached([result._data for result in returned], recording.alone)

    def __getstate__(self) -> dict[str, Any]:
        return {"function": self.function}  # a copy records for itself

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def _kind(self, arguments: Sequence[Any]) -> object:
        """Return a key that is equal for calls that share a recording."""
        forms = []
        for i, argument in enumerate(arguments):
            if not isinstance(argument, Variable) or argument.requires_grad:
                raise DTypeError(
                    WHERE,
                    "arguments must be Tensors that require no gradient; pass numbers and arrays as "
                    "tg.tensor(value), and let the function find parameters by itself",
                    **{f"argument[{i}]": type(argument).__name__},
                )
            data = argument._data
            forms.append((data.shape, data.dtype, backend_of((data,)).device))
        return *forms, chosen_kernels(), get_default_dtype()

    def _learn(self, kind: object, recording: Recording, backend: Backend) -> None:
        """Make a program of a recording that equals the one before; keep another for the next call."""
        self._programs.pop(kind, None)
        earlier, misses = self._recordings.pop(kind, (None, -1))
        difference = None if earlier is None else recording.difference(earlier)
        if earlier is not None and difference is None:
            self._programs[kind] = Program(recording, backend)
        elif misses < MISSES:
            self._recordings[kind] = recording, misses + 1
        else:
            raise GraphError(
                WHERE,
                "the function is not the same from call to call, so it cannot be replayed; pass changing "
                "values as arguments, or leave the function unrecorded",
                differs=difference,
            )


def _detached(results: Sequence[Array], alone: bool) -> Any:
    tensors = tuple(provided.tensor_class(result) for result in results)
    return tensors[0] if alone else tensors


def recorded(function: Callable[..., Any]) -> Recorded:
    """Turn a function that computes a loss into a training pass that is recorded and replayed.

    ``training_pass(x, y)`` computes the same as ``loss = function(x, y); loss.backward()``, to the last bit,
    and returns the loss. The first two calls with arguments of given shapes and dtypes run the function, and
    record its operations. If these are the same twice, further calls repeat them without the function: no
    module is called, no argument checked, no graph made. This cuts the time of a training step of a small
    network by a third; a large network, which spends its time on arithmetic, gains little.

    Python code inside the function runs only while it is recorded. Parameters, other Tensors from outside,
    random keys of dropout and the learning rate of the optimizer may change. If a module changes its mode, a
    parameter is frozen or moved, or another `use_kernels` is chosen, the function is recorded again. Numbers
    and branches that the function computes in plain Python stay as they were.

    Parameters
    ----------
    function : callable
        Takes Tensors, and returns the loss, or a tuple of Tensors that begins with it. It finds parameters
        by itself. It must not call `backward` or `step`.

    Returns
    -------
    Recorded
        A callable with the same arguments, Tensors that require no gradient. It returns the results of the
        function without a graph: the backward pass is done already. Inside `tracing`, a film or the doctor it
        runs the function, so that they receive its events.

    Raises
    ------
    GraphError
        When called, if the function reads numbers (``x.item()``, ``if x > 0:``), changes a Tensor or a
        gradient, draws random numbers other than dropout's, or is not the same from call to call.
    DTypeError
        When called, if an argument or a result is not a Tensor.
    ShapeError
        When called, if a shape that depends on numbers, as with a mask, differs from the recorded shape.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> tg.manual_seed(0)
    >>> model = tg.nn.Linear(2, 1)
    >>> opt = tg.optim.Adam(model.parameters(), lr=0.1)
    >>> training_pass = tg.recorded(lambda x, y: tg.mse_loss(model(x), y))
    >>> for _ in range(100):
    ...     opt.zero_grad()
    ...     loss = training_pass(tg.tensor([[1.0, 2.0], [3.0, 4.0]]), tg.tensor([[1.0], [2.0]]))
    ...     opt.step()
    >>> bool(loss.item() < 0.01)
    True
    """
    return Recorded(function)
