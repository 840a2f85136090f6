"""Kernels of the other optimizers, in the form of Adam's: one pass over the flat arrays each."""

from __future__ import annotations

import math
from typing import Any

from .adam import _LEAST, _average, _divided, _fused, _gradient, _greater
from .loops import compiled, in_flat_pieces

# --- Without a second moment -------------------------------------------------------------------


@_fused
def sgd(p, g, velocity, scale, l2, lr, momentum, undamped, nesterov):  # type: ignore[no-untyped-def]
    """Step of SGD."""
    kind = p.dtype.type
    scale, l2, lr, momentum, undamped = kind(scale), kind(l2), kind(lr), kind(momentum), kind(undamped)
    for i in range(p.size):
        gradient = _gradient(p[i], g[i], scale, l2)
        if velocity is not None:
            velocity[i] = momentum * velocity[i] + undamped * gradient
            gradient = gradient + momentum * velocity[i] if nesterov else velocity[i]
        p[i] -= lr * gradient


@_fused
def lion(p, g, m, scale, shrink, lr, beta1, beta2):  # type: ignore[no-untyped-def]
    """Step of Lion."""
    kind = p.dtype.type
    rest1, rest2 = kind(1.0 - beta1), kind(1.0 - beta2)
    scale, shrink, zero = kind(scale), kind(shrink), kind(0)
    lr, beta1, beta2 = kind(lr), kind(beta1), kind(beta2)
    for i in range(p.size):
        gradient = g[i] * scale
        blend = _average(m[i], gradient, beta1, rest1)
        m[i] = _average(m[i], gradient, beta2, rest2)
        change = lr if blend > zero else (-lr if blend < zero else lr * blend)  # NaN stays NaN
        p[i] = p[i] * shrink - change


# --- Sums and averages of squares --------------------------------------------------------------


@_fused
def adagrad(p, g, total, scale, l2, lr, eps, initial):  # type: ignore[no-untyped-def]
    """Step of Adagrad."""
    kind = p.dtype.type
    scale, l2, lr, eps, initial = kind(scale), kind(l2), kind(lr), kind(eps), kind(initial)
    for i in range(p.size):
        gradient = _gradient(p[i], g[i], scale, l2)
        total[i] += gradient * gradient
        p[i] -= lr * _divided(gradient, total[i], eps, initial)


@_fused
def adadelta(p, g, v, moved, scale, l2, lr, rho, eps):  # type: ignore[no-untyped-def]
    """Step of Adadelta."""
    kind = p.dtype.type
    rest, zero = kind(1.0 - rho), kind(0)
    scale, l2, lr, rho, eps = kind(scale), kind(l2), kind(lr), kind(rho), kind(eps)
    for i in range(p.size):
        gradient = _gradient(p[i], g[i], scale, l2)
        v[i] = _average(v[i], gradient * gradient, rho, rest)
        change = math.sqrt(moved[i] + eps) * _divided(gradient, v[i], zero, eps)
        moved[i] = _average(moved[i], change * change, rho, rest)
        p[i] -= lr * change


@_fused
def rmsprop(p, g, v, mean, velocity, scale, l2, lr, alpha, eps, momentum):  # type: ignore[no-untyped-def]
    """Step of RMSprop."""
    kind = p.dtype.type
    rest, zero = kind(1.0 - alpha), kind(0)
    scale, l2, lr, alpha, eps = kind(scale), kind(l2), kind(lr), kind(alpha), kind(eps)
    momentum = kind(momentum)
    for i in range(p.size):
        gradient = _gradient(p[i], g[i], scale, l2)
        v[i] = _average(v[i], gradient * gradient, alpha, rest)
        second = v[i]
        if mean is not None:
            mean[i] = _average(mean[i], gradient, alpha, rest)
            second = _greater(second - mean[i] * mean[i], zero)
        change = _divided(gradient, second, eps, zero)
        if velocity is not None:
            velocity[i] = momentum * velocity[i] + change
            change = velocity[i]
        p[i] -= lr * change


# --- Relatives of Adam --------------------------------------------------------------------


@_fused
def adamax(p, g, m, u, scale, l2, lr, beta1, beta2, eps, correction1):  # type: ignore[no-untyped-def]
    """Step of Adamax."""
    kind = p.dtype.type
    rest1 = kind(1.0 - beta1)
    scale, l2, lr, beta1, beta2, eps = kind(scale), kind(l2), kind(lr), kind(beta1), kind(beta2), kind(eps)
    to_m_hat = kind(1.0 / correction1)
    for i in range(p.size):
        gradient = _gradient(p[i], g[i], scale, l2)
        m[i] = _average(m[i], gradient, beta1, rest1)
        u[i] = _greater(beta2 * u[i], abs(gradient) + eps)
        p[i] -= lr * (m[i] * to_m_hat) / u[i]


@_fused
def nadam(  # type: ignore[no-untyped-def]
    p, g, m, v, scale, l2, shrink, lr_grad, lr_mean, beta1, beta2, eps, correction2
):  # fmt: skip
    """Step of NAdam."""
    kind = p.dtype.type
    rest1, rest2 = kind(1.0 - beta1), kind(1.0 - beta2)
    scale, l2, shrink, lr_grad, lr_mean = kind(scale), kind(l2), kind(shrink), kind(lr_grad), kind(lr_mean)
    beta1, beta2, eps, zero = kind(beta1), kind(beta2), kind(eps), kind(0)
    to_v_hat = kind(1.0 / correction2)
    for i in range(p.size):
        gradient = _gradient(p[i], g[i], scale, l2)
        m[i] = _average(m[i], gradient, beta1, rest1)
        v[i] = _average(v[i], gradient * gradient, beta2, rest2)
        change = _divided(lr_grad * gradient + lr_mean * m[i], v[i] * to_v_hat, eps, zero)
        p[i] = p[i] * shrink - change


@_fused
def radam(p, g, m, v, scale, l2, shrink, lr, beta1, beta2, eps, adaptive):  # type: ignore[no-untyped-def]
    """Step of RAdam."""
    kind = p.dtype.type
    rest1, rest2 = kind(1.0 - beta1), kind(1.0 - beta2)
    scale, l2, shrink, lr = kind(scale), kind(l2), kind(shrink), kind(lr)
    beta1, beta2, eps, zero = kind(beta1), kind(beta2), kind(eps), kind(0)
    for i in range(p.size):
        gradient = _gradient(p[i], g[i], scale, l2)
        m[i] = _average(m[i], gradient, beta1, rest1)
        v[i] = _average(v[i], gradient * gradient, beta2, rest2)
        change = _divided(m[i], v[i], eps, zero) if adaptive else m[i]
        p[i] = p[i] * shrink - lr * change


@_fused
def adabound(  # type: ignore[no-untyped-def]
    p, g, m, v, v_max, scale, l2, lr, beta1, beta2, eps, lower, upper
):  # fmt: skip
    """Step of AdaBound."""
    kind = p.dtype.type
    rest1, rest2 = kind(1.0 - beta1), kind(1.0 - beta2)
    scale, l2, lr, beta1, beta2, eps = kind(scale), kind(l2), kind(lr), kind(beta1), kind(beta2), kind(eps)
    lower, upper, zero = kind(lower), kind(upper), kind(0)
    for i in range(p.size):
        gradient = _gradient(p[i], g[i], scale, l2)
        m[i] = _average(m[i], gradient, beta1, rest1)
        v[i] = _average(v[i], gradient * gradient, beta2, rest2)
        second = v[i]
        if v_max is not None:
            v_max[i] = _greater(second, v_max[i])
            second = v_max[i]
        rate = _divided(lr, second, eps, zero)
        rate = lower if rate < lower else (upper if rate > upper else rate)
        p[i] -= rate * m[i]


@_fused
def adabelief(  # type: ignore[no-untyped-def]
    p, g, m, s, scale, l2, shrink, lr, beta1, beta2, eps, correction1, correction2
):  # fmt: skip
    """Step of AdaBelief."""
    kind = p.dtype.type
    rest1, rest2 = kind(1.0 - beta1), kind(1.0 - beta2)
    scale, l2, shrink = kind(scale), kind(l2), kind(shrink)
    lr, beta1, beta2, eps, zero = kind(lr), kind(beta1), kind(beta2), kind(eps), kind(0)
    to_m_hat, to_s_hat = kind(1.0 / correction1), kind(1.0 / correction2)
    for i in range(p.size):
        gradient = _gradient(p[i], g[i], scale, l2)
        m[i] = _average(m[i], gradient, beta1, rest1)
        missed = gradient - m[i]
        s[i] = _average(s[i], missed * missed, beta2, rest2) + eps
        p[i] = p[i] * shrink - lr * _divided(m[i] * to_m_hat, s[i] * to_s_hat, eps, zero)


# --- Gradients that are not finite -------------------------------------------------------------


@compiled
def _all_finite(flat):  # type: ignore[no-untyped-def]
    # A sum of flags vectorizes, as a loop that can end early does not.
    wrong = 0
    for i in range(flat.size):
        wrong |= flat[i] - flat[i] != 0  # infinity less infinity is NaN
    return wrong == 0


def all_finite(flat: Any) -> bool:
    """Return whether no element is NaN or infinite."""
    return all(in_flat_pieces(_all_finite, (flat,), least=_LEAST))
