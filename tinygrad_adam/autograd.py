"""Reverse-mode automatic differentiation: primitives, the tape they leave, and the walk back.

The whole idea: every operation is a `Primitive`, a forward rule and one vector-Jacobian product
for each input. Calling it on `Variable` objects computes the output and, where a gradient will
be wanted, leaves a `Node` that keeps what those rules name. `backward` visits the nodes from the
last made to the first, hands each the gradient of its output, and adds what its rules return to
the gradients of its inputs.

The rules are written against an array namespace. In an ordinary pass that is NumPy (or a library
like it) and the rules see raw arrays. With ``create_graph=True`` the same rules see Variables and
the package's own operations, so that the gradient has a graph and can be differentiated again.
"""

from __future__ import annotations

import inspect
import itertools
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from .backend.device import Array, Backend, backend_of
from .backend.kernels import chosen_kernels
from .errors import DTypeError, GraphError, IndexingError, ShapeError, TinygradAdamError

_grad_enabled: ContextVar[bool] = ContextVar("tinygrad_adam_grad_enabled", default=True)


@contextmanager
def _grad_mode(enabled: bool) -> Iterator[None]:
    token = _grad_enabled.set(enabled)
    try:
        yield
    finally:
        _grad_enabled.reset(token)


@contextmanager
def no_grad() -> Iterator[None]:
    """Record nothing inside the block, or inside a function decorated with ``@no_grad()``."""
    with _grad_mode(False):
        yield


@contextmanager
def enable_grad() -> Iterator[None]:
    """Record again inside the block, within a surrounding `no_grad`."""
    with _grad_mode(True):
        yield


def is_grad_enabled() -> bool:
    """Tell whether operations are being recorded in this context."""
    return _grad_enabled.get()


class Variable:
    """A value, its gradient, and its place in the graph: all that the engine needs of a Tensor.

    Attributes
    ----------
    _data : array
        The raw array.
    _grad : array, Variable or None
        The gradient: raw after an ordinary backward pass, a Variable after one with a graph.
    requires_grad : bool
        Whether a gradient is wanted for this value or for one it was computed from.
    node : Node or None
        The operation that made it; None for a leaf.
    _version : list of int
        How often the memory was written to in place; one list, shared by all views of it.
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
        "_version",
        "node",
        "requires_grad",
    )

    def __init__(
        self,
        data: Array,
        requires_grad: bool = False,
        node: Node | None = None,
        version: list[int] | None = None,
    ) -> None:
        self._data = data
        self._grad: Any = None
        self._grad_buffer: Array = None
        self._hooks: dict[int, Callable[[Any], Any]] | None = None
        self._version = [0] if version is None else version
        self.node = node
        self.requires_grad = requires_grad


class Node:
    """One recorded operation: the parents to pass gradients to, and what its rules keep."""

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

    def __init__(self, primitive: Primitive, tape: _Tape, shape: tuple[int, ...], dtype: Any) -> None:
        # A node is always made after those it depends on, so this number orders the graph.
        self.number = next(Node._numbers)
        self.primitive = primitive
        self.tape = tape
        self.shape = shape
        self.dtype = dtype
        self.parents: list[Node | Variable] | None = []
        self.saved: dict[str, Any] = {}
        self.versions: list[tuple[str, list[int], int]] = []
        self.hooks: dict[int, Callable[[Any], Any]] | None = None
        self.retainer: weakref.ref[Variable] | None = None

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

    __slots__ = ("function", "names", "writes_out")

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.names = _parameter_names(function)
        self.writes_out = "out" in self.names


class _Tape:
    """What a primitive records when a given set of its inputs needs a gradient."""

    __slots__ = ("inputs", "output", "pulls", "shapes", "static")

    def __init__(self, primitive: Primitive, positions: Sequence[int]) -> None:
        self.pulls = [(i, primitive.rule_for(i)) for i in positions]
        names = {name for _, rule in self.pulls for name in rule.names}
        self.inputs = [name for name in primitive.inputs if name in names]
        self.shapes = [name for name in primitive.inputs if f"{name}_shape" in names]
        self.static = [name for name in primitive.static if name in names]
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

    A result that is broadcast, or that lacks axes of size one, is summed or spread to the shape
    of its input by the engine, and cast to its dtype.

    Called with raw arrays only, a primitive returns a raw array.
    """

    def __init__(self, forward: Callable[..., Any], rules: dict[str, Callable[..., Any]], view: bool) -> None:
        self.__name__ = forward.__name__
        self.name = forward.__name__.strip("_")  # as shown to users
        self.__doc__ = forward.__doc__
        self.__module__ = forward.__module__
        self.forward = forward
        self.view = view
        first, *names = _parameter_names(forward)
        self.wants_kernels = first == "kernels"
        self.variadic = bool(forward.__code__.co_flags & inspect.CO_VARARGS)
        arrays = forward.__code__.co_argcount - 1
        self.inputs = names[:arrays] + names[len(names) - self.variadic :]
        defaults = forward.__kwdefaults__ or {}
        self.static = {name: defaults.get(name) for name in names[arrays : len(names) - self.variadic]}
        unknown = set(rules) - set(self.inputs)
        if unknown:
            raise DTypeError(
                self.name, "rules for inputs that it does not have", rules=unknown, inputs=self.inputs
            )
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

    def name_of(self, position: int) -> str:
        """Name the input at `position`."""
        return self.inputs[min(position, len(self.inputs) - 1)]

    def rule_for(self, position: int) -> Rule:
        """Return the rule for the gradient of the input at `position`."""
        return self.rules[self.name_of(position)]

    def __call__(self, *args: Any, **static: Any) -> Any:
        """Compute the output, and record the operation where a gradient will be wanted."""
        if len(args) > len(self.inputs) and not self.variadic:
            args, static = self._settings_by_position(args, static)
        values = []
        mask = 0
        any_variable = False
        for position, arg in enumerate(args):
            if isinstance(arg, Variable):
                any_variable = True
                values.append(arg._data)
                if arg.requires_grad:
                    mask |= 1 << position
            else:
                values.append(arg)
        backend = backend_of(values)
        if not any_variable:
            return self._compute(backend, values, static)

        y = self._compute(backend, values, static)
        if type(y) is not backend.array_type:
            y = backend.xp.asarray(y)  # reductions give NumPy scalars, which cannot be written in place
        version = args[0]._version if self.view and isinstance(args[0], Variable) else [0]
        if mask and self.rules and _grad_enabled.get():
            node = self._record(mask, args, values, y, static, version)
            if node is not None:
                return _result_class(y, True, node, version)
        return _result_class(y, False, None, version)

    def _settings_by_position(self, args: tuple[Any, ...], static: dict[str, Any]) -> tuple[Any, Any]:
        """Take settings that were given by position, as in ``sum(x, 0)``."""
        count = len(self.inputs)
        extra = args[count:]
        if len(extra) > len(self.static):
            raise DTypeError(
                self.name, f"takes {self.__signature__}", got=f"{len(args)} positional arguments"
            )
        return args[:count], {**dict(zip(self.static, extra, strict=False)), **static}

    def _compute(self, backend: Backend, values: list[Any], static: dict[str, Any]) -> Any:
        lead: Any = backend.tables[chosen_kernels()] if self.wants_kernels else backend.xp
        try:
            return self.forward(lead, *values, **static)
        except TinygradAdamError:
            raise
        except (ValueError, TypeError, IndexError) as error:
            raise self._explained(error, values, static) from error

    def _explained(self, error: Exception, values: list[Any], static: dict[str, Any]) -> TinygradAdamError:
        """Turn an array library's error into one that names the operation and its arguments."""
        shown = {}
        for position, value in enumerate(values):
            name = self.name_of(position)
            if self.variadic and position >= len(self.inputs) - 1:
                name = f"{name}[{position - len(self.inputs) + 1}]"
            shown[name] = f"{tuple(value.shape)} {value.dtype}" if hasattr(value, "dtype") else repr(value)
        shown.update({name: repr(value) for name, value in static.items()})
        kind: type[TinygradAdamError] = ShapeError
        if isinstance(error, TypeError):
            kind = DTypeError
        elif isinstance(error, IndexError) and not isinstance(error, ValueError):
            kind = IndexingError
        return kind(self.name, str(error), **shown)

    def _record(
        self,
        mask: int,
        args: Sequence[Any],
        values: list[Any],
        y: Array,
        static: dict[str, Any],
        version: list[int],
    ) -> Node | None:
        tape = self._tapes.get(mask)
        if tape is None:
            positions = [i for i in range(len(args)) if mask >> i & 1 and self.name_of(i) in self.rules]
            tape = self._tapes[mask] = _Tape(self, positions)
        if not tape.pulls:
            return None
        node = Node(self, tape, y.shape, y.dtype)
        node.parents = [args[i].node or args[i] for i, _ in tape.pulls]
        saved = node.saved
        for name in tape.inputs:
            position = self.inputs.index(name)
            if self.variadic and position == len(self.inputs) - 1:
                saved[name] = values[position:]
                variables = args[position:]
            else:
                saved[name] = values[position] if position < len(values) else None
                variables = args[position : position + 1]
            for variable in variables:
                if isinstance(variable, Variable):
                    node.versions.append((name, variable._version, variable._version[0]))
        for name in tape.shapes:
            position = self.inputs.index(name)
            if self.variadic and position == len(self.inputs) - 1:
                saved[f"{name}_shape"] = [value.shape for value in values[position:]]
            else:
                saved[f"{name}_shape"] = getattr(values[position], "shape", ())
        for name in tape.static:
            saved[name] = static.get(name, self.static[name])
        if tape.output:
            saved["y"] = y
            node.versions.append(("its output", version, version[0]))
        return node


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
        For each input that has a gradient, the rule for it; see `Primitive` for what it may name.

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
        if forward.__module__.startswith(__name__.rpartition(".")[0] + "."):
            PRIMITIVES[made.__name__] = made
        return made

    return decorate


# The engine makes results of the class that tensor.py registers, and runs rules on the namespace
# that ops/ registers, so that it needs to import neither.
_result_class: type[Variable] = Variable
_ops: Any = None


def register_result_class(cls: type[Variable]) -> None:
    """Name the class of the Variables that operations return."""
    global _result_class
    _result_class = cls


def register_ops(namespace: Any) -> None:
    """Name the namespace that rules compute with when the gradient itself needs a graph."""
    global _ops
    _ops = namespace


def fit(xp: Any, g: Any, shape: tuple[int, ...], out: Array = None) -> Any:
    """Undo broadcasting: sum `g` over the axes along which its input was spread.

    Where `g` has size one and the input has not, it is spread instead, so the rule of a
    reduction need not do so.

    Parameters
    ----------
    xp : namespace
        What to compute with.
    g : array or Variable
        The gradient with respect to the broadcast input.
    shape : tuple of int
        The shape of the input before it was broadcast.
    out : array, optional
        Where the result may be written.
    """
    extra = g.ndim - len(shape)
    spread = [axis for axis, n in enumerate(shape, extra) if axis >= 0 and n == 1 and g.shape[axis] != 1]
    if extra > 0 or spread:
        axes = (*range(extra), *spread)
        if out is not None and not spread:
            return xp.sum(g, axis=axes, out=out)
        return xp.reshape(xp.sum(g, axis=axes), shape)
    return xp.broadcast_to(g, shape)


def _parents(node: Node) -> list[Node | Variable]:
    if node.parents is None:
        raise GraphError(
            node.primitive.name,
            "this part of the graph was freed by an earlier backward pass; "
            "compute it again, or pass retain_graph=True to the earlier pass",
        )
    return node.parents


def _walk(root: Node) -> list[Node]:
    """List the nodes that `root` was computed from, itself included, last made first."""
    seen = {root}
    stack = [root]
    while stack:
        for parent in _parents(stack.pop()):
            if type(parent) is Node and parent not in seen:
                seen.add(parent)
                stack.append(parent)
    return sorted(seen, key=_number, reverse=True)


def _number(node: Node) -> int:
    return node.number


def _leading_to(nodes: list[Node], wanted: set[Node | Variable]) -> set[Node | Variable]:
    """Return `wanted` and every node of the walk through which a gradient reaches it."""
    leading = set(wanted)
    for node in reversed(nodes):
        if not leading.isdisjoint(_parents(node)):
            leading.add(node)
    return leading


def _environment(node: Node, g: Any, create_graph: bool) -> dict[str, Any]:
    """Gather, by name, what the rules of `node` may ask for."""
    for name, version, kept in node.versions:
        if version[0] != kept:
            raise GraphError(
                node.primitive.name,
                f"{name} was changed in place after the operation kept it for its gradient; "
                "change a copy, or change it after the backward pass",
                kept_version=kept,
                found_version=version[0],
            )
    environment = dict(node.saved, g=g, out=None)
    if not create_graph:
        environment["xp"] = backend_of((g,)).xp
        return environment
    # The same rules again, this time on Variables that know where they came from.
    environment["xp"] = _ops
    operation = node.primitive
    for (position, _), parent in zip(node.tape.pulls, _parents(node), strict=True):
        name = operation.name_of(position)
        if name not in node.tape.inputs:
            continue
        if operation.variadic and position >= len(operation.inputs) - 1:
            values = environment[name] = list(environment[name])
            offset = position - len(operation.inputs) + 1
            values[offset] = _connected(values[offset], parent)
        else:
            environment[name] = _connected(environment[name], parent)
    if node.tape.output:
        environment["y"] = _connected(environment["y"], node)
    return environment


def _connected(value: Array, origin: Node | Variable) -> Variable:
    return _result_class(value, True, origin) if isinstance(origin, Node) else origin


def _pull(
    node: Node,
    g: Any,
    create_graph: bool,
    pending: dict[Node | Variable, Any],
    targets: set[Node | Variable] | None,
) -> Iterator[tuple[Any, Any]]:
    """Yield each parent of `node` (of those in `targets`, if given) with its share of the gradient."""
    environment = _environment(node, g, create_graph)
    for (position, rule), parent in zip(node.tape.pulls, _parents(node), strict=True):
        if targets is not None and parent not in targets:
            continue
        like: Any = parent
        out = None
        if isinstance(parent, Variable):
            like = parent._data
            # The reserved place is free only while it holds no gradient, of this pass or an earlier one.
            if targets is None and not create_graph and parent._grad is None and parent not in pending:
                out = environment["out"] = parent._grad_buffer
        if node.primitive.variadic:
            environment["index"] = position - len(node.primitive.inputs) + 1
        share = rule.function(*[environment[name] for name in rule.names])
        if share.shape != like.shape:
            try:
                share = fit(environment["xp"], share, like.shape, out)
            except ValueError as error:
                raise ShapeError(
                    node.primitive.name,
                    f"the rule for {node.primitive.name_of(position)} gave a gradient that does not fit it",
                    gradient=share.shape,
                    input=like.shape,
                ) from error
        if share.dtype != like.dtype:
            share = share.astype(like.dtype)
        environment["out"] = None
        yield parent, share


def _propagate(
    root: Variable,
    gradient: Any,
    *,
    create_graph: bool,
    retain_graph: bool,
    wanted: set[Node | Variable] | None = None,
) -> tuple[dict[Node | Variable, Any], set[Node | Variable]]:
    """Carry `gradient` from `root` back to the leaves, or to what is wanted.

    Returns
    -------
    gradients : dict
        The gradient of each leaf (without `wanted`) or of each wanted node and leaf.
    owned : set
        Those whose gradient array belongs to nobody else and may be kept without a copy.
    """
    if root.node is None:
        return {root: gradient}, set()
    pending: dict[Node | Variable, Any] = {root.node: gradient}
    owned: set[Node | Variable] = set()
    found: dict[Node | Variable, Any] = {}
    nodes = _walk(root.node)
    targets = None
    if wanted is not None:
        targets = _leading_to(nodes, wanted)
        nodes = [node for node in nodes if node in targets]
    with _grad_mode(create_graph):
        for node in nodes:
            g = pending.pop(node)
            if node.hooks:
                g = _run_hooks(node.hooks, g)
            if node.retainer is not None:
                variable = node.retainer()
                if variable is not None:
                    variable._grad = g if create_graph else g.copy()
            if wanted is not None and node in wanted:
                found[node] = g
            for parent, share in _pull(node, g, create_graph, pending, targets):
                sum_so_far = pending.get(parent)
                if sum_so_far is None:
                    pending[parent] = share
                    if isinstance(parent, Variable) and share is parent._grad_buffer:
                        owned.add(parent)
                elif parent in owned:
                    sum_so_far += share
                    pending[parent] = sum_so_far  # a NumPy scalar is not changed by +=
                else:
                    pending[parent] = sum_so_far + share
                    if not create_graph:
                        owned.add(parent)
            if not retain_graph:
                node.free()
    found.update(pending)
    return found, owned


def _run_hooks(hooks: dict[int, Callable[[Any], Any]], g: Any) -> Any:
    raw = not isinstance(g, Variable)
    for hook in list(hooks.values()):
        answer = hook(_result_class(g) if raw else g)
        if answer is not None:
            g = answer._data if raw else answer
    return g


def _first_gradient(root: Variable, gradient: Any, where: str, create_graph: bool) -> Any:
    """Check `root` and `gradient`; return the gradient to start from, one for a scalar."""
    if not root.requires_grad:
        raise GraphError(
            where,
            "the Tensor was not computed from any that requires a gradient; "
            "set requires_grad=True on what you differentiate with respect to, outside no_grad()",
        )
    xp = backend_of((root._data,)).xp
    shape, dtype = root._data.shape, root._data.dtype
    if gradient is None:
        if root._data.size != 1:
            raise ShapeError(
                where, "only a scalar has an implicit gradient; sum it first, or pass gradient=", tensor=shape
            )
        gradient = xp.ones(shape, dtype)
    elif isinstance(gradient, Variable):
        if gradient._data.shape != shape:
            raise ShapeError(
                where, "gradient must have the Tensor's shape", tensor=shape, gradient=gradient._data.shape
            )
        gradient = gradient if create_graph else gradient._data
    else:
        gradient = xp.asarray(gradient, dtype=dtype)
        if gradient.shape != shape:
            raise ShapeError(
                where, "gradient must have the Tensor's shape", tensor=shape, gradient=gradient.shape
            )
    return _result_class(gradient) if create_graph and not isinstance(gradient, Variable) else gradient


def backward(
    root: Variable, gradient: Any = None, retain_graph: bool = False, create_graph: bool = False
) -> None:
    """Add the gradient of `root` to ``.grad`` of every leaf that it was computed from.

    See `Tensor.backward` for the parameters.
    """
    gradient = _first_gradient(root, gradient, "backward", create_graph)
    gradients, owned = _propagate(
        root, gradient, create_graph=create_graph, retain_graph=retain_graph or create_graph
    )
    for leaf, g in gradients.items():
        assert isinstance(leaf, Variable)  # nothing else is left when no node is wanted
        if leaf._hooks:
            g = _run_hooks(leaf._hooks, g)
        _accumulate(leaf, g, leaf in owned)


def _accumulate(leaf: Variable, g: Any, owned: bool) -> None:
    """Add `g` to the gradient of `leaf`, in the place reserved for it if there is one."""
    before = leaf._grad
    if isinstance(g, Variable) or isinstance(before, Variable):
        leaf._grad = (
            g
            if before is None
            else _result_class(before) + g
            if not isinstance(before, Variable)
            else before + g
        )
        return
    if before is not None:
        before += g
    elif leaf._grad_buffer is not None:
        if g is not leaf._grad_buffer:
            leaf._grad_buffer[...] = g
        leaf._grad = leaf._grad_buffer
    else:
        leaf._grad = backend_of((g,)).xp.array(g, copy=not owned or None)


def grad(
    y: Variable,
    xs: Variable | Sequence[Variable],
    gradient: Any = None,
    create_graph: bool = False,
    retain_graph: bool | None = None,
) -> Any:
    """Return the gradient of `y` with respect to `xs`, leaving every ``.grad`` as it is.

    Parameters
    ----------
    y : Tensor
        What to differentiate; a scalar unless `gradient` is given.
    xs : Tensor or sequence of Tensor
        With respect to what: leaves or intermediate results.
    gradient : array or Tensor, optional
        The vector of the vector-Jacobian product, of the shape of `y`.
    create_graph : bool
        Whether the result can be differentiated in turn.
    retain_graph : bool, optional
        Whether to keep the graph for another pass; by default as `create_graph`.

    Returns
    -------
    Tensor or tuple of Tensor
        One gradient for each of `xs`, of its shape and dtype.

    Raises
    ------
    GraphError
        If `y` does not depend on one of `xs`, or if its graph was freed.

    Examples
    --------
    The second derivative of x**3 is 6x:

    >>> import tinygrad_adam as tg
    >>> x = tg.tensor(2.0, requires_grad=True)
    >>> dx = tg.grad(x**3, x, create_graph=True)
    >>> tg.grad(dx, x)
    tensor(12.)
    """
    single = isinstance(xs, Variable)
    variables: list[Variable] = [xs] if isinstance(xs, Variable) else list(xs)
    gradient = _first_gradient(y, gradient, "grad", create_graph)
    keys: list[Node | Variable] = [x.node or x for x in variables]
    found, _ = _propagate(
        y,
        gradient,
        create_graph=create_graph,
        retain_graph=create_graph if retain_graph is None else retain_graph,
        wanted=set(keys),
    )
    results = []
    for position, (x, key) in enumerate(zip(variables, keys, strict=True)):
        if key not in found:
            raise GraphError(
                "grad",
                f"y does not depend on xs[{position}]"
                + ("" if x.requires_grad else ", which does not require a gradient"),
                shape=x._data.shape,
            )
        g = found[key]
        if isinstance(key, Variable) and key._hooks:
            g = _run_hooks(key._hooks, g)
        if not isinstance(g, Variable):
            g = _result_class(backend_of((g,)).xp.array(g))
        results.append(g)
    return results[0] if single else tuple(results)
