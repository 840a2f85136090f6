"""Activation functions as layers; each has the settings of its function."""

from __future__ import annotations

from .. import ops
from ..tensor.tensor import Tensor
from .function_layer import FunctionLayer

__all__ = [
    "ELU",
    "GELU",
    "LeakyReLU",
    "LogSoftmax",
    "Mish",
    "ReLU",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Tanh",
]


class _Activation(FunctionLayer):
    def forward(self, x: Tensor) -> Tensor:
        """Apply the function to `x` of any shape; the result has the same shape."""
        return self._function(x, **self._settings())

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={value!r}" for name, value in self._settings().items())


class ReLU(_Activation, function=ops.relu):
    """``max(x, 0)``, element by element: range [0, inf), gradient 0 at the kink.

    The usual choice between the layers of a network. Behind a `Linear` or `Conv2d` of a `Sequential` it
    takes no pass over memory of its own.
    """


class Tanh(_Activation, function=ops.tanh):
    """Hyperbolic tangent, element by element: range (-1, 1), slope 1 at 0, saturates on both sides."""


class Sigmoid(_Activation, function=ops.sigmoid):
    """Logistic function ``1 / (1 + exp(-x))``, element by element: range (0, 1), slope 1/4 at 0.

    It makes probabilities of logits. `BCEWithLogitsLoss` takes the logits themselves.
    """


class SiLU(_Activation, function=ops.silu):
    """``x * sigmoid(x)``, element by element, also called swish: smooth, with a minimum of -0.278."""


class Mish(_Activation, function=ops.mish):
    """``x * tanh(softplus(x))``, element by element: smooth like `SiLU`, with a minimum of -0.309.

    D. Misra, "Mish: A Self Regularized Non-Monotonic Activation Function", BMVC 2020, arXiv:1908.08681.
    """


class Softplus(_Activation, function=ops.softplus):
    """``log(1 + exp(x))``, element by element: a smooth ReLU, positive everywhere, log(2) at 0."""


class LeakyReLU(_Activation, function=ops.leaky_relu):
    """``x`` where positive, ``negative_slope * x`` elsewhere, element by element.

    Parameters
    ----------
    negative_slope : float
        The slope on the negative side, also the gradient at 0; with 0 this is `ReLU`.
    """

    def __init__(self, negative_slope: float = 0.01) -> None:
        super().__init__()
        self.negative_slope = negative_slope


class ELU(_Activation, function=ops.elu):
    """``x`` where positive, ``alpha * (exp(x) - 1)`` elsewhere, element by element: range (-alpha, inf).

    Parameters
    ----------
    alpha : float
        The negative of the value that large negative inputs approach, and the gradient at 0.
    """

    def __init__(self, alpha: float = 1.0) -> None:
        super().__init__()
        self.alpha = alpha


class GELU(_Activation, function=ops.gelu):
    """Gaussian error linear unit: ``x`` times the standard normal distribution function of `x`.

    Parameters
    ----------
    approximate : {"none", "tanh"}
        The exact function, or the approximation by a hyperbolic tangent that BERT and GPT-2 use.
    """

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        self.approximate = approximate


class Softmax(_Activation, function=ops.softmax):
    """Exponentials divided by their sum along an axis: probabilities, which sum to 1.

    Parameters
    ----------
    axis : int
        The axis of the classes.
    """

    def __init__(self, axis: int = -1) -> None:
        super().__init__()
        self.axis = axis


class LogSoftmax(_Activation, function=ops.log_softmax):
    """Logarithm of the softmax along an axis, which `NLLLoss` takes; very small probabilities stay finite.

    Parameters
    ----------
    axis : int
        The axis of the classes.
    """

    def __init__(self, axis: int = -1) -> None:
        super().__init__()
        self.axis = axis
