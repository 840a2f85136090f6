"""Adam, and AdamW with decoupled weight decay."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Annotated, Any, ClassVar, Self

from ..errors import unknown_name
from ..typing import Array, Xp
from .dialects import DIALECTS
from .domains import Betas, NotNegative, Switch, UpToOne, one_of
from .lines import StepLines
from .optimizer import Optimizer, Scalars
from .quantity import maximum, sqrt
from .settings import Group


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
    optional: ClassVar = {"v_max": "amsgrad"}

    def __init__(
        self,
        params: Iterable[Any],
        lr: NotNegative = 1e-3,
        betas: Betas = (0.9, 0.999),
        eps: NotNegative = 1e-8,
        weight_decay: NotNegative = 0.0,
        amsgrad: Switch = False,
        *,
        decoupled_weight_decay: Switch = False,
        eps_at: Annotated[str, one_of("outside", "hat", "inside")] = "outside",
        amsgrad_after_correction: Switch = False,
        bias_correction: Switch = True,
        lr_decay: NotNegative = 0.0,
        beta1_decay: UpToOne = 1.0,
        on_nonfinite: str = "ignore",
    ) -> None:
        super().__init__(params, locals(), on_nonfinite)

    def scalars(self, group: Group, t: int) -> Scalars:  # noqa: D102
        lr = group["lr"] / (1.0 + group["lr_decay"] * (t - 1))
        beta1, beta2 = group["betas"]
        correction1, correction2 = 1.0 - beta1**t, 1.0 - beta2**t
        if not group["bias_correction"]:
            correction1 = correction2 = 1.0
        eps, place = group["eps"], group["eps_at"]
        if place == "hat":  # m_hat / (sqrt(v_hat) + eps / c) is m_hat * c / (sqrt(v) + eps)
            eps = eps / math.sqrt(correction2)
        decay, decoupled = group["weight_decay"], group["decoupled_weight_decay"]
        return {
            "l2": 0.0 if decoupled else decay,
            "shrink": 1.0 - lr * decay if decoupled else 1.0,
            "lr": lr,
            "beta1": beta1 * group["beta1_decay"] ** (t - 1),
            "beta2": beta2,
            "eps": 0.0 if place == "inside" else eps,
            "eps_root": eps if place == "inside" else 0.0,
            "correction1": correction1,
            "correction2": correction2,
            "corrected_max": group["amsgrad_after_correction"],
        }

    @staticmethod
    def update(
        xp: Xp, param: Array, grad: Array, m: Array, v: Array, v_max: Array | None, *,
        scale: float, l2: float, shrink: float, lr: float, beta1: float, beta2: float, eps: float,
        eps_root: float, correction1: float, correction2: float, corrected_max: bool,
    ) -> None:  # fmt: skip
        """Change the parameters by one step of Algorithm 1; only AMSGrad has `v_max`."""
        grad = scale * grad + l2 * param if l2 else scale * grad
        param *= shrink
        m[...] = beta1 * m + (1 - beta1) * grad
        v[...] = beta2 * v + (1 - beta2) * (grad * grad)
        m_hat = m / correction1
        v_hat = v / correction2
        if v_max is not None:
            xp.maximum(v_max, v_hat if corrected_max else v, out=v_max)
            v_hat = v_max if corrected_max else v_max / correction2
        param -= lr * (m_hat / (xp.sqrt(v_hat + eps_root) + eps))

    @staticmethod
    def lines(w: StepLines) -> None:
        """Algorithm 1 of Kingma & Ba (2015)."""
        s = w.settings
        theta, t, alpha, g = w.begin("5", "6")
        beta1, beta2 = w.betas()
        beta1_t = beta1
        if s["beta1_decay"] != 1:
            decayed = beta1 * w.setting("beta1_decay") ** (t - 1)
            beta1_t = w.let("beta1_t", "beta_{1,t}", decayed, "first beta of this step, section 4")
        m, v = w.moments(g, beta1_t, beta2, "7", "8")
        corrected = s["bias_correction"]
        m_hat = w.corrected("m", m, beta1, t, "9") if corrected else m
        v_hat = v
        if s["amsgrad"] and not s["amsgrad_after_correction"]:
            v_hat = w.let(
                "v_max", "v_max_t", maximum(w.before("v_max", "v_max"), v), "greatest v so far: AMSGrad"
            )
        if corrected:
            v_hat = w.corrected("v", v_hat, beta2, t, "10")
        if s["amsgrad"] and s["amsgrad_after_correction"]:
            greatest = maximum(w.before("v_max", "v_max"), v_hat)
            v_hat = w.let("v_max", "v_max_t", greatest, "greatest v_hat so far: AMSGrad")
        eps = w.setting("eps")
        root = w.root(v_hat + eps if s["eps_at"] == "inside" else v_hat)
        divisor = root if s["eps_at"] == "inside" else root + eps
        if s["eps_at"] == "hat" and corrected:
            # Outside the root of v: m_hat * c / (sqrt(v) + eps), with c the root of the correction.
            scaled = w.let("eps_scaled", "eps_t", eps / sqrt(1 - beta2**t), "eps hat, in terms of v_hat")
            divisor = root + scaled
        w.rate(alpha / divisor)
        w.signal(m_hat, root)
        left = w.decayed(theta, alpha)
        w.end(theta, alpha * (m_hat / divisor), "11", left)

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


class AdamW(Adam, weight_decay=1e-2, decoupled_weight_decay=True):
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
