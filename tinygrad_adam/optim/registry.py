"""Optimizers by name, for command lines and configuration files."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any

from ..errors import unknown_name
from .optimizer import Optimizer

OPTIMIZERS: dict[str, type[Optimizer]] = {}
"""Every optimizer by the name of its class in lower case; filled by what `optim` exports."""


def build_optimizer(name: str, params: Iterable[Any], **settings: Any) -> Optimizer:
    """Make an optimizer from its name.

    Parameters
    ----------
    name : str
        A key of `OPTIMIZERS`.
    params : iterable
        Parameters, or pairs of name and Parameter.
    **settings
        Its hyper-parameters.

    Raises
    ------
    OptionError
        If the name or a hyper-parameter is not known, with the nearest that is, or a value is out of
        its domain.
    """
    if name not in OPTIMIZERS:
        raise unknown_name("optimizer", "optimizer", name, OPTIMIZERS)
    known = [p for p in inspect.signature(OPTIMIZERS[name]).parameters if p != "params"]
    for setting in settings:
        if setting not in known:
            raise unknown_name(name, "hyper-parameter", setting, known)
    return OPTIMIZERS[name](params, **settings)
