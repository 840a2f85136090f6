"""The parts of an optimizer that its viewers read: parameters, names, moments and scalars."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from ..nn import Parameter
from ..optim import Optimizer
from ..optim.settings import Group
from ..typing import Array


class Held(NamedTuple):
    """A parameter as its optimizer holds it.

    Attributes
    ----------
    name : str
        Its name in the optimizer; a number if the optimizer was given no names.
    parameter : Parameter
        The parameter.
    steps : int
        The number of steps that it has taken.
    moments : dict of str to array
        Its moments; the next step changes these arrays.
    settings : Group
        The hyper-parameters of its group.
    """

    name: str
    parameter: Parameter
    steps: int
    moments: dict[str, Array]
    settings: Group


def held(optimizer: Optimizer) -> Iterator[Held]:
    """Yield each parameter of an optimizer with its name, state and settings."""
    for settings, storage in optimizer.storages():
        for i, p in enumerate(storage.params):
            moments = dict(storage.places(i, optimizer.moments_of(settings)))
            yield Held(name_of(optimizer, p), p, storage.steps[i], moments, settings)


def parameters_of(optimizer: Optimizer) -> list[Parameter]:
    """Return the parameters of all groups, in their order."""
    return [p for group in optimizer.param_groups for p in group["params"]]


def name_of(optimizer: Optimizer, parameter: Parameter) -> str:
    """Return the name of a parameter in its optimizer; empty if the optimizer does not have it."""
    return optimizer.name_of(parameter) or ""


def scalars_of(optimizer: Optimizer, settings: Group, step: int) -> dict[str, float]:
    """Return the numbers that a step of a group computes with, by the names in `update`."""
    return optimizer.scalars(settings, step)


def grad_scale_of(optimizer: Optimizer) -> float:
    """Return the divisor of the gradients in the step that is under way."""
    return optimizer._grad_scale
