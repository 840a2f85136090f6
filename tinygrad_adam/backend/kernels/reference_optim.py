"""The optimizers' reference kernels: the update of a stretch of the flat arrays, in plain array code.

All arrays are flat, of one length and dtype, and are written in place. `grad` is only read.
"""

from __future__ import annotations

from typing import Any


def sgd(
    xp: Any,
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
    """Step of SGD with momentum; `velocity` is None without momentum."""
    if weight_decay:
        grad = grad + weight_decay * param
    if velocity is not None:
        if first:
            velocity[...] = grad
        else:
            velocity *= momentum
            velocity += (1 - dampening) * grad
        grad = grad + momentum * velocity if nesterov else velocity
    param -= lr * grad


def adam(
    xp: Any,
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
    """Step number `step` of Adam, written as in Algorithm 1; `v_max` is None without AMSGrad."""
    if weight_decay:
        if decoupled:
            param *= 1 - lr * weight_decay
        else:
            grad = grad + weight_decay * param
    m *= beta1
    m += (1 - beta1) * grad
    v *= beta2
    v += (1 - beta2) * grad * grad
    if v_max is not None:
        xp.maximum(v_max, v, out=v_max)
        v = v_max
    m_hat = m / (1 - beta1**step)
    v_hat = v / (1 - beta2**step)
    param -= lr * m_hat / (xp.sqrt(v_hat) + eps)
