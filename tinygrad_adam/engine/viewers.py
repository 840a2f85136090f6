"""The one table that knows the viewers: explanations, ledgers, films, drawings, recordings, notebooks.

Tensors, modules and optimizers offer methods that show how they came about, but none of them imports the code
that does so. They ask `view`, which imports it at the first call.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

VIEWERS = {
    "Tensor.explain": "explain.chain_rule.walk:explain_graph",
    "Module.__repr__": "nn.summary:tree",
    "Module.summary": "nn.summary:summarize",
    "Optimizer.ledger": "explain.ledger.ledger:ledger",
    "Optimizer.explain": "explain.ledger.ledger:explain_step",
    "Trainer.fit": "training.display:progress_of",
    "tg.doctor": "explain.doctor.doctor:Doctor",
    "tg.draw": "explain.drawing.drawing:draw",
    "tg.film": "explain.film.film:film",
    "tg.gradcheck": "testing.gradcheck:gradcheck",
    "tg.gradgradcheck": "testing.gradcheck:gradgradcheck",
    "tg.recorded": "recording.replay:recorded",
    "tg.tracing": "explain.chain_rule.traces:tracing",
}
"""By public name: the module within this package, and the name in it."""

VIEWERS |= {
    f"{kind}._repr_html_": f"notebook.{place}_html"
    for kind, place in {
        "Comparison": "training:comparison",
        "DataLoader": "data:loader",
        "Doctor": "findings:doctor",
        "EntryLedger": "explaining:entry",
        "Explanation": "explaining:explanation",
        "Finding": "findings:finding",
        "Grade": "findings:grade",
        "History": "training:history",
        "ImageData": "data:image_data",
        "LayerLedger": "explaining:layer",
        "Module": "modules:module",
        "NextStep": "explaining:next_step",
        "Optimizer": "optimizers:optimizer",
        "Race": "races:race",
        "Report": "findings:report",
        "Schedule": "optimizers:schedule",
        "Summary": "modules:summary",
        "Sweep": "training:sweep",
        "Tensor": "tensors:tensor",
        "TensorDataset": "data:dataset",
        "Trainer": "training:trainer",
        "Trials": "training:trials",
    }.items()
}

PACKAGE = __name__.partition(".")[0]


def view(name: str) -> Any:
    """Import and return the function or class that serves a public name."""
    module, _, function = VIEWERS[name].partition(":")
    return getattr(import_module(f"{PACKAGE}.{module}"), function)
