"""A pass forward and back, recorded once and replayed after that.

In a small network most of a training step is not arithmetic: modules are called, arguments checked, nodes
made, walked and dropped, the same each time. Here that is done once. What remains is a straight line of
calls: the forward rules in order, then the rules of the way back in the opposite order. They are the very
rules that the engine calls, so the numbers are the same. Each reads from registers and writes to one; a
Python function is made of them, for a network of two layers::

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
from typing import Any

from ..backend.convert import get_default_dtype
from ..backend.device import Backend, backend_of
from ..backend.overrides import chosen_kernels
from ..engine import events, refusals
from ..engine.backward import backward, fit, hand_over, reserved_place, reserving
from ..engine.graph import PRIMITIVES, Primitive, Rule, Variable, provided
from ..engine.modes import is_grad_enabled
from ..engine.rowsparse import RowSparse, alike
from ..errors import DTypeError, GraphError, ShapeError, TinygradAdamError
from ..typing import Array
from .recording import WHERE, At, Call, Recording, condition, results_of

FIRST_LINE = 2
"""Where the first step stands in the function that is made of them."""
MISSES = 1
"""How often a recording may differ from the one before until that is an error."""


class Program:
    """The calls of one pass, as a list.

    Parameters
    ----------
    recording : Recording
        What the function does.
    backend : Backend
        Where its arrays live.

    Attributes
    ----------
    steps : list of (callable, tuple of int, int, tuple of int)
        What to call, the registers of its arguments, the register of its result, and those that nobody
        reads after it.
    """

    def __init__(self, recording: Recording, backend: Backend) -> None:
        self.backend, self.recording = backend, recording
        self.registers: list[Any] = [None] * len(recording.forms)
        self.steps: list[tuple[Callable[..., Any], tuple[int, ...], int, tuple[int, ...]]] = []
        self.live = []
        for place, value in recording.held.items():
            if isinstance(value, Variable):
                self.live.append((place, value, value.requires_grad, recording.forms[place]))
            else:
                self.registers[place] = value
        self._constants: dict[int, int] = {}
        self.nothing, self.xp = self._constant(None), self._constant(backend.xp)
        self.gradients: dict[int, int] = {}  # by place, the register of what has been summed up so far
        self.summed: set[int] = set()  # places whose sum has memory of its own
        self.reserved: dict[int, int] = {}  # by place of a leaf, the register of where it may be written
        self._forward()
        self._backward()
        self._free_early()
        self.leaves = [recording.held[place] for place in self.reserved]
        self.constants = {f"r{i}": value for i, value in enumerate(self.registers)}
        self.function = self._function()

    # --- Running it ----------------------------------------------------------------------

    def holds(self) -> bool:
        """Tell whether the world outside is as it was when the function was recorded."""
        for _, variable, wanted, form in self.live:
            data = variable._data
            if variable.requires_grad is not wanted or (data.shape, data.dtype) != form:
                return False
            if backend_of((data,)) is not self.backend:
                return False
        for module, before in self.recording.modules:
            if condition(module) != before:
                return False
        return all(seen._writes == version for seen, version in self.recording.looked_at)

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
        """Raise an error that names the operation which failed, if it was one."""
        trace = error.__traceback__
        if isinstance(error, TinygradAdamError) or trace is None or trace.tb_next is None:
            return
        output = self.steps[trace.tb_next.tb_lineno - FIRST_LINE][2]
        registers = {**self.constants, **trace.tb_next.tb_frame.f_locals}
        for call in self.recording.calls:
            if call.output == output and isinstance(call.does, Primitive):
                settings = {
                    name: registers[f"r{value.place}"] if isinstance(value, At) else value
                    for name, value in call.settings.items()
                }
                inputs = [registers[f"r{place}"] for place in call.inputs]
                raise refusals.explained(call.does, error, inputs, settings) from error

    # --- Writing it ----------------------------------------------------------------------

    def _register(self, value: Any = None) -> int:
        self.registers.append(value)
        return len(self.registers) - 1

    def _constant(self, value: Any) -> int:
        known = self._constants.get(id(value))
        if known is None or self.registers[known] is not value:
            known = self._constants[id(value)] = self._register(value)
        return known

    def _step(self, function: Callable[..., Any], inputs: Sequence[int], output: int | None = None) -> int:
        output = self._register() if output is None else output
        self.steps.append((function, tuple(inputs), output, ()))
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
            if aside or PRIMITIVES.get(call.does.__name__) is not call.does:  # one's own may look at numbers
                function = _of_shape(call.name, self.recording.forms[call.output][0], function)
            self._step(function, (*aside.values(), *call.inputs), call.output)
            if self.recording.forms[call.output][0] == ():  # reductions give NumPy scalars
                self._step(self.backend.xp.asarray, (call.output,), call.output)

    def _backward(self) -> None:
        loss = self.recording.results[0]
        shape, dtype = self.recording.forms[loss]
        # A new one each time: hooks of a leaf may see it, and change it.
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

    def _pull(self, call: Call, position: int, rule: Rule) -> None:
        """Write the rule for one input, and the sum with what that input has got before."""
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

    def _named(self, call: Call, name: str, position: int, out: int) -> int:
        """Return the register of what a rule names; see `Primitive`."""
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
        """Note in each step which registers nobody reads after it."""
        needed = {*self.recording.results, *self.reserved.values()}
        needed.update(self.gradients[place] for place in self.reserved)
        made = {output for _, _, output, _ in self.steps}
        for i in range(len(self.steps) - 1, -1, -1):
            function, inputs, output, _ = self.steps[i]
            ends = made.intersection((*inputs, output)) - needed
            needed.update(inputs, (output,))
            self.steps[i] = function, inputs, output, tuple(ends)

    def _function(self) -> Callable[..., Any]:
        """Make a Python function of the steps, a line each, whose variables are the registers."""
        arguments = range(self.recording.arguments)
        given = [*arguments, *(place for place, _, _, _ in self.live), *self.reserved.values()]
        lines = [f"def run({_names(given)}):"]
        functions = {}
        for i, (function, inputs, output, dead) in enumerate(self.steps):
            functions[f"f{i}"] = function
            freed = f"; del {_names(dead)}" if dead else ""
            lines.append(f"    r{output} = f{i}({_names(inputs)}){freed}")
        gradients = [self.gradients[place] for place in self.reserved]
        lines.append(f"    return [{_names(self.recording.results)}], [{_names(gradients)}]")
        namespace = self.constants | functions
        exec("\n".join(lines), namespace)
        made_function: Callable[..., Any] = namespace["run"]
        return made_function


def _names(registers: Iterable[int]) -> str:
    return ", ".join(f"r{i}" for i in registers)


def _with_settings(function: Callable[..., Any], names: tuple[str, ...]) -> Callable[..., Any]:
    """Let the first arguments be the settings of these names."""
    count = len(names)
    return lambda *args: function(*args[count:], **dict(zip(names, args[:count], strict=True)))


def _of_shape(name: str, shape: tuple[int, ...], function: Callable[..., Any]) -> Callable[..., Any]:
    """Let a function give that shape only, which those of a mask depend on."""

    def checked(*args: Any) -> Any:
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


def _listed(*members: Any) -> list[Any]:
    return list(members)


def _fitting(
    rule: Callable[..., Any], xp: Any, shape: tuple[int, ...], dtype: Any, leaf: bool
) -> Callable[..., Any]:
    """Bring what a rule gives into the form of its input; the first argument is where it may be written."""

    def pull(out: Array, *named: Any) -> Any:
        share = rule(*named)
        if isinstance(share, RowSparse) and not leaf:
            share = share.to_dense()
        if share.shape != shape:
            share = fit(xp, share, shape, out)
        return share if share.dtype == dtype else share.astype(dtype)

    return pull


def _sum(before: Any, share: Any, reserved: Array) -> Any:
    """Add a second share to the first, which is changed if it lies in the reserved place."""
    if before is reserved:
        return _add(before, share)
    before, share = alike(before, share)
    return before + share


def _add(before: Any, share: Any) -> Any:
    """Add a share to a sum in place, as the engine does: a new array might lie in memory in another order."""
    before, share = alike(before, share)
    before += share
    return before


class Recorded:
    """What `recorded` makes of a function.

    Attributes
    ----------
    function : callable
        What was given.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self._programs: dict[Any, Program] = {}
        self._recordings: dict[Any, tuple[Recording, int]] = {}
        functools.update_wrapper(self, function, updated=())

    def __call__(self, *arguments: Any) -> Any:
        """Compute the loss, and add its gradient to that of every leaf."""
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
        return {"function": self.function}  # a copy learns for itself

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def _kind(self, arguments: Sequence[Any]) -> Any:
        """Return what tells apart calls that need a recording each."""
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

    def _learn(self, kind: Any, recording: Recording, backend: Backend) -> None:
        """Make a program of a recording like the one before; keep one that differs for the next call."""
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
                "the function is not the same from call to call, so it cannot be replayed; pass what changes "
                "as an argument, or leave the function as it is",
                differs=difference,
            )


def _detached(results: Sequence[Array], alone: bool) -> Any:
    tensors = tuple(provided.tensor_class(result) for result in results)
    return tensors[0] if alone else tensors


def recorded(function: Callable[..., Any]) -> Recorded:
    """Turn a function that computes a loss into a training pass that is recorded and replayed.

    ``training_pass(x, y)`` does what ``loss = function(x, y); loss.backward()`` does, to the last bit, and
    returns the loss. The first two calls with arguments of given shapes and dtypes run the function, and
    write down what it does. If that was the same twice, further calls repeat those operations without
    the function: no module is called, no argument checked, no graph made. A step of a small network takes
    two thirds of its time by it; that of a large one, which goes into arithmetic, nearly all of it.

    So Python inside the function runs only then. Parameters, other Tensors from outside, random keys of
    dropout and the learning rate of the optimizer may change; when a module is put into another mode,
    a parameter frozen or moved, or another `use_kernels` chosen, the function is recorded anew. What the
    function computes in plain Python, numbers and branches, stays as it was.

    Parameters
    ----------
    function : callable
        Takes Tensors, and returns the loss or a tuple that begins with it and holds Tensors. Parameters
        are what it finds by itself. It must not call `backward` or step.

    Returns
    -------
    Recorded
        A callable with the same arguments, Tensors that require no gradient. Returns what the function
        does, without a graph: the way back has been gone already. Inside `tracing`, a film or the doctor
        it runs the function, so that there is something to see.

    Raises
    ------
    GraphError
        When called, if the function looks at numbers (``x.item()``, ``if x > 0:``), changes a Tensor or a
        gradient, draws random numbers other than dropout's, or is not the same from call to call.
    DTypeError
        When called, if an argument or a result is no Tensor.
    ShapeError
        When called, if a shape that depends on numbers, as with a mask, is another than when recorded.

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
