"""Adam's kernels, compiled by Numba, and the parts that they share with other optimizers' kernels.

Each takes one pass over the flat arrays, cut among threads, and has the parameters of the `update` of its
optimizer, in the same order. Scalars arrive as float64 and are cast once; otherwise every element would be
computed in float64.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

from ...backend.threads import a_worker_is_awake, in_pieces
from .loops import compiled, in_flat_pieces

_LEAST = 1 << 16
"""Elements that a thread must get for its share to be worth the handing over."""
_LEAST_AWAKE = 3 << 14
"""Likewise, to one that has just computed a part of the gradients. Where a step is cut changes no number."""


def _fused(function: Any) -> Callable[..., None]:
    """Compile a loop over flat arrays, to be called with the arrays and named scalars, in its order."""
    kernel = compiled(function)

    @functools.wraps(function)
    def call(*arrays: Any, **scalars: Any) -> None:
        if arrays[0].size < 2 * _LEAST_AWAKE:  # too small to be cut
            kernel(*arrays, *scalars.values())
            return
        least = _LEAST_AWAKE if a_worker_is_awake() else _LEAST
        in_flat_pieces(kernel, arrays, *scalars.values(), least=least)

    return call


# --- What the optimizers share, element by element ----------------------------------------------


@compiled
def _gradient(p, g, scale, l2):  # type: ignore[no-untyped-def]
    if l2 != 0:  # 0 times an infinite parameter would be NaN
        return g * scale + l2 * p
    return g * scale


@compiled
def _average(mean, value, beta, rest):  # type: ignore[no-untyped-def]
    return beta * mean + rest * value


@compiled
def _divided(a, second, eps, eps_root):  # type: ignore[no-untyped-def]
    return a / (math.sqrt(second + eps_root) + eps)


@compiled
def _greater(a, b):  # type: ignore[no-untyped-def]
    return a if a > b or a != a else b  # NaN stays visible


# --- Adam -----------------------------------------------------------------------------------------


@_fused
def adam(  # type: ignore[no-untyped-def]
    p, g, m, v, v_max,
    scale, l2, shrink, lr, beta1, beta2, eps, eps_root, correction1, correction2, corrected_max,
):  # fmt: skip
    """Step of Adam."""
    kind = p.dtype.type
    rest1, rest2 = kind(1.0 - beta1), kind(1.0 - beta2)
    scale, l2, shrink = kind(scale), kind(l2), kind(shrink)
    lr, beta1, beta2, eps, eps_root = kind(lr), kind(beta1), kind(beta2), kind(eps), kind(eps_root)
    to_m_hat, to_v_hat = kind(1.0 / correction1), kind(1.0 / correction2)
    before, after = (to_v_hat, kind(1)) if corrected_max else (kind(1), to_v_hat)
    for i in range(p.size):
        gradient = _gradient(p[i], g[i], scale, l2)
        m[i] = _average(m[i], gradient, beta1, rest1)
        v[i] = _average(v[i], gradient * gradient, beta2, rest2)
        if v_max is not None:
            v_max[i] = _greater(v[i] * before, v_max[i])
            v_hat = v_max[i] * after
        else:
            v_hat = v[i] * to_v_hat
        p[i] = p[i] * shrink - lr * _divided(m[i] * to_m_hat, v_hat, eps, eps_root)


@compiled
def _sparse_adam(  # type: ignore[no-untyped-def]
    first, last, p, rows, g, m, v, scale, lr, beta1, beta2, eps, correction1, correction2
):  # fmt: skip
    kind = p.dtype.type
    rest1, rest2 = kind(1.0 - beta1), kind(1.0 - beta2)
    scale, lr, beta1, beta2, eps, zero = kind(scale), kind(lr), kind(beta1), kind(beta2), kind(eps), kind(0)
    to_m_hat, to_v_hat = kind(1.0 / correction1), kind(1.0 / correction2)
    for k in range(first, last):
        gradients, values, mean, second = g[k], p[rows[k]], m[rows[k]], v[rows[k]]
        for j in range(gradients.size):
            gradient = gradients[j] * scale
            mean[j] = _average(mean[j], gradient, beta1, rest1)
            second[j] = _average(second[j], gradient * gradient, beta2, rest2)
            values[j] -= lr * _divided(mean[j] * to_m_hat, second[j] * to_v_hat, eps, zero)


def sparse_adam(table: Any, rows: Any, grad: Any, m: Any, v: Any, **scalars: float) -> None:
    """Take a step of SparseAdam; each row occurs once, so threads share none."""
    in_pieces(
        lambda first, last: _sparse_adam(first, last, table, rows, grad, m, v, *scalars.values()),
        len(rows),
        max(1, _LEAST // max(1, grad.shape[1])),
    )
