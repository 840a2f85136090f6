"""Tensor: an array that remembers how it was computed, with NumPy's methods and PyTorch's gradients."""

from __future__ import annotations

import itertools
import sys
import weakref
from collections.abc import Callable, Iterator
from numbers import Number
from operator import attrgetter
from typing import TYPE_CHECKING, Any, SupportsIndex, cast

import numpy

from .. import ops
from ..backend.convert import assignable, check_dtype, known_dtype, require_numbers
from ..backend.device import (
    CPU,
    asarray,
    backend_of,
    device_of,
    get_backend,
    is_array,
    on_device_of,
    to_device,
    to_host,
)  # fmt: skip
from ..engine import backward, events
from ..engine.graph import Variable, look_at, provided
from ..engine.modes import is_grad_enabled
from ..engine.rowsparse import RowSparse
from ..engine.viewers import view
from ..errors import DTypeError, GraphError, ShapeError
from ..ops.indexing import raw_index
from ..typing import Array, DType, TensorLike
from ..words import answer_attributes
from . import copying, protocols, refusals
from .methods import Operations
from .printing import text_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

_hook_numbers = itertools.count()


def add_hook(hooks: dict[int, Callable[..., Any]], hook: Callable[..., Any]) -> Callable[[], None]:
    """Add a function to a table of hooks; return a function that removes it."""
    number = next(_hook_numbers)
    hooks[number] = hook

    def remove() -> None:
        hooks.pop(number, None)

    return remove


def _is_operand(value: object) -> bool:
    """Return whether it is of a kind that operations take, though they may refuse its elements."""
    return isinstance(value, Variable | list | tuple) or is_array(value)


def _known(operation: Callable[..., Any], reflected: str) -> Callable[[Any, TensorLike], Tensor]:
    """Make a method of an operation, which leaves objects of other classes to their `reflected` method."""

    def method(self: Tensor, other: TensorLike) -> Any:
        try:
            return operation(self, other)
        except DTypeError:
            kind = type(other)
            ours = _is_operand(other) or isinstance(other, Number) or kind.__module__ == "builtins"
            if ours or getattr(kind, reflected, None) is getattr(object, reflected, None):
                raise
            return NotImplemented

    return method


def _operators(
    operation: Callable[..., Any], name: str, symbol: str
) -> tuple[Callable[[Any, TensorLike], Tensor], ...]:
    """Make the methods for ``x + y``, ``y + x`` and ``x += y`` of an operation."""

    def reflected(self: Tensor, other: TensorLike) -> Any:
        return operation(other, self)

    def in_place(self: Tensor, other: TensorLike) -> Any:
        return self._in_place(operation, symbol, other)

    there = f"__r{name}__"
    return _known(operation, there), reflected, _known(in_place, there)


class Tensor(Operations["Tensor"]):
    """An array with a gradient.

    Made by `tensor` or by operations on other Tensors; the constructor is for the engine.

    ``x += y`` and its like change the Tensor itself, so every name that it has sees the change. Where the
    operation is not recorded they write into its memory, which views of it see as well. Where it is recorded,
    the Tensor gets a new array and a new place in the graph, because rules may have kept the old array;
    while a view (or the base of a view) lives that would not see this, they raise: write ``x = x + y``.
    """

    __slots__ = ()

    # --- The value -----------------------------------------------------------------------

    @property
    def data(self) -> Array:
        """The raw array, of NumPy or of the device's library; assigning copies into its memory.

        Raises
        ------
        ShapeError
            On assignment, if the new value has another shape.
        DTypeError
            On assignment, if the new value does not hold numbers, or holds floats where integers stand.
        """
        return self._read("data")

    @data.setter
    def data(self, value: TensorLike) -> None:
        where = f"{type(self).__name__}.data"
        array = assignable(where, look_at(value, "data"), self._data)
        refusals.require_shape(where, "the new value must have the same shape", self.shape, value=array.shape)
        self._write(where, ..., array)

    # Without a frame of Python: every operation reads some of these.
    shape = cast("tuple[int, ...]", property(attrgetter("_data.shape"), doc="The sizes of the axes."))
    dtype: DType = property(attrgetter("_data.dtype"), doc="The data type of the elements.")
    ndim = cast("int", property(attrgetter("_data.ndim"), doc="The number of axes."))
    size = cast("int", property(attrgetter("_data.size"), doc="The number of elements."))

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
        array = self._read("numpy")
        if backend_of((array,)) is not CPU:
            return to_host(array)
        view: NDArray[Any] = array.view()
        self._share_memory_with(view)
        return view

    def item(self) -> Any:
        """Return the only element as a Python number.

        Raises
        ------
        ShapeError
            If there is more than one element, or none.
        """
        if self.size != 1:
            raise ShapeError("item", "only a Tensor with one element is a number", shape=self.shape)
        return self._read("item").item()

    def tolist(self) -> Any:
        """Return the value as nested Python lists."""
        return self._read("tolist").tolist()

    def detach(self) -> Tensor:
        """Return a Tensor that shares the memory and has no history."""
        return cast(Tensor, self._detached())

    def copy(self) -> Tensor:
        """Return a copy with the same history: gradients flow through it."""
        if self.dtype.kind == "f":
            return self * 1
        with on_device_of(self._data, "copy"):
            return Tensor(self._read("copy").copy())

    def to(self, target: DType) -> Tensor:
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
        return Tensor(to_device(self._read("to"), target), self.requires_grad)

    def astype(self, dtype: DType) -> Tensor:
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

    # Assigning copies: else two leaves that are given one array would add into each other.
    @grad.setter
    def grad(self, value: TensorLike) -> None:
        self._changing("grad")
        if value is None:
            self._grad = None
            return
        if isinstance(value, RowSparse):
            g = value.astype(self.dtype)
        else:
            g = value._data if isinstance(value, Tensor) else value
            if g is not self._grad:  # as it is after ``x.grad *= 2``
                with on_device_of(self._data, "grad"):
                    g = backend_of((self._data,)).xp.array(assignable("grad", g, self._data), self.dtype)
        refusals.require_shape("grad", "a gradient must have the Tensor's shape", self.shape, grad=g.shape)
        if isinstance(value, Tensor) and value.requires_grad:
            self._grad = value
        else:
            self._grad = g
        events.tell(("assigned", self))

    @property
    def requires_grad(self) -> bool:
        """Whether a gradient is wanted; can be set on leaves that hold floats."""
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, requires_grad: bool) -> None:
        self.requires_grad_(requires_grad)

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
        if requires_grad != self.requires_grad:
            self._changing("requires_grad_")
        self._requires_grad = bool(requires_grad)
        return self

    backward = backward.backward

    def explain(self, gradient: TensorLike = None, largest_first: bool = False) -> Any:
        """List the operations of a backward pass from this Tensor, with their rules and gradients.

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
        return view("Tensor.explain")(self, gradient, largest_first, sys._getframe(1))

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
        refusals.require_wanted("register_hook", self)
        self._changing("register_hook")
        owner: Any = self.node
        if owner is not None:
            owner.hooks = hooks = owner.hooks or {}
        else:
            self._hooks = hooks = self._hooks or {}
        return add_hook(hooks, hook)

    def retain_grad(self) -> None:
        """Keep the gradient of this intermediate result in ``.grad``.

        Raises
        ------
        GraphError
            If the Tensor does not require a gradient.
        """
        refusals.require_wanted("retain_grad", self)
        self._changing("retain_grad")
        if self.node is not None:
            self.node.retainer = weakref.ref(self)

    # --- Operators -----------------------------------------------------------------------

    # Each line: ``x + y``, ``y + x`` and ``x += y``.
    __add__, __radd__, __iadd__ = _operators(ops.add, "add", "+")
    __sub__, __rsub__, __isub__ = _operators(ops.subtract, "sub", "-")
    __mul__, __rmul__, __imul__ = _operators(ops.multiply, "mul", "*")
    __truediv__, __rtruediv__, __itruediv__ = _operators(ops.divide, "truediv", "/")
    __floordiv__, __rfloordiv__, __ifloordiv__ = _operators(ops.floor_divide, "floordiv", "//")
    __mod__, __rmod__, __imod__ = _operators(ops.remainder, "mod", "%")
    __pow__, __rpow__, __ipow__ = _operators(ops.power, "pow", "**")
    __matmul__, __rmatmul__, __imatmul__ = _operators(ops.matmul, "matmul", "@")
    __and__, __rand__, __iand__ = _operators(ops.bitwise_and, "and", "&")
    __or__, __ror__, __ior__ = _operators(ops.bitwise_or, "or", "|")
    __xor__, __rxor__, __ixor__ = _operators(ops.bitwise_xor, "xor", "^")
    __lt__ = _known(ops.less, "__gt__")
    __le__ = _known(ops.less_equal, "__ge__")
    __gt__ = _known(ops.greater, "__lt__")
    __ge__ = _known(ops.greater_equal, "__le__")

    def __eq__(self, other: TensorLike) -> Tensor:  # type: ignore[override]
        return self._compared(ops.equal, other)

    def __ne__(self, other: TensorLike) -> Tensor:  # type: ignore[override]
        return self._compared(ops.not_equal, other)

    def _compared(self, operation: Callable[..., Any], other: TensorLike) -> Any:
        """Compare by elements; with None, text and others that are no numbers as Python does: not equal."""
        if other is None:
            return NotImplemented
        try:
            return operation(self, other)
        except DTypeError:
            if _is_operand(other):
                raise
            return NotImplemented

    def __divmod__(self, other: TensorLike) -> tuple[Tensor, Tensor]:
        return self // other, self % other

    def __rdivmod__(self, other: TensorLike) -> tuple[Tensor, Tensor]:
        return other // self, other % self

    def __neg__(self) -> Tensor:
        return ops.negative(self)

    def __pos__(self) -> Tensor:
        return self.copy()

    def __abs__(self) -> Tensor:
        return ops.abs(self)

    def __invert__(self) -> Tensor:
        return ops.invert(self)

    __round__ = Operations.round

    def __contains__(self, value: TensorLike) -> bool:
        found: Any = self == value
        if found is False:
            return False
        with on_device_of(found._data, "in"):
            return bool(found._read("in").any())

    def _in_place(self, operation: Callable[..., Any], symbol: str, other: TensorLike) -> Tensor:
        """Give this Tensor the result: in its memory, or, where the step is recorded, in a new array."""
        wanted = self._requires_grad or (isinstance(other, Variable) and other._requires_grad)
        recorded = wanted and is_grad_enabled()
        if not recorded:
            result = operation(self, other)
            refusals.require_fit(operation.__name__, symbol, self, result)
            self._write(operation.__name__, ..., result._data)
            return self
        refusals.require_replaceable(operation.__name__, symbol, self)
        before = self._alias(history=True)
        events.tell(("replaced", self, before))
        result = operation(before, other)
        refusals.require_fit(operation.__name__, symbol, self, result)
        self._replace(result.astype(self.dtype))
        return self

    __hash__ = object.__hash__

    def __getitem__(self, index: Any) -> Tensor:
        return ops.getitem(self, index)

    def __setitem__(self, index: Any, value: TensorLike) -> None:
        if is_grad_enabled() and (self.requires_grad or getattr(value, "requires_grad", False)):
            raise GraphError(
                "item assignment",
                "it cannot be recorded; use where() or concatenate(), or assign inside no_grad()",
                shape=self.shape,
            )
        raw = value._data if isinstance(value, Tensor) else value
        require_numbers("item assignment", raw)
        if is_array(raw) or isinstance(raw, list | tuple):
            raw = asarray(raw, device=self.device, where="item assignment")
        self._write("item assignment", raw_index(index, self._data, "item assignment"), raw)

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
        return bool(self._read("bool"))

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

    __repr__ = text_of

    def _repr_html_(self) -> str | None:
        return view("Tensor._repr_html_")(self)

    # --- Copies and pickles ----------------------------------------------------------------

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        self._read("copying")
        return super().__reduce_ex__(protocol)

    __getstate__ = copying.state_of
    __setstate__ = copying.set_state
    __copy__ = copying.copy
    __deepcopy__ = copying.deepcopy

    # --- NumPy's protocols ---------------------------------------------------------------

    def __array__(self, dtype: DType = None, copy: bool | None = None) -> NDArray[Any]:
        return numpy.array(self.numpy(), dtype=dtype, copy=copy)

    __array_ufunc__ = protocols.apply_ufunc
    __array_function__ = protocols.apply_function


answer_attributes("Tensor", Tensor)
provided.tensor_class = Tensor
