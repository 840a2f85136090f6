"""The graph of a result as a picture: operations, values and gradients, folded by module."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from ...errors import DTypeError, OptionError, unknown_name
from ...files.writing import write_text
from ...tensor.tensor import Tensor
from ...typing import TensorLike
from ...values import is_integer
from ..chain_rule.explanation import Explanation
from ..chain_rule.walk import explain_graph
from .faces import call_title
from .layout import arrange
from .placing import place
from .sections import Section, Sections
from .svg import render, size_boxes

VISIBLE = 40
"""The number of boxes that a picture shows at first if `unfold` is left out."""
DIRECTIONS = ("down", "right")


class Drawing:
    """A picture of a graph, made by `draw`.

    A notebook shows it. In a file that a browser opened from the disk, modules fold and unfold by click, or
    by Enter on the one that has the focus; notebooks do not let pictures run scripts.

    Attributes
    ----------
    svg : str
        The picture, as a file that needs nothing else.
    explanation : Explanation
        The graph that it shows.
    """

    def __init__(self, svg: str, explanation: Explanation) -> None:
        self.svg = svg
        self.explanation = explanation

    def _repr_svg_(self) -> str:
        return self.svg

    def __repr__(self) -> str:
        return f"<Drawing of {len(self.explanation.steps):,} operations; .save(path) writes it as SVG>"

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the picture to an SVG file; one that is there already is replaced whole or not at all.

        Raises
        ------
        OptionError
            If the path does not end in ``.svg``, or the file cannot be written.
        """
        if Path(path).suffix.lower() != ".svg":
            raise OptionError("draw", "the picture is SVG, so the name must end in .svg", path=Path(path))
        try:
            write_text(path, self.svg)
        except OSError as error:
            raise OptionError(
                "draw", f"the picture cannot be written: {error}; nothing was left behind", path=Path(path)
            ) from error


def draw(
    result: Tensor,
    unfold: int | str | Sequence[str] | None = None,
    gradient: TensorLike = None,
    direction: str = "down",
) -> Drawing:
    """Draw the graph of a Tensor, from its leaves down to itself.

    Each operation is a box with its value, if that is one number, or its shape; its gradient, or the norm of
    it; and the rules of the chain rule. Local variables of the caller give names. In a graph computed inside
    ``with tracing():`` each module is one box that can be unfolded, and all scalars have their values.

    Parameters
    ----------
    result : Tensor
        A loss, or any other result of operations.
    unfold : int, str or sequence of str, optional
        The modules that are shown from within: all above this depth, or these names and the modules around
        them. By default those that hold other modules, as long as the picture stays readable.
    gradient : Tensor or array, optional
        As for `Tensor.explain`.
    direction : {"down", "right"}
        Where data flows to. A wide screen holds more of a picture from left to right.

    Returns
    -------
    Drawing
        A notebook shows it; ``.save("graph.svg")`` writes it.

    Raises
    ------
    GraphError
        If the Tensor has no graph, or one that was freed and not traced.
    OptionError
        If there is no such module or direction, or a depth is negative.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> a, b = (tg.tensor(v, requires_grad=True) for v in (2.0, -3.0))
    >>> picture = tg.draw(a * b)
    >>> picture
    <Drawing of 1 operations; .save(path) writes it as SVG>
    >>> "data -6   grad 1" in picture.svg
    True
    """
    if not isinstance(result, Tensor):
        raise DTypeError("draw", "only a Tensor has a graph", got=type(result).__name__)
    if direction not in DIRECTIONS:
        raise OptionError(
            "draw", f"direction must be one of {', '.join(map(repr, DIRECTIONS))}", direction=repr(direction)
        )
    frame = sys._getframe(1)
    explanation = explain_graph(result, gradient, largest_first=False, frame=frame, where="draw")
    sections = Sections(explanation, _names(frame))
    held = [section for section in sections.drawn() if section.call is not None]
    for section in _to_open(held, unfold):
        sections.box_of(section).opened = True
    for section in sections.drawn():
        section.level.right = direction == "right"
    size_boxes(sections)
    for section in sections.drawn():
        arrange(section.level)
    place(sections.whole.level)
    return Drawing(render(sections), explanation)


def _names(frame: FrameType) -> dict[int, str]:
    return {
        id(thing): name
        for name, thing in list(frame.f_locals.items())
        if isinstance(thing, Tensor) and not name.startswith("_")
    }


def _to_open(held: Sequence[Section], unfold: int | str | Sequence[str] | None) -> list[Section]:
    """Choose the modules that are unfolded at first."""
    if unfold is None:
        opened: list[Section] = []
        deepest = max((section.depth for section in held), default=-1)
        for depth in range(deepest + 1):
            # Modules that hold no other stay folded: their names describe them.
            more = [s for s in held if s.depth == depth and any(isinstance(m, Section) for m in s.members)]
            if sum(len(section.members) for section in (*opened, *more)) > VISIBLE:
                break
            opened += more
        return opened
    if not isinstance(unfold, str | Sequence):
        if not is_integer(unfold, 0):
            raise OptionError("draw", "unfold must be a depth >= 0 or names of modules", unfold=repr(unfold))
        return [section for section in held if section.depth < unfold]
    chosen: dict[Section, None] = {}
    known = {section: call_title(section.call) for section in held if section.call is not None}
    for name in [unfold] if isinstance(unfold, str) else unfold:
        found = [s for s in held if s.call is not None and name in (s.call.path, known[s])]
        if not found:
            raise unknown_name("draw", "module", name, known.values())
        for section in found:
            chosen.update((inner, None) for _, inner in section.path if isinstance(inner, Section))
    return list(chosen)
