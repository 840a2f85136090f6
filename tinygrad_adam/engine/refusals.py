"""Refusals of the engine: the words for calls that cannot be computed or differentiated.

A right call visits none of these functions.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from .. import words
from ..backend.device import place_of
from ..errors import DeviceError, DTypeError, GraphError, IndexingError, ShapeError, TinygradAdamError
from ..typing import Array

if TYPE_CHECKING:
    from typing import Protocol

    class _Primitive(Protocol):
        """The parts of a `Primitive` that messages name."""

        name: str
        inputs: list[str]
        static: dict[str, Any]
        variadic: bool

        @property
        def __signature__(self) -> Any: ...


def _label(primitive: _Primitive, position: int) -> str:
    """Name an argument; the arguments of a variadic input have numbers."""
    last = len(primitive.inputs) - 1
    if primitive.variadic and position >= last:
        return f"{primitive.inputs[last]}[{position - last}]"
    return primitive.inputs[min(position, last)]


def check_definition(primitive: _Primitive, rules: dict[str, Any]) -> None:
    """Refuse rules for inputs that there are not, or whose parameters have no meaning."""
    inputs = primitive.inputs
    unknown = rules.keys() - {*inputs, "y"}
    if unknown:
        raise DTypeError(
            primitive.name, "rules for inputs that it does not have", rules=unknown, inputs=inputs
        )
    taken = {"g", "y", "xp", "out"} & {*inputs, *primitive.static}
    if taken:
        raise DTypeError(primitive.name, "rules use these names for something else", names=sorted(taken))
    known = {
        "g",
        "y",
        "xp",
        "index",
        "out",
        *inputs,
        *primitive.static,
        *(f"{name}_shape" for name in inputs),
    }
    for name, rule in rules.items():
        if not known.issuperset(rule.names):
            raise DTypeError(
                primitive.name, f"the rule for {name} asks for unknown names", asks=rule.names, there_is=known
            )


def unknown_keyword(primitive: _Primitive, keywords: Iterable[str]) -> None:
    """Refuse keywords that are neither inputs nor settings, with an answer to another package's words."""
    words.answer(primitive.name, keywords, words.without_types(primitive.__signature__))


def too_many(primitive: _Primitive, count: int) -> DTypeError:
    """Return the error for more positional arguments than there are inputs and settings."""
    shown = words.without_types(primitive.__signature__)
    return DTypeError(primitive.name, f"takes {shown}", got=f"{count} positional arguments")


def require_one_device(primitive: _Primitive, values: Sequence[Any]) -> None:
    """Refuse arrays on several devices."""
    places = [place_of(value) for value in values]
    if len({*places} - {None}) > 1:
        gpu = next(place for place in reversed(places) if place not in (None, "cpu"))
        raise DeviceError(
            primitive.name,
            f"all arrays must be on one device; move a Tensor with .to({gpu!r}), and make one of a NumPy "
            f"array with tg.tensor(array, device={gpu!r})",
            **{
                _label(primitive, i): f"{tuple(values[i].shape)} {values[i].dtype} on {place}"
                for i, place in enumerate(places)
                if place is not None
            },
        )


def explained(
    primitive: _Primitive, error: Exception, values: Sequence[Any], settings: dict[str, Any]
) -> Exception:
    """Turn an array library's error into one that names the operation and its arguments.

    Errors of this package, and errors that do not come from the arguments, are returned as they are.
    """
    if isinstance(error, TinygradAdamError):
        return error
    require_one_device(primitive, values)
    of_input = isinstance(error, AttributeError) and any(error.obj is value for value in values)
    if not of_input and not isinstance(error, ValueError | TypeError | IndexError | OverflowError):
        return error
    shown = {}
    for position, value in enumerate(values):
        text = f"{tuple(value.shape)} {value.dtype}" if hasattr(value, "dtype") else ""
        if isinstance(value, int) and value.bit_length() > 256:  # Python refuses to write long ones
            text = f"an integer of {value.bit_length()} bits"
        shown[_label(primitive, position)] = text or repr(value)
    shown.update({name: repr(value) for name, value in settings.items()})
    kind: type[TinygradAdamError] = ShapeError
    if not isinstance(error, ValueError | IndexError):  # such as a number too large for the dtype
        kind = DTypeError
    elif isinstance(error, IndexError) and not isinstance(error, ValueError):
        kind = IndexingError
    return kind(primitive.name, str(error), **shown)


def unwritten(where: str, error: Exception, array: Array, index: object, value: object) -> Exception:
    """Turn an array library's error about a write into one that names the Tensor and the index."""
    shown = {"shape": tuple(array.shape)} | ({} if index is ... else {"index": index})
    if isinstance(error, IndexError):
        return IndexingError(where, str(error), **shown)
    if isinstance(error, ValueError):
        return ShapeError(where, str(error), **shown)
    return DTypeError(where, str(error), dtype=array.dtype, value=repr(value))


def require_elements_of_its_own(where: str, array: Array) -> None:
    """Refuse to write to a view made by broadcasting, as NumPy does; CuPy would write to it."""
    steps = zip(array.shape, array.strides, strict=True)
    if 0 in array.strides and array.size and any(n > 1 and not step for n, step in steps):
        raise ShapeError(
            where,
            "elements of a view made by broadcasting share memory, so it is read-only; change a .copy()",
            shape=tuple(array.shape),
        )


def freed(primitive: _Primitive) -> GraphError:
    """Return the error for a graph that an earlier pass has freed."""
    return GraphError(
        primitive.name,
        "this part of the graph was freed by an earlier backward pass; "
        "compute it again, or pass retain_graph=True to the earlier pass",
    )


def changed_in_place(where: str, name: str, kept: int, found: int) -> GraphError:
    """Return the error for a kept array that was written to before the backward pass."""
    return GraphError(
        where,
        f"{name} was changed in place after the operation kept it for its gradient; "
        "change a copy, or change it after the backward pass",
        kept_version=kept,
        found_version=found,
    )


def unfit_share(primitive: _Primitive, position: int, share: Array, shape: tuple[int, ...]) -> ShapeError:
    """Return the error for a rule whose result does not fit its input."""
    return ShapeError(
        primitive.name,
        f"the rule for {_label(primitive, position)} must return an array that fits its input",
        returned=getattr(share, "shape", repr(share)),
        input=shape,
    )


def unfit_hook(g: Array, answer: object) -> ShapeError:
    """Return the error for a hook that returned neither None nor a gradient."""
    return ShapeError(
        "hook",
        "must return None, or a Tensor of the gradient's shape",
        gradient=g.shape,
        returned=getattr(answer, "shape", repr(answer)),
    )


def independent(where: str) -> GraphError:
    """Return the error for a Tensor that depends on nothing to differentiate by."""
    return GraphError(
        where,
        "the Tensor was not computed from any that requires a gradient; "
        "set requires_grad=True on what you differentiate with respect to, outside no_grad()",
    )


def not_computed_from(position: int, wanted: bool, shape: tuple[int, ...]) -> GraphError:
    """Return the error for an input of `grad` that the result does not depend on."""
    return GraphError(
        "grad",
        f"y does not depend on xs[{position}]" + ("" if wanted else ", which does not require a gradient"),
        shape=shape,
    )


def no_scalar(where: str, shape: tuple[int, ...]) -> ShapeError:
    """Return the error for a result of several elements without a gradient to start from."""
    return ShapeError(
        where, "only a scalar has an implicit gradient; sum it first, or pass gradient=", tensor=shape
    )


def unfit_gradient(where: str, shape: tuple[int, ...], found: tuple[int, ...]) -> ShapeError:
    """Return the error for a gradient to start from that has another shape than the result."""
    return ShapeError(where, "gradient must have the Tensor's shape", tensor=shape, gradient=found)


def not_pickled(primitive: _Primitive) -> GraphError:
    """Return the error for a pickle of a result with its graph."""
    return GraphError(
        "pickle",
        "the result of an operation holds its graph, which cannot be pickled; call .detach() first",
        made_by=primitive.name,
    )


def not_a_setting(primitive: _Primitive, name: str, shape: tuple[int, ...]) -> DTypeError:
    """Return the error for a Tensor in place of a setting."""
    return DTypeError(primitive.name, f"{name} is a setting and cannot be a Tensor", shape=shape)


def no_real_result(primitive: _Primitive, dtype: object) -> DTypeError:
    """Return the error for a result of complex numbers or objects."""
    return DTypeError(primitive.name, "the result must hold real numbers or truth values", dtype=dtype)
