"""Adam, and AdamW with decoupled weight decay."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Self

from ..errors import unknown_name
from .adaptive import bias_correction, decayed_lr, weight_decay_scalars
from .dialects import DIALECTS
from .optimizer import Optimizer

EPS_AT = ("outside", "hat", "inside")


class Adam(Optimizer):
    r"""Adam: adaptive moment estimation.

    Algorithm 1 of Kingma & Ba (2015), element by element, with :math:`\theta` the parameters,
    :math:`\alpha` the learning rate `lr` and :math:`\beta_1, \beta_2` the `betas`::

        m_0 = 0, v_0 = 0, t = 0
        repeat
            t = t + 1
            g_t = gradient of the loss at theta_{t-1}        (+ weight_decay * theta_{t-1})
            m_t = beta_1 * m_{t-1} + (1 - beta_1) * g_t      first moment: mean
            v_t = beta_2 * v_{t-1} + (1 - beta_2) * g_t^2    second moment: uncentered variance
            m_hat_t = m_t / (1 - beta_1^t)                   bias corrections, section 3,
            v_hat_t = v_t / (1 - beta_2^t)                   equation 4
            theta_t = theta_{t-1} - alpha * m_hat_t / (sqrt(v_hat_t) + epsilon)

    With `amsgrad`, v_hat is computed from the greatest v so far instead of the last.

    Parameters
    ----------
    params : iterable
        Parameters, pairs of name and Parameter, or groups; see `Optimizer`.
    lr : float
        Step size. With a steady gradient each entry moves by about this much in a step.
    betas : tuple of float
        Decay rates of the two moments, each in [0, 1).
    eps : float
        Added to the root of the corrected second moment, outside the root as in the paper.
    weight_decay : float
        Added to the gradient as ``weight_decay * param``: L2 regularization. It is scaled by the
        second moment like the rest of the gradient; `AdamW` decays without that.
    amsgrad : bool
        Whether to use the variant of Reddi et al. As in their paper and in PyTorch the maximum is
        taken before the bias correction.
    decoupled_weight_decay : bool
        Whether the decay acts on the parameters themselves, as in `AdamW`.
    eps_at : {"outside", "hat", "inside"}
        Where eps stands: outside the root of v_hat, as in Algorithm 1; outside the root of v, which
        is the epsilon hat of the faster order of computation at the end of section 2; or inside the
        root of v_hat.
    amsgrad_after_correction : bool
        Whether the maximum of AMSGrad is taken of v_hat, the corrected moment.
    bias_correction : bool
        Whether to divide the moments by ``1 - beta**t``. Without, and with AMSGrad, this is Algorithm
        2 of Reddi et al., who have no eps either.
    lr_decay : float
        The learning rate of step t is ``lr / (1 + lr_decay * (t - 1))``.
    beta1_decay : float
        The first beta of step t is ``beta1 * beta1_decay**(t - 1)``, the lambda of section 4.
    on_nonfinite : {"ignore", "skip", "raise"}
        What to do about gradients that are not finite; see `Optimizer`.

    Raises
    ------
    OptionError
        If a hyper-parameter is out of its domain.

    See Also
    --------
    Adam.like : Adam as another library defines it.
    compare_dialects : where their paths part.

    Notes
    -----
    The memory beside the parameters and their gradients is two numbers for each parameter.

    References
    ----------
    D. P. Kingma and J. Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015,
    arXiv:1412.6980. S. J. Reddi, S. Kale and S. Kumar, "On the Convergence of Adam and Beyond",
    ICLR 2018.

    Examples
    --------
    The first step is the learning rate, whatever the size of the gradient:

    >>> import tinygrad_adam as tg
    >>> p = tg.nn.Parameter([1.0, 1.0])
    >>> opt = tg.optim.Adam([p], lr=0.1)
    >>> (p * tg.tensor([3.0, -0.01])).sum().backward()
    >>> opt.step()
    >>> p.detach().numpy().round(6)
    array([0.9, 1.1], dtype=float32)
    """

    kernel = "adam"
    moment_names = ("m", "v", "v_max")

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        *,
        decoupled_weight_decay: bool = False,
        eps_at: str = "outside",
        amsgrad_after_correction: bool = False,
        bias_correction: bool = True,
        lr_decay: float = 0.0,
        beta1_decay: float = 1.0,
        on_nonfinite: str = "ignore",
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": betas,
                "eps": eps,
                "weight_decay": weight_decay,
                "amsgrad": amsgrad,
                "decoupled_weight_decay": decoupled_weight_decay,
                "eps_at": eps_at,
                "amsgrad_after_correction": amsgrad_after_correction,
                "bias_correction": bias_correction,
                "lr_decay": lr_decay,
                "beta1_decay": beta1_decay,
            },
            on_nonfinite,
        )

    @classmethod
    def like(cls, params: Iterable[Any], dialect: str, **settings: Any) -> Self:
        """Make an Adam with the update and the published defaults of another library.

        Parameters
        ----------
        params : iterable
            Parameters, pairs of name and Parameter, or groups; see `Optimizer`.
        dialect : str
            A key of `DIALECTS`, such as ``"paper"``, ``"pytorch"``, ``"tensorflow"`` or ``"keras"``.
        **settings
            Hyper-parameters that differ from the library's defaults.

        Raises
        ------
        OptionError
            If the dialect is not known, with the nearest that is.

        Examples
        --------
        Keras puts eps elsewhere, and has another default for it:

        >>> import tinygrad_adam as tg
        >>> opt = tg.optim.Adam.like([tg.nn.Parameter([1.0])], "keras", lr=0.1)
        >>> opt.param_groups[0]["eps_at"], opt.param_groups[0]["eps"]
        ('hat', 1e-07)
        """
        if dialect not in DIALECTS:
            raise unknown_name(f"{cls.__name__}.like", "dialect", dialect, DIALECTS)
        return cls(params, **{**DIALECTS[dialect], **settings})

    def _validate(self, settings: dict[str, Any]) -> None:
        self._require_not_negative(settings, "lr", "eps", "weight_decay", "lr_decay")
        self._require_betas(settings)
        self._require_switch(
            settings, "amsgrad", "decoupled_weight_decay", "amsgrad_after_correction", "bias_correction"
        )
        self._require(settings, "eps_at", "'outside', 'hat' or 'inside'", settings["eps_at"] in EPS_AT)
        self._require_not_negative(settings, "beta1_decay")
        self._require(settings, "beta1_decay", "at most 1", settings["beta1_decay"] <= 1)

    def _moments(self, settings: dict[str, Any]) -> tuple[str | None, ...]:
        return ("m", "v", "v_max" if settings["amsgrad"] else None)

    def _scalars(self, settings: dict[str, Any], step: int) -> dict[str, Any]:
        lr = decayed_lr(settings["lr"], settings["lr_decay"], step)
        beta1, beta2 = settings["betas"]
        correction1 = bias_correction(beta1, step) if settings["bias_correction"] else 1.0
        correction2 = bias_correction(beta2, step) if settings["bias_correction"] else 1.0
        eps, place = settings["eps"], settings["eps_at"]
        if place == "hat":  # m_hat / (sqrt(v_hat) + eps / c) is m_hat * c / (sqrt(v) + eps)
            eps = eps / math.sqrt(correction2)
        return {
            **weight_decay_scalars(settings, lr),
            "lr": lr,
            "beta1": beta1 * settings["beta1_decay"] ** (step - 1),
            "beta2": beta2,
            "eps": 0.0 if place == "inside" else eps,
            "eps_root": eps if place == "inside" else 0.0,
            "correction1": correction1,
            "correction2": correction2,
            "corrected_max": settings["amsgrad_after_correction"],
        }


class AdamW(Adam):
    """Adam with decoupled weight decay.

    `Adam` with ``decoupled_weight_decay=True``: the decay acts on the parameters themselves, ``param -=
    lr * weight_decay * param`` before the step, instead of on the gradient (Algorithm 2 of the
    reference, with the decay scaled by `lr` as in PyTorch). So it is not divided by the root of the
    second moment.

    Parameters
    ----------
    params, lr, betas, eps, amsgrad
        As for `Adam`.
    weight_decay : float
        The share of each parameter that a step takes away, over `lr`.
    decoupled_weight_decay, eps_at, amsgrad_after_correction, bias_correction, lr_decay, beta1_decay
        As for `Adam`.
    on_nonfinite : {"ignore", "skip", "raise"}
        What to do about gradients that are not finite; see `Optimizer`.

    References
    ----------
    I. Loshchilov and F. Hutter, "Decoupled Weight Decay Regularization", ICLR 2019,
    arXiv:1711.05101.

    Examples
    --------
    Without a gradient to speak of, only the decay is left:

    >>> import tinygrad_adam as tg
    >>> p = tg.nn.Parameter([1.0])
    >>> opt = tg.optim.AdamW([p], lr=0.1, weight_decay=0.5)
    >>> (p * 0.0).sum().backward()
    >>> opt.step()
    >>> p.detach()
    tensor([0.95])
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        decoupled_weight_decay: bool = True,
        eps_at: str = "outside",
        amsgrad_after_correction: bool = False,
        bias_correction: bool = True,
        lr_decay: float = 0.0,
        beta1_decay: float = 1.0,
        on_nonfinite: str = "ignore",
    ) -> None:
        super().__init__(
            params,
            lr,
            betas,
            eps,
            weight_decay,
            amsgrad,
            decoupled_weight_decay=decoupled_weight_decay,
            eps_at=eps_at,
            amsgrad_after_correction=amsgrad_after_correction,
            bias_correction=bias_correction,
            lr_decay=lr_decay,
            beta1_decay=beta1_decay,
            on_nonfinite=on_nonfinite,
        )
