"""Limits on gradients, between the backward pass and the step."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from ..backend.device import backend_of, on_device_of
from ..engine.rowsparse import RowSparse
from ..errors import OptionError
from ..tensor.tensor import Tensor
from ..values import is_number


def _gradients(params: Iterable[Tensor]) -> list[Any]:
    """Return the raw gradients, to be changed in place; of row-sparse ones the rows, for the others are 0."""
    arrays = []
    for p in [params] if isinstance(params, Tensor) else params:
        gradient = p.grad
        if isinstance(gradient, RowSparse):
            arrays.append(gradient.values)
        elif gradient is not None:
            gradient._written()  # what is differentiated through a clipped gradient must say so
            arrays.append(gradient._data)
    return arrays


def clip_grad_norm_(params: Iterable[Tensor], max_norm: float) -> Tensor:
    """Scale all gradients together so that their Euclidean norm is at most `max_norm`.

    Parameters
    ----------
    params : iterable of Parameter
        Those without a gradient are passed over.
    max_norm : float
        Positive; ``inf`` only measures.

    Returns
    -------
    Tensor
        The norm before clipping, a scalar on the gradients' device.

    Raises
    ------
    OptionError
        If `max_norm` is not positive.

    References
    ----------
    R. Pascanu, T. Mikolov and Y. Bengio, "On the difficulty of training recurrent neural
    networks", ICML 2013.
    """
    if not (max_norm == math.inf or is_number(max_norm)) or max_norm <= 0:
        raise OptionError("clip_grad_norm_", "max_norm must be positive", max_norm=max_norm)
    gradients = _gradients(params)
    backend = backend_of(gradients)
    xp = backend.xp
    with backend.current("clip_grad_norm_"):
        total = xp.zeros((), dtype=gradients[0].dtype if gradients else None)
        for g in gradients:
            flat = g.reshape(-1)
            total = total + xp.dot(flat, flat)
        total = xp.sqrt(total)
        if max_norm < math.inf:
            # The small term is PyTorch's; without it a norm of zero would divide by itself.
            factor = xp.minimum(max_norm / (total + 1e-6), 1.0)
            for g in gradients:
                g *= factor
        return Tensor(xp.asarray(total))


def clip_grad_value_(params: Iterable[Tensor], clip_value: float) -> None:
    """Limit every element of every gradient to ``[-clip_value, clip_value]``.

    Raises
    ------
    OptionError
        If `clip_value` is not positive.
    """
    if not (clip_value == math.inf or is_number(clip_value)) or clip_value <= 0:
        raise OptionError("clip_grad_value_", "clip_value must be positive", clip_value=clip_value)
    for g in _gradients(params):
        with on_device_of(g, "clip_grad_value_"):
            backend_of((g,)).xp.clip(g, -clip_value, clip_value, out=g)


def clip_grad_adaptive_(params: Iterable[Tensor], clip_factor: float = 0.01, eps: float = 1e-3) -> None:
    r"""Limit the gradient of each unit to a share of the norm of its weights (AGC).

    A unit is what computes one output: a row of a linear layer's weight, a filter of a convolution, that is,
    an index of the first axis. A vector or a single number is one unit. With :math:`W_i` its weights and
    :math:`G_i` their gradient, Euclidean norms, and :math:`\lambda` the `clip_factor`:

    .. math::
        G_i \leftarrow \lambda \frac{\max(\|W_i\|, \epsilon)}{\|G_i\|} G_i
        \quad\text{if}\quad \|G_i\| > \lambda \max(\|W_i\|, \epsilon)

    Parameters
    ----------
    params : iterable of Parameter
        Those without a gradient are passed over. The paper leaves out the last linear layer.
    clip_factor : float
        The greatest ratio of the gradient's norm to that of the weights.
    eps : float
        Weights count as at least this large, so that those that begin with zero can learn.

    Raises
    ------
    OptionError
        If `clip_factor` or `eps` is not positive.

    Notes
    -----
    The first axis of `ConvTranspose2d.weight` is that of the inputs, so there a unit is what one input is
    spread by; in an `Embedding` a unit is what one index is looked up as.

    References
    ----------
    A. Brock, S. De, S. L. Smith and K. Simonyan, "High-Performance Large-Scale Image Recognition
    Without Normalization", ICML 2021, arXiv:2102.06171, equation 3.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> weight = tg.nn.Parameter([[3.0, 4.0], [3.0, 4.0]])
    >>> (weight * tg.tensor([[0.0, 1.0], [0.0, 0.01]])).sum().backward()
    >>> tg.optim.clip_grad_adaptive_([weight], clip_factor=0.1)
    >>> weight.grad.numpy()
    array([[0.  , 0.5 ],
           [0.  , 0.01]], dtype=float32)
    """
    for name, value in {"clip_factor": clip_factor, "eps": eps}.items():
        if not is_number(value) or value <= 0:
            raise OptionError("clip_grad_adaptive_", f"{name} must be a finite number > 0", **{name: value})
    params = [p for p in ([params] if isinstance(params, Tensor) else params) if p.grad is not None]
    for p, g in zip(params, _gradients(params), strict=True):
        backend = backend_of((g,))
        xp = backend.xp
        with backend.current("clip_grad_adaptive_"):
            rows = isinstance(p.grad, RowSparse) and p.ndim > 1
            weights = p._data[p._grad.rows] if rows else p._data
            limit = float(clip_factor) * xp.maximum(_unit_norms(xp, weights), float(eps))
            # The small bound is the published code's; without it a norm of zero would divide by itself.
            g *= xp.minimum(limit / xp.maximum(_unit_norms(xp, g), 1e-6), 1.0)


def _unit_norms(xp: Any, values: Any) -> Any:
    """Return the Euclidean norm of each unit, in a shape that broadcasts."""
    axes = tuple(range(1, values.ndim)) if values.ndim > 1 else None
    return xp.sqrt(xp.sum(values * values, axis=axes, keepdims=True))
