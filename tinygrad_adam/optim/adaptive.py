"""What the update rules share besides their kernels: numbers that depend on the step alone."""

from __future__ import annotations

from typing import Any


def bias_correction(beta: float, step: int) -> float:
    r"""Return :math:`1 - \beta^t`, by which an average that began at zero is too small.

    Kingma & Ba (2015), section 3, equation 4.

    Examples
    --------
    After one step the average holds a tenth of the first value:

    >>> round(bias_correction(0.9, 1), 12)
    0.1
    """
    return 1.0 - beta**step


def decayed_lr(lr: float, lr_decay: float, step: int) -> float:
    """Return the learning rate of step number `step`, ``lr / (1 + lr_decay * (step - 1))``.

    Examples
    --------
    >>> [decayed_lr(0.5, 1.0, step) for step in (1, 2, 4)]
    [0.5, 0.25, 0.125]
    """
    return lr / (1.0 + lr_decay * (step - 1))


def weight_decay_scalars(settings: dict[str, Any], lr: float) -> dict[str, float]:
    """Return the two kinds of weight decay as kernels take them.

    ``l2 * param`` is added to the gradient; ``shrink`` multiplies the parameter, apart from the
    gradient, and differs from 1 with ``"decoupled_weight_decay"``.

    Examples
    --------
    >>> weight_decay_scalars({"weight_decay": 0.5, "decoupled_weight_decay": True}, lr=0.5)
    {'l2': 0.0, 'shrink': 0.75}
    """
    if settings["decoupled_weight_decay"]:
        return {"l2": 0.0, "shrink": 1.0 - lr * settings["weight_decay"]}
    return {"l2": settings["weight_decay"], "shrink": 1.0}
