"""The texts of the boxes in a picture."""

from __future__ import annotations

import math
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from ...files.text import counted
from ..chain_rule.explanation import SHOWN, Leaf, Step, amount, readable_bytes
from ..chain_rule.traces import Constant, Measure, ModuleCall

WIDEST = 56
"""Characters of a line; a longer one goes on in the next, and no part of a formula is left out."""
LISTED = 4
"""How many parameters or rules a box lists."""


@dataclass(eq=False)
class Face:
    """The text of a box.

    Attributes
    ----------
    kind : {"step", "result", "leaf", "constant", "module", "rest"}
        The kind of box; its outline shows it.
    title : str
        The first line, of any length.
    lines : list of str
        Those below.
    tip : str
        The text at the pointer.
    """

    kind: str
    title: str
    lines: list[str] = field(default_factory=list)
    tip: str = ""

    def __post_init__(self) -> None:
        self.lines = [part for line in self.lines for part in wrapped(line)]


def cells(text: str) -> int:
    """Return how many characters wide a text is; Chinese ones, and others like them, are two wide.

    Examples
    --------
    >>> cells("loss"), cells("損失")
    (4, 4)
    """
    return sum(1 + (unicodedata.east_asian_width(character) in "WF") for character in text)


def wrapped(text: str) -> Iterator[str]:
    """Yield lines of at most `WIDEST` characters, broken after a space; all but the first are indented.

    Examples
    --------
    >>> list(wrapped("dL/dx = " + " + ".join(["term"] * 8)))
    ['dL/dx = term + term + term + term + term + term + term +', '    term']
    """
    while cells(text) > WIDEST:
        fits = next(n for n in range(len(text), 0, -1) if cells(text[:n].rstrip()) <= WIDEST)
        at = text.rfind(" ", len(text) - len(text.lstrip()), fits) + 1 or fits
        yield text[:at].rstrip()
        text = "    " + text[at:].lstrip()
    yield text


def step_face(step: Step, is_result: bool) -> Face:
    """Describe an operation: its value, its gradient and its rules."""
    title = f"{step.name} = {step.operation}" if step.name else step.operation
    lines = [_numbers(step.shape, step.value, step.gradient)]
    if step.first is not None:
        lines.append(f"g ← {step.first.text}")
    rules = [f"dL/d{i.name} = {i.formula.text}" for i in step.inputs if i.formula is not None]
    tip = [f"{step.operation}: {step.shape} {step.dtype}", *rules[:SHOWN]]
    if step.kept:
        tip.append(f"keeps {readable_bytes(step.kept_bytes)}: {', '.join(kept.name for kept in step.kept)}")
    if step.line is not None:
        tip.append(str(step.line))
    more = [f"… {len(rules) - LISTED:,} more"] if len(rules) > LISTED else []
    return Face("result" if is_result else "step", title, lines + rules[:LISTED] + more, "\n".join(tip))


def leaf_face(leaf: Leaf) -> Face:
    """Describe a leaf: its value and its gradient."""
    uses = f", used {leaf.uses} times" if leaf.uses > 1 else ""
    numbers = _numbers(leaf.shape, leaf.value, leaf.gradient)
    return Face("leaf", leaf.name or "leaf", [numbers], f"leaf: {leaf.shape} {leaf.dtype}{uses}")


def constant_face(constant: Constant, name: str, role: str) -> Face:
    """Describe a value without a gradient, under its name or the name of the input that it is."""
    number = "" if constant.value is None else f"{constant.value:.4g}"
    if not constant.shape:
        return Face("constant", name or number, [f"data {number}"] if name else [], "no gradient")
    return Face("constant", name or role, [str(constant.shape)], f"{constant.shape}, no gradient")


def call_title(call: ModuleCall) -> str:
    """Name a module and its class."""
    return f"{call.path} {call.kind}".strip()


def call_face(call: ModuleCall, gradient: Measure | None, count: int) -> Face:
    """Describe a folded module: settings, shapes, parameters, and the gradient of its output."""
    lines = [call.settings] if call.settings else []
    given = ", ".join(map(str, call.inputs))
    lines.append(f"{given} → {call.output}" if call.output is not None else given)
    shapes = [(name, tuple(parameter._data.shape)) for name, parameter in call.parameters]
    lines += [f"{name} {shape}" for name, shape in shapes] if len(shapes) <= LISTED else []
    total = sum(math.prod(shape) for _, shape in shapes)
    if total:
        lines.append(f"{total:,} parameters")
    if gradient is not None:
        lines.append(amount(gradient, "grad"))
    tip = f"{call_title(call)}: {counted(count, 'operation')}, click to unfold"
    return Face("module", call_title(call), lines, tip)


def rest_face(steps: Sequence[Step]) -> Face:
    """Count the operations that are not drawn."""
    counts = Counter(step.operation for step in steps).most_common(LISTED)
    lines = [f"{count:,} {operation}" for operation, count in counts]
    kept = sum({kept.place: kept.nbytes for step in steps for kept in step.kept}.values())
    lines.append(f"keep {readable_bytes(kept)}")
    return Face("rest", f"{len(steps):,} operations, not drawn", lines, "too many to draw")


def leaves_face(count: int) -> Face:
    """Count the leaves that are not drawn."""
    return Face("rest", f"{count:,} leaves, not drawn", [], "too many to draw")


def _numbers(shape: tuple[int, ...], value: float | None, gradient: Measure | None) -> str:
    parts = [str(shape) if value is None else f"data {value:.4g}"]
    if gradient is not None:
        parts.append(f"grad {gradient.value:.4g}" if gradient.value is not None else amount(gradient, "grad"))
    return "   ".join(parts)
