"""Tensor: an array that remembers how it was computed, with NumPy's methods and PyTorch's gradients."""

from __future__ import annotations

import itertools
import math
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from numbers import Integral
from typing import TYPE_CHECKING, Any, cast

import numpy

from . import autograd, ops
from .backend.device import Array, asarray, backend_of, device_of, get_backend, is_array, to_device, to_host
from .errors import DTypeError, GraphError, IndexingError, ShapeError
from .ops.indexing import raw_index
from .random import generator

if TYPE_CHECKING:
    from numpy.typing import NDArray

Axis = int | tuple[int, ...] | None
Operand = Any
"""What stands beside a Tensor in an expression: a Tensor, an array, or a number."""

_FLOAT32 = numpy.dtype("float32")
_default_dtype: ContextVar[Any] = ContextVar("tinygrad_adam_default_dtype", default=_FLOAT32)
_hook_numbers = itertools.count()


@contextmanager
def default_dtype(dtype: Any) -> Iterator[None]:
    """Choose what Python floats become, and what new parameters are made of, in a ``with`` block.

    Parameters
    ----------
    dtype : dtype
        float32 (the default outside any block) or float64.

    Raises
    ------
    DTypeError
        If it is neither.
    """
    chosen = _known_dtype("default_dtype", dtype)
    if chosen not in (numpy.float32, numpy.float64):
        raise DTypeError("default_dtype", "must be float32 or float64", dtype=dtype)
    token = _default_dtype.set(chosen)
    try:
        yield
    finally:
        _default_dtype.reset(token)


def get_default_dtype() -> Any:
    """Return the dtype of new parameters and of what is made from Python floats."""
    return _default_dtype.get()


class Tensor(autograd.Variable):
    """An array with a gradient.

    Made by `tensor` or by operations on other Tensors; the constructor is for the engine.

    Attributes
    ----------
    requires_grad : bool
        Whether a gradient is wanted.
    """

    __slots__ = ()

    # --- The value -----------------------------------------------------------------------

    @property
    def data(self) -> Array:
        """The raw array, of NumPy or of the device's library; assigning swaps the value."""
        return self._data

    @data.setter
    def data(self, value: Any) -> None:
        self._assign(value._data if isinstance(value, Tensor) else value)

    def _assign(self, value: Any) -> None:
        self._data = asarray(value, dtype=self.dtype, device=self.device)
        self._version[0] += 1

    @property
    def shape(self) -> tuple[int, ...]:
        """The sizes of the axes."""
        return cast("tuple[int, ...]", self._data.shape)

    @property
    def dtype(self) -> Any:
        """The data type of the elements."""
        return self._data.dtype

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return int(self._data.ndim)

    @property
    def size(self) -> int:
        """The number of elements."""
        return int(self._data.size)

    @property
    def device(self) -> str:
        """The device that the array lives on, such as ``"cpu"``."""
        return device_of(self._data)

    @property
    def T(self) -> Tensor:  # noqa: N802 (NumPy's name)
        """The Tensor with its axes reversed."""
        return self.transpose()

    @property
    def is_leaf(self) -> bool:
        """Whether it was made by the user and not by a recorded operation."""
        return self.node is None

    def numpy(self) -> NDArray[Any]:
        """Return the value as a NumPy array, sharing memory where it can.

        Raises
        ------
        GraphError
            If the Tensor requires a gradient: changes to the array would be unseen.
        """
        if self.requires_grad:
            raise GraphError(
                "numpy", "this Tensor requires a gradient; call .detach() first", shape=self.shape
            )
        return to_host(self._data)

    def item(self) -> Any:
        """Return the only element as a Python number.

        Raises
        ------
        ShapeError
            If there is more than one element, or none.
        """
        if self.size != 1:
            raise ShapeError("item", "only a Tensor with one element is a number", shape=self.shape)
        return self._data.item()

    def tolist(self) -> Any:
        """Return the value as nested Python lists."""
        return self._data.tolist()

    def detach(self) -> Tensor:
        """Return a Tensor that shares the memory and has no history."""
        return Tensor(self._data, version=self._version)

    def copy(self) -> Tensor:
        """Return a copy with the same history: gradients flow through it."""
        return self * 1 if self.dtype.kind == "f" else Tensor(self._data.copy())

    def to(self, target: Any) -> Tensor:
        """Return the Tensor on a device, or of a dtype.

        Parameters
        ----------
        target : str or dtype
            ``"cpu"``, ``"cuda"``, ``"cuda:N"``, or a data type.

        Returns
        -------
        Tensor
            This one if nothing is to be done. A cast is differentiable; a move makes a leaf.
        """
        if not isinstance(target, str) or target.startswith(("float", "int", "uint", "bool")):
            return self.astype(target)
        if get_backend(target) is backend_of((self._data,)):
            return self
        return Tensor(to_device(self._data, target), self.requires_grad)

    def astype(self, dtype: Any) -> Tensor:
        """Return the Tensor cast to `dtype`; to an integer, without history."""
        dtype = _known_dtype("astype", dtype)
        if dtype == self.dtype:
            return self
        _check_dtype("astype", dtype)
        return cast(Tensor, ops.astype(self if dtype.kind == "f" else self.detach(), dtype=dtype))

    # --- The gradient --------------------------------------------------------------------

    @property
    def grad(self) -> Tensor | None:
        """The gradient that backward passes have summed up, or None.

        Where an optimizer reserved a place for it, the Tensor shares that place: copy it to keep
        it beyond the next `zero_grad` and backward pass.
        """
        g = self._grad
        return g if g is None or isinstance(g, Tensor) else Tensor(g)

    @grad.setter
    def grad(self, value: Any) -> None:
        if value is None:
            self._grad = None
            return
        raw = value._data if isinstance(value, Tensor) else value
        g = asarray(raw, dtype=self.dtype, device=self.device)
        if g.shape != self.shape:
            raise ShapeError(
                "grad", "a gradient must have the Tensor's shape", tensor=self.shape, grad=g.shape
            )
        if isinstance(value, Tensor) and value.requires_grad:
            self._grad = value
        else:
            self._grad = g

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Say whether a gradient is wanted for this leaf, and return it.

        Raises
        ------
        DTypeError
            If the Tensor does not hold floats.
        GraphError
            If it is the result of an operation.
        """
        if self.node is not None:
            raise GraphError("requires_grad_", "only leaves can be changed; use .detach() for a new leaf")
        if requires_grad and self.dtype.kind != "f":
            raise DTypeError(
                "requires_grad",
                "only floats have gradients; cast with .astype(numpy.float32)",
                dtype=self.dtype,
            )
        self.requires_grad = requires_grad
        return self

    def backward(self, gradient: Any = None, retain_graph: bool = False, create_graph: bool = False) -> None:
        """Add the gradient of this Tensor to ``.grad`` of every leaf it was computed from.

        Parameters
        ----------
        gradient : Tensor or array, optional
            The gradient of the final result with respect to this Tensor; 1 for a scalar.
        retain_graph : bool
            Whether to keep the graph for another backward pass.
        create_graph : bool
            Whether the gradients can be differentiated in turn; implies `retain_graph`.

        Raises
        ------
        GraphError
            If nothing here requires a gradient, the graph was freed by an earlier pass, or an
            array that it needs was changed in place.
        ShapeError
            If the Tensor is no scalar and `gradient` is missing, or has another shape.

        Examples
        --------
        >>> import tinygrad_adam as tg
        >>> x = tg.tensor([1.0, 2.0], requires_grad=True)
        >>> (x * x).sum().backward()
        >>> x.grad
        tensor([2., 4.])
        """
        autograd.backward(self, gradient, retain_graph, create_graph)

    def register_hook(self, hook: Callable[[Tensor], Tensor | None]) -> Callable[[], None]:
        """Call `hook` with the gradient of this Tensor in every backward pass.

        Parameters
        ----------
        hook : callable
            Receives the gradient; what it returns, unless None, takes its place.

        Returns
        -------
        callable
            Call it to remove the hook.

        Raises
        ------
        GraphError
            If the Tensor does not require a gradient.
        """
        if not self.requires_grad:
            raise GraphError("register_hook", "the Tensor does not require a gradient", shape=self.shape)
        owner: Any = self.node
        if owner is not None:
            owner.hooks = hooks = owner.hooks or {}
        else:
            self._hooks = hooks = self._hooks or {}
        number = next(_hook_numbers)
        hooks[number] = hook

        def remove() -> None:
            hooks.pop(number, None)

        return remove

    def retain_grad(self) -> None:
        """Keep the gradient of this intermediate result in ``.grad``.

        Raises
        ------
        GraphError
            If the Tensor does not require a gradient.
        """
        if not self.requires_grad:
            raise GraphError("retain_grad", "the Tensor does not require a gradient", shape=self.shape)
        if self.node is not None:
            self.node.retainer = weakref.ref(self)

    # --- Operators -----------------------------------------------------------------------

    def __add__(self, other: Operand) -> Tensor:
        return ops.add(self, _operand(other))

    def __radd__(self, other: Operand) -> Tensor:
        return ops.add(_operand(other), self)

    def __sub__(self, other: Operand) -> Tensor:
        return ops.subtract(self, _operand(other))

    def __rsub__(self, other: Operand) -> Tensor:
        return ops.subtract(_operand(other), self)

    def __mul__(self, other: Operand) -> Tensor:
        return ops.multiply(self, _operand(other))

    def __rmul__(self, other: Operand) -> Tensor:
        return ops.multiply(_operand(other), self)

    def __truediv__(self, other: Operand) -> Tensor:
        return ops.divide(self, _operand(other))

    def __rtruediv__(self, other: Operand) -> Tensor:
        return ops.divide(_operand(other), self)

    def __floordiv__(self, other: Operand) -> Tensor:
        return ops.floor_divide(self, _operand(other))

    def __rfloordiv__(self, other: Operand) -> Tensor:
        return ops.floor_divide(_operand(other), self)

    def __mod__(self, other: Operand) -> Tensor:
        return ops.remainder(self, _operand(other))

    def __rmod__(self, other: Operand) -> Tensor:
        return ops.remainder(_operand(other), self)

    def __pow__(self, other: Operand) -> Tensor:
        return ops.power(self, _operand(other))

    def __rpow__(self, other: Operand) -> Tensor:
        return ops.power(_operand(other), self)

    def __matmul__(self, other: Operand) -> Tensor:
        return ops.matmul(self, _array_operand(other))

    def __rmatmul__(self, other: Operand) -> Tensor:
        return ops.matmul(_array_operand(other), self)

    def __neg__(self) -> Tensor:
        return ops.negative(self)

    def __abs__(self) -> Tensor:
        return ops.abs(self)

    def __iadd__(self, other: Operand) -> Tensor:
        return self._in_place(ops.add, other)

    def __isub__(self, other: Operand) -> Tensor:
        return self._in_place(ops.subtract, other)

    def __imul__(self, other: Operand) -> Tensor:
        return self._in_place(ops.multiply, other)

    def __itruediv__(self, other: Operand) -> Tensor:
        return self._in_place(ops.divide, other)

    def _in_place(self, operation: Any, other: Operand) -> Tensor:
        """Write the result into this Tensor's memory, unless the step is to be recorded."""
        if autograd.is_grad_enabled():
            if self.requires_grad and self.node is None:
                raise GraphError(
                    operation.name,
                    "a leaf that requires a gradient cannot be changed in place while operations are "
                    "recorded; do so inside no_grad()",
                    shape=self.shape,
                )
            if self.requires_grad or (isinstance(other, Tensor) and other.requires_grad):
                return operation(self, other)
        result = operation(self._data, other._data if isinstance(other, Tensor) else _operand(other))
        if not numpy.can_cast(result.dtype, self.dtype, "same_kind"):
            raise DTypeError(
                operation.name,
                "an in-place result must fit the dtype",
                before=self.dtype,
                after=result.dtype,
            )
        if result.shape != self.shape:
            raise ShapeError(
                operation.name,
                "an in-place result must keep the shape",
                before=self.shape,
                after=result.shape,
            )
        try:
            self._data[...] = result
        except ValueError as error:  # a view made by broadcasting, in which elements share memory
            raise ShapeError(operation.name, f"{error}; change a .copy()", shape=self.shape) from error
        self._version[0] += 1
        return self

    def __eq__(self, other: Operand) -> Tensor:  # type: ignore[override]
        return ops.equal(self, other)

    def __ne__(self, other: Operand) -> Tensor:  # type: ignore[override]
        return ops.not_equal(self, other)

    def __lt__(self, other: Operand) -> Tensor:
        return ops.less(self, other)

    def __le__(self, other: Operand) -> Tensor:
        return ops.less_equal(self, other)

    def __gt__(self, other: Operand) -> Tensor:
        return ops.greater(self, other)

    def __ge__(self, other: Operand) -> Tensor:
        return ops.greater_equal(self, other)

    __hash__ = object.__hash__

    def __getitem__(self, index: Any) -> Tensor:
        return ops.getitem(self, index)

    def __setitem__(self, index: Any, value: Any) -> None:
        if autograd.is_grad_enabled() and (self.requires_grad or getattr(value, "requires_grad", False)):
            raise GraphError(
                "item assignment",
                "it cannot be recorded; use where() or concatenate(), or assign inside no_grad()",
                shape=self.shape,
            )
        raw = value._data if isinstance(value, Tensor) else value
        try:
            self._data[raw_index(index, self._data)] = raw
        except IndexError as error:
            raise IndexingError("item assignment", str(error), shape=self.shape, index=index) from error
        except ValueError as error:
            raise ShapeError("item assignment", str(error), shape=self.shape, index=index) from error
        except TypeError as error:
            raise DTypeError("item assignment", str(error), dtype=self.dtype, value=repr(value)) from error
        self._version[0] += 1

    def __len__(self) -> int:
        if not self.ndim:
            raise ShapeError("len", "a Tensor without axes has no length", shape=self.shape)
        return self.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        return (self[i] for i in range(len(self)))

    def __bool__(self) -> bool:
        if self.size != 1:
            raise ShapeError(
                "bool",
                "the truth of several elements is ambiguous; use .all() or .any() of .numpy()",
                shape=self.shape,
            )
        return bool(self._data)

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        if self.dtype.kind not in "iu":
            raise DTypeError("index", "only an integer can be an index", dtype=self.dtype)
        return int(self.item())

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if spec else repr(self)

    def __repr__(self) -> str:
        values = numpy.array2string(
            to_host(self._data), separator=", ", prefix="tensor(", floatmode="maxprec"
        )
        dtype = (
            "" if self.dtype in (_default_dtype.get(), numpy.int64, numpy.bool_) else f", dtype={self.dtype}"
        )
        device = "" if self.device == "cpu" else f", device={self.device}"
        made = f", made_by={self.node.primitive.name}" if self.node is not None else ""
        return (
            f"tensor({values}{dtype}{device}{made or (', requires_grad=True' if self.requires_grad else '')})"
        )

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        if self.node is not None:
            raise GraphError(
                "deepcopy",
                "only leaves can be copied with their gradient; call .detach() first",
                shape=self.shape,
            )
        twin = type(self)(self._data.copy(), self.requires_grad)
        memo[id(self)] = twin
        if self._grad is not None:
            twin.grad = self._grad.copy()
        return twin

    # --- NumPy's protocols ---------------------------------------------------------------

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return numpy.array(self.numpy(), dtype=dtype, copy=copy)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **settings: Any) -> Any:
        operation = getattr(ops, _UFUNC_NAMES.get(ufunc.__name__, ufunc.__name__), None)
        if method != "__call__" or operation is None or settings:
            call = ufunc.__name__ if method == "__call__" else f"{ufunc.__name__}.{method}"
            raise DTypeError(
                f"numpy.{call}",
                "not supported on Tensors" + (f" with {', '.join(settings)}" if settings else "")
                + "; use an operation of tinygrad_adam, or .detach().numpy()",
            )  # fmt: skip
        return operation(*map(_array_operand if operation is ops.matmul else _operand, inputs))

    def __array_function__(self, function: Any, types: Any, args: Any, settings: Any) -> Any:
        operation = getattr(ops, _UFUNC_NAMES.get(function.__name__, function.__name__), None)
        # numpy.linalg has other functions under some of the same names.
        if operation is None or function.__module__ != "numpy":
            raise DTypeError(
                f"{function.__module__}.{function.__name__}",
                "not supported on Tensors; use an operation of tinygrad_adam, or .detach().numpy()",
            )
        return operation(*args, **settings)

    # --- Operations as methods; see the functions of the same names -----------------------

    def exp(self) -> Tensor:
        """Exponential."""
        return ops.exp(self)

    def expm1(self) -> Tensor:
        """``exp(x) - 1``."""
        return ops.expm1(self)

    def log(self) -> Tensor:
        """Natural logarithm."""
        return ops.log(self)

    def log1p(self) -> Tensor:
        """``log(1 + x)``."""
        return ops.log1p(self)

    def sqrt(self) -> Tensor:
        """Square root."""
        return ops.sqrt(self)

    def square(self) -> Tensor:
        """Square."""
        return ops.square(self)

    def reciprocal(self) -> Tensor:
        """``1 / x``."""
        return ops.reciprocal(self)

    def sin(self) -> Tensor:
        """Sine."""
        return ops.sin(self)

    def cos(self) -> Tensor:
        """Cosine."""
        return ops.cos(self)

    def tan(self) -> Tensor:
        """Tangent."""
        return ops.tan(self)

    def arctan(self) -> Tensor:
        """Inverse tangent."""
        return ops.arctan(self)

    def sinh(self) -> Tensor:
        """Hyperbolic sine."""
        return ops.sinh(self)

    def cosh(self) -> Tensor:
        """Hyperbolic cosine."""
        return ops.cosh(self)

    def tanh(self) -> Tensor:
        """Hyperbolic tangent."""
        return ops.tanh(self)

    def sigmoid(self) -> Tensor:
        """Logistic function."""
        return ops.sigmoid(self)

    def softplus(self) -> Tensor:
        """``log(1 + exp(x))``."""
        return ops.softplus(self)

    def erf(self) -> Tensor:
        """Error function."""
        return ops.erf(self)

    def relu(self) -> Tensor:
        """``max(x, 0)``."""
        return ops.relu(self)

    def silu(self) -> Tensor:
        """``x * sigmoid(x)``."""
        return ops.silu(self)

    def abs(self) -> Tensor:
        """Absolute value."""
        return ops.abs(self)

    def sign(self) -> Tensor:
        """Sign: -1, 0 or 1."""
        return ops.sign(self)

    def gelu(self, approximate: str = "none") -> Tensor:
        """Gaussian error linear unit."""
        return ops.gelu(self, approximate)

    def leaky_relu(self, negative_slope: float = 0.01) -> Tensor:
        """``x`` where positive, a multiple of it elsewhere."""
        return ops.leaky_relu(self, negative_slope=negative_slope)

    def elu(self, alpha: float = 1.0) -> Tensor:
        """Exponential linear unit."""
        return ops.elu(self, alpha=alpha)

    def softmax(self, axis: int = -1) -> Tensor:
        """Exponentials divided by their sum along `axis`."""
        return ops.softmax(self, axis=axis)

    def log_softmax(self, axis: int = -1) -> Tensor:
        """Logarithm of the softmax along `axis`."""
        return ops.log_softmax(self, axis=axis)

    def maximum(self, other: Operand) -> Tensor:
        """The greater of two, element by element."""
        return ops.maximum(self, other)

    def minimum(self, other: Operand) -> Tensor:
        """The lesser of two, element by element."""
        return ops.minimum(self, other)

    def clip(self, min: float | None = None, max: float | None = None) -> Tensor:
        """Limit to an interval."""
        return ops.clip(self, min=min, max=max)

    def sum(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """Sum over `axis`."""
        return ops.sum(self, axis=axis, keepdims=keepdims)

    def mean(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """Arithmetic mean over `axis`."""
        return ops.mean(self, axis=axis, keepdims=keepdims)

    def max(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """Greatest element over `axis`."""
        return ops.max(self, axis=axis, keepdims=keepdims)

    def min(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """Least element over `axis`."""
        return ops.min(self, axis=axis, keepdims=keepdims)

    def prod(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """Product over `axis`."""
        return ops.prod(self, axis=axis, keepdims=keepdims)

    def logsumexp(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """Logarithm of the sum of exponentials over `axis`."""
        return ops.logsumexp(self, axis=axis, keepdims=keepdims)

    def var(self, axis: Axis = None, ddof: int = 0, keepdims: bool = False) -> Tensor:
        """Variance over `axis`."""
        return ops.var(self, axis=axis, ddof=ddof, keepdims=keepdims)

    def std(self, axis: Axis = None, ddof: int = 0, keepdims: bool = False) -> Tensor:
        """Standard deviation over `axis`."""
        return ops.std(self, axis=axis, ddof=ddof, keepdims=keepdims)

    def norm(self, ord: float = 2, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """Vector norm over `axis`."""
        return ops.norm(self, ord, axis, keepdims)

    def cumsum(self, axis: int | None = None) -> Tensor:
        """Partial sums along `axis`."""
        return ops.cumsum(self, axis=axis)

    def argmax(self, axis: int | None = None, keepdims: bool = False) -> Tensor:
        """Index of the greatest element along `axis`."""
        return ops.argmax(self, axis=axis, keepdims=keepdims)

    def argmin(self, axis: int | None = None, keepdims: bool = False) -> Tensor:
        """Index of the least element along `axis`."""
        return ops.argmin(self, axis=axis, keepdims=keepdims)

    def reshape(self, *shape: Any) -> Tensor:
        """The same elements in another shape, given as sizes or as one tuple."""
        return ops.reshape(self, shape=_unpacked(shape))

    def flatten(self, start_axis: int = 0) -> Tensor:
        """Merge the axes from `start_axis` on into one."""
        return ops.reshape(self, shape=(*self.shape[:start_axis], math.prod(self.shape[start_axis:])))

    def transpose(self, *axes: Any) -> Tensor:
        """Permute the axes, or reverse them."""
        return ops.transpose(self, axes=_unpacked(axes) if axes else None)

    def broadcast_to(self, shape: tuple[int, ...]) -> Tensor:
        """Spread over `shape`."""
        return ops.broadcast_to(self, shape=shape)

    def swapaxes(self, axis1: int, axis2: int) -> Tensor:
        """Exchange two axes."""
        return ops.swapaxes(self, axis1, axis2)

    def moveaxis(self, source: int | Sequence[int], destination: int | Sequence[int]) -> Tensor:
        """Move axes to new positions."""
        return ops.moveaxis(self, source, destination)

    def squeeze(self, axis: Axis = None) -> Tensor:
        """Drop axes of size one."""
        return ops.squeeze(self, axis)

    def expand_dims(self, axis: int | tuple[int, ...]) -> Tensor:
        """Insert axes of size one."""
        return ops.expand_dims(self, axis)

    def flip(self, axis: Axis = None) -> Tensor:
        """Reverse the elements along `axis`."""
        return ops.flip(self, axis=axis)

    def roll(self, shift: int | tuple[int, ...], axis: Axis = None) -> Tensor:
        """Shift the elements along `axis`, around the end."""
        return ops.roll(self, shift=shift, axis=axis)

    def repeat(self, repeats: int | Sequence[int], axis: int | None = None) -> Tensor:
        """Repeat each element along `axis`."""
        return ops.repeat(self, repeats, axis)

    def split(self, indices_or_sections: int | Sequence[int], axis: int = 0) -> list[Tensor]:
        """Cut into parts along `axis`."""
        return ops.split(self, indices_or_sections, axis)

    def dot(self, other: Operand) -> Tensor:
        """Inner product, as NumPy's ``dot``."""
        return ops.dot(self, _array_operand(other))

    def diagonal(self, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
        """Diagonal of two axes."""
        return ops.diagonal(self, offset, axis1, axis2)

    def trace(self, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
        """Sum of the diagonal."""
        return ops.trace(self, offset, axis1, axis2)


autograd.register_result_class(Tensor)

_UFUNC_NAMES = {"absolute": "abs", "true_divide": "divide", "amax": "max", "amin": "min"}


def _unpacked(sizes: tuple[Any, ...]) -> Any:
    """Return the one tuple or list that was given instead of several numbers."""
    return tuple(sizes[0]) if len(sizes) == 1 and isinstance(sizes[0], tuple | list) else sizes


def _operand(value: Any) -> Any:
    """Return what stands beside a Tensor as operations take it: a Tensor, a plain array or a number.

    Python numbers stay what they are, since an array made of one would widen float32 to float64.
    """
    if isinstance(value, Tensor | float | int):
        return value
    if not is_array(value) and not isinstance(value, numpy.generic):
        try:
            return tensor(value)._data
        except DTypeError as error:
            raise DTypeError(
                "operand",
                "beside a Tensor there must be a Tensor, an array, or real numbers",
                operand=repr(value),
                type=type(value).__name__,
            ) from error
    if hasattr(value, "mask"):
        raise DTypeError("operand", "a Tensor has no mask; call .filled() first", type=type(value).__name__)
    _check_dtype("operand", value.dtype)
    if isinstance(value, numpy.ndarray):
        # A subclass, such as numpy.matrix, may give an operator in a gradient rule another meaning.
        return numpy.asarray(value)
    return value


def _array_operand(value: Any) -> Any:
    return tensor(value)._data if isinstance(value, float | int) else _operand(value)


def _known_dtype(where: str, dtype: Any) -> Any:
    try:
        return numpy.dtype(dtype)
    except TypeError as error:
        raise DTypeError(where, "unknown dtype", dtype=repr(dtype)) from error


def _check_dtype(where: str, dtype: Any) -> None:
    if dtype.kind not in "fiub" or dtype.itemsize > 8 or dtype == numpy.float16:
        raise DTypeError(
            where,
            "Tensors hold float32, float64, integers or truth values; give dtype= to convert",
            dtype=dtype,
        )


def _leaf(array: Array, requires_grad: bool, where: str = "tensor") -> Tensor:
    _check_dtype(where, array.dtype)
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
    backend = get_backend(device)
    try:
        if is_array(data):
            array = backend.xp.array(to_device(data, device), dtype=dtype)
        else:
            array = numpy.array(data, dtype=dtype)
    except (ValueError, TypeError, OverflowError) as error:
        raise DTypeError("tensor", f"the data do not form an array of numbers: {error}") from error
    if not is_array(data):
        if dtype is None and array.dtype == numpy.float64 and not isinstance(data, numpy.generic):
            array = array.astype(_default_dtype.get())
        array = to_device(array, device)
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    return _leaf(array, requires_grad)


def _shape(where: str, sizes: tuple[Any, ...]) -> tuple[int, ...]:
    shape = tuple(_unpacked(sizes))
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
    array = get_backend(device).xp.full(shape, value, dtype=_default_dtype.get() if dtype is None else dtype)
    return _leaf(array, requires_grad, "full")


def arange(*bounds: float, dtype: Any = None, device: str = "cpu", requires_grad: bool = False) -> Tensor:
    """Make a Tensor of evenly spaced numbers: ``arange(stop)`` or ``arange(start, stop[, step])``."""
    if dtype is None and any(isinstance(bound, float) for bound in bounds):
        dtype = _default_dtype.get()
    return _leaf(get_backend(device).xp.arange(*bounds, dtype=dtype), requires_grad, "arange")


def eye(n: int, dtype: Any = None, device: str = "cpu", requires_grad: bool = False) -> Tensor:
    """Make the identity matrix of `n` rows."""
    array = get_backend(device).xp.eye(n, dtype=_default_dtype.get() if dtype is None else dtype)
    return _leaf(array, requires_grad, "eye")


def rand(*shape: Any, dtype: Any = None, device: str = "cpu", requires_grad: bool = False) -> Tensor:
    """Draw uniformly from [0, 1); see `manual_seed`."""
    return _drawn(generator().random(_shape("rand", shape)), dtype, device, requires_grad)


def randn(*shape: Any, dtype: Any = None, device: str = "cpu", requires_grad: bool = False) -> Tensor:
    """Draw from the standard normal distribution; see `manual_seed`."""
    return _drawn(generator().standard_normal(_shape("randn", shape)), dtype, device, requires_grad)


def _drawn(values: Any, dtype: Any, device: str, requires_grad: bool) -> Tensor:
    return tensor(values, _default_dtype.get() if dtype is None else dtype, device, requires_grad)
