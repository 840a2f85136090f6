"""The walk back: reverse-mode differentiation over the graph that primitives left.

Nodes are visited from the last made to the first. Each receives the gradient of its output, and the results
of its rules are added to the gradients of its inputs.

The rules are written against an array namespace. In an ordinary pass that is NumPy (or a library like it)
and the rules see raw arrays. With ``create_graph=True`` the same rules see Variables and the package's own
operations, so that the gradient has a graph and can be differentiated again.
"""

from __future__ import annotations

import operator
import os
import threading
from collections.abc import Callable, Sequence
from typing import Any

from ..backend import sums
from ..backend.convert import assignable
from ..backend.device import backend_of
from ..errors import DTypeError, GraphError
from ..typing import Array, TensorLike, Xp
from . import events, refusals
from .graph import OUTPUT, Node, Variable, provided
from .modes import grad_enabled
from .rowsparse import RowSparse, alike

reserving = threading.Lock()
"""Held by the one pass that may write into the places reserved for gradients, until it has ended.

A pass that begins meanwhile, in another thread or in a hook, does not wait: it uses memory of its own.
"""

_summing = threading.RLock()
"""Held while a gradient is read, changed and written: passes of several threads may end in one leaf."""

if hasattr(os, "register_at_fork"):  # else a child whose parent was summing would wait for ever
    os.register_at_fork(
        before=_summing.acquire, after_in_parent=_summing.release, after_in_child=_summing.release
    )


def fit(xp: Xp, g: Array, shape: tuple[int, ...], out: Array = None) -> Array:
    """Undo broadcasting: sum `g` over the axes along which its input was spread.

    Where `g` has size one and the input has not, it is spread instead, so the rule of a reduction need not
    do so.

    Parameters
    ----------
    xp : namespace
        The namespace to compute with.
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
        in_place = out is not None and not spread
        if in_place and g.size <= sums.BLOCK * out.size:
            return g.sum(axis=axes, out=out)  # few terms, in an array: numpy.sum takes twice as long to begin
        added = sums.total(xp, g, axes)
        if in_place:
            out[...] = added
            return out
        return xp.reshape(added, shape)
    return xp.broadcast_to(g, shape)


def _parents(node: Node) -> list[Node | Variable]:
    if node.parents is None:
        raise refusals.freed(node.primitive)
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
    return sorted(seen, key=operator.attrgetter("number"), reverse=True)


def _leading_to(nodes: list[Node], wanted: set[Node | Variable]) -> set[Node | Variable]:
    """Return `wanted` and every node of the walk through which a gradient reaches it."""
    leading = set(wanted)
    for node in reversed(nodes):
        if not leading.isdisjoint(_parents(node)):
            leading.add(node)
    return leading


def _connect(node: Node, environment: dict[str, Any]) -> None:
    """Put Variables with a history in place of the kept arrays that have one."""
    operation = node.primitive
    versions = {position: version for position, version, _ in node.versions}
    for (position, _), parent in zip(node.tape.pulls, _parents(node), strict=True):
        if position not in versions:
            continue
        name = operation.name_of(position)
        if operation.first_variadic is not None and position >= operation.first_variadic:
            environment[name] = members = list(environment[name])
            member = position - operation.first_variadic
            members[member] = _connected(members[member], parent, versions[position])
        else:
            environment[name] = _connected(environment[name], parent, versions[position])
    if node.tape.output:
        environment["y"] = _connected(environment["y"], node, versions[OUTPUT])


def _connected(value: Array, origin: Node | Variable, version: list[int]) -> Variable:
    if isinstance(origin, Node):
        return provided.tensor_class(value, True, origin, version)
    if origin._version is not version:  # it was frozen, and then x += y made it the result of an operation
        raise GraphError("backward", "a leaf that the graph needs was changed by an operator such as +=")
    return origin


class _Pass:
    """One walk back: the gradients that have been summed up so far.

    Parameters
    ----------
    xp : namespace
        The array namespace of the device, on which the whole graph is.
    create_graph : bool
        Whether gradients are Variables with a graph of their own.
    wanted : set, optional
        The nodes and leaves whose gradient is asked for; all leaves if None.
    may_reserve : bool
        Whether this pass holds `reserving`.

    Attributes
    ----------
    pending : dict
        Sums so far, by node and leaf.
    owned : set
        The nodes and leaves whose sum has memory of its own, so that it can be added to in place.
    """

    def __init__(
        self,
        xp: Xp,
        create_graph: bool,
        wanted: set[Node | Variable] | None = None,
        may_reserve: bool = False,
    ) -> None:
        self.xp = provided.ops if create_graph else xp
        self.create_graph, self.wanted, self.may_reserve = create_graph, wanted, may_reserve
        self.targets: set[Node | Variable] | None = None
        self.pending: dict[Node | Variable, Any] = {}
        self.owned: set[Node | Variable] = set()

    def run(self, root: Variable, gradient: Array, retain_graph: bool) -> dict[Node | Variable, Any]:
        """Carry `gradient` from `root` back; return the gradients that were asked for."""
        if root.node is None:
            return {root: gradient}
        self.pending[root.node] = gradient
        nodes = _walk(root.node)
        if self.wanted is not None:
            self.targets = _leading_to(nodes, self.wanted)
            nodes = [node for node in nodes if node in self.targets]
        found = {}
        token = grad_enabled.set(self.create_graph)
        try:
            for node in nodes:
                g = self.pending.pop(node)
                if node.hooks:
                    g = _run_hooks(node.hooks, g)
                if self.wanted is None:
                    self._retain(node, g)
                elif node in self.wanted:
                    found[node] = g
                self._pull(node, g)
                if not retain_graph:
                    node.free()
        finally:
            grad_enabled.reset(token)
        return found | self.pending

    def _retain(self, node: Node, g: Array) -> None:
        variable = None if node.retainer is None else node.retainer()
        if variable is not None:
            with _summing:
                _accumulate(variable, g, owned=False, may_reserve=False)

    def _pull(self, node: Node, g: Array) -> None:
        """Apply the rules of `node` and add the results to the gradients of its parents."""
        events.tell(("gradient", node, g))
        node.require_unchanged()
        # By name, the values that rules may ask for.
        environment = dict(node.saved, g=g, out=None, xp=self.xp)
        if self.create_graph:  # the same rules, this time on Variables that know where they came from
            _connect(node, environment)
        operation, first = node.primitive, node.tape.first
        if first is not None:
            environment["g"] = first.function(*[environment[name] for name in first.names])
        for (position, rule), parent in zip(node.tape.pulls, _parents(node), strict=True):
            if self.targets is not None and parent not in self.targets:
                continue
            like: Node | Array = parent
            out = None
            if isinstance(parent, Variable):
                like = parent._data
                # The reserved place is free while it holds no gradient, of this pass or an earlier one.
                if self.may_reserve and parent not in self.pending:
                    out = reserved_place(parent)
            environment["out"] = out
            if operation.first_variadic is not None:
                environment["index"] = position - operation.first_variadic
            share = rule.function(*[environment[name] for name in rule.names])
            # Only `backward` gives row-sparse gradients, and only to leaves: rules take arrays.
            if isinstance(share, RowSparse) and (type(parent) is Node or self.wanted is not None):
                share = share.to_dense()
            try:
                if share.shape != like.shape:
                    share = fit(self.xp, share, like.shape, out)
                if share.dtype != like.dtype:
                    share = share.astype(like.dtype)
            except (ValueError, AttributeError) as error:
                raise refusals.unfit_share(operation, position, share, like.shape) from error
            events.tell(("share", node, position, parent, share))
            self._add(parent, share, owned=share is out)

    def _add(self, parent: Node | Variable, share: Array, owned: bool) -> None:
        sum_so_far = self.pending.get(parent)
        if sum_so_far is None:
            self.pending[parent] = share
            if owned:
                self.owned.add(parent)
            return
        sum_so_far, share = alike(sum_so_far, share)
        if parent in self.owned:
            sum_so_far += share
            self.pending[parent] = sum_so_far  # a NumPy scalar is not changed by +=
        else:
            self.pending[parent] = sum_so_far + share
            if not self.create_graph:
                self.owned.add(parent)


def _run_hooks(hooks: dict[int, Callable[..., Array]], g: Array) -> Array:
    raw = not isinstance(g, Variable)
    for hook in list(hooks.values()):
        answer = hook(g if isinstance(g, Variable | RowSparse) else provided.tensor_class(g))
        if answer is None:
            continue
        fits = isinstance(answer, Variable) or (raw and isinstance(answer, RowSparse))
        if not fits or answer.shape != g.shape:
            raise refusals.unfit_hook(g, answer)
        if raw and isinstance(answer, Variable):
            answer = answer._data
        g = answer if answer.dtype == g.dtype else answer.astype(g.dtype)
    return g


def _first_gradient(xp: Xp, root: Variable, gradient: TensorLike, where: str, create_graph: bool) -> Array:
    """Check `root` and `gradient`; return the gradient to start from, one for a scalar."""
    if not root._requires_grad:
        raise refusals.independent(where)
    like = root._data
    if gradient is None:
        if like.size != 1:
            raise refusals.no_scalar(where, like.shape)
        gradient = xp.ones(like.shape, like.dtype)
    elif not isinstance(gradient, Variable):
        gradient = assignable(where, gradient, like)
    elif not create_graph:
        gradient = gradient._data
    if gradient.shape != like.shape:
        raise refusals.unfit_gradient(where, like.shape, gradient.shape)
    if gradient.dtype != like.dtype:
        gradient = gradient.astype(like.dtype)
    if create_graph and not isinstance(gradient, Variable):
        gradient = provided.tensor_class(gradient)
    return gradient


def backward(
    root: Variable, gradient: TensorLike = None, retain_graph: bool = False, create_graph: bool = False
) -> None:
    """Add the gradient of a Tensor to ``.grad`` of every leaf that it was computed from.

    Parameters
    ----------
    root : Tensor
        The Tensor to start from, such as a loss: ``loss.backward()``.
    gradient : Tensor or array, optional
        The gradient of the final result with respect to `root`; 1 for a scalar.
    retain_graph : bool
        Whether to keep the graph for another backward pass.
    create_graph : bool
        Whether the gradients can be differentiated in turn; implies `retain_graph`.

    Raises
    ------
    GraphError
        If nothing here requires a gradient, the graph was freed by an earlier pass, or an
        array that it needs was changed in place.
    ShapeError
        If the Tensor is no scalar and `gradient` is missing, or has another shape.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> x = tg.tensor([1.0, 2.0], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad
    tensor([2., 4.])
    """
    backend = backend_of((root._data,))
    with backend.current("backward"):
        gradient = _first_gradient(backend.xp, root, gradient, "backward", create_graph)
        events.tell(("backward_begins", root))
        may_reserve = not create_graph and reserving.acquire(blocking=False)
        try:
            this_pass = _Pass(backend.xp, create_graph, may_reserve=may_reserve)
            for leaf, g in this_pass.run(root, gradient, retain_graph or create_graph).items():
                assert isinstance(leaf, Variable)  # all nodes have passed theirs on
                hand_over(leaf, g, leaf in this_pass.owned, may_reserve)
        finally:
            if may_reserve:
                reserving.release()
        events.tell(("backward_ends", root))


def reserved_place(leaf: Variable) -> Array:
    """Return where a pass that holds `reserving` may write the gradient of `leaf`, or None."""
    return leaf._grad_buffer if leaf._grad is None else None


def hand_over(leaf: Variable, g: Array, owned: bool, may_reserve: bool) -> None:
    """Give a leaf the gradient of a whole pass, which its hooks see first.

    Parameters
    ----------
    leaf : Variable
        The leaf.
    g : array, RowSparse or Variable
        Its gradient.
    owned : bool
        Whether nothing else holds its memory.
    may_reserve : bool
        Whether the pass holds `reserving`.
    """
    if leaf._hooks:
        g = _run_hooks(leaf._hooks, g)
        owned = owned and g is leaf._grad_buffer  # a hook may have kept it
    with _summing:
        _accumulate(leaf, g, owned, may_reserve)


def _accumulate(leaf: Variable, g: Array, owned: bool, may_reserve: bool) -> None:
    """Add `g` to the gradient of `leaf`, in the place reserved for it if there is one."""
    before = leaf._grad
    if before is None and g is leaf._grad_buffer:
        leaf._grad = g  # a rule has put it into its place
        return
    if before is not None:
        before, g = alike(before, g)
    if isinstance(g, RowSparse):
        leaf._grad = g if before is None else before + g
    elif isinstance(g, Variable) or isinstance(before, Variable):
        # The product is a copy: leaves may not share the memory of their gradients.
        leaf._grad = g * 1 if before is None else provided.ops.add(before, g)
    elif before is not None:
        before += g
        leaf._grad = before  # dense now, if it was row-sparse
    elif leaf._grad_buffer is not None and may_reserve:
        leaf._grad_buffer[...] = g
        leaf._grad = leaf._grad_buffer
    else:
        xp = backend_of((g,)).xp
        leaf._grad = xp.asarray(g) if owned else xp.array(g)


def grad(
    y: Variable,
    xs: Variable | Sequence[Variable],
    gradient: TensorLike = None,
    create_graph: bool = False,
    retain_graph: bool | None = None,
) -> Array:
    """Return the gradient of `y` with respect to `xs`, leaving every ``.grad`` as it is.

    Parameters
    ----------
    y : Tensor
        The result to differentiate; a scalar unless `gradient` is given.
    xs : Tensor or sequence of Tensor
        The leaves or intermediate results to differentiate with respect to.
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
    variables: list[Variable] = [xs] if isinstance(xs, Variable) else list(xs)
    for position, x in enumerate(variables):
        if not isinstance(x, Variable):
            raise DTypeError("grad", f"xs[{position}] must be a Tensor", got=type(x).__name__)
    if not create_graph:
        y._read("grad")  # the result is a value, and has no history
    keys: list[Node | Variable] = [x.node or x for x in variables]
    retain_graph = create_graph if retain_graph is None else retain_graph
    backend = backend_of((y._data,))
    with backend.current("grad"):
        gradient = _first_gradient(backend.xp, y, gradient, "grad", create_graph)
        found = _Pass(backend.xp, create_graph, set(keys)).run(y, gradient, retain_graph)
    results = []
    for position, (x, key) in enumerate(zip(variables, keys, strict=True)):
        if key not in found:
            raise refusals.not_computed_from(position, x._requires_grad, x._data.shape)
        g = found[key]
        if isinstance(key, Variable) and key._hooks:
            g = _run_hooks(key._hooks, g)
        results.append(g if isinstance(g, Variable) else provided.tensor_class(backend.xp.array(g)))
    return results[0] if isinstance(xs, Variable) else tuple(results)
