"""Losses as modules; the functions of `tinygrad_adam.nn.functional` say what they compute."""

from __future__ import annotations

from numbers import Real
from typing import Any

from ..tensor.creation import tensor
from ..tensor.tensor import Tensor
from . import functional as F
from .module import Module


class _Loss(Module):
    """A loss function with its settings; those that are arrays are buffers, which move with the module."""

    def __init__(self, **settings: Any) -> None:
        super().__init__()
        self._plain: dict[str, Any] = {}
        for name, value in settings.items():
            if value is None or isinstance(value, str | Real):
                self._plain[name] = value
            else:
                self.register_buffer(name, tensor(value))

    @property
    def settings(self) -> dict[str, Any]:
        """What the function is called with, by name."""
        return {**self._plain, **self._buffers}

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={value!r}" for name, value in self._plain.items())


class CrossEntropyLoss(_Loss):
    """Softmax cross-entropy of logits; see `cross_entropy`."""

    def __init__(
        self,
        weight: Any = None,
        ignore_index: int = -100,
        label_smoothing: float = 0.0,
        reduction: str = "mean",
    ) -> None:
        super().__init__(
            weight=weight, ignore_index=ignore_index, label_smoothing=label_smoothing, reduction=reduction
        )

    def forward(self, logits: Tensor, target: Any) -> Tensor:
        """Return the loss."""
        return F.cross_entropy(logits, target, **self.settings)


class NLLLoss(_Loss):
    """Negative log-likelihood of class indices; see `nll_loss`."""

    def __init__(self, weight: Any = None, ignore_index: int = -100, reduction: str = "mean") -> None:
        super().__init__(weight=weight, ignore_index=ignore_index, reduction=reduction)

    def forward(self, log_probs: Tensor, target: Any) -> Tensor:
        """Return the loss."""
        return F.nll_loss(log_probs, target, **self.settings)


class BCEWithLogitsLoss(_Loss):
    """Binary cross-entropy of logits; see `binary_cross_entropy_with_logits`."""

    def __init__(self, weight: Any = None, pos_weight: Any = None, reduction: str = "mean") -> None:
        super().__init__(weight=weight, pos_weight=pos_weight, reduction=reduction)

    def forward(self, input: Tensor, target: Any) -> Tensor:
        """Return the loss."""
        return F.binary_cross_entropy_with_logits(input, target, **self.settings)


class MSELoss(_Loss):
    """Squared error; see `mse_loss`."""

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)

    def forward(self, input: Tensor, target: Any) -> Tensor:
        """Return the loss."""
        return F.mse_loss(input, target, **self.settings)


class L1Loss(_Loss):
    """Absolute error; see `l1_loss`."""

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)

    def forward(self, input: Tensor, target: Any) -> Tensor:
        """Return the loss."""
        return F.l1_loss(input, target, **self.settings)


class HuberLoss(_Loss):
    """Huber's loss; see `huber_loss`."""

    def __init__(self, delta: float = 1.0, reduction: str = "mean") -> None:
        super().__init__(delta=delta, reduction=reduction)

    def forward(self, input: Tensor, target: Any) -> Tensor:
        """Return the loss."""
        return F.huber_loss(input, target, **self.settings)


class KLDivLoss(_Loss):
    """Kullback-Leibler divergence; see `kl_div`."""

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)

    def forward(self, input: Tensor, target: Any) -> Tensor:
        """Return the loss."""
        return F.kl_div(input, target, **self.settings)


class HingeLoss(_Loss):
    """Hinge loss; see `hinge_loss`."""

    def __init__(self, margin: float = 1.0, reduction: str = "mean") -> None:
        super().__init__(margin=margin, reduction=reduction)

    def forward(self, input: Tensor, target: Any) -> Tensor:
        """Return the loss."""
        return F.hinge_loss(input, target, **self.settings)
