"""Embedding: a table of vectors that is learned."""

from __future__ import annotations

from ..tensor.creation import zeros
from ..tensor.tensor import Tensor
from ..typing import TensorLike
from . import init
from .lookup import embedding
from .module import Module
from .parameter import Parameter, sizes

__all__ = ["Embedding"]


class Embedding(Module):
    """Table of vectors, looked up by integers.

    Parameters
    ----------
    num_embeddings : int
        The number of vectors.
    embedding_dim : int
        Their size.
    sparse : bool
        Whether the gradient is a `RowSparse`, which holds only the rows that were looked up; see
        `functional.embedding`. `SparseAdam` is the only optimizer that takes it.

    Attributes
    ----------
    weight : Parameter, shape (num_embeddings, embedding_dim)
        Sampled from the standard normal distribution, as PyTorch does.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> table = tg.nn.Embedding(1000, 4, sparse=True)
    >>> table([3, 999, 3]).sum().backward()
    >>> table.weight.grad
    RowSparse(2 of 1000 rows, shape=(1000, 4), dtype=float32)
    """

    def __init__(self, num_embeddings: int, embedding_dim: int, sparse: bool = False) -> None:
        super().__init__()
        shape = sizes("Embedding", num_embeddings=num_embeddings, embedding_dim=embedding_dim)
        self.num_embeddings, self.embedding_dim = shape
        self.sparse = sparse
        self.weight = Parameter(init.normal_(zeros(*shape)))

    def forward(self, indices: TensorLike) -> Tensor:
        """Look up `indices` of any shape; the result has one more axis, of size embedding_dim."""
        return embedding(indices, self.weight, self.sparse)

    def extra_repr(self) -> str:  # noqa: D102
        return f"{self.num_embeddings}, {self.embedding_dim}{', sparse=True' if self.sparse else ''}"
