"""Adam, and AdamW with decoupled weight decay."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .optimizer import Optimizer, _is_number


class Adam(Optimizer):
    r"""Adam: adaptive moment estimation.

    Algorithm 1 of Kingma & Ba (2015), element by element, with :math:`\theta` the parameters,
    :math:`\alpha` the learning rate `lr` and :math:`\beta_1, \beta_2` the `betas`::

        m_0 = 0, v_0 = 0, t = 0
        repeat
            t = t + 1
            g_t = gradient of the loss with respect to theta_{t-1}       (+ weight_decay * theta_{t-1})
            m_t = beta_1 * m_{t-1} + (1 - beta_1) * g_t                  first moment: mean
            v_t = beta_2 * v_{t-1} + (1 - beta_2) * g_t^2                second moment: uncentered variance
            m_hat_t = m_t / (1 - beta_1^t)                               bias corrections, section 3,
            v_hat_t = v_t / (1 - beta_2^t)                               equation 4
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

    Raises
    ------
    OptionError
        If a hyper-parameter is out of its domain.

    Notes
    -----
    Dialects differ. TensorFlow 1 and Chainer fold the corrections into the step size, which makes
    of eps the "epsilon hat" of section 2 of the paper; Keras' default for eps is 1e-7; optax takes
    the maximum of AMSGrad after the correction.

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

    moment_names = ("m", "v")
    _decoupled = False

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
    ) -> None:
        super().__init__(
            params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "amsgrad": amsgrad}
        )

    def _validate(self, settings: dict[str, Any]) -> None:
        self._require_not_negative(settings, "lr", "eps", "weight_decay")
        betas = settings["betas"]
        self._require(
            settings,
            "betas",
            "two numbers in [0, 1)",
            isinstance(betas, tuple | list)
            and len(betas) == 2
            and all(_is_number(b) and 0 <= b < 1 for b in betas),
        )
        self._require(settings, "amsgrad", "True or False", isinstance(settings["amsgrad"], bool))

    def _moments(self, settings: dict[str, Any]) -> tuple[str, ...]:
        return (*self.moment_names, "v_max") if settings["amsgrad"] else self.moment_names

    def _update(
        self,
        kernels: Any,
        param: Any,
        grad: Any,
        moments: dict[str, Any],
        step: int,
        settings: dict[str, Any],
    ) -> None:
        beta1, beta2 = settings["betas"]
        kernels.adam(
            param,
            grad,
            moments["m"],
            moments["v"],
            moments.get("v_max"),
            lr=settings["lr"],
            beta1=beta1,
            beta2=beta2,
            eps=settings["eps"],
            weight_decay=settings["weight_decay"],
            decoupled=self._decoupled,
            step=step,
        )


class AdamW(Adam):
    """Adam with decoupled weight decay.

    As `Adam`, but the decay acts on the parameters themselves, ``param -= lr * weight_decay * param``
    before the step, instead of on the gradient (Algorithm 2 of the reference, with the decay
    scaled by `lr` as in PyTorch). So it is not divided by the root of the second moment.

    Parameters
    ----------
    params, lr, betas, eps, amsgrad
        As for `Adam`.
    weight_decay : float
        The share of each parameter that a step takes away, over `lr`.

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

    _decoupled = True

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad)
