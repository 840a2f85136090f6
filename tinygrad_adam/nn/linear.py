"""Fully connected layers, and Flatten, which stands before them."""

from __future__ import annotations

from .. import ops
from ..tensor.creation import zeros
from ..tensor.tensor import Tensor
from ..typing import TensorLike
from . import init
from .lookup import sparse_linear
from .module import Module
from .parameter import Parameter, sizes

__all__ = ["Flatten", "Linear", "SparseLinear"]


class Linear(Module):
    """Affine map ``x @ weight.T + bias`` of the last axis.

    Parameters
    ----------
    in_features, out_features : int
        The sizes of the last axis of the input and of the output.
    bias : bool
        Whether to add a bias.

    Attributes
    ----------
    weight : Parameter, shape (out_features, in_features)
        Sampled uniformly within ``1 / sqrt(in_features)``, as PyTorch does.
    bias : Parameter, shape (out_features,), or None
        Sampled from the same interval.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> tg.nn.Linear(3, 2)(tg.ones(5, 3)).shape
    (5, 2)
    """

    def __init__(self, in_features: int, out_features: int, bias: bool = True) -> None:
        super().__init__()
        in_features, out_features = sizes("Linear", in_features=in_features, out_features=out_features)
        self.in_features, self.out_features = in_features, out_features
        self.weight = Parameter(init.fan_in_uniform_(zeros(out_features, in_features), in_features))
        self.bias = Parameter(init.fan_in_uniform_(zeros(out_features), in_features)) if bias else None

    def forward(self, x: TensorLike, activation: str | None = None) -> Tensor:
        """Map `x`, shape (..., in_features), to shape (..., out_features)."""
        return ops.linear(x, self.weight, self.bias, activation)

    def extra_repr(self) -> str:  # noqa: D102
        return f"{self.in_features}, {self.out_features}{'' if self.bias is not None else ', bias=False'}"


class SparseLinear(Module):
    """Affine map ``x @ weight + bias`` of a sparse matrix, such as word counts or one-hot features.

    Its cost grows with the numbers that `x` stores, and the gradient of the weight is a `RowSparse`, with a
    row for each feature that occurs. `SparseAdam` is the optimizer for it, and takes the bias as well.

    Parameters
    ----------
    in_features, out_features : int
        The number of columns of the input, and the size of the last axis of the output.
    bias : bool
        Whether to add a bias.

    Attributes
    ----------
    weight : Parameter, shape (in_features, out_features)
        The transpose of the weight of a `Linear`. Sampled uniformly within ``1 / sqrt(in_features)``.
    bias : Parameter, shape (out_features,), or None
        Sampled from the same interval.

    Examples
    --------
    Any object with the attributes of SciPy's ``csr_array`` will do:

    >>> from types import SimpleNamespace
    >>> import numpy as np
    >>> import tinygrad_adam as tg
    >>> x = SimpleNamespace(  # [[0, 0, 2], [1, 0, 3]]
    ...     shape=(2, 3),
    ...     indptr=np.array([0, 1, 3]),
    ...     indices=np.array([2, 0, 2]),
    ...     data=np.array([2.0, 1.0, 3.0]),
    ... )
    >>> layer = tg.nn.SparseLinear(3, 4)
    >>> layer(x).sum().backward()
    >>> layer.weight.grad
    RowSparse(2 of 3 rows, shape=(3, 4), dtype=float32)
    """

    def __init__(self, in_features: int, out_features: int, bias: bool = True) -> None:
        super().__init__()
        in_features, out_features = sizes("SparseLinear", in_features=in_features, out_features=out_features)
        self.in_features, self.out_features = in_features, out_features
        self.weight = Parameter(init.fan_in_uniform_(zeros(in_features, out_features), in_features))
        self.bias = Parameter(init.fan_in_uniform_(zeros(out_features), in_features)) if bias else None

    def forward(self, x: TensorLike) -> Tensor:
        """Map `x`, compressed sparse rows of shape (N, in_features), to shape (N, out_features)."""
        return sparse_linear(x, self.weight, self.bias)

    def extra_repr(self) -> str:  # noqa: D102
        return f"{self.in_features}, {self.out_features}{'' if self.bias is not None else ', bias=False'}"


class Flatten(Module):
    """Merge all axes but the first into one."""

    def forward(self, x: Tensor) -> Tensor:
        """Reshape `x`, shape (N, ...), to shape (N, product of the rest)."""
        return x.flatten(1)
