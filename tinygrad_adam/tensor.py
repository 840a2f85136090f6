"""Tensor: an array that remembers how it was computed, with NumPy's methods and PyTorch's gradients."""

from __future__ import annotations

import itertools
import sys
import weakref
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, cast

import numpy

from . import autograd, ops, watching
from .backend.convert import check_dtype, get_default_dtype, known_dtype, operand
from .backend.device import (
    Array,
    asarray,
    backend_of,
    device_of,
    get_backend,
    is_array,
    on_device_of,
    to_device,
    to_host,
)
from .errors import DTypeError, GraphError, IndexingError, ShapeError
from .methods import Operand, Operations
from .ops.indexing import raw_index
from .primitive import detached, is_grad_enabled, look_at, provided
from .rowsparse import RowSparse
from .words import answer_attributes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .chain_rule import Explanation

_hook_numbers = itertools.count()


class Tensor(Operations):
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
        return look_at(self, "data")

    @data.setter
    def data(self, value: Any) -> None:
        self._assign(look_at(value, "data"))

    def _assign(self, value: Any) -> None:
        if watching.anyone:
            watching.tell("changed", self, "assignment")
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
        return to_host(look_at(self, "numpy"))

    def item(self) -> Any:
        """Return the only element as a Python number.

        Raises
        ------
        ShapeError
            If there is more than one element, or none.
        """
        if self.size != 1:
            raise ShapeError("item", "only a Tensor with one element is a number", shape=self.shape)
        return look_at(self, "item").item()

    def tolist(self) -> Any:
        """Return the value as nested Python lists."""
        return look_at(self, "tolist").tolist()

    def detach(self) -> Tensor:
        """Return a Tensor that shares the memory and has no history."""
        return cast(Tensor, detached(self))

    def copy(self) -> Tensor:
        """Return a copy with the same history: gradients flow through it."""
        if self.dtype.kind == "f":
            return self * 1
        with on_device_of(self._data, "copy"):
            return Tensor(look_at(self, "copy").copy())

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
        return Tensor(to_device(look_at(self, "to"), target), self.requires_grad)

    def astype(self, dtype: Any) -> Tensor:
        """Return the Tensor cast to `dtype`; to an integer, without history."""
        dtype = known_dtype("astype", dtype)
        if dtype == self.dtype:
            return self
        check_dtype("astype", dtype)
        return cast(Tensor, ops.astype(self if dtype.kind == "f" else self.detach(), dtype=dtype))

    # --- The gradient --------------------------------------------------------------------

    @property
    def grad(self) -> Tensor | RowSparse | None:
        """The gradient that backward passes have summed up, or None.

        Where an optimizer reserved a place for it, the Tensor shares that place: copy it to keep
        it beyond the next `zero_grad` and backward pass. Of a leaf that was looked up with
        ``sparse=True`` and used for nothing else, it is a `RowSparse`.
        """
        g = self._grad
        return g if g is None or isinstance(g, Tensor | RowSparse) else Tensor(g)

    @grad.setter
    def grad(self, value: Any) -> None:
        if watching.anyone:
            watching.tell("changed", self, "grad")
        if value is None:
            self._grad = None
            return
        if isinstance(value, RowSparse):
            g = value.astype(self.dtype)
        else:
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
        if watching.anyone:
            watching.tell("assigned", self)

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
        if watching.anyone and requires_grad != self.requires_grad:
            watching.tell("changed", self, "requires_grad_")
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

    def explain(self, gradient: Any = None, largest_first: bool = False) -> Explanation:
        """List what a backward pass from this Tensor does, operation by operation.

        For each operation: the formula of its rule as its source has it, the shapes, what it keeps and how
        many bytes that takes, the gradient that arrives and those that leave. The numbers come from a
        backward pass of its own, which leaves every ``.grad`` and the graph as they are; hooks run in it.
        Source lines and modules are known of what was computed inside ``with tracing():``. So is a graph
        that was freed since, and then the gradients are those of the traced backward pass.

        Parameters
        ----------
        gradient : Tensor or array, optional
            The gradient to start from; 1 for a scalar. Without it a Tensor that is no scalar is
            explained without gradients.
        largest_first : bool
            Whether the text begins with the operations that keep most memory.

        Returns
        -------
        Explanation
            Prints as a text; ``.steps`` has all of it as fields.

        Raises
        ------
        GraphError
            If the Tensor has no graph, or one that was freed and not traced.

        Examples
        --------
        >>> import tinygrad_adam as tg
        >>> a = tg.tensor(3.0, requires_grad=True)
        >>> loss = (a * 2.0).tanh()
        >>> step = loss.explain().steps[0]
        >>> step.operation, step.inputs[0].formula.text
        ('tanh', 'g * (1 - y * y)')
        """
        from .chain_rule import explain  # only those who look wait for it

        return explain(self, gradient, largest_first, sys._getframe(1))

    def register_hook(self, hook: Callable[[Tensor], Tensor | None]) -> Callable[[], None]:
        """Call `hook` with the gradient of this Tensor in every backward pass.

        Parameters
        ----------
        hook : callable
            Receives the gradient; the Tensor that it returns, unless None, takes its place and is cast to
            its dtype.

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
        if watching.anyone:
            watching.tell("changed", self, "register_hook")
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
        if watching.anyone:
            watching.tell("changed", self, "retain_grad")
        if self.node is not None:
            self.node.retainer = weakref.ref(self)

    # --- Operators -----------------------------------------------------------------------

    def __add__(self, other: Operand) -> Tensor:
        return ops.add(self, other)

    def __radd__(self, other: Operand) -> Tensor:
        return ops.add(other, self)

    def __sub__(self, other: Operand) -> Tensor:
        return ops.subtract(self, other)

    def __rsub__(self, other: Operand) -> Tensor:
        return ops.subtract(other, self)

    def __mul__(self, other: Operand) -> Tensor:
        return ops.multiply(self, other)

    def __rmul__(self, other: Operand) -> Tensor:
        return ops.multiply(other, self)

    def __truediv__(self, other: Operand) -> Tensor:
        return ops.divide(self, other)

    def __rtruediv__(self, other: Operand) -> Tensor:
        return ops.divide(other, self)

    def __floordiv__(self, other: Operand) -> Tensor:
        return ops.floor_divide(self, other)

    def __rfloordiv__(self, other: Operand) -> Tensor:
        return ops.floor_divide(other, self)

    def __mod__(self, other: Operand) -> Tensor:
        return ops.remainder(self, other)

    def __rmod__(self, other: Operand) -> Tensor:
        return ops.remainder(other, self)

    def __pow__(self, other: Operand) -> Tensor:
        return ops.power(self, other)

    def __rpow__(self, other: Operand) -> Tensor:
        return ops.power(other, self)

    def __matmul__(self, other: Operand) -> Tensor:
        return ops.matmul(self, other)

    def __rmatmul__(self, other: Operand) -> Tensor:
        return ops.matmul(other, self)

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
        if is_grad_enabled():
            if self.requires_grad and self.node is None:
                raise GraphError(
                    operation.name,
                    "a leaf that requires a gradient cannot be changed in place while operations are "
                    "recorded; do so inside no_grad()",
                    shape=self.shape,
                )
            if self.requires_grad or (isinstance(other, Tensor) and other.requires_grad):
                return operation(self, other)
        if watching.anyone:
            watching.tell("changed", self, operation.name)
        result = operation(self._data, other._data if isinstance(other, Tensor) else operand(other))
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
        self._require_elements_of_its_own(operation.name)
        try:
            with on_device_of(self._data, operation.name):
                self._data[...] = result
        except ValueError as error:
            raise ShapeError(operation.name, f"{error}; change a .copy()", shape=self.shape) from error
        self._version[0] += 1
        return self

    def _require_elements_of_its_own(self, where: str) -> None:
        """Refuse to write to a view made by broadcasting, as NumPy does; CuPy would write to it."""
        array = self._data
        if 0 in array.strides and any(
            n > 1 and not step for n, step in zip(array.shape, array.strides, strict=True)
        ):
            raise ShapeError(
                where,
                "elements of a view made by broadcasting share memory, so it is read-only; change a .copy()",
                shape=self.shape,
            )

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
        if is_grad_enabled() and (self.requires_grad or getattr(value, "requires_grad", False)):
            raise GraphError(
                "item assignment",
                "it cannot be recorded; use where() or concatenate(), or assign inside no_grad()",
                shape=self.shape,
            )
        if watching.anyone:
            watching.tell("changed", self, "item assignment")
        raw = value._data if isinstance(value, Tensor) else value
        if is_array(raw) or isinstance(raw, list | tuple):
            raw = asarray(raw, device=self.device)
        self._require_elements_of_its_own("item assignment")
        try:
            with on_device_of(self._data, "item assignment"):
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
        return bool(look_at(self, "bool"))

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
            "" if self.dtype in (get_default_dtype(), numpy.int64, numpy.bool_) else f", dtype={self.dtype}"
        )
        device = "" if self.device == "cpu" else f", device={self.device}"
        made = f", made_by={self.node.primitive.name}" if self.node is not None else ""
        return (
            f"tensor({values}{dtype}{device}{made or (', requires_grad=True' if self.requires_grad else '')})"
        )

    def __reduce_ex__(self, protocol: Any) -> Any:
        look_at(self, "copying")
        return super().__reduce_ex__(protocol)

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        if self.node is not None:
            raise GraphError(
                "deepcopy",
                "only leaves can be copied with their gradient; call .detach() first",
                shape=self.shape,
            )
        with on_device_of(self._data, "deepcopy"):
            twin = type(self)(look_at(self, "deepcopy").copy(), self.requires_grad)
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
        return operation(*inputs)

    def __array_function__(self, function: Any, types: Any, args: Any, settings: Any) -> Any:
        operation = getattr(ops, _UFUNC_NAMES.get(function.__name__, function.__name__), None)
        # numpy.linalg has other functions under some of the same names.
        if operation is None or function.__module__ != "numpy":
            raise DTypeError(
                f"{function.__module__}.{function.__name__}",
                "not supported on Tensors; use an operation of tinygrad_adam, or .detach().numpy()",
            )
        return operation(*args, **settings)


answer_attributes("Tensor", Tensor)
provided.tensor_class = Tensor

_UFUNC_NAMES = {"absolute": "abs", "true_divide": "divide", "amax": "max", "amin": "min"}
