"""The optimizers' kernels, compiled by Numba: one pass over the flat arrays each.

The shared arrays are read and written once; see `cpu` for how they are compiled and cut in pieces.
"""

from __future__ import annotations

import math
from typing import Any

from .cpu import _in_pieces, compiled


@compiled
def _adam(p, g, m, v, v_max, lr, beta1, beta2, eps, decay_factor, l2, correction1, correction2):  # type: ignore[no-untyped-def]
    # Scalars arrive as float64; cast once, or every element would be computed in float64.
    kind = p.dtype.type
    rest1, rest2 = kind(1.0 - beta1), kind(1.0 - beta2)
    lr, beta1, beta2, eps = kind(lr), kind(beta1), kind(beta2), kind(eps)
    decay_factor, l2 = kind(decay_factor), kind(l2)
    decayed = l2 != 0  # 0 times an infinite parameter would be NaN
    correction1, correction2 = kind(correction1), kind(correction2)
    for i in range(p.size):
        gradient = g[i] + l2 * p[i] if decayed else g[i]
        m[i] = beta1 * m[i] + rest1 * gradient
        v[i] = beta2 * v[i] + rest2 * gradient * gradient
        second = v[i]
        if v_max is not None:
            if second > v_max[i] or second != second:  # NaN stays visible
                v_max[i] = second
            second = v_max[i]
        p[i] = p[i] * decay_factor - lr * (m[i] * correction1) / (math.sqrt(second * correction2) + eps)


def adam(
    param: Any,
    grad: Any,
    m: Any,
    v: Any,
    v_max: Any,
    *,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    decoupled: bool,
    step: int,
) -> None:
    """Step number `step` of Adam; see `reference_optim.adam`."""
    _in_pieces(
        _adam,
        (param, grad, m, v, v_max),
        lr,
        beta1,
        beta2,
        eps,
        1.0 - lr * weight_decay if decoupled else 1.0,
        0.0 if decoupled else weight_decay,
        1.0 / (1.0 - beta1**step),
        1.0 / (1.0 - beta2**step),
    )


@compiled
def _sgd(p, g, velocity, lr, momentum, undamped, weight_decay, nesterov):  # type: ignore[no-untyped-def]
    kind = p.dtype.type
    lr, momentum, undamped, weight_decay = kind(lr), kind(momentum), kind(undamped), kind(weight_decay)
    decayed = weight_decay != 0
    for i in range(p.size):
        gradient = g[i] + weight_decay * p[i] if decayed else g[i]
        if velocity is not None:
            velocity[i] = momentum * velocity[i] + undamped * gradient
            gradient = gradient + momentum * velocity[i] if nesterov else velocity[i]
        p[i] -= lr * gradient


def sgd(
    param: Any,
    grad: Any,
    velocity: Any,
    *,
    lr: float,
    momentum: float,
    dampening: float,
    weight_decay: float,
    nesterov: bool,
    first: bool,
) -> None:
    """Step of SGD; see `reference_optim.sgd`."""
    # The first velocity is the gradient: the one before is zero, and nothing is dampened.
    undamped = 1.0 if first else 1.0 - dampening
    _in_pieces(_sgd, (param, grad, velocity), lr, momentum, undamped, weight_decay, nesterov)
