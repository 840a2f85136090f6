"""The chain rule, shown: what a backward pass from a result does, operation by operation.

`explain` walks the graph as `backward` does and writes down what it finds. The numbers come from a backward
pass of its own that nobody else is told of; gradients, graph and optimizer stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

from ...engine import backward
from ...engine.events import Watcher, unwatched, watch
from ...engine.graph import Node, Rule, Variable
from ...errors import GraphError
from .formulas import Formula, formula
from .source_lines import SourceLine
from .traces import (  # fmt: skip
    Call,
    Constant,
    Kept,
    Measure,
    Record,
    kept_arrays,
    measure,
    number_in,
    record_of,
)

SHOWN = 60
"""How many operations the text shows; of a longer list, the beginning and the end. Also of inputs of one."""


@dataclass(eq=False)
class Leaf:
    """A Tensor at which the graph ends.

    Attributes
    ----------
    tensor : Tensor
        The Tensor itself.
    name : str
        The parameter's or the variable's name; empty if it is not known.
    shape, dtype : tuple of int, str
        Of its array.
    value : float or None
        The value, if it has one element.
    gradient : Measure or None
        What all its uses together bring it.
    uses : int
        How often operations take it.
    """

    tensor: Variable
    name: str
    shape: tuple[int, ...]
    dtype: str
    value: float | None
    gradient: Measure | None = None
    uses: int = 0


@dataclass(eq=False)
class Input:
    """What an operation was given in one place, and the way back from there.

    Attributes
    ----------
    name : str
        The operation's name for it.
    source : Step, Leaf or Constant
        What it is: the output of another step, a leaf, or something without a gradient.
    shape : tuple of int
        Of the array.
    formula : Formula or None
        The gradient with respect to it; None for a constant.
    summed : bool
        Whether the engine is known to sum what the formula gives, since the input was broadcast.
    gradient : Measure or None
        What the formula gave.
    """

    name: str
    source: Step | Leaf | Constant = field(repr=False)  # a chain's would be long
    shape: tuple[int, ...]
    formula: Formula | None
    summed: bool = False
    gradient: Measure | None = None


@dataclass(eq=False)
class Step:
    """One operation of the graph.

    Attributes
    ----------
    number : int
        From 1, in the order of the backward pass.
    operation : str
        The name of the primitive.
    name : str
        The variable that holds the output; empty if none does.
    shape, dtype : tuple of int, str
        Of the output.
    value : float or None
        The output, if it has one element and is known.
    first : Formula or None
        What the gradient passes before the formulas of the inputs see it.
    inputs : list of Input
        In the operation's order; those without a gradient only where the operation was traced or keeps them.
    kept : list of Kept
        The arrays that the rules need.
    gradient : Measure or None
        The gradient of the result with respect to the output.
    line : SourceLine or None
        The user's line that called the operation, if it was traced.
    call : Call or None
        The module, if it was traced.
    traced : bool
        Whether it was.
    """

    number: int
    operation: str
    name: str
    shape: tuple[int, ...]
    dtype: str
    value: float | None
    first: Formula | None
    inputs: list[Input]
    kept: list[Kept]
    gradient: Measure | None
    line: SourceLine | None
    call: Call | None
    traced: bool

    @property
    def kept_bytes(self) -> int:
        """The memory of the arrays kept."""
        return sum(kept.nbytes for kept in self.kept)


@dataclass(eq=False)
class Explanation:
    """A graph as a list of operations, from the result back.

    Attributes
    ----------
    steps : list of Step
        In the order in which `backward` visits them.
    leaves : list of Leaf
        Where the graph ends, in the order in which the steps meet them.
    notes : list of str
        What could not be found out, and why.
    largest_first : bool
        Whether the text lists what keeps most memory first.
    """

    steps: list[Step]
    leaves: list[Leaf]
    notes: list[str] = field(default_factory=list)
    largest_first: bool = False

    @property
    def kept_bytes(self) -> int:
        """The memory that all steps together keep; an array that several of them keep counts once."""
        return sum({kept.place: kept.nbytes for step in self.steps for kept in step.kept}.values())

    def largest(self, count: int | None = None) -> list[Step]:
        """Return the steps that keep most memory, the largest first."""
        return sorted(self.steps, key=lambda step: -step.kept_bytes)[:count]

    def __str__(self) -> str:
        return "\n".join(_lines(self))


def explain(
    root: Variable, gradient: Any, largest_first: bool, frame: FrameType | None = None, where: str = "explain"
) -> Explanation:
    """Write down the graph of `root`; see `Tensor.explain`.

    Parameters
    ----------
    root : Tensor
        The result.
    gradient : array or Tensor, optional
        What the pass starts from; ones for a scalar.
    largest_first : bool
        The order of the text.
    frame : frame, optional
        Whose local variables give names to Tensors.
    where : str
        Who asks, for the message of an error.
    """
    if root.node is None:
        raise GraphError(
            where,
            "the Tensor has no graph: it is a leaf, which nothing was computed for"
            if root.requires_grad
            else "the Tensor has no graph; compute it outside no_grad() from what has requires_grad=True",
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
        record = record_of(node)
        value = values.get(node)
        if value is None and node is root.node:
            value = number_in(root._data)
        if value is None:
            value = record.value if record is not None else number_in(node.saved.get("y"))
        if record is not None and freed:
            seen.gradients[node], seen.shares[node] = record.gradient, record.shares
        first = node.tape.first
        steps[node] = Step(
            number,
            node.primitive.name,
            names.get(node, ""),
            tuple(node.shape),
            str(node.dtype),
            value,
            None if first is None else formula(first.function),
            list(_inputs(node, record, steps, leaves, names, seen)),
            kept_arrays(node.saved) if node.parents is not None or record is None else record.kept,
            seen.gradients.get(node),
            record.line if record is not None else None,
            record.call if record is not None else None,
            record is not None,
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
    """What a backward pass brought each node, each input and each leaf."""

    gradients: dict[Node, Measure | None] = field(default_factory=dict)
    shares: dict[Node, dict[int, Measure]] = field(default_factory=dict)
    leaves: dict[Variable, Measure] = field(default_factory=dict)

    def gradient(self, node: Any, g: Any) -> None:
        self.gradients[node] = measure(g)

    def share(self, node: Any, position: int, parent: Any, share: Any) -> None:
        self.shares.setdefault(node, {})[position] = measure(share)


def _measure(root: Variable, gradient: Any, nodes: list[Node], seen: _Seen, notes: list[str]) -> None:
    """Go back once, telling nobody but `seen`."""
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
    """List the nodes below `root` in the order of the backward pass, and whether some were freed."""
    seen = {root}
    stack = [root]
    freed = False
    while stack:
        node = stack.pop()
        freed |= node.parents is None
        for parent in _parents(node):
            if isinstance(parent, Node) and parent not in seen:
                seen.add(parent)
                stack.append(parent)
    return sorted(seen, key=lambda node: node.number, reverse=True), freed


def _parents(node: Node) -> list[Node | Variable]:
    if node.parents is not None:
        return node.parents
    record = record_of(node)
    if record is None:
        raise GraphError(
            "explain",
            f"the graph was freed by an earlier backward pass, at {node.primitive.name}; explain before "
            "backward(), pass retain_graph=True to it, or compute inside `with tg.tracing():`",
        )
    return [record.inputs[position] for position, _ in node.tape.pulls]


def _inputs(
    node: Node,
    record: Record | None,
    steps: dict[Node, Step],
    leaves: dict[Variable, Leaf],
    names: dict[Any, str],
    seen: _Seen,
) -> Iterator[Input]:
    """Yield the inputs of a node by position, with the formula of each that has a gradient."""
    pulls: dict[int, tuple[Rule, Node | Variable]] = {
        position: (rule, parent)
        for (position, rule), parent in zip(node.tape.pulls, _parents(node), strict=True)
    }
    primitive = node.primitive
    others = dict(enumerate(record.inputs)) if record is not None else _kept_inputs(node)
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
    """Name Tensors by traced modules and by a frame's variables; tell the scalars that variables hold."""
    names: dict[Node | Variable, str] = {}
    values: dict[Node, float | None] = {}
    parameters: dict[Node | Variable, str] = {}
    outermost: dict[Call, None] = {}
    for record in map(record_of, nodes):
        call = None if record is None else record.call
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


# --- The text ----------------------------------------------------------------------------


def _lines(explanation: Explanation) -> Iterator[str]:
    steps = explanation.largest() if explanation.largest_first else explanation.steps
    count = len(steps)
    yield f"The chain rule through {count:,} operation{'s' * (count > 1)}, " + (
        "those that keep most memory first" if explanation.largest_first else "from the result L back"
    )
    yield "y is an operation's output, g = dL/dy its gradient, |...| a Euclidean norm."
    head = steps if count <= SHOWN else steps[: SHOWN // 2]
    tail = steps[len(head) :][-SHOWN // 2 :]
    helpers: dict[str, str] = {}
    for step in head:
        yield from _step_lines(step, helpers)
    if len(head) + len(tail) < count:
        yield ""
        yield f"  ... {count - len(head) - len(tail):,} operations between are not shown; .steps has them all"
    for step in tail:
        yield from _step_lines(step, helpers)
    yield ""
    yield f"Kept for the way back: {readable_bytes(explanation.kept_bytes)}, each array once."
    many = [leaf for leaf in explanation.leaves if leaf.uses > 1 and leaf.gradient is not None]
    for leaf in many[:SHOWN]:
        yield (
            f"{leaf.name or 'a leaf'} {leaf.shape} is used {leaf.uses} times; what they bring it adds up to "
            f"{amount(leaf.gradient, 'sum')}"
        )
    if any(i.summed for step in (*head, *tail) for i in step.inputs):
        yield "(sum): the input was broadcast, so its gradient is summed over the axes where it was spread."
    for call, said in helpers.items():
        yield f"{call}: {said}."
    yield from explanation.notes
    if not all(step.traced for step in steps):
        yield "For source lines, modules and data without a gradient, compute inside `with tg.tracing():`."


def _step_lines(step: Step, helpers: dict[str, str]) -> Iterable[str]:
    place = f"   {step.call.path} {step.call.kind}".rstrip() if step.call is not None else ""
    where = f"   {step.line}" if step.line is not None else ""
    name = f"{step.name} = " if step.name else ""
    yield ""
    yield f"{step.number:4}  {name}{step.operation} -> {step.shape}{place}{where}"
    value = "" if step.value is None else f"y = {step.value:.6g}   "
    if value or step.gradient is not None:
        yield f"      {value}{amount(step.gradient, 'g')}".rstrip()
    if step.first is not None:
        yield f"      g becomes {step.first.text}"
        helpers.update(step.first.helpers)
    rows = []
    for i in step.inputs[:SHOWN]:
        if i.formula is None:
            rows.append((i.name, str(i.shape), "", "no gradient"))
            continue
        helpers.update(i.formula.helpers)
        rule = f"dL/d{i.name} = {i.formula.text}{' (sum)' if i.summed else ''}"
        rows.append((rule, str(i.shape), amount(i.gradient), _origin(i.source)))
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(3)]
    for row in rows:
        cells = [f"{cell:<{width}}" for cell, width in zip(row, widths, strict=False) if width]
        yield f"      {'  '.join([*cells, row[3]])}"
    if len(step.inputs) > SHOWN:
        yield f"      ... {len(step.inputs) - SHOWN:,} more inputs"
    if step.kept:
        kept = ", ".join(f"{k.name} {k.shape} {k.dtype}" for k in step.kept)
        yield f"      keeps {readable_bytes(step.kept_bytes)}: {kept}"


def _origin(source: Step | Leaf | Constant) -> str:
    if isinstance(source, Step):
        return f"to {source.number}"
    return f"to leaf {source.name}".rstrip() if isinstance(source, Leaf) else ""


def amount(gradient: Measure | None, name: str = "") -> str:
    """Write a gradient as its value, if it is one number, or as its norm."""
    if gradient is None:
        return ""
    if gradient.value is not None:
        return f"{name} = {gradient.value:.4g}".strip()
    return f"|{name or '.'}| = {gradient.norm:.4g}"


def readable_bytes(count: float) -> str:
    """Write a number of bytes with its unit.

    Examples
    --------
    >>> readable_bytes(999), readable_bytes(1_500_000)
    ('999 B', '1.5 MB')
    """
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            break
        count /= 1000
    return f"{count:.3g} {unit}"
