"""Inputs for a learner's primitive, and the central differences of its output there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy

from ...engine.graph import Primitive
from ...errors import OptionError

STEP = 1e-5
"""Of the difference quotients; their error is of the order of its square."""


ATOL, RTOL = 1e-6, 1e-5


@dataclass(frozen=True)
class Case:
    """A primitive called on numbers, and how its output moves with them.

    Attributes
    ----------
    names : tuple of str
        Of the inputs.
    values : tuple of array
        The inputs.
    settings : dict
        The settings.
    y, weight : array
        The output, and the gradient that the rules receive. The sum of their products is differentiated.
    numerical : list of array or None
        For each input of floats the derivative by central differences.
    call : callable
        The forward rule, with the settings.
    """

    names: tuple[str, ...]
    values: tuple[Any, ...]
    settings: dict[str, Any]
    y: Any
    weight: Any
    numerical: list[Any]
    call: Callable[..., Any]


def differs(got: Any, wanted: Any) -> bool:
    """Tell whether two arrays differ by more than central differences err."""
    if numpy.shape(got) != numpy.shape(wanted):
        return True
    scale = numpy.max(numpy.abs(wanted), initial=1.0)
    return not bool(numpy.allclose(got, wanted, rtol=RTOL, atol=ATOL * scale))


def make_cases(student: Primitive, inputs: Any, settings: dict[str, Any], seed: int) -> list[Case]:
    """Return inputs for the primitive, with the central differences there."""
    rng = numpy.random.default_rng(seed)
    if inputs is not None:
        values = [_filled(x, rng) for x in inputs]
        made = _case(student, values, settings, rng)
        if isinstance(made, Exception):
            raise OptionError(
                "grade", f"{student.name} does not take these inputs: {made}",
                shapes=", ".join(str(x.shape) for x in values), settings=settings,
            ) from made  # fmt: skip
        return [made]
    count = len(student.inputs)
    # Square, so that a wrong axis gives a wrong number and not an error; and broadcast, for the sums.
    tries: list[list[tuple[int, ...]]] = [[(3, 3)] * count]
    if count > 1:
        tries += [[(2, 3)] * (count - 1) + [(3,)], [(3,)] + [(2, 3)] * (count - 1)]
    found, errors = [], []
    for shapes in tries:
        for values in (  # positive ones too, for logarithms and roots
            [rng.standard_normal(shape) for shape in shapes],
            [rng.uniform(0.2, 2.0, shape) for shape in shapes],
        ):
            made = _case(student, values, settings, rng)
            if isinstance(made, Exception):
                errors.append(made)
                continue
            # What makes a vector of a matrix and a vector does not spread it.
            if shapes is tries[0] or made.y.shape == (2, 3):
                found.append(made)
            break
    if not found:
        raise OptionError(
            "grade",
            f"{student.name} fails on inputs of shape (3, 3); is that meant, give inputs= as shapes or "
            "arrays",
            error=errors[0],
        )
    return found


def _filled(x: Any, rng: Any) -> Any:
    if isinstance(x, tuple) and all(isinstance(n, int) for n in x):
        return rng.standard_normal(x)
    array = numpy.array(x)
    return array.astype(numpy.float64) if array.dtype.kind == "f" else array


def _case(student: Primitive, values: list[Any], settings: dict[str, Any], rng: Any) -> Case | Exception:
    """Call the forward rule and differentiate it numerically, or return why that does not go."""
    with numpy.errstate(all="ignore"):
        try:
            y = numpy.asarray(student(*values, **settings))
        except Exception as error:  # a student's rule may raise anything
            return error
        if y.dtype.kind != "f":
            return ValueError(f"the output holds no floats but {y.dtype}, and has no derivative")
        if not numpy.isfinite(y).all():
            return ValueError("the output is not finite")
        weight = rng.standard_normal(y.shape)
        call = lambda *args: numpy.asarray(student(*args, **settings))  # noqa: E731
        numerical = [
            differences(call, values, i, weight) if x.dtype.kind == "f" else None
            for i, x in enumerate(values)
        ]
    names = tuple(student.name_of(i) for i in range(len(values)))
    return Case(names, tuple(values), settings, y, weight, numerical, call)


def differences(call: Callable[..., Any], values: Sequence[Any], i: int, weight: Any) -> Any:
    """Return the derivative of ``sum(weight * call(*values))`` by input `i`, element by element."""
    gradient = numpy.zeros(values[i].shape)
    for place in numpy.ndindex(*values[i].shape):
        ends = []
        for sign in (1, -1):
            moved = [numpy.array(x) for x in values]
            moved[i][place] += sign * STEP
            ends.append(numpy.sum(weight * call(*moved)))
        gradient[place] = (ends[0] - ends[1]) / (2 * STEP)
    return gradient
