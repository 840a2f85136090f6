"""An explanation: the operations of a graph from the result back, with their formulas, and its text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from ...engine.graph import Variable
from ...engine.viewers import view
from ...files.text import counted
from .formulas import Formula
from .source_lines import SourceLine
from .traces import Constant, Kept, Measure, ModuleCall

SHOWN = 60
"""How many operations the text shows; of a longer list, the beginning and the end. Also of inputs of one."""
LEGEND = "y is an operation's output, g = dL/dy its gradient, |...| a Euclidean norm."


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
        The sum of the gradients from all its uses.
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
    """An argument of an operation, and the gradient with respect to it.

    Attributes
    ----------
    name : str
        The operation's name for it.
    source : Step, Leaf or Constant
        Its origin: the output of another step, a leaf, or a value without a gradient.
    shape : tuple of int
        Of the array.
    formula : Formula or None
        The gradient with respect to it; None for a constant.
    summed : bool
        Whether the engine is known to sum the formula's result, since the input was broadcast.
    gradient : Measure or None
        The result of the formula.
    """

    name: str
    source: Step | Leaf | Constant = field(repr=False)  # a chain's would be long
    shape: tuple[int, ...]
    formula: Formula | None
    summed: bool = False
    gradient: Measure | None = None


@dataclass(eq=False, repr=False)
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
        The formula that the gradient passes before those of the inputs.
    inputs : list of Input
        In the operation's order; those without a gradient only where the operation was traced or keeps them.
    kept : list of Kept
        The arrays that the rules need.
    gradient : Measure or None
        The gradient of the result with respect to the output.
    line : SourceLine or None
        The user's line that called the operation, if it was traced.
    call : ModuleCall or None
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
    call: ModuleCall | None
    traced: bool

    @property
    def kept_bytes(self) -> int:
        """The memory of the arrays kept."""
        return sum(kept.nbytes for kept in self.kept)

    def __str__(self) -> str:
        return "\n".join(_step_lines(self))

    __repr__ = __str__


@dataclass(eq=False, repr=False)
class Explanation:
    """A graph as a list of operations, from the result back.

    Attributes
    ----------
    steps : list of Step
        In the order in which `backward` visits them.
    leaves : list of Leaf
        Where the graph ends, in the order in which the steps meet them.
    notes : list of str
        The facts that are missing, and the reasons.
    largest_first : bool
        Whether the text lists the operations that keep most memory first.
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

    __repr__ = __str__

    def _repr_html_(self) -> str | None:
        return view("Explanation._repr_html_")(self)


# --- The text ----------------------------------------------------------------------------


def headline(explanation: Explanation) -> str:
    """Return the title of an explanation."""
    return f"The chain rule through {counted(len(explanation.steps), 'operation')}, " + (
        "those that keep most memory first" if explanation.largest_first else "from the result L back"
    )


def shown_steps(explanation: Explanation) -> tuple[list[Step], list[Step]]:
    """Return the steps at the beginning and at the end that are shown; the others between are left out."""
    steps = explanation.largest() if explanation.largest_first else explanation.steps
    head = steps if len(steps) <= SHOWN else steps[: SHOWN // 2]
    return head, steps[len(head) :][-SHOWN // 2 :]


def _lines(explanation: Explanation) -> Iterator[str]:
    yield headline(explanation)
    yield LEGEND
    head, tail = shown_steps(explanation)
    for step in head:
        yield ""
        yield from _step_lines(step)
    if between := len(explanation.steps) - len(head) - len(tail):
        yield ""
        yield f"  ... {between:,} operations between are not shown; .steps has them all"
    for step in tail:
        yield ""
        yield from _step_lines(step)
    yield ""
    yield from closing(explanation, [*head, *tail])


def closing(explanation: Explanation, steps: list[Step]) -> Iterator[str]:
    """Yield what follows the steps that are shown: memory, shared leaves, helpers of the formulas, notes."""
    yield f"Kept for the way back: {readable_bytes(explanation.kept_bytes)}, each array once."
    many = [leaf for leaf in explanation.leaves if leaf.uses > 1 and leaf.gradient is not None]
    for leaf in many[:SHOWN]:
        yield (
            f"{leaf.name or 'a leaf'} {leaf.shape} is used {leaf.uses} times; what they bring it adds up to "
            f"{amount(leaf.gradient, 'sum')}"
        )
    if any(i.summed for step in steps for i in step.inputs):
        yield "(sum): the input was broadcast, so its gradient is summed over the axes where it was spread."
    formulas = [
        formula for step in steps for formula in (step.first, *(i.formula for i in step.inputs[:SHOWN]))
    ]
    for call, said in dict(
        pair for formula in formulas if formula is not None for pair in formula.helpers
    ).items():
        yield f"{call}: {said}."
    yield from explanation.notes
    if not all(step.traced for step in explanation.steps):
        yield "For source lines, modules and data without a gradient, compute inside `with tg.tracing():`."


def _step_lines(step: Step) -> Iterator[str]:
    place = f"   {step.call.path} {step.call.kind}".rstrip() if step.call is not None else ""
    where = f"   {step.line}" if step.line is not None else ""
    name = f"{step.name} = " if step.name else ""
    yield f"{step.number:4}  {name}{step.operation} -> {step.shape}{place}{where}"
    value = "" if step.value is None else f"y = {step.value:.6g}   "
    if value or step.gradient is not None:
        yield f"      {value}{amount(step.gradient, 'g')}".rstrip()
    if step.first is not None:
        yield f"      g becomes {step.first.text}"
    rows = []
    for i in step.inputs[:SHOWN]:
        if i.formula is None:
            rows.append((i.name, str(i.shape), "", "no gradient"))
            continue
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
