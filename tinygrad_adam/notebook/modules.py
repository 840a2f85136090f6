"""A module as a table of its layers, and the summary of a forward pass."""

from __future__ import annotations

from collections.abc import Iterator

from ..files.text import counted
from ..nn.module import Module
from ..nn.summary import Summary
from .html import Html, code, heading, join, paragraphs, shown, soft, table

MOST = 60
"""Layers that are shown; of more, the first and the last ones."""


def _body(module: Module) -> Html:
    count = module.parameter_count()
    frozen = sum(p.size for p in module.parameters() if not p.requires_grad)
    facts = [counted(count, "parameter")]
    if frozen:
        facts.append(f"{frozen:,} of them frozen")
    facts.append("training mode" if module.training else "evaluation mode")
    rows = list(_rows(module, module.training))
    if not rows:
        return heading(_call(module), *facts)
    if len(rows) > MOST:
        between = ("", soft(f"... {len(rows) - MOST:,} layers between"), "")
        rows = [*rows[: MOST // 2], between, *rows[-MOST // 2 :]]
    layers = table(("name", "layer", "parameters"), rows, numbers=(2,), line=(0,))
    return join([heading(type(module).__name__, *facts), layers])


def _rows(
    module: Module, training: bool, depth: int = 0, around: tuple[int, ...] = ()
) -> Iterator[tuple[object, ...]]:
    """Yield the rows of the modules below one; a module that holds itself is not entered again."""
    around = (*around, id(module))
    for name, child in module.named_children():
        count = child.parameter_count()
        notes = (
            [] if child.training == training else ["training mode" if child.training else "evaluation mode"]
        )
        notes += ["the module around it"] * (id(child) in around)
        label = "\u00a0" * 4 * depth + name
        yield (
            label,
            join([code(_call(child)), *[soft(" · ", note) for note in notes]]),
            f"{count:,}" if count else "",
        )
        if id(child) not in around:
            yield from _rows(child, child.training, depth + 1, around)


def _call(module: Module) -> str:
    try:
        settings = module.extra_repr()
    except Exception as error:  # a user's layer may raise anything
        settings = f"its extra_repr raises {type(error).__name__}"
    return f"{type(module).__name__}({settings})"


def _summary(summary: Summary) -> Html:
    (_, *layers, total) = summary.rows
    rows = [(name, code(shape), count) for name, shape, count in layers]
    return join(
        [table(summary.rows[0], rows, numbers=(2,), line=(0, 1)), paragraphs(f"{total[2]} parameters in all")]
    )


module_html = shown(_body)
summary_html = shown(_summary)
