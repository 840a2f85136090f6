"""The space of a search: hyper-parameters with their values or ranges, as a grid or at random."""

from __future__ import annotations

import inspect
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy

from ...errors import OptionError, unknown_name
from ...nn import Parameter
from ...optim import OPTIMIZERS, build_optimizer
from ...values import plain, read_value

SCALES = {
    **dict.fromkeys(("lr", "eps", "weight_decay", "final_lr"), "log"),
    **dict.fromkeys(("beta1", "beta2", "momentum", "rho", "alpha"), "one minus log"),
}
"""The scales of ranges: "log" makes equal ratios, "one minus log" equal ratios of 1 - value, since an average
with `beta` remembers for about 1 / (1 - beta) steps. All others are divided evenly."""


@dataclass(frozen=True)
class Range:
    """All numbers from `low` to `high`.

    Parameters
    ----------
    name : str
        The hyper-parameter; it decides the scale.
    low, high : float
        The ends.

    Raises
    ------
    OptionError
        If the ends are not in order, or not on the scale.
    """

    name: str
    low: float
    high: float

    def __post_init__(self) -> None:
        for end in ("low", "high"):
            object.__setattr__(self, end, plain(getattr(self, end)))  # JSON holds no numbers of NumPy
        problem = ""
        if not -math.inf < self.low < self.high < math.inf:
            problem = "a range goes from a lower number to a higher one, as in lr=1e-4..1e-1"
        elif self.scale == "log" and self.low <= 0:
            problem = (
                f"a range of {self.name} is divided on a logarithmic scale, so both ends must be positive; "
                f"to try 0 as well, list the values: {self.name}=0,1e-3,1e-2"
            )
        elif self.scale == "one minus log" and self.high >= 1:
            problem = (
                f"a range of {self.name} is divided on a logarithmic scale of 1 - {self.name}, so both ends "
                f"must be below 1, as in {self.name}=0.9..0.999"
            )
        if problem:
            raise OptionError("search space", problem, **{self.name: f"{self.low}..{self.high}"})

    @property
    def scale(self) -> str:
        """The scale: "log", "one minus log" or "linear"."""
        return SCALES.get(self.name, "linear")

    def at(self, share: float) -> float:
        """Return the number at a share, from 0 to 1, of the way on the scale, to four significant digits."""
        if self.scale == "log":
            value = math.exp((1 - share) * math.log(self.low) + share * math.log(self.high))
        elif self.scale == "one minus log":
            rest = math.exp((1 - share) * math.log(1 - self.low) + share * math.log(1 - self.high))
            return round(1 - float(f"{rest:.4g}"), 15)
        else:
            value = (1 - share) * self.low + share * self.high
        return float(f"{value:.4g}")


Space = Mapping[str, Range | Sequence[Any]]


def parse_space(texts: Sequence[str]) -> dict[str, Range | list[Any]]:
    """Read ``name=low..high`` and ``name=value,value``.

    Parameters
    ----------
    texts : sequence of str
        One a hyper-parameter.

    Raises
    ------
    OptionError
        If one cannot be understood.

    Examples
    --------
    >>> from tinygrad_adam.training import parse_space
    >>> parse_space(["lr=1e-4..1e-1", "amsgrad=True,False"])
    {'lr': Range(name='lr', low=0.0001, high=0.1), 'amsgrad': [True, False]}
    """
    space: dict[str, Range | list[Any]] = {}
    for text in texts:
        name, _, values = text.partition("=")
        if name in space:
            raise OptionError("search space", f"{name} is there twice; write it once", got=text)
        low, dots, high = values.partition("..")
        example = "a range, as lr=1e-4..1e-1, or values, as beta1=0.8,0.9,0.95"
        parts = [low, high] if dots else values.split(",")
        found = [read_value("search space", part, text, example) for part in parts]
        if dots and not all(isinstance(end, int | float) for end in found):
            raise OptionError("search space", f"write {example}", got=text)
        space[name] = Range(name, *map(float, found)) if dots else found
    return space


def grid(space: Space, points: int = 5) -> list[dict[str, Any]]:
    """Return all combinations.

    Parameters
    ----------
    space : mapping of str to Range or sequence
        The values to try of each hyper-parameter.
    points : int
        The number of values from each range.

    Examples
    --------
    >>> grid({"lr": Range("lr", 1e-3, 1e-1), "beta1": [0.8, 0.9]}, points=3)[:3]
    [{'lr': 0.001, 'beta1': 0.8}, {'lr': 0.001, 'beta1': 0.9}, {'lr': 0.01, 'beta1': 0.8}]
    """
    if points < 2:
        raise OptionError("search space", "a range has at least 2 points: its ends", points=points)
    axes = [
        [values.at(i / (points - 1)) for i in range(points)] if isinstance(values, Range) else values
        for values in space.values()
    ]
    return [dict(zip(space, values, strict=True)) for values in itertools.product(*axes)]


def draw(space: Space, trials: int, seed: int = 0) -> list[dict[str, Any]]:
    """Return combinations drawn at random.

    Each is a function of the seed and its number: more trials begin with the same ones.

    Parameters
    ----------
    space : mapping of str to Range or sequence
        The values to draw from; numbers of a range are drawn evenly on its scale.
    trials : int
        The number of draws.
    seed : int
        Fixes the draws.

    Examples
    --------
    >>> draw({"lr": Range("lr", 1e-4, 1e-1)}, 2) == draw({"lr": Range("lr", 1e-4, 1e-1)}, 5)[:2]
    True
    """
    if trials < 1:
        raise OptionError("search space", "there must be at least one trial", trials=trials)
    drawn = []
    for number in range(trials):
        generator = numpy.random.default_rng([seed, number])
        drawn.append(
            {
                name: values.at(generator.random())
                if isinstance(values, Range)
                else values[int(generator.integers(len(values)))]
                for name, values in space.items()
            }
        )
    return drawn


def optimizer_settings(optimizer: str, *changes: Mapping[str, Any]) -> dict[str, Any]:
    """Put hyper-parameters together in the form that the optimizer takes, and let it check them.

    Parameters
    ----------
    optimizer : str
        A name in `OPTIMIZERS`.
    *changes : mapping of str to value
        Hyper-parameters, later ones replacing earlier ones; "beta1" and "beta2" replace one of "betas".

    Raises
    ------
    OptionError
        If the optimizer or a hyper-parameter is not known, or a value is out of its domain.

    Examples
    --------
    >>> optimizer_settings("adam", {"betas": (0.8, 0.99)}, {"lr": 0.01, "beta2": 0.95})
    {'betas': (0.8, 0.95), 'lr': 0.01}
    """
    if optimizer not in OPTIMIZERS:
        raise unknown_name("optimizer", "optimizer", optimizer, OPTIMIZERS)
    settings: dict[str, Any] = {}
    known = inspect.signature(OPTIMIZERS[optimizer]).parameters
    for name, value in (pair for change in changes for pair in change.items()):
        if name in ("beta1", "beta2") and "betas" in known:
            betas = settings.get("betas", known["betas"].default)
            build_optimizer(optimizer, [Parameter([0.0])], betas=betas)  # they may be anything
            beta1, beta2 = betas
            settings["betas"] = (value, beta2) if name == "beta1" else (beta1, value)
        else:
            settings[name] = value
    build_optimizer(optimizer, [Parameter([0.0])], **settings)
    return settings
