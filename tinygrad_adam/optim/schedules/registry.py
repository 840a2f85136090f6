"""Schedules by name, for command lines and configuration files."""

from __future__ import annotations

import inspect
from typing import Any

from ...errors import OptionError, unknown_name
from ..optimizer import Optimizer
from .base import Schedule
from .cosine import CosineAnnealingLR, CosineAnnealingWarmRestarts, OneCycleLR
from .decay import (
    ConstantLR,
    ExponentialLR,
    InverseSquareRootLR,
    InverseTimeLR,
    LinearLR,
    MultiStepLR,
    PolynomialLR,
    StepLR,
)
from .plateau import ReduceLROnPlateau

SCHEDULES: dict[str, type[Schedule]] = {
    "constant": ConstantLR,
    "cosine": CosineAnnealingLR,
    "cosine-restarts": CosineAnnealingWarmRestarts,
    "exponential": ExponentialLR,
    "inverse-sqrt": InverseSquareRootLR,
    "inverse-time": InverseTimeLR,
    "linear": LinearLR,
    "multi-step": MultiStepLR,
    "one-cycle": OneCycleLR,
    "plateau": ReduceLROnPlateau,
    "polynomial": PolynomialLR,
    "step": StepLR,
}
"""All but those made of functions or of other schedules, which have no place on a command line."""


def build_schedule(name: str, optimizer: Optimizer, **settings: Any) -> Schedule:
    """Make a schedule from its name.

    Parameters
    ----------
    name : str
        A key of `SCHEDULES`.
    optimizer : Optimizer
        Whose learning rates to set.
    **settings
        Its parameters.

    Raises
    ------
    OptionError
        If the name or a setting is not known, with the nearest that is, one is missing, or a value is out of
        its domain.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> opt = tg.optim.Adam([tg.nn.Parameter([1.0])], lr=0.1)
    >>> tg.optim.build_schedule("step", opt, step_size=2, gamma=0.5).preview(4)
    [[0.1], [0.1], [0.05], [0.05]]
    """
    if name not in SCHEDULES:
        raise unknown_name("schedule", "schedule", name, SCHEDULES)
    known = dict(inspect.signature(SCHEDULES[name]).parameters)
    del known["optimizer"]
    for setting in settings:
        if setting not in known:
            raise unknown_name(name, "setting", setting, known)
    missing = [key for key, p in known.items() if p.default is p.empty and key not in settings]
    if missing:
        raise OptionError(name, "the schedule needs more settings", missing=", ".join(missing))
    return SCHEDULES[name](optimizer, **settings)
