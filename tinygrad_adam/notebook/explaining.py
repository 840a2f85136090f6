"""The chain rule of a graph, and the ledgers of a step."""

from __future__ import annotations

from collections.abc import Sequence

from ..explain.chain_rule.explanation import (
    LEGEND,
    SHOWN,
    Explanation,
    Input,
    Leaf,
    Step,
    amount,
    closing,
    headline,
    readable_bytes,
    shown_steps,
)
from ..explain.ledger.ledgers import DISTRIBUTED, QUANTILES, EntryLedger, LayerLedger
from ..explain.ledger.next_step import NextStep
from ..optim.quantity import shown as number
from .html import Html, code, element, facts, join, paragraphs, shown, soft, table, title


def _explanation(explanation: Explanation) -> Html:
    first, last = shown_steps(explanation)
    body = [row for step in first for row in _step_rows(step)]
    if between := len(explanation.steps) - len(first) - len(last):
        note = soft(f"... {between:,} operations between; .steps has them all")
        body.append(_row(["", note, "", "", ""], True))
    body += [row for step in last for row in _step_rows(step)]
    columns = ("", "operation", "chain rule", "gradient", "passed on")
    head = element("thead", element("tr", *[element("th", name, kind="line") for name in columns]))
    return join([
        title(headline(explanation)),
        element("table", head, element("tbody", *body), kind="table"),
        paragraphs(LEGEND, *closing(explanation, [*first, *last])),
    ])  # fmt: skip


def _step_rows(step: Step) -> list[Html]:
    """Return the rows of a step: its own, and one for each input."""
    name = f"{step.name} = " if step.name else ""
    value = f" = {step.value:.6g}" if step.value is not None else f" {step.shape}"
    head = [element("b", step.number), join([code(name, element("b", step.operation)), value])]
    rule = code(f"g becomes {step.first.text}") if step.first is not None else ""
    rows = [_row([*head, rule, amount(step.gradient, "g"), ""], True)]
    notes: list[object] = []
    if step.call is not None:
        notes.append(f"{step.call.path} {step.call.kind}".strip())
    if step.line is not None:
        notes.append(code(step.line))
    if step.kept:
        notes.append(f"keeps {readable_bytes(step.kept_bytes)}: {', '.join(kept.name for kept in step.kept)}")
    inputs = [_input(i) for i in step.inputs[:SHOWN]]
    if len(step.inputs) > SHOWN:
        inputs.append([soft(f"... {len(step.inputs) - SHOWN:,} more inputs"), "", ""])
    for i in range(max(len(notes), len(inputs))):
        note = soft(notes[i]) if i < len(notes) else ""
        rows.append(_row(["", note, *(inputs[i] if i < len(inputs) else ["", "", ""])], False))
    return rows


def _row(cells: Sequence[object], first: bool) -> Html:
    contents = [element("td", cell, kind="line" * (i > 2)) for i, cell in enumerate(cells)]
    return element("tr", *contents, kind="first") if first else element("tr", *contents)


def _input(i: Input) -> list[object]:
    if i.formula is None:
        return [soft(code(i.name), f" {i.shape} has no gradient"), "", ""]
    target = ""
    if isinstance(i.source, Step):
        target = f"to {i.source.number}"
    elif isinstance(i.source, Leaf):
        target = f"to leaf {i.source.name}".rstrip()
    rule = [code(f"dL/d{i.name} = {i.formula.text}"), soft(" (sum)") if i.summed else ""]
    return [join(rule), amount(i.gradient, f"dL/d{i.name}"), target]


def _entry(ledger: EntryLedger) -> Html:
    rows = []
    for line in ledger.lines:
        steps = [text for text in (line.formula, line.numbers) if text]
        value = element("b", number(line.value))
        formula = code(line.symbol, f"\n{' ' * len(line.symbol)}".join(f" = {text}" for text in steps))
        rows.append((soft(line.source), line.meaning, formula, value))
    columns = ("line", "quantity", "formula, and the same with numbers", "value")
    first, *others = ledger.heading(ledger.title)
    return join([title(first), paragraphs(*others), table(columns, rows, numbers=(3,), line=(0, 2))])


def _layer(ledger: LayerLedger) -> Html:
    first, *others = ledger.heading(ledger.subject)
    spread = [
        (meaning, *(f"{value:.3g}" for value in ledger.distribution(name).values()))
        for name, meaning in DISTRIBUTED.items()
        if name in ledger.lines
    ]
    moved = [
        (
            code(list(mover.index)), f"{mover.value:.4g}", f"{mover.update:.4g}",
            "" if mover.effective_lr is None else f"{mover.effective_lr:.4g}",
        )
        for mover in ledger.movers()
    ]  # fmt: skip
    return join([
        title(first), paragraphs(*others),
        table(("over all entries", *QUANTILES), spread, numbers=range(1, 6), line=(0,)),
        paragraphs(ledger.norms),
        title("The entries that moved most"),
        table(("entry", "value before", "update", "effective learning rate"), moved, numbers=(1, 2, 3)),
    ])  # fmt: skip


def _next_step(step: NextStep) -> Html:
    names = ", ".join(step.parameters)
    return join([
        element("p", str(step)), facts({"parameters that moved": code(names)}),
        paragraphs("optimizer.explain(name, index) of .optimizer shows the step of an entry"),
    ])  # fmt: skip


explanation_html = shown(_explanation)
entry_html = shown(_entry)
layer_html = shown(_layer)
next_step_html = shown(_next_step)
