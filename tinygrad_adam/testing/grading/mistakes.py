"""Optimizers as learners write them: the right update, and each typical mistake in it.

Each function yields the updates, which are subtracted, for gradients that are given. `wrong` names the
mistakes to make; with none it is the update of the paper.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy

from .report import SENTENCES

Updates = Iterator[Any]


def adam(
    gradients: Sequence[Any], lrs: Sequence[float], settings: dict[str, Any], wrong: frozenset[str]
) -> Updates:
    """Adam, Algorithm 1 of Kingma & Ba (2015)."""
    (beta1, beta2), eps = settings["betas"], settings["eps"]
    if "betas swapped" in wrong:
        beta1, beta2 = beta2, beta1
    m = v = numpy.zeros_like(gradients[0])
    for t, (g, lr) in enumerate(zip(gradients, lrs, strict=True), 1):
        if "moments not kept" in wrong:
            m = v = numpy.zeros_like(g)
        m = _average(m, g, beta1, "m", wrong)
        square = m * m if "v from m" in wrong else numpy.abs(g) if "g not squared" in wrong else g * g
        v = _average(v, square, beta2, "v", wrong)
        power = 1 if "no power of t" in wrong else t + 1 if "t ahead" in wrong else t
        m_hat = m if "m not corrected" in wrong else m / (1 - beta1**power)
        v_hat = v if "v not corrected" in wrong else v / (1 - beta2**power)
        if "correction multiplied" in wrong:
            m_hat, v_hat = m * (1 - beta1**t), v * (1 - beta2**t)
        top = g if "g in place of m_hat" in wrong else m_hat
        shift = eps / numpy.sqrt(1 - beta2**t) if "eps hat" in wrong else eps
        yield lr * top / _divisor(v_hat, shift, wrong)


def _average(mean: Any, value: Any, beta: float, name: str, wrong: frozenset[str]) -> Any:
    if f"{name} sums" in wrong:
        return mean + value
    if f"{name} without 1 - beta" in wrong:
        return beta * mean + value
    if f"{name} weights swapped" in wrong:
        return (1 - beta) * mean + beta * value
    return beta * mean + (1 - beta) * value


def _divisor(second: Any, eps: float, wrong: frozenset[str]) -> Any:
    if "eps inside the root" in wrong:
        return numpy.sqrt(second + eps)
    if "no eps" in wrong:
        return numpy.sqrt(second)
    if "no root" in wrong:
        return second + eps
    return numpy.sqrt(second) + eps


def rmsprop(
    gradients: Sequence[Any], lrs: Sequence[float], settings: dict[str, Any], wrong: frozenset[str]
) -> Updates:
    """RMSprop without momentum, slide 29 of Hinton's lecture 6."""
    v = numpy.zeros_like(gradients[0])
    for t, (g, lr) in enumerate(zip(gradients, lrs, strict=True), 1):
        if "moments not kept" in wrong:
            v = numpy.zeros_like(g)
        v = _average(v, numpy.abs(g) if "g not squared" in wrong else g * g, settings["alpha"], "v", wrong)
        second = v / (1 - settings["alpha"] ** t) if "v corrected" in wrong else v
        yield lr * g / _divisor(second, settings["eps"], wrong)


def adagrad(
    gradients: Sequence[Any], lrs: Sequence[float], settings: dict[str, Any], wrong: frozenset[str]
) -> Updates:
    """Adagrad, equation 1 of Duchi et al. (2011), the diagonal case."""
    total = numpy.zeros_like(gradients[0])
    for g, lr in zip(gradients, lrs, strict=True):
        if "moments not kept" in wrong:
            total = numpy.zeros_like(g)
        square = numpy.abs(g) if "g not squared" in wrong else g * g
        total = 0.9 * total + 0.1 * square if "total decays" in wrong else total + square
        yield lr * g / _divisor(total, settings["eps"], wrong)


def sgd(
    gradients: Sequence[Any], lrs: Sequence[float], settings: dict[str, Any], wrong: frozenset[str]
) -> Updates:
    """SGD with momentum, in PyTorch's form."""
    momentum = settings["momentum"]
    u = numpy.zeros_like(gradients[0])
    for g, lr in zip(gradients, lrs, strict=True):
        if "moments not kept" in wrong:
            u = numpy.zeros_like(g)
        if "velocity averaged" in wrong:
            u = momentum * u + (1 - momentum) * g
        elif "lr inside the velocity" in wrong:
            u = momentum * u + lr * g
        else:
            u = momentum * u + g
        step = g + momentum * u if "looks ahead" in wrong else u
        yield step if "lr inside the velocity" in wrong else lr * step


MISTAKES: dict[str, tuple[Callable[..., Updates], dict[str, str]]] = {
    "adam": (adam, SENTENCES["adam"] | SENTENCES["division"]),
    "rmsprop": (rmsprop, SENTENCES["rmsprop"] | SENTENCES["division"]),
    "adagrad": (adagrad, SENTENCES["adagrad"] | SENTENCES["division"]),
    "sgd": (sgd, SENTENCES["sgd"]),
}
"""For each optimizer its update with mistakes, and the sentence for each mistake."""
