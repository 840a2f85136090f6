"""Parameter: a Tensor that a Module owns and an optimizer changes; and the check of sizes for its shape."""

from __future__ import annotations

from ..errors import OptionError
from ..tensor.creation import tensor
from ..tensor.tensor import Tensor
from ..typing import TensorLike
from ..values import is_integer


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

    def __init__(self, data: TensorLike, requires_grad: bool = True) -> None:
        super().__init__(tensor(data)._data)
        self.requires_grad_(requires_grad)


def sizes(where: str, **given: int) -> tuple[int, ...]:
    """Return sizes as Python's integers; refuse those that are not positive integers."""
    wrong = {name: repr(size) for name, size in given.items() if not is_integer(size, 1)}
    if wrong:
        raise OptionError(where, "sizes must be positive integers", **wrong)
    return tuple(map(int, given.values()))
