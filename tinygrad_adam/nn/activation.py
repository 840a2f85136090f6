"""Activation functions as modules."""

from __future__ import annotations

from ..tensor.tensor import Tensor
from . import functional as F
from .module import Module


class ReLU(Module):
    """``max(x, 0)``, element by element."""

    def forward(self, x: Tensor) -> Tensor:
        """Apply the function to `x` of any shape."""
        return F.relu(x)


class Tanh(Module):
    """Hyperbolic tangent, element by element."""

    def forward(self, x: Tensor) -> Tensor:
        """Apply the function to `x` of any shape."""
        return F.tanh(x)


class Sigmoid(Module):
    """Logistic function ``1 / (1 + exp(-x))``, element by element."""

    def forward(self, x: Tensor) -> Tensor:
        """Apply the function to `x` of any shape."""
        return F.sigmoid(x)


class SiLU(Module):
    """``x * sigmoid(x)``, element by element."""

    def forward(self, x: Tensor) -> Tensor:
        """Apply the function to `x` of any shape."""
        return F.silu(x)


class Softplus(Module):
    """``log(1 + exp(x))``, element by element."""

    def forward(self, x: Tensor) -> Tensor:
        """Apply the function to `x` of any shape."""
        return F.softplus(x)


class LeakyReLU(Module):
    """``x`` where positive, ``negative_slope * x`` elsewhere, element by element."""

    def __init__(self, negative_slope: float = 0.01) -> None:
        super().__init__()
        self.negative_slope = negative_slope

    def forward(self, x: Tensor) -> Tensor:
        """Apply the function to `x` of any shape."""
        return F.leaky_relu(x, negative_slope=self.negative_slope)

    def extra_repr(self) -> str:  # noqa: D102
        return f"negative_slope={self.negative_slope!r}"


class ELU(Module):
    """``x`` where positive, ``alpha * (exp(x) - 1)`` elsewhere, element by element."""

    def __init__(self, alpha: float = 1.0) -> None:
        super().__init__()
        self.alpha = alpha

    def forward(self, x: Tensor) -> Tensor:
        """Apply the function to `x` of any shape."""
        return F.elu(x, alpha=self.alpha)

    def extra_repr(self) -> str:  # noqa: D102
        return f"alpha={self.alpha!r}"


class GELU(Module):
    """Gaussian error linear unit, exact or by its ``"tanh"`` approximation."""

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        self.approximate = approximate

    def forward(self, x: Tensor) -> Tensor:
        """Apply the function to `x` of any shape."""
        return F.gelu(x, approximate=self.approximate)

    def extra_repr(self) -> str:  # noqa: D102
        return f"approximate={self.approximate!r}"


class Softmax(Module):
    """Exponentials divided by their sum along `axis`."""

    def __init__(self, axis: int = -1) -> None:
        super().__init__()
        self.axis = axis

    def forward(self, x: Tensor) -> Tensor:
        """Apply the function to `x` of any shape."""
        return F.softmax(x, axis=self.axis)

    def extra_repr(self) -> str:  # noqa: D102
        return f"axis={self.axis!r}"


class LogSoftmax(Module):
    """Logarithm of the softmax along `axis`."""

    def __init__(self, axis: int = -1) -> None:
        super().__init__()
        self.axis = axis

    def forward(self, x: Tensor) -> Tensor:
        """Apply the function to `x` of any shape."""
        return F.log_softmax(x, axis=self.axis)

    def extra_repr(self) -> str:  # noqa: D102
        return f"axis={self.axis!r}"
