"""The refusals of a Trainer: arguments that would fail far inside, and a loss that is not finite."""

from __future__ import annotations

import math
from typing import NoReturn

from ..errors import NonFiniteError, OptionError
from ..nn import Module
from ..optim import Optimizer, ReduceLROnPlateau, Schedule
from ..values import is_number

OWN_COLUMNS = ("epoch", "step", "loss", "lr", "seconds")
"""The columns that every history has."""

METHODS = ("update", "reset", "state_dict", "load_state_dict")
"""The methods of a metric, which need not be an average as `Metric` is."""


def check_arguments(
    model: object,
    optimizer: object,
    loss: object,
    metrics: object,
    schedule: object,
    schedule_per: object,
    max_grad_norm: object,
) -> None:
    """Refuse arguments of a Trainer that would fail far inside, with the remedy."""
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
        _check_metric(name, metric)
    if not isinstance(schedule, Schedule | None):
        refuse("schedule must be one of optim: optim.StepLR(optimizer, 10)", schedule=schedule)
    if schedule is not None and schedule.optimizer is not optimizer:
        refuse("the schedule belongs to another optimizer; make it from this one")
    if schedule_per not in ("epoch", "step"):
        refuse("schedule_per must be 'epoch' or 'step'", schedule_per=schedule_per)
    if schedule_per == "step" and isinstance(schedule, ReduceLROnPlateau):
        refuse("ReduceLROnPlateau watches a quantity of an epoch; use schedule_per='epoch'")
    # Infinity only measures.
    if max_grad_norm not in (None, math.inf) and not (is_number(max_grad_norm) and max_grad_norm > 0):
        raise OptionError("Trainer", "max_grad_norm must be positive", max_grad_norm=repr(max_grad_norm))


def _check_metric(name: object, metric: object) -> None:
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


def refuse(problem: str, **got: object) -> NoReturn:
    """Refuse an argument of a Trainer, and show its type."""
    kinds = {name: value if isinstance(value, str | type) else type(value) for name, value in got.items()}
    raise OptionError("Trainer", problem, **kinds)


def not_finite_loss(loss: float, late: bool, **place: float) -> NonFiniteError:
    """Return the error for a loss that is not finite, found at its step or `late`."""
    state = (
        "It was not in one of the last steps, which have changed the parameters; go on from a checkpoint"
        if late
        else "The parameters are as they were before this step, and running averages of batch "
        "normalization have taken nothing that is not finite"
    )
    return NonFiniteError(
        "training",
        "the loss is not finite; lower the learning rate, clip gradients (max_grad_norm), or look "
        f"for log(0) and division by 0. {state}",
        loss=loss,
        **place,
    )
