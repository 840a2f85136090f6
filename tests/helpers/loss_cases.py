"""What the tests know of losses and normalization; `cases.py` reads it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from oracles import oracle, sigmoid

# --- Losses ----------------------------------------------------------------------------------


def _cross_entropy(
    logits: np.ndarray,
    target: np.ndarray,
    weight: Any = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> np.ndarray:
    """Take PyTorch's definition literally, one sample after the other."""
    axis = 1 if logits.ndim > 1 else 0
    classes = logits.shape[axis]
    rows = np.moveaxis(logits, axis, -1).reshape(-1, classes)
    shape = np.moveaxis(logits, axis, -1).shape[:-1]
    weight = np.ones(classes) if weight is None else np.asarray(weight)
    soft = target.dtype.kind == "f"
    targets = np.moveaxis(target, axis, -1).reshape(-1, classes) if soft else target.reshape(-1)
    losses, divisor = [], 0.0
    for z, t in zip(rows, targets, strict=True):
        z = z - z.max()  # a shift changes nothing, and exp does not overflow
        log_p = z - math.log(np.sum(np.exp(z)))
        if not soft and t == ignore_index:
            losses.append(0.0)
            continue
        q = t if soft else np.eye(classes)[t]
        q = (1 - label_smoothing) * q + label_smoothing / classes
        losses.append(-np.sum(weight * q * log_p))
        divisor += 1.0 if soft else weight[t]
    if reduction == "none":
        return np.reshape(losses, shape)
    return np.array(np.sum(losses) / (divisor if reduction == "mean" else 1))


def _torch_settings(torch: Any, like: Any, settings: dict[str, Any]) -> dict[str, Any]:
    """Turn weights and targets into tensors."""
    made = {}
    for key, value in settings.items():
        if key in ("weight", "pos_weight") or (key == "target" and value.dtype.kind == "f"):
            value = torch.tensor(value, dtype=like.dtype)
        made[key] = torch.tensor(value) if isinstance(value, np.ndarray) else value
    return made


def _torch_loss(name: str) -> Callable[..., Any]:
    return lambda torch, x, *target, **settings: getattr(torch.nn.functional, name)(
        x, *target, **_torch_settings(torch, x, settings)
    )


def _nll(x: np.ndarray, target: Any, reduction: str, weight: Any = (1, 1, 1), ignore_index: int = -1) -> Any:
    w = np.array([weight[t] * (t != ignore_index) for t in target])
    each = np.array([-row[t] for row, t in zip(x, target, strict=True)]) * w
    return {"none": each, "sum": each.sum(), "mean": each.sum() / w.sum()}[reduction]


def _reduced(each: Callable[..., Any]) -> Callable[..., Any]:
    """Reduce the losses of the elements."""

    def apply(x: Any, target: Any, reduction: str = "mean", **settings: Any) -> Any:
        losses = np.asarray(each(x, target, **settings))
        if reduction == "batchmean":
            return losses.sum() / len(losses)
        return losses if reduction == "none" else getattr(losses, reduction)()

    return apply


def _binary(x: Any, t: Any, weight: Any = 1.0, pos_weight: Any = 1.0) -> Any:
    s = sigmoid(x)
    return -(pos_weight * t * np.log(s) + (1 - t) * np.log(1 - s)) * weight


def _huber(x: Any, t: Any, delta: float = 1.0) -> Any:
    return np.where(np.abs(x - t) <= delta, (x - t) ** 2 / 2, delta * (np.abs(x - t) - delta / 2))


def _torch_hinge(torch: Any, x: Any, target: Any, reduction: str) -> Any:
    each = torch.relu(1 - torch.tensor(target, dtype=x.dtype) * x)
    return each if reduction == "none" else getattr(each, reduction)()


oracle("cross_entropy", _cross_entropy, _torch_loss("cross_entropy"))
oracle("cross_entropy: large logits",
       lambda z, target, reduction: np.array([math.log1p(math.exp(-1)), 0.0]),
       _torch_loss("cross_entropy"))  # fmt: skip
oracle("nll_loss", _nll, _torch_loss("nll_loss"))
oracle("binary_cross_entropy_with_logits", _reduced(_binary), _torch_loss("binary_cross_entropy_with_logits"))
oracle("binary_cross_entropy_with_logits: integer targets, far out",
       lambda x, target, reduction: np.array([0, 0, 50.0, 50.0]),
       lambda torch, x, target, reduction: torch.nn.functional.binary_cross_entropy_with_logits(
           x, torch.tensor(target, dtype=x.dtype), reduction=reduction))  # fmt: skip
oracle("mse_loss", _reduced(lambda x, t: (x - t) ** 2), _torch_loss("mse_loss"))
oracle("l1_loss", _reduced(lambda x, t: np.abs(x - t)), _torch_loss("l1_loss"))
oracle("huber_loss", _reduced(_huber), _torch_loss("huber_loss"))
oracle("hinge_loss", _reduced(lambda x, t: np.maximum(1 - t * x, 0)), _torch_hinge)
oracle("kl_div", _reduced(lambda x, t: t * (np.log(t) - x)), _torch_loss("kl_div"))
oracle("mse_loss: no elements", lambda x, target, reduction: np.zeros(()),
       lambda torch, x, target, reduction: (x * x).sum())  # fmt: skip
oracle("l1_loss: at zero", lambda x, t, reduction: np.array([0.0, 2.0]), _torch_loss("l1_loss"), smooth=0,
       gradient=lambda x, t, reduction: ([0, 1], [0, -1]))  # fmt: skip
oracle("huber_loss: at delta", lambda x, t, delta: np.array(0.125), _torch_loss("huber_loss"),
       smooth=1, gradient=lambda x, t, delta: ([0.25, -0.25], [-0.25, 0.25]))  # fmt: skip
oracle("hinge_loss: at the margin", lambda x, target, margin, reduction: np.array([0.0, 3.0]),
       "PyTorch's clamp takes the other subgradient", smooth=0,
       gradient=lambda x, target, margin, reduction: [[0, 1]])  # fmt: skip
oracle("kl_div: target of zero", lambda x, target, reduction: np.array(1.0), _torch_loss("kl_div"))

# --- Normalization ---------------------------------------------------------------------------


def _standardized(x: np.ndarray, axes: Any, eps: float) -> np.ndarray:
    return (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + eps)


def _layer_norm(x: Any, w: Any = 1.0, b: Any = 0.0, *, normalized_shape: Any, eps: float = 1e-5) -> Any:
    return w * _standardized(x, tuple(range(-len(normalized_shape), 0)), eps) + b


def _torch_layer_norm(torch: Any, x: Any, *affine: Any, normalized_shape: Any, eps: float = 1e-5) -> Any:
    return torch.nn.functional.layer_norm(x, normalized_shape, *(affine or (None, None)), eps)


def _pulled_back(a: np.ndarray, x: np.ndarray, axes: Any, eps: float) -> np.ndarray:
    """Multiply a group by the derivative of its standardization, a matrix made entry by entry."""
    total = np.empty_like(x)
    groups = np.moveaxis(x, axes, range(-len(axes), 0)).reshape(-1, math.prod(x.shape[i] for i in axes))
    gradients = np.moveaxis(a, axes, range(-len(axes), 0)).reshape(groups.shape)
    moved = np.moveaxis(total, axes, range(-len(axes), 0))
    results = []
    for values, gradient in zip(groups, gradients, strict=True):
        n, centered = len(values), values - values.mean()
        scale = np.sqrt(values.var() + eps)
        derivative = (np.eye(n) - 1 / n) / scale - np.outer(centered, centered) / (n * scale**3)
        results.append(gradient @ derivative)
    moved[...] = np.reshape(results, moved.shape)
    return total


def _torch_pulled_back(torch: Any, a: Any, x: Any, axes: Any, eps: float) -> Any:
    x = x if x.requires_grad else x.requires_grad_()
    y = (x - x.mean(axes, keepdim=True)) / (x.var(axes, unbiased=False, keepdim=True) + eps).sqrt()
    return torch.autograd.grad(y, x, a, create_graph=True)[0]


def _across(x: Any, values: Any) -> Any:
    """Shape what belongs to the channels, so that it stands beside images or sequences."""
    return np.reshape(values, (1, -1, *[1] * (x.ndim - 2)))


def _batch_norm(x: Any, w: Any = 1.0, b: Any = 0.0, *, training: bool, eps: float = 1e-5) -> Any:
    y = _standardized(x, (0, *range(2, x.ndim)), eps)
    return _across(x, w) * y + _across(x, b)


def _running_batch_norm(x: Any, w: Any, b: Any, mean: Any, var: Any) -> Any:
    y = (x - _across(x, mean)) / np.sqrt(_across(x, var) + 1e-5)
    return _across(x, w) * y + _across(x, b)


def _torch_batch_norm(
    torch: Any, x: Any, *affine: Any, mean: Any = None, var: Any = None, **settings: Any
) -> Any:
    moments = [None if m is None else torch.tensor(m, dtype=x.dtype) for m in (mean, var)]
    return torch.nn.functional.batch_norm(x, *moments, *affine, **settings)


def _group_norm(x: Any, w: Any, b: Any, num_groups: int, eps: float) -> Any:
    split = x.reshape(len(x), num_groups, x.shape[1] // num_groups, *x.shape[2:])
    y = _standardized(split, tuple(range(2, split.ndim)), eps).reshape(x.shape)
    return _across(x, w) * y + _across(x, b)


oracle("layer_norm", _layer_norm, _torch_layer_norm)
oracle("_standardize_vjp", _pulled_back, _torch_pulled_back)
oracle("batch_norm", _batch_norm, _torch_batch_norm)
for _shape in [(4, 3), (2, 3, 4), (2, 3, 2, 2)]:
    oracle(f"batch_norm: {_shape}, running averages, affine", _running_batch_norm, _torch_batch_norm)
oracle("group_norm", _group_norm, lambda torch, x, w, b, num_groups, eps: (
    torch.nn.functional.group_norm(x, num_groups, w, b, eps)))  # fmt: skip
