"""Refusals of operations: the words for calls that cannot be computed. A right call visits none of them."""

from __future__ import annotations

from ..errors import DTypeError, IndexingError, OptionError, ShapeError
from ..typing import Array, TensorLike


def no_array(where: str, thing: object, **arguments: TensorLike) -> DTypeError:
    """Refuse the argument that is a list or another thing without a shape."""
    name = next(name for name, value in arguments.items() if value is thing)
    problem = f"{name} must be a Tensor or an array, as tg.tensor({name})"
    return DTypeError(where, problem, **{name: type(thing).__name__})


def activation(where: str, activation: str) -> OptionError:
    """Refuse an activation that no operation is fused with."""
    return OptionError(
        where, "the activation must be 'relu' or None; apply others to the result", activation=activation
    )


def affine(x: TensorLike, weight: TensorLike, bias: TensorLike) -> ShapeError:
    """Refuse the shapes of `linear`."""
    shapes = {"x": tuple(x.shape), "weight": tuple(weight.shape)}
    if not x.shape or len(weight.shape) != 2 or x.shape[-1] != weight.shape[1]:
        return ShapeError("linear", "x.shape[-1] must equal weight.shape[1]", **shapes)
    return ShapeError(
        "linear", "bias must have shape weight.shape[:1]", bias=tuple(bias.shape), weight=shapes["weight"]
    )


def logits(logits: TensorLike) -> DTypeError:
    """Refuse logits that hold no floats, or have no classes."""
    return DTypeError(
        "cross_entropy",
        "logits must be floats with an axis of classes",
        logits=(tuple(logits.shape), logits.dtype),
    )


def class_weight(where: str, weight: TensorLike, **scores: TensorLike) -> ShapeError:
    """Refuse weights that are not one for each class."""
    shapes = {name: tuple(value.shape) for name, value in scores.items()}
    return ShapeError(where, "weight must have one entry for each class", weight=weight.shape, **shapes)


def label_smoothing(label_smoothing: float) -> OptionError:
    """Refuse a share outside of [0, 1]."""
    return OptionError("cross_entropy", "label_smoothing must be in [0, 1]", label_smoothing=label_smoothing)


def labels(logits: TensorLike, target: TensorLike, shape: tuple[int, ...]) -> DTypeError | ShapeError:
    """Refuse labels that are floats, or not of `shape`."""
    if target.dtype.kind == "f":
        return DTypeError(
            "cross_entropy",
            "labels must be integers, such as labels.astype(int); "
            "floats are probabilities of classes, of the shape of logits",
            logits=tuple(logits.shape),
            target=f"{shape} {target.dtype}",
        )
    return ShapeError(
        "cross_entropy",
        f"target must have the shape of logits without the axis of classes, {shape}",
        logits=tuple(logits.shape),
        target=tuple(target.shape),
    )


def label_out_of_range(where: str, labels: Array, classes: int, ignore_index: int) -> IndexingError:
    """Refuse a label that is no class."""
    return IndexingError(
        where,
        f"labels must lie in range({classes}), or be ignore_index={ignore_index}",
        least=labels.min(),
        greatest=labels.max(),
    )
