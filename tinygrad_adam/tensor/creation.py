"""Making Tensors: from data, filled, or drawn at random."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ..backend.convert import array_of, check_dtype, get_default_dtype, known_dtype, require_numbers
from ..backend.device import backend_of, device_of, get_backend, on_device_of, to_device
from ..engine.graph import look_at
from ..errors import DTypeError, ShapeError
from ..typing import Array, DType, TensorLike
from ..values import integer, is_integer
from ..words import answer_calls
from .methods import Sizes, unpacked
from .random import generator
from .tensor import Tensor


def _leaf(array: Array, requires_grad: bool, where: str = "tensor") -> Tensor:
    check_dtype(where, array.dtype)
    return Tensor(array).requires_grad_(requires_grad)


def tensor(
    data: TensorLike, dtype: DType = None, device: str | None = None, requires_grad: bool = False
) -> Tensor:
    """Make a Tensor from numbers, nested lists or an array; the data are copied.

    Parameters
    ----------
    data : number, nested sequence, array or Tensor
        The values.
    dtype : dtype, optional
        By default the dtype of an array; Python floats become the default dtype (float32), integers
        int64, truth values bool.
    device : str, optional
        ``"cpu"``, ``"cuda"`` or ``"cuda:N"``; by default where the data are.
    requires_grad : bool
        Whether operations on it are recorded, so that it gets a gradient.

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
    data = look_at(data, "tensor")
    if device_of(data) == "cpu":
        array = array_of("tensor", data, dtype)
    else:
        require_numbers("tensor", data)
        with on_device_of(data, "tensor"):
            array = backend_of((data,)).xp.array(data, dtype=dtype)
    return _leaf(array if device is None else to_device(array, device), requires_grad)


def _shape(where: str, sizes: tuple[Any, ...]) -> tuple[int, ...]:
    shape = unpacked(sizes)
    if not all(is_integer(size, 0) for size in shape):
        raise ShapeError(where, "sizes must be non-negative integers", shape=shape)
    return tuple(map(int, shape))


def zeros(*shape: Sizes, dtype: DType = None, device: str = "cpu", requires_grad: bool = False) -> Tensor:
    """Make a Tensor of zeros, of the default dtype unless `dtype` is given; `shape` as sizes or one tuple."""
    return _full("zeros", _shape("zeros", shape), 0, dtype, device, requires_grad)


def ones(*shape: Sizes, dtype: DType = None, device: str = "cpu", requires_grad: bool = False) -> Tensor:
    """Make a Tensor of ones, of the default dtype unless `dtype` is given; `shape` as sizes or one tuple."""
    return _full("ones", _shape("ones", shape), 1, dtype, device, requires_grad)


def full(
    shape: Sizes, value: float, dtype: DType = None, device: str = "cpu", requires_grad: bool = False
) -> Tensor:
    """Make a Tensor of one value, of the default dtype unless `dtype` is given."""
    value = look_at(value, "full")
    require_numbers("full", value)
    return _full("full", _shape("full", (shape,)), value, dtype, device, requires_grad)


def arange(*bounds: float, dtype: DType = None, device: str = "cpu", requires_grad: bool = False) -> Tensor:
    """Make a Tensor of evenly spaced numbers: ``arange(stop)`` or ``arange(start, stop[, step])``.

    `stop` itself is not among them. If any of the bounds is a Python float, the dtype is the default one,
    otherwise int64, unless `dtype` is given.
    """
    if dtype is None and any(isinstance(bound, float) for bound in bounds):
        dtype = get_default_dtype()
    return _made("arange", "arange", bounds, dtype, device, requires_grad)


def eye(n: int, dtype: DType = None, device: str = "cpu", requires_grad: bool = False) -> Tensor:
    """Make the identity matrix, shape (n, n)."""
    dtype = get_default_dtype() if dtype is None else dtype
    return _made("eye", "eye", (integer("eye", "n", n, 0),), dtype, device, requires_grad)


def _full(
    where: str, shape: tuple[int, ...], value: TensorLike, dtype: DType, device: str, requires_grad: bool
) -> Tensor:
    dtype = get_default_dtype() if dtype is None else dtype
    return _made(where, "full", (shape, value), dtype, device, requires_grad)


def _made(
    where: str, name: str, args: tuple[Any, ...], dtype: DType, device: str, requires_grad: bool
) -> Tensor:
    """Call the array library's function of that name on the device of the new Tensor."""
    backend = get_backend(device)
    if dtype is not None:
        dtype = known_dtype(where, dtype)
        check_dtype(where, dtype)
    with backend.current(where), _named(where, *args):
        array = getattr(backend.xp, name)(*args, dtype=dtype)
    return _leaf(array, requires_grad, where)


@contextmanager
def _named(where: str, *args: Any) -> Iterator[None]:
    """Turn an array library's error about `args` into one of the function that the user called."""
    try:
        yield
    except (ValueError, OverflowError, ZeroDivisionError) as error:
        raise ShapeError(where, str(error), arguments=args) from error
    except TypeError as error:
        raise DTypeError(where, str(error), arguments=args) from error


def rand(*shape: Sizes, dtype: DType = None, device: str = "cpu", requires_grad: bool = False) -> Tensor:
    """Sample uniformly from [0, 1); see `manual_seed`. `shape` as sizes or one tuple."""
    return _drawn("rand", generator().random, shape, dtype, device, requires_grad)


def randn(*shape: Sizes, dtype: DType = None, device: str = "cpu", requires_grad: bool = False) -> Tensor:
    """Sample from the standard normal distribution; see `manual_seed`. `shape` as sizes or one tuple."""
    return _drawn("randn", generator().standard_normal, shape, dtype, device, requires_grad)


def _drawn(
    where: str, draw: Callable[..., Array], sizes: Any, dtype: DType, device: str, requires_grad: bool
) -> Tensor:
    dtype = get_default_dtype() if dtype is None else known_dtype(where, dtype)
    if dtype.kind != "f":
        raise DTypeError(where, "draws floats; cast them with .astype()", dtype=dtype)
    shape = _shape(where, sizes)
    with _named(where, shape):
        values = draw(shape)
    return tensor(values, dtype, device, requires_grad)


answer_calls(sys.modules[__name__])
