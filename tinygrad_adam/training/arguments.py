"""The arguments of a Trainer, checked when it is made: a wrong one would fail far inside."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..errors import OptionError
from ..nn import Module
from ..optim import Optimizer, Schedule
from .callbacks import Callback

OWN_COLUMNS = ("epoch", "step", "loss", "lr", "seconds")
"""The columns that every history has."""

METHODS = ("update", "reset", "state_dict", "load_state_dict")
"""The methods of a metric, which need not be an average as `Metric` is."""


def require_parts(model: Any, optimizer: Any, loss: Any, metrics: Any, schedule: Any, callbacks: Any) -> None:
    """Refuse arguments of a Trainer that would fail far inside, and say what to write."""

    def refuse(problem: str, **got: Any) -> None:
        shown = {name: value if isinstance(value, str | type) else type(value) for name, value in got.items()}
        raise OptionError("Trainer", problem, **shown)

    if not isinstance(model, Module):
        refuse("model must be a Module, such as nn.Sequential(...)", model=model)
    if not isinstance(optimizer, Optimizer):
        refuse("optimizer must be one of optim: optim.Adam(model.named_parameters())", optimizer=optimizer)
    known = {id(p) for p in model.parameters()}
    if not any(id(p) in known for group in optimizer.param_groups for p in group["params"]):
        refuse("the optimizer has no parameter of this model; make it from model.named_parameters()")
    if isinstance(loss, type):
        refuse(f"loss is a class; write {loss.__name__}()", loss=loss)
    if not callable(loss):
        refuse("loss must be callable, such as nn.functional.cross_entropy or nn.MSELoss()", loss=loss)
    if not isinstance(metrics, dict | None):
        refuse("metrics must be a dict with their names: {'accuracy': Accuracy()}", metrics=metrics)
    for name, metric in (metrics or {}).items():
        if isinstance(metric, type):
            refuse(f"a metric is a class; write {metric.__name__}()", **{str(name): metric})
        if not all(callable(getattr(metric, method, None)) for method in METHODS):
            refuse(
                "a metric must be a Metric, such as Accuracy(); for one of your own derive from Metric, and "
                "let scores(output, target) return a number for each sample",
                **{str(name): metric},
            )
        if not isinstance(name, str) or name in OWN_COLUMNS or name.startswith("val_"):
            refuse(
                f"a metric's name must not begin with val_, or be {', '.join(OWN_COLUMNS)}: the history has "
                "these already",
                **{str(name): metric},
            )
    if not isinstance(schedule, Schedule | None):
        refuse("schedule must be one of optim: optim.StepLR(optimizer, 10)", schedule=schedule)
    if schedule is not None and schedule.optimizer is not optimizer:
        refuse("the schedule is one of another optimizer; make it from this one")
    if not isinstance(callbacks, Sequence):
        refuse("callbacks must be a list: [EarlyStopping()]", callbacks=callbacks)
    for callback in callbacks:
        if not isinstance(callback, Callback):
            refuse("each callback must be an instance of a class derived from Callback", callback=callback)
