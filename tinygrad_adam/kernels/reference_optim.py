"""The optimizers' reference kernels: the update of a stretch of the flat arrays, in plain array code.

The arrays are flat, of one length and dtype. Parameters and moments are written in place, the
gradient is only read, and a moment that the settings do not need is None. Scalars: the gradient is
multiplied by `scale`; ``l2 * param`` is added to it, the older kind of weight decay; the parameter is
multiplied by `shrink`, the decoupled kind. What depends on the number of the step alone, such as the
bias corrections ``1 - beta**step``, arrives computed; see `_scalars` of each optimizer.
"""

from __future__ import annotations

from typing import Any

# --- What the optimizers share -----------------------------------------------------------------


def _gradient(param: Any, grad: Any, scale: float, l2: float) -> Any:
    """Return the gradient that the update is made from."""
    if scale != 1:
        grad = grad * scale
    if l2:  # 0 times an infinite parameter would be NaN
        grad = grad + l2 * param
    return grad


def _average(mean: Any, value: Any, beta: float) -> None:
    """Let an exponential moving average decay by `beta` and take in a value."""
    mean *= beta
    mean += (1 - beta) * value


def _divided(xp: Any, a: Any, second: Any, eps: float, eps_root: float = 0.0) -> Any:
    """Divide by the root of a second moment."""
    return a / (xp.sqrt(second + eps_root) + eps)


# --- Without a second moment -------------------------------------------------------------------


def sgd(
    xp: Any,
    param: Any,
    grad: Any,
    velocity: Any,
    *,
    scale: float,
    l2: float,
    lr: float,
    momentum: float,
    undamped: float,
    nesterov: bool,
) -> None:
    """Step of SGD; `undamped` is the share of the gradient that enters the velocity."""
    grad = _gradient(param, grad, scale, l2)
    if velocity is not None:
        velocity *= momentum
        velocity += undamped * grad
        grad = grad + momentum * velocity if nesterov else velocity
    param -= lr * grad


def lion(
    xp: Any,
    param: Any,
    grad: Any,
    m: Any,
    *,
    scale: float,
    l2: float,
    shrink: float,
    lr: float,
    beta1: float,
    beta2: float,
) -> None:
    """Step of Lion."""
    grad = _gradient(param, grad, scale, l2)
    param *= shrink
    param -= lr * xp.sign(beta1 * m + (1 - beta1) * grad)
    _average(m, grad, beta2)


# --- Sums and averages of squares --------------------------------------------------------------


def adagrad(
    xp: Any,
    param: Any,
    grad: Any,
    total: Any,
    *,
    scale: float,
    l2: float,
    lr: float,
    eps: float,
    initial: float,
) -> None:
    """Step of Adagrad; `initial` is what the sum of squares began with, beside `total`."""
    grad = _gradient(param, grad, scale, l2)
    total += grad * grad
    param -= lr * _divided(xp, grad, total, eps, initial)


def adadelta(
    xp: Any,
    param: Any,
    grad: Any,
    v: Any,
    moved: Any,
    *,
    scale: float,
    l2: float,
    lr: float,
    rho: float,
    eps: float,
) -> None:
    """Step of Adadelta; `moved` is the average of the squares of past steps."""
    grad = _gradient(param, grad, scale, l2)
    _average(v, grad * grad, rho)
    change = xp.sqrt(moved + eps) * _divided(xp, grad, v, 0.0, eps)
    _average(moved, change * change, rho)
    param -= lr * change


def rmsprop(
    xp: Any,
    param: Any,
    grad: Any,
    v: Any,
    mean: Any,
    velocity: Any,
    *,
    scale: float,
    l2: float,
    lr: float,
    alpha: float,
    eps: float,
    momentum: float,
) -> None:
    """Step of RMSprop; `mean` is None unless centered, `velocity` is None without momentum."""
    grad = _gradient(param, grad, scale, l2)
    _average(v, grad * grad, alpha)
    if mean is not None:
        _average(mean, grad, alpha)
        # Rounding can make the variance of a steady gradient negative.
        v = xp.maximum(v - mean * mean, 0)
    change = _divided(xp, grad, v, eps)
    if velocity is not None:
        velocity *= momentum
        velocity += change
        change = velocity
    param -= lr * change


# --- Adam and its relatives --------------------------------------------------------------------


def adam(
    xp: Any,
    param: Any,
    grad: Any,
    m: Any,
    v: Any,
    v_max: Any,
    *,
    scale: float,
    l2: float,
    shrink: float,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    eps_root: float,
    correction1: float,
    correction2: float,
    corrected_max: bool,
) -> None:
    """Step of Adam, written as in Algorithm 1; `v_max` is None without AMSGrad.

    The maximum is that of v_hat if `corrected_max` is set, and otherwise that of v.
    """
    grad = _gradient(param, grad, scale, l2)
    param *= shrink
    _average(m, grad, beta1)
    _average(v, grad * grad, beta2)
    m_hat = m / correction1
    v_hat = v / correction2
    if v_max is not None:
        xp.maximum(v_max, v_hat if corrected_max else v, out=v_max)
        v_hat = v_max if corrected_max else v_max / correction2
    param -= lr * _divided(xp, m_hat, v_hat, eps, eps_root)


def sparse_adam(
    xp: Any,
    table: Any,
    rows: Any,
    grad: Any,
    m: Any,
    v: Any,
    *,
    scale: float,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    correction1: float,
    correction2: float,
) -> None:
    """Step of Adam on some rows of a table, shape (n, width), and of its moments; `grad` is (k, width)."""
    grad = _gradient(None, grad, scale, l2=0)
    m_rows, v_rows = m[rows], v[rows]
    _average(m_rows, grad, beta1)
    _average(v_rows, grad * grad, beta2)
    m[rows], v[rows] = m_rows, v_rows
    table[rows] -= lr * _divided(xp, m_rows / correction1, v_rows / correction2, eps)


def adamax(
    xp: Any,
    param: Any,
    grad: Any,
    m: Any,
    u: Any,
    *,
    scale: float,
    l2: float,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    correction1: float,
) -> None:
    """Step of Adamax; `u` is the exponentially weighted infinity norm."""
    grad = _gradient(param, grad, scale, l2)
    _average(m, grad, beta1)
    xp.maximum(beta2 * u, xp.abs(grad) + eps, out=u)
    param -= lr * (m / correction1) / u


def nadam(
    xp: Any,
    param: Any,
    grad: Any,
    m: Any,
    v: Any,
    *,
    scale: float,
    l2: float,
    shrink: float,
    lr_grad: float,
    lr_mean: float,
    beta1: float,
    beta2: float,
    eps: float,
    correction2: float,
) -> None:
    """Step of NAdam; gradient and mean have step sizes of their own, the corrections included."""
    grad = _gradient(param, grad, scale, l2)
    param *= shrink
    _average(m, grad, beta1)
    _average(v, grad * grad, beta2)
    param -= _divided(xp, lr_grad * grad + lr_mean * m, v / correction2, eps)


def radam(
    xp: Any,
    param: Any,
    grad: Any,
    m: Any,
    v: Any,
    *,
    scale: float,
    l2: float,
    shrink: float,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    adaptive: bool,
) -> None:
    """Step of RAdam; `lr` includes the corrections, and the rectification if `adaptive` is set."""
    grad = _gradient(param, grad, scale, l2)
    param *= shrink
    _average(m, grad, beta1)
    _average(v, grad * grad, beta2)
    param -= lr * (_divided(xp, m, v, eps) if adaptive else m)


def adabound(
    xp: Any,
    param: Any,
    grad: Any,
    m: Any,
    v: Any,
    v_max: Any,
    *,
    scale: float,
    l2: float,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    lower: float,
    upper: float,
) -> None:
    """Step of AdaBound; `lr` includes the corrections, and `v_max` is None but for AMSBound."""
    grad = _gradient(param, grad, scale, l2)
    _average(m, grad, beta1)
    _average(v, grad * grad, beta2)
    if v_max is not None:
        v = xp.maximum(v_max, v, out=v_max)
    param -= xp.clip(_divided(xp, lr, v, eps), lower, upper) * m


def adabelief(
    xp: Any,
    param: Any,
    grad: Any,
    m: Any,
    s: Any,
    *,
    scale: float,
    l2: float,
    shrink: float,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    correction1: float,
    correction2: float,
) -> None:
    """Step of AdaBelief; `s` is the average of the squares by which the gradient missed `m`."""
    grad = _gradient(param, grad, scale, l2)
    param *= shrink
    _average(m, grad, beta1)
    missed = grad - m
    _average(s, missed * missed, beta2)
    s += eps
    param -= lr * _divided(xp, m / correction1, s / correction2, eps)


# --- Gradients that are not finite -------------------------------------------------------------


def all_finite(xp: Any, flat: Any) -> bool:
    """Tell whether no element is NaN or infinite."""
    return bool(xp.all(xp.isfinite(flat)))
