"""Embedding: a table of vectors that is learned."""

from __future__ import annotations

from typing import Any

from ..creation import zeros
from ..tensor import Tensor
from . import functional as F
from . import init
from .linear import require_positive
from .module import Module
from .parameter import Parameter


class Embedding(Module):
    """Table of vectors, looked up by integers.

    Parameters
    ----------
    num_embeddings : int
        How many vectors there are.
    embedding_dim : int
        Their size.

    Attributes
    ----------
    weight : Parameter, shape (num_embeddings, embedding_dim)
        Drawn from the standard normal distribution, as PyTorch does.
    """

    def __init__(self, num_embeddings: int, embedding_dim: int) -> None:
        super().__init__()
        require_positive("Embedding", num_embeddings=num_embeddings, embedding_dim=embedding_dim)
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.weight = Parameter(init.normal_(zeros(num_embeddings, embedding_dim)))

    def forward(self, indices: Any) -> Tensor:
        """Look `indices` of any shape up; the result has one more axis, of size embedding_dim."""
        return F.embedding(indices, self.weight)

    def extra_repr(self) -> str:  # noqa: D102
        return f"{self.num_embeddings}, {self.embedding_dim}"
