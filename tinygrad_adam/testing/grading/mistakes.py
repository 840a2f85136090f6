"""Optimizers as learners write them: the right update, and each typical mistake in it.

Each function yields the updates, which are subtracted, for gradients that are given. `wrong` names the
mistakes to make; with none it is the update of the paper.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy

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


_DIVISION = {
    "eps inside the root": (
        "eps stands inside the root: sqrt(v + eps). The paper adds it outside, sqrt(v) + eps; a widely "
        "copied page has it wrong. Where v is small the two differ much: the root of 1e-8 is 1e-4."
    ),
    "no eps": "eps is missing in the divisor. Where a gradient was always 0 the update is then 0 / 0.",
    "no root": (
        "the root is missing: the update divides by v itself, so it grows as gradients shrink. With the"
        " root, numerator and divisor have the unit of the gradient, and the update that of lr alone."
    ),
    "g not squared": "the second moment is of squares, g * g; yours takes in |g|.",
    "moments not kept": (
        "nothing is remembered from step to step. Keep the moments in state (or in self), and begin "
        "with zeros at the first step only."
    ),
}  # fmt: skip

MISTAKES: dict[str, tuple[Callable[..., Updates], dict[str, str]]] = {
    "adam": (
        adam,
        {
            "m not corrected": (
                "the bias correction of m is missing: m_hat = m / (1 - beta1**t), line 9. m begins at "
                "0, so at first it is too small by just that factor."
            ),
            "v not corrected": (
                "the bias correction of v is missing: v_hat = v / (1 - beta2**t), line 10. v begins at "
                "0; uncorrected, the first steps are too large by up to 1 / sqrt(1 - beta2), 32 times "
                "with 0.999."
            ),
            "no power of t": (
                "the bias correction divides by 1 - beta in every step; it must be 1 - beta**t, with "
                "the power t of the step. So only the first step is right."
            ),
            "t ahead": (
                "t is ahead by one: it must be 1 in the first step. Is it counted up twice, or does it "
                "begin with 1 and is counted before its use?"
            ),
            "correction multiplied": (
                "the moments are multiplied by 1 - beta**t; the correction divides by it. They are too "
                "small at first, and must become larger."
            ),
            "v from m": (
                "v takes in the square of m; it must be that of the gradient: v = beta2 * v + (1 - "
                "beta2) * g**2, line 8."
            ),
            "g in place of m_hat": (
                "the numerator is the gradient; it must be its corrected mean m_hat, line 11. This is "
                "RMSprop with a bias correction."
            ),
            "betas swapped": "beta1 and beta2 are swapped: beta1 belongs to m, beta2 to v.",
            "m without 1 - beta": (
                "m takes in the whole gradient; the average needs the factor 1 - beta1, line 7."
            ),
            "v without 1 - beta": (
                "v takes in the whole square; the average needs the factor 1 - beta2, line 8."
            ),
            "m weights swapped": (
                "the weights in m are swapped: beta1 belongs to the old m, 1 - beta1 to the gradient."
            ),
            "v weights swapped": (
                "the weights in v are swapped: beta2 belongs to the old v, 1 - beta2 to the square."
            ),
            "v sums": (
                "v is the sum of all squares, as in Adagrad, so the steps shrink for ever. In Adam the "
                "old ones decay: v = beta2 * v + (1 - beta2) * g**2."
            ),
            "eps hat": (
                "eps stands outside the root of v instead of v_hat: this is the epsilon hat of the "
                "faster order at the end of section 2 (TensorFlow, Keras), not Algorithm 1."
            ),
            **_DIVISION,
        },
    ),
    "rmsprop": (
        rmsprop,
        {
            "v without 1 - beta": "v takes in the whole square; the average needs the factor 1 - alpha.",
            "v weights swapped": (
                "the weights in v are swapped: alpha belongs to the old v, 1 - alpha to the square."
            ),
            "v sums": "v is the sum of all squares: this is Adagrad. In RMSprop the old ones decay.",
            "v corrected": "v is corrected for its bias; RMSprop does not do that, Adam does.",
            **_DIVISION,
        },
    ),
    "adagrad": (
        adagrad,
        {
            "total decays": "the old squares decay: this is RMSprop. Adagrad adds them all up.",
            **_DIVISION,
        },
    ),
    "sgd": (
        sgd,
        {
            "velocity averaged": (
                "the gradient enters the velocity with a factor of 1 - momentum; here it enters whole: "
                "u = momentum * u + g. With 0.9 your steps are a tenth as long."
            ),
            "lr inside the velocity": (
                "the learning rate is inside the velocity. That is Sutskever's form; PyTorch and this "
                "package multiply by it afterwards, which differs as soon as lr changes."
            ),
            "looks ahead": (
                "this is Nesterov's momentum, which looks ahead; the task is the heavy ball: p -= lr * u."
            ),
            "moments not kept": (
                "the velocity is not remembered from step to step, so this is SGD without momentum."
            ),
        },
    ),
}
"""For each optimizer its update with mistakes, and what to tell those who make one."""
