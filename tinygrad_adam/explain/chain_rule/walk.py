"""The walk through a graph that lists its operations for an `Explanation`, as `backward` visits them.

The numbers come from a backward pass of its own that no other watcher sees; gradients, graph and optimizer
stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from types import FrameType

from ...engine import backward
from ...engine.events import Watcher, unwatched, watch
from ...engine.graph import Node, Rule, Variable
from ...errors import GraphError
from ...typing import Array, TensorLike
from .explanation import Explanation, Input, Leaf, Step
from .formulas import formula
from .traces import (
    Constant,
    Measure,
    ModuleCall,
    Trace,
    ancestors,
    kept_arrays,
    measure,
    number_in,
    trace_of,
)  # fmt: skip


def explain_graph(
    root: Variable, gradient: TensorLike, largest_first: bool,
    frame: FrameType | None = None, where: str = "explain",
) -> Explanation:  # fmt: skip
    """Write down the graph of `root`; see `Tensor.explain`.

    Parameters
    ----------
    root : Tensor
        The result.
    gradient : array or Tensor, optional
        The gradient that the pass starts from; ones for a scalar.
    largest_first : bool
        The order of the text.
    frame : frame, optional
        The frame whose local variables give names to Tensors.
    where : str
        The name that an error begins with.
    """
    if root.node is None:
        raise GraphError(
            where,
            "the Tensor has no graph: it is a leaf, and no operation made it"
            if root.requires_grad
            else "the Tensor has no graph; compute it outside no_grad() from Tensors with requires_grad=True",
            shape=root._data.shape,
        )
    nodes, freed = _walk(root.node)
    names, values = _names(nodes, frame)
    notes: list[str] = []
    seen = _Seen()
    if freed:
        notes.append(
            "The graph was freed by an earlier backward pass. This is what was traced before; gradients are "
            "those of that pass, if it ran inside `with tg.tracing():`."
        )
    else:
        _measure(root, gradient, nodes, seen, notes)

    leaves: dict[Variable, Leaf] = {}
    steps: dict[Node, Step] = {}
    for number, node in reversed(list(enumerate(nodes, 1))):
        trace = trace_of(node)
        value = values.get(node)
        if value is None and node is root.node:
            value = number_in(root._data)
        if value is None:
            value = trace.value if trace is not None else number_in(node.saved.get("y"))
        if trace is not None and freed:
            seen.gradients[node], seen.shares[node] = trace.gradient, trace.shares
        first = node.tape.first
        steps[node] = Step(
            number,
            node.primitive.name,
            names.get(node, ""),
            tuple(node.shape),
            str(node.dtype),
            value,
            None if first is None else formula(first.function),
            list(_inputs(node, trace, steps, leaves, names, seen)),
            kept_arrays(node.saved) if node.parents is not None or trace is None else trace.kept,
            seen.gradients.get(node),
            trace.line if trace is not None else None,
            trace.call if trace is not None else None,
            trace is not None,
        )
    listed = [steps[node] for node in nodes]
    for leaf, shown in leaves.items():
        shown.gradient = seen.leaves.get(leaf)
    for step in listed if freed else ():
        for i in step.inputs:
            if isinstance(i.source, Leaf) and i.source.uses == 1:
                i.source.gradient = i.gradient
    met = {id(i.source): i.source for step in listed for i in step.inputs if isinstance(i.source, Leaf)}
    return Explanation(listed, list(met.values()), notes, largest_first)


@dataclass
class _Seen(Watcher):
    """The gradients that a backward pass brings each node, each input and each leaf."""

    gradients: dict[Node, Measure | None] = field(default_factory=dict)
    shares: dict[Node, dict[int, Measure]] = field(default_factory=dict)
    leaves: dict[Variable, Measure] = field(default_factory=dict)

    def gradient(self, node: Node, g: Array) -> None:
        self.gradients[node] = measure(g)

    def share(self, node: Node, position: int, parent: Node | Variable, share: Array) -> None:
        self.shares.setdefault(node, {})[position] = measure(share)


def _measure(root: Variable, gradient: TensorLike, nodes: list[Node], seen: _Seen, notes: list[str]) -> None:
    """Run a backward pass that only `seen` watches."""
    if gradient is None and root._data.size != 1:
        notes.append("The result is no scalar; for the norms of gradients pass gradient=.")
        return
    leaves = list({p: None for node in nodes for p in node.parents or () if isinstance(p, Variable)})
    try:
        with unwatched(), watch(seen):
            found = backward.grad(root, leaves, gradient, retain_graph=True)
    except GraphError as error:
        seen.gradients, seen.shares = {}, {}
        notes.append(f"No gradients: {error}")
        return
    seen.leaves = {leaf: measure(g) for leaf, g in zip(leaves, found, strict=True)}


def _walk(root: Node) -> tuple[list[Node], bool]:
    """Return the nodes below `root` in the order of the backward pass, and whether some were freed."""
    seen = ancestors(root, _parents)
    freed = any(node.parents is None for node in seen)
    return sorted(seen, key=lambda node: node.number, reverse=True), freed


def _parents(node: Node) -> list[Node | Variable]:
    if node.parents is not None:
        return node.parents
    trace = trace_of(node)
    if trace is None:
        raise GraphError(
            "explain",
            f"the graph was freed by an earlier backward pass, at {node.primitive.name}; explain before "
            "backward(), pass retain_graph=True to it, or compute inside `with tg.tracing():`",
        )
    return [trace.inputs[position] for position, _ in node.tape.pulls]


def _inputs(
    node: Node,
    trace: Trace | None,
    steps: dict[Node, Step],
    leaves: dict[Variable, Leaf],
    names: dict[Node | Variable, str],
    seen: _Seen,
) -> Iterator[Input]:
    """Yield the inputs of a node by position, with the formula of each that has a gradient."""
    pulls: dict[int, tuple[Rule, Node | Variable]] = {
        position: (rule, parent)
        for (position, rule), parent in zip(node.tape.pulls, _parents(node), strict=True)
    }
    primitive = node.primitive
    others = dict(enumerate(trace.inputs)) if trace is not None else _kept_inputs(node)
    for position in sorted({*pulls, *others}):
        name = primitive.name_of(position)
        if primitive.variadic and position >= len(primitive.inputs) - 1:
            name = f"{name}[{position - len(primitive.inputs) + 1}]"
        if position not in pulls:
            if isinstance(others[position], Constant):
                yield Input(name, others[position], others[position].shape, None)
            continue
        rule, parent = pulls[position]
        source: Step | Leaf
        if isinstance(parent, Node):
            source, shape = steps[parent], tuple(parent.shape)
        else:
            shape = tuple(parent._data.shape)
            if parent not in leaves:
                leaves[parent] = Leaf(
                    parent, names.get(parent, ""), shape, str(parent._data.dtype), number_in(parent._data)
                )
            source = leaves[parent]
            source.uses += 1
        text = formula(rule.function)
        summed = text.elementwise and shape != tuple(node.shape)
        yield Input(name, source, shape, text, summed, seen.shares.get(node, {}).get(position))


def _kept_inputs(node: Node) -> dict[int, Constant]:
    """Return the inputs that are known because the rules keep them."""
    primitive = node.primitive
    return {
        position: Constant(node.saved[name])
        for position, name in enumerate(primitive.inputs)
        if position != primitive.first_variadic and node.saved.get(name) is not None
    }


def _names(
    nodes: list[Node], frame: FrameType | None
) -> tuple[dict[Node | Variable, str], dict[Node, float | None]]:
    """Return names of Tensors, from traced modules and a frame's variables, and the scalars in variables."""
    names: dict[Node | Variable, str] = {}
    values: dict[Node, float | None] = {}
    parameters: dict[Node | Variable, str] = {}
    outermost: dict[ModuleCall, None] = {}
    for trace in map(trace_of, nodes):
        call = None if trace is None else trace.call
        while call is not None and call.within is not None:
            call = call.within
        if call is not None:
            outermost[call] = None
    for call in outermost:
        parameters.update((parameter, dotted) for dotted, parameter in call.parameters)
    for name, thing in () if frame is None else list(frame.f_locals.items()):
        if name.startswith("_") or not name.isidentifier():
            continue
        if isinstance(thing, Variable):
            names.setdefault(thing.node or thing, name)
            if thing.node is not None:
                values[thing.node] = number_in(thing._data)
        elif hasattr(thing, "named_parameters") and not isinstance(thing, type):
            parameters.update((parameter, dotted) for dotted, parameter in thing.named_parameters())
    return names | parameters, values
