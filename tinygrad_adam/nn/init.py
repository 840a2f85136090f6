"""Initial weights. Each function overwrites a parameter in place and returns it.

Numbers come from the package's random generator; see `tinygrad_adam.manual_seed`. A weight has
shape (fan_out, fan_in, *kernel).
"""

from __future__ import annotations

import math

import numpy

from ..errors import OptionError, ShapeError, unknown_name
from ..tensor.random import generator
from ..tensor.tensor import Tensor
from ..typing import Array

GAINS = {"linear": 1.0, "sigmoid": 1.0, "tanh": 5 / 3, "relu": math.sqrt(2), "leaky_relu": None, "selu": 0.75}


def calculate_gain(nonlinearity: str, negative_slope: float = 0.01) -> float:
    """Return the factor for weights that makes a nonlinearity keep the variance.

    Parameters
    ----------
    nonlinearity : {"linear", "sigmoid", "tanh", "relu", "leaky_relu", "selu"}
        The function behind the weights.
    negative_slope : float
        The slope of a leaky ReLU on the negative side.
    """
    if nonlinearity not in GAINS:
        raise unknown_name("calculate_gain", "nonlinearity", nonlinearity, GAINS)
    gain = GAINS[nonlinearity]
    return math.sqrt(2 / (1 + negative_slope**2)) if gain is None else gain


def _fans(weight: Tensor) -> tuple[int, int]:
    if weight.ndim < 2:
        raise ShapeError("init", "fans need a weight with at least two axes", weight=weight.shape)
    kernel = math.prod(weight.shape[2:])
    return weight.shape[1] * kernel, weight.shape[0] * kernel


def _fan(weight: Tensor, mode: str) -> int:
    if mode not in ("fan_in", "fan_out"):
        raise unknown_name("init", "mode", mode, ("fan_in", "fan_out"))
    fan_in, fan_out = _fans(weight)
    return fan_in if mode == "fan_in" else fan_out


def _fill(weight: Tensor, values: Array) -> Tensor:
    weight.data = values
    return weight


def constant_(weight: Tensor, value: float) -> Tensor:
    """Fill with one value."""
    return _fill(weight, numpy.full(weight.shape, value))


def uniform_(weight: Tensor, low: float = 0.0, high: float = 1.0) -> Tensor:
    """Sample uniformly from [low, high)."""
    return _fill(weight, generator().uniform(low, high, weight.shape))


def normal_(weight: Tensor, mean: float = 0.0, std: float = 1.0) -> Tensor:
    """Sample from a normal distribution."""
    return _fill(weight, generator().normal(mean, std, weight.shape))


def trunc_normal_(
    weight: Tensor, mean: float = 0.0, std: float = 1.0, low: float = -2.0, high: float = 2.0
) -> Tensor:
    """Sample from a normal distribution, again for each number outside [low, high].

    Raises
    ------
    OptionError
        If the interval holds less than a thousandth of the distribution, so that sampling might not end.
    """
    inside = 0.5 * (
        math.erf((high - mean) / (std * math.sqrt(2))) - math.erf((low - mean) / (std * math.sqrt(2)))
    )
    if inside < 1e-3:
        raise OptionError(
            "trunc_normal_", "the interval holds almost none of the distribution",
            low=low, high=high, mean=mean, std=std,
        )  # fmt: skip
    values = generator().normal(mean, std, weight.shape)
    while (outside := (values < low) | (values > high)).any():
        values[outside] = generator().normal(mean, std, int(outside.sum()))
    return _fill(weight, values)


def kaiming_uniform_(
    weight: Tensor, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu"
) -> Tensor:
    """Sample uniformly so that ReLU layers keep the variance (He et al., 2015, equation 10).

    Parameters
    ----------
    weight : Parameter
        With at least two axes.
    a : float
        The negative slope of the leaky ReLU that follows.
    mode : {"fan_in", "fan_out"}
        Whether to keep the variance on the way forward or back.
    nonlinearity : str
        See `calculate_gain`.
    """
    bound = calculate_gain(nonlinearity, a) * math.sqrt(3 / max(1, _fan(weight, mode)))
    return uniform_(weight, -bound, bound)


def kaiming_normal_(
    weight: Tensor, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu"
) -> Tensor:
    """Sample from a normal distribution of the variance of `kaiming_uniform_`."""
    return normal_(weight, 0.0, calculate_gain(nonlinearity, a) / math.sqrt(max(1, _fan(weight, mode))))


def xavier_uniform_(weight: Tensor, gain: float = 1.0) -> Tensor:
    """Sample uniformly with variance 2 / (fan_in + fan_out) (Glorot & Bengio, 2010, equation 16)."""
    bound = gain * math.sqrt(6 / sum(_fans(weight)))
    return uniform_(weight, -bound, bound)


def xavier_normal_(weight: Tensor, gain: float = 1.0) -> Tensor:
    """Sample from a normal distribution of the variance of `xavier_uniform_`."""
    return normal_(weight, 0.0, gain * math.sqrt(2 / sum(_fans(weight))))


def orthogonal_(weight: Tensor, gain: float = 1.0) -> Tensor:
    """Sample a matrix with orthonormal rows or columns (Saxe et al., 2014); later axes count as columns."""
    if weight.ndim < 2:
        raise ShapeError("orthogonal_", "a weight with at least two axes is needed", weight=weight.shape)
    rows, columns = weight.shape[0], math.prod(weight.shape[1:])
    q, r = numpy.linalg.qr(generator().standard_normal((max(rows, columns), min(rows, columns))))
    q *= numpy.sign(numpy.diag(r))  # makes the distribution uniform
    return _fill(weight, gain * (q if rows >= columns else q.T).reshape(weight.shape))


def fan_in_uniform_(weight: Tensor, fan_in: int) -> Tensor:
    """Sample uniformly within ``1 / sqrt(fan_in)``: PyTorch's default for weights and biases."""
    bound = 1 / math.sqrt(fan_in) if fan_in else 0.0
    return uniform_(weight, -bound, bound)
