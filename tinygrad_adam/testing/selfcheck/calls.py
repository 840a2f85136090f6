"""Rows of the table of operations: an operation, its inputs and its settings."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy

from ... import ops
from ...engine.graph import PRIMITIVES
from ...tensor.creation import tensor
from ...tensor.tensor import Tensor

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Input:
    """How to draw one input: a function of a generator and a shape."""

    draw: Callable[[numpy.random.Generator, Shape], Any]
    shape: Shape


@dataclass(frozen=True, eq=False)
class Call:
    """One way to call an operation.

    Attributes
    ----------
    op : str
        The public operation, or the primitive where it has no public name.
    label : str
        What is particular about this call.
    inputs : tuple of Input
        Differentiable; arguments without a gradient are in `settings`.
    operation : callable
        Takes a Tensor (or raw array) for each of `inputs`, and the settings by keyword.
    settings : dict
        Arrays among them, alone or in a tuple, must lie on the device of the inputs.
    differentiable : bool
        False where the result carries no gradient at all.
    keeps_dtype : bool
        False where the result of float32 inputs is not float32 by design.
    elementwise : bool
        Whether the inputs may have any shapes that broadcast.
    """

    op: str
    label: str
    inputs: tuple[Input, ...]
    operation: Callable[..., Any]
    settings: dict[str, Any]
    differentiable: bool = True
    keeps_dtype: bool = True
    elementwise: bool = False

    def __str__(self) -> str:
        return f"{self.op}: {self.label}" if self.label else self.op

    def function(self, *inputs: Any) -> Any:
        """Call the operation with its settings."""
        return self.operation(*inputs, **self.settings)

    def arrays(self, *shapes: Shape) -> list[Any]:
        """Draw the inputs in float64, in other shapes if they are given; the same ones every time."""
        rng = numpy.random.default_rng(zlib.crc32(str(self).encode()))
        chosen = shapes or [each.shape for each in self.inputs]
        return [each.draw(rng, shape) for each, shape in zip(self.inputs, chosen, strict=True)]

    def tensors(self, dtype: Any = numpy.float64) -> list[Tensor]:
        """Draw the inputs as leaves that require a gradient."""
        return [tensor(a, dtype=dtype, requires_grad=True) for a in self.arrays()]


def call(
    op: str,
    label: str,
    inputs: Input | tuple[Input, ...],
    operation: Callable[..., Any] | None = None,
    differentiable: bool = True,
    keeps_dtype: bool = True,
    elementwise: bool = False,
    **settings: Any,
) -> Call:
    """Make a row; without an `operation` it is the one called `op`."""
    chosen = operation or getattr(ops, op, None) or PRIMITIVES[op]
    inputs = inputs if isinstance(inputs, tuple) else (inputs,)
    return Call(op, label, inputs, chosen, settings, differentiable, keeps_dtype, elementwise)


def outputs_of(result: Any) -> list[Any]:
    """Return the outputs as a list, of one or of several."""
    return list(result) if isinstance(result, list | tuple) else [result]


# --- Inputs ----------------------------------------------------------------------------------


def normal(*shape: int) -> Input:
    """Draw from the standard normal distribution."""
    return Input(lambda rng, shape: rng.standard_normal(shape), shape)


def between(low: float, high: float, *shape: int) -> Input:
    """Draw evenly from an interval."""
    return Input(lambda rng, shape: rng.uniform(low, high, shape), shape)


def positive(*shape: int) -> Input:
    """Draw positive numbers, not near zero."""
    return between(0.3, 2.5, *shape)


def away(*shape: int) -> Input:
    """Draw numbers of both signs, not near zero."""
    return Input(lambda rng, shape: rng.choice([-1.0, 1.0], shape) * rng.uniform(0.3, 2.0, shape), shape)


def distinct(*shape: int) -> Input:
    """Draw numbers of which no two are near each other, and none near zero."""
    return Input(lambda rng, shape: (rng.permutation(math.prod(shape)).reshape(shape) - 2.5) * 0.4, shape)


def fixed(values: Any) -> Input:
    """Give these values."""
    array = numpy.asarray(values, dtype=float)
    return Input(lambda rng, shape: array.copy(), array.shape)
