"""Losses as layers; the functions of `tinygrad_adam.nn.functional` describe them."""

from __future__ import annotations

from numbers import Real
from typing import Any

from .. import ops
from ..tensor.creation import tensor
from ..tensor.tensor import Tensor
from ..typing import TensorLike
from .function_layer import FunctionLayer

__all__ = [
    "BCEWithLogitsLoss",
    "CrossEntropyLoss",
    "HingeLoss",
    "HuberLoss",
    "KLDivLoss",
    "L1Loss",
    "MSELoss",
    "NLLLoss",
]


class _Loss(FunctionLayer):
    """A loss function with its settings; arrays among these are buffers, which move with the module."""

    def __init__(self, **settings: object) -> None:
        super().__init__()
        self._plain: dict[str, object] = {}
        for name, value in settings.items():
            if value is None or isinstance(value, str | Real):
                self._plain[name] = value
            else:
                self.register_buffer(name, tensor(value))

    @property
    def settings(self) -> dict[str, Any]:
        """The keyword arguments that the function is called with."""
        return {**self._plain, **self._buffers}

    def forward(self, input: Tensor, target: TensorLike) -> Tensor:
        """Return the loss, a scalar unless the reduction is "none"."""
        return self._function(input, target, **self.settings)

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={value!r}" for name, value in self._plain.items())


class CrossEntropyLoss(_Loss, function=ops.cross_entropy):
    """Softmax cross-entropy of logits and labels or probabilities; see `cross_entropy`."""

    def __init__(
        self,
        weight: TensorLike = None,
        ignore_index: int = -100,
        label_smoothing: float = 0.0,
        reduction: str = "mean",
    ) -> None:
        super().__init__(
            weight=weight, ignore_index=ignore_index, label_smoothing=label_smoothing, reduction=reduction
        )

    def forward(self, logits: Tensor, target: TensorLike) -> Tensor:
        """Return the loss of `logits`, shape (N, C, ...), a scalar unless the reduction is "none"."""
        return super().forward(logits, target)


class NLLLoss(_Loss, function=ops.nll_loss):
    """Negative log-likelihood of class indices, for the output of a `LogSoftmax`; see `nll_loss`."""

    def __init__(self, weight: TensorLike = None, ignore_index: int = -100, reduction: str = "mean") -> None:
        super().__init__(weight=weight, ignore_index=ignore_index, reduction=reduction)

    def forward(self, log_probs: Tensor, target: TensorLike) -> Tensor:
        """Return the loss of `log_probs`, shape (N, C, ...), a scalar unless the reduction is "none"."""
        return super().forward(log_probs, target)


class BCEWithLogitsLoss(_Loss, function=ops.binary_cross_entropy_with_logits):
    """Binary cross-entropy of logits; see `binary_cross_entropy_with_logits`."""

    def __init__(
        self, weight: TensorLike = None, pos_weight: TensorLike = None, reduction: str = "mean"
    ) -> None:
        super().__init__(weight=weight, pos_weight=pos_weight, reduction=reduction)


class MSELoss(_Loss, function=ops.mse_loss):
    """Squared error; see `mse_loss`."""

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)


class L1Loss(_Loss, function=ops.l1_loss):
    """Absolute error, whose gradient at 0 is 0; see `l1_loss`."""

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)


class HuberLoss(_Loss, function=ops.huber_loss):
    """Huber's loss: half the square of errors up to `delta`, linear beyond; see `huber_loss`."""

    def __init__(self, delta: float = 1.0, reduction: str = "mean") -> None:
        super().__init__(delta=delta, reduction=reduction)


class KLDivLoss(_Loss, function=ops.kl_div):
    """Kullback-Leibler divergence of log-probabilities from probabilities; see `kl_div`."""

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)


class HingeLoss(_Loss, function=ops.hinge_loss):
    """Hinge loss of scores and labels of -1 and 1; see `hinge_loss`."""

    def __init__(self, margin: float = 1.0, reduction: str = "mean") -> None:
        super().__init__(margin=margin, reduction=reduction)
