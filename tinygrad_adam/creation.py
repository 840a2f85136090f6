"""Making Tensors: from data, filled, or drawn at random."""

from __future__ import annotations

from numbers import Integral
from typing import Any

from .backend.convert import array_of, check_dtype, get_default_dtype
from .backend.device import Array, backend_of, device_of, get_backend, to_device
from .errors import ShapeError
from .methods import unpacked
from .random import generator
from .tensor import Tensor


def _leaf(array: Array, requires_grad: bool, where: str = "tensor") -> Tensor:
    check_dtype(where, array.dtype)
    return Tensor(array).requires_grad_(requires_grad)


def tensor(data: Any, dtype: Any = None, device: str = "cpu", requires_grad: bool = False) -> Tensor:
    """Make a Tensor from numbers, nested lists or an array; the data are copied.

    Parameters
    ----------
    data : number, nested sequence, array or Tensor
        The values.
    dtype : dtype, optional
        By default that of an array; Python floats become the default dtype (float32), integers
        int64, truth values bool.
    device : str
        ``"cpu"``, ``"cuda"`` or ``"cuda:N"``.
    requires_grad : bool
        Whether operations on it are to be recorded.

    Returns
    -------
    Tensor
        A leaf.

    Raises
    ------
    DTypeError
        If the data are not numbers, or hold integers and `requires_grad` is set.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> tg.tensor([[1.0, 2.0]], requires_grad=True).shape
    (1, 2)
    """
    if isinstance(data, Tensor):
        data = data._data
    if device_of(data) == "cpu":
        array = to_device(array_of("tensor", data, dtype), device)
    else:
        array = to_device(backend_of((data,)).xp.array(data, dtype=dtype), device)
    return _leaf(array, requires_grad)


def _shape(where: str, sizes: tuple[Any, ...]) -> tuple[int, ...]:
    shape = tuple(unpacked(sizes))
    if not all(isinstance(size, Integral) and int(size) >= 0 for size in shape):
        raise ShapeError(where, "sizes must be non-negative integers", shape=shape)
    return shape


def zeros(*shape: Any, dtype: Any = None, device: str = "cpu", requires_grad: bool = False) -> Tensor:
    """Make a Tensor of zeros; `shape` as sizes or as one tuple."""
    return full(_shape("zeros", shape), 0, dtype, device, requires_grad)


def ones(*shape: Any, dtype: Any = None, device: str = "cpu", requires_grad: bool = False) -> Tensor:
    """Make a Tensor of ones; `shape` as sizes or as one tuple."""
    return full(_shape("ones", shape), 1, dtype, device, requires_grad)


def full(
    shape: tuple[int, ...], value: float, dtype: Any = None, device: str = "cpu", requires_grad: bool = False
) -> Tensor:
    """Make a Tensor of one value, of the default dtype unless `dtype` is given."""
    shape = _shape("full", (shape,))
    array = get_backend(device).xp.full(shape, value, dtype=get_default_dtype() if dtype is None else dtype)
    return _leaf(array, requires_grad, "full")


def arange(*bounds: float, dtype: Any = None, device: str = "cpu", requires_grad: bool = False) -> Tensor:
    """Make a Tensor of evenly spaced numbers: ``arange(stop)`` or ``arange(start, stop[, step])``."""
    if dtype is None and any(isinstance(bound, float) for bound in bounds):
        dtype = get_default_dtype()
    return _leaf(get_backend(device).xp.arange(*bounds, dtype=dtype), requires_grad, "arange")


def eye(n: int, dtype: Any = None, device: str = "cpu", requires_grad: bool = False) -> Tensor:
    """Make the identity matrix of `n` rows."""
    array = get_backend(device).xp.eye(n, dtype=get_default_dtype() if dtype is None else dtype)
    return _leaf(array, requires_grad, "eye")


def rand(*shape: Any, dtype: Any = None, device: str = "cpu", requires_grad: bool = False) -> Tensor:
    """Draw uniformly from [0, 1); see `manual_seed`."""
    return _drawn(generator().random(_shape("rand", shape)), dtype, device, requires_grad)


def randn(*shape: Any, dtype: Any = None, device: str = "cpu", requires_grad: bool = False) -> Tensor:
    """Draw from the standard normal distribution; see `manual_seed`."""
    return _drawn(generator().standard_normal(_shape("randn", shape)), dtype, device, requires_grad)


def _drawn(values: Any, dtype: Any, device: str, requires_grad: bool) -> Tensor:
    return tensor(values, get_default_dtype() if dtype is None else dtype, device, requires_grad)
