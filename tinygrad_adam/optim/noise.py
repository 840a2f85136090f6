"""Noise on gradients, between the backward pass and the step."""

from __future__ import annotations

import math
from collections.abc import Iterable

from ..backend.device import asarray, on_device_of
from ..engine.rowsparse import RowSparse
from ..errors import DTypeError, OptionError
from ..tensor.random import generator
from ..tensor.tensor import Tensor
from ..values import is_integer, is_number


def add_grad_noise_(params: Iterable[Tensor], step: int, eta: float = 0.3, gamma: float = 0.55) -> None:
    r"""Add normal noise to all gradients, less and less of it.

    Its variance at step :math:`t = 0, 1, 2, \dots` is :math:`\sigma_t^2 = \eta / (1 + t)^\gamma`.

    Parameters
    ----------
    params : iterable of Parameter
        Those without a gradient are passed over.
    step : int
        How many steps were taken before this one.
    eta : float
        The variance at the first step; the paper tries 0.01, 0.3 and 1.
    gamma : float
        How fast it falls.

    Raises
    ------
    OptionError
        If `step`, `eta` or `gamma` is negative.
    DTypeError
        If a gradient is row-sparse: the noise is in every row.

    Notes
    -----
    The noise is drawn from the package's generator, in the order of `params`: see `manual_seed`. Checkpoints
    hold the generator's state, so a resumed run draws the same noise. Clip before adding noise, as the paper
    does.

    References
    ----------
    A. Neelakantan, L. Vilnis, Q. V. Le, I. Sutskever, L. Kaiser, K. Kurach and J. Martens, "Adding
    Gradient Noise Improves Learning for Very Deep Networks", 2015, arXiv:1511.06807, equation 1.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> p = tg.nn.Parameter([1.0, 2.0])
    >>> (p * p).sum().backward()
    >>> with tg.fork_rng(0):
    ...     tg.optim.add_grad_noise_([p], step=99, eta=0.01)
    >>> p.grad.numpy().round(3)
    array([2.004, 3.996], dtype=float32)
    """
    if not is_integer(step, 0):
        raise OptionError(
            "add_grad_noise_", "step must be an integer >= 0: the steps taken so far", step=step
        )
    for name, value in {"eta": eta, "gamma": gamma}.items():
        if not is_number(value) or value < 0:
            raise OptionError("add_grad_noise_", f"{name} must be a finite number >= 0", **{name: value})
    deviation = math.sqrt(eta / (1 + int(step)) ** gamma)
    for p in [params] if isinstance(params, Tensor) else params:
        gradient = p.grad
        if isinstance(gradient, RowSparse):
            raise DTypeError(
                "add_grad_noise_",
                "a gradient is row-sparse, and noise would be in every row; make it dense with "
                "Embedding(sparse=False) or Linear in place of SparseLinear, or leave the parameter out",
                shape=p.shape,
            )
        if gradient is not None:
            noise = deviation * generator().standard_normal(p.shape)
            with on_device_of(gradient._data, "add_grad_noise_"):
                gradient._data += asarray(noise, dtype=p.dtype, device=p.device)
            gradient._written()
