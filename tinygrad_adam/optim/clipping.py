"""Limits on gradients, between the backward pass and the step."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from ..backend.device import backend_of
from ..errors import OptionError
from ..tensor import Tensor


def _gradients(params: Iterable[Tensor]) -> list[Any]:
    params = [params] if isinstance(params, Tensor) else params
    gradients = [p.grad for p in params if p.grad is not None]
    for gradient in gradients:
        gradient._version[0] += 1  # what is differentiated through a clipped gradient must say so
    return [gradient._data for gradient in gradients]


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
    if not max_norm > 0:
        raise OptionError("clip_grad_norm_", "max_norm must be positive", max_norm=max_norm)
    gradients = _gradients(params)
    xp = backend_of(gradients).xp
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
    if not clip_value > 0:
        raise OptionError("clip_grad_value_", "clip_value must be positive", clip_value=clip_value)
    for g in _gradients(params):
        backend_of((g,)).xp.clip(g, -clip_value, clip_value, out=g)
