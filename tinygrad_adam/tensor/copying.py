"""Copies and pickles of Tensors."""

from __future__ import annotations

import operator
from typing import Any

from ..backend.device import on_device_of, same_view
from ..engine.graph import Variable
from ..errors import GraphError
from ..typing import Array


def state_of(tensor: Any) -> Any:
    """Return the state that a pickle holds: attributes, and slots; not the count of writes."""
    slots = {name: getattr(tensor, name) for name in Variable.__slots__ if name not in _NOT_PICKLED}
    return getattr(tensor, "__dict__", None), slots


_NOT_PICKLED = ("__weakref__", "_version")


def set_state(tensor: Any, state: Any) -> None:
    """Restore the state of a pickle, also of one written before version 0.1, whose slot had another name."""
    Variable.__init__(tensor, None)
    for name, value in {**(state[0] or {}), **state[1]}.items():
        setattr(tensor, "_requires_grad" if name == "requires_grad" else name, value)


def copy(tensor: Any) -> Any:
    """Return a leaf with a copy of the value and the gradient; a result is copied with its history."""
    if tensor.node is not None:
        return tensor.copy()
    with on_device_of(tensor._data, "copy"):
        return _twin(tensor, tensor._read("copy").copy())


def deepcopy(tensor: Any, memo: dict[Any, Any]) -> Any:
    """Copy a leaf with its gradient; views of one memory that are copied together stay views of one."""
    if tensor.node is not None:
        raise GraphError(
            "deepcopy",
            "only leaves can be copied with their gradient; call .detach() first",
            shape=tensor.shape,
        )
    with on_device_of(tensor._data, "deepcopy"):
        tensor._read("deepcopy")
        array, twins = None, []
        family = [tensor, *(other for other in tensor._sharers() if isinstance(other, Variable))]
        if len(family) > 1:
            key = ("memory", min(map(id, family)))
            if key not in memo:
                whole = max(family, key=operator.attrgetter("size"))._data
                memo[key] = whole, whole.copy(order="K"), []
            whole, copied, twins = memo[key]
            array = same_view(tensor._data, whole, copied)
        twin = memo[id(tensor)] = _twin(tensor, tensor._data.copy() if array is None else array)
        if array is not None:
            twins.append(twin)
            twin._join(twins[0])
    return twin


def _twin(tensor: Any, array: Array) -> Any:
    """Make a leaf of the same class with that array, and with a copy of the gradient."""
    twin: Any = object.__new__(type(tensor))
    Variable.__init__(twin, array, tensor._requires_grad)
    if tensor._grad is not None:
        twin.grad = tensor._grad
    return twin
