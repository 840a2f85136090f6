"""Parameter: a Tensor that a Module owns and an optimizer changes."""

from __future__ import annotations

from typing import Any

from .. import watching
from ..backend.device import asarray, on_device_of
from ..creation import tensor
from ..errors import ShapeError
from ..tensor import Tensor


class Parameter(Tensor):
    """A leaf that requires a gradient and whose value stays where it is in memory.

    An optimizer lays the parameters of a model side by side in one flat array, of which
    ``.data`` is then a view. Assigning ``p.data = array`` therefore copies into the place.

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

    def _assign(self, value: Any) -> None:
        shape = getattr(value, "shape", None)
        if shape is not None and tuple(shape) != self.shape:
            raise ShapeError(
                "Parameter.data", "the new value must have the same shape", parameter=self.shape, value=shape
            )
        if watching.anyone:
            watching.tell("changed", self, "Parameter.data")
        value = asarray(value, dtype=self.dtype, device=self.device)
        with on_device_of(self._data, "Parameter.data"):
            self._data[...] = value
        self._version[0] += 1
