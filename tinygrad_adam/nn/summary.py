"""A model as text: the tree of its layers, and a table of their output shapes and numbers of parameters."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..engine.modes import no_grad
from ..engine.viewers import view
from ..files.text import aligned
from ..tensor.tensor import Tensor
from .module import Module


class Summary(str):
    """The table as text, which a notebook shows as a table.

    Attributes
    ----------
    rows : list of tuple of str
        Headings, layers and total; each row has the name, the output shape and the number of parameters.
    """

    rows: list[tuple[str, str, str]]

    def __new__(cls, rows: list[tuple[str, str, str]]) -> Summary:  # noqa: D102
        lines = aligned(rows, left=2)
        rule = "-" * len(lines[0])
        summary = super().__new__(cls, "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1]]))
        summary.rows = rows
        return summary

    __repr__ = str.__str__

    def _repr_html_(self) -> str | None:
        return view("Summary._repr_html_")(self)


def summarize(model: Module, inputs: tuple[Any, ...]) -> Summary:
    """Run `model` once on `inputs` and describe each layer; see `Module.summary`."""
    rows = [("layer", "output shape", "parameters")]
    removers = []

    def recorder(name: str) -> Any:
        def record(module: Module, args: tuple[Any, ...], output: Any) -> None:
            shape = str(output.shape) if isinstance(output, Tensor) else type(output).__name__
            rows.append((f"{name} ({type(module).__name__})".strip(), shape, f"{module.parameter_count():,}"))

        return record

    modes = [(module, module.training) for module in model.modules()]
    for name, module in model.named_modules():
        if not list(module.children()):
            removers.append(module.register_forward_hook(recorder(name)))
    try:
        with no_grad():
            model.eval()(*inputs)
    finally:
        for remove in removers:
            remove()
        for module, mode in modes:
            module.__dict__["training"] = mode
    rows.append(("total", "", f"{model.parameter_count():,}"))
    return Summary(rows)


def tree(module: Module) -> str:
    """Return the representation of a module: a line for each layer; see `Module`."""
    return "\n".join(_lines(module, "", module.parameter_count()))


def _lines(module: Module, label: str, count: int, around: tuple[Module, ...] = ()) -> Iterator[str]:
    """Yield the lines of the tree, each with the number of parameters below it."""
    head = f"{label}{type(module).__name__}({module.extra_repr()}"
    note = "" if not count else f"  # {count:,}" if around else f"  # {count:,} parameters"
    children = list(module.named_children())
    if any(module is other for other in around):  # it holds itself
        yield f"{head}...){note}"
        return
    if not children:
        yield f"{head}){note}"
        return
    yield f"{head}{note}"
    for name, child in children:
        for line in _lines(child, f"({name}): ", child.parameter_count(), (*around, module)):
            yield "  " + line
    yield ")"
