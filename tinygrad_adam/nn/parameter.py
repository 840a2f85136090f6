"""Parameter: a Tensor that a Module owns and an optimizer changes."""

from __future__ import annotations

from typing import Any

from ..tensor.creation import tensor
from ..tensor.tensor import Tensor


class Parameter(Tensor):
    """A leaf that requires a gradient and whose value stays where it is in memory.

    An optimizer lays the parameters of a model side by side in one flat array, of which
    ``.data`` is then a view.

    Parameters
    ----------
    data : array, Tensor or nested sequence
        The initial value, which is copied.
    requires_grad : bool
        False for a frozen parameter.
    """

    __slots__ = ()

    def __init__(self, data: Any, requires_grad: bool = True) -> None:
        super().__init__(tensor(data)._data)
        self.requires_grad_(requires_grad)
