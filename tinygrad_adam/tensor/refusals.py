"""Refusals of Tensors: the words for changes in place that cannot be made."""

from __future__ import annotations

import numpy

from ..backend.device import share_memory
from ..engine.graph import Variable
from ..errors import DTypeError, GraphError, ShapeError


def require_fit(where: str, symbol: str, tensor: Variable, result: Variable) -> None:
    """Refuse a result that would lose its fractions or its shape in this Tensor."""
    if not numpy.can_cast(result._data.dtype, tensor._data.dtype, "same_kind"):
        raise DTypeError(
            where,
            f"an in-place result must fit the dtype; write x = x {symbol} ...",
            before=tensor._data.dtype,
            after=result._data.dtype,
        )
    if result._data.shape != tensor._data.shape:
        raise ShapeError(
            where,
            f"an in-place result must keep the shape; write x = x {symbol} ...",
            before=tensor._data.shape,
            after=result._data.shape,
        )


def require_replaceable(where: str, symbol: str, tensor: Variable) -> None:
    """Refuse a new array for a leaf, or where a view would go on showing the old one."""
    if tensor.node is None and (tensor._requires_grad or tensor._grad_buffer is not None):
        raise GraphError(
            where,
            "a leaf that requires a gradient cannot be changed in place while operations are "
            f"recorded; do so inside no_grad(), or write x = x {symbol} ...",
            shape=tensor._data.shape,
        )
    for other in tensor._sharers():
        if share_memory(tensor._data, other._data if isinstance(other, Variable) else other):
            raise GraphError(
                where,
                "this Tensor shares its memory with another, as views, detach() and numpy() do, which "
                f"would not see the change while operations are recorded; write x = x {symbol} ...",
                shape=tensor._data.shape,
            )


def require_shape(where: str, rule: str, shape: tuple[int, ...], **found: tuple[int, ...]) -> None:
    """Refuse a value or a gradient of another shape than the Tensor's."""
    if any(other != shape for other in found.values()):
        raise ShapeError(where, rule, tensor=shape, **found)


def require_wanted(where: str, tensor: Variable) -> None:
    """Refuse a Tensor that gets no gradient."""
    if not tensor.requires_grad:
        raise GraphError(where, "the Tensor does not require a gradient", shape=tuple(tensor._data.shape))
