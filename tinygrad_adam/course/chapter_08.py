"""The exercises of chapter 8: a network."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy

from ..testing.grading.report import Grade
from ..typing import Array
from .calling import Case
from .comparing import compare, number
from .exercise import Exercise
from .findings import Mistake, together
from .with_grader import graded_primitive

# --- 8.1 -----------------------------------------------------------------------------------------


def _leaky_right(x: Array) -> Any:
    return numpy.where(x > 0, x, 0.1 * x)


LEAKS = (
    Mistake(
        "not leaky",
        "this is the ReLU: negative inputs give 0. The leaky one lets a tenth of them through.",
        lambda x: numpy.maximum(x, 0),
    ),
    Mistake(
        "a hundredth",
        "negative inputs are multiplied by 0.01, as is usual elsewhere. The exercise asks for a tenth.",
        lambda x: numpy.where(x > 0, x, 0.01 * x),
    ),
    Mistake(
        "branches swapped",
        "the branches are swapped: positive inputs should pass as they are, negative ones times 0.1.",
        lambda x: numpy.where(x > 0, 0.1 * x, x),
    ),
    Mistake(
        "folded upward",
        "negative inputs give positive outputs. A tenth of a negative number is negative.",
        lambda x: numpy.where(x > 0, x, -0.1 * x),
    ),
    Mistake(
        "a constant",
        "negative inputs all give -0.1, or 0.1. They should be multiplied by 0.1.",
        lambda x: numpy.where(x > 0, x, 0.1),
    ),
)


RULES = (
    Mistake(
        "the slope of ReLU",
        """this is the rule of ReLU: 0 where x is negative. There the leaky one has the slope 0.1, so units
        cannot die.""",
        lambda g, x: g * (x > 0),
    ),
    Mistake(
        "no slope",
        "this is 1 everywhere. Where x is negative the slope is 0.1.",
        lambda g, x: g,
    ),
    Mistake(
        "slopes swapped",
        "the slopes are swapped: 1 where x is positive, 0.1 elsewhere.",
        lambda g, x: g * numpy.where(x > 0, 0.1, 1.0),
    ),
    Mistake(
        "the other sign",
        "where x is negative the slope is 0.1, and not -0.1: the output still grows with x.",
        lambda g, x: g * numpy.where(x > 0, 1.0, -0.1),
    ),
    Mistake(
        "by the sign of g",
        """the rule asks for the sign of g. The slope depends on x: it is 1 where x is positive, 0.1
        elsewhere.""",
        lambda g, x: numpy.where(g > 0, g, 0.1 * g),
    ),
)


def _leaky(student: object) -> Grade:
    x = numpy.array([[-2.0, 0.5, 3.0], [1.5, -0.25, -4.0]])
    return graded_primitive("leaky", student, _leaky_right, [(x,)], LEAKS, RULES)


# --- 8.2 -----------------------------------------------------------------------------------------


def cubes(x: Array) -> Any:
    """Return a function of an array, whose slopes are `_slopes`."""
    return (x**3).sum()


def ravine(x: Array) -> Any:
    """Return a function that bends much, so that a difference to one side only shows."""
    return (x + 1e5 * x**2).sum()


GRADIENTS: dict[Callable[..., Any], Callable[[Array], Array]] = {
    cubes: lambda x: 3 * x**2,
    ravine: lambda x: 1 + 2e5 * x,
}
ARRAYS: list[Case] = [
    (cubes, numpy.array([[0.5, -1.0, 2.0], [1.5, 0.1, -0.7]])),
    (cubes, numpy.array([1.0, -2.0, 0.3, 0.9])),
    (ravine, numpy.array([0.0, 0.0])),
]


def _by_derivative(f: Callable[..., Any], x: Array) -> Array:
    return GRADIENTS[f](x)


def _one_sided(h: float) -> Callable[..., Array]:
    """Return forward differences with this step."""

    def differences(f: Callable[..., Any], x: Array) -> Array:
        steps = h * numpy.eye(x.size).reshape(x.size, *x.shape)
        return numpy.array([(f(x + step) - f(x)) / h for step in steps]).reshape(x.shape)

    return differences


DIFFERENCES = (
    Mistake(
        "h for 2 h",
        "every entry is twice as large as it should be: from x - h to x + h the distance is 2 * h.",
        lambda f, x: 2 * _by_derivative(f, x),
    ),
    Mistake(
        "not divided",
        "the differences are not divided by the distance 2 * h.",
        lambda f, x: 2e-6 * _by_derivative(f, x),
    ),
    Mistake(
        "all entries at once",
        """you move all entries of x at once, so every result is the sum of all slopes. Move one entry, and
        leave the others where they are.""",
        lambda f, x: numpy.full_like(x, _by_derivative(f, x).sum()),
    ),
    Mistake(
        "flipped sign",
        "the sign is wrong: take the value at x + h minus the value at x - h.",
        lambda f, x: -_by_derivative(f, x),
    ),
    *(
        Mistake(
            "one side only",
            """these are forward differences, from x to x + h. Their error shrinks like h; where the
            function bends much, it shows. Take the difference of x + h and x - h, divided by 2 * h.""",
            _one_sided(h),
        )
        for h in (1e-3, 1e-4, 1e-5, 1e-6, 1e-7)
    ),
)
ROWS = (
    Mistake(
        "the sum of probabilities",
        "1 is the sum of the probabilities in a row. backward also subtracts the truth, a 1 in each row.",
        1.0,
    ),
    Mistake(
        "only the truth",
        "backward adds -1 to each row for the truth; do not forget the probabilities.",
        -1.0,
    ),
    Mistake(
        "divided by 5",
        "this would be the sum of the probabilities, divided by 5 points. The truth is subtracted first.",
        0.2,
    ),
)


def _by_central_differences(numerical: object, row: object) -> Grade:
    checked = """numerical_gradient(f, x) agrees with the derivative, for two functions and arrays of two
    shapes"""
    hint = "Move one entry of x by h up and down, call f both times, divide the difference by 2 * h."
    of_rows = "row_sum is the sum of each row of probabilities minus truth"
    why = "Raise all scores of a point by the same amount. Which probability changes?"
    return together(
        compare("numerical_gradient", numerical, _by_derivative, ARRAYS, DIFFERENCES, checked, hint=hint),
        number("row_sum", row, 0.0, ROWS, of_rows, atol=1e-6, hint=why),
    )


# --- 8.3 -----------------------------------------------------------------------------------------

SHRINKS = (
    Mistake(
        "the squares",
        """0.5 is the factor of the squares. The size is the root of their mean, so take the root of the
        factor.""",
        0.5,
    ),
    Mistake(
        "growing",
        "more than 1 would mean that activations grow. Without the 2 the weights are smaller than Kaiming's.",
        math.sqrt(2),
    ),
    Mistake(
        "no factor",
        "1 is the factor with the 2. Without it each layer loses half of the squares to the ReLU.",
        1.0,
    ),
)
DEVIATIONS = (
    Mistake(
        "as for ReLU",
        """the 2 makes up for the half that ReLU sets to zero. Without an activation function nothing is
        lost, and activations would grow by sqrt(2) per layer.""",
        lambda fan_in: math.sqrt(2 / fan_in),
    ),
    Mistake(
        "the variance",
        "1 / fan_in is the variance. The standard deviation is its root.",
        lambda fan_in: 1 / fan_in,
    ),
    Mistake(
        "upside down",
        "more inputs must mean smaller weights, because a unit sums over all of them.",
        lambda fan_in: math.sqrt(fan_in),
    ),
    Mistake(
        "no dependence on fan_in",
        "with 1, each layer multiplies the size by sqrt(fan_in): a unit sums fan_in products.",
        lambda fan_in: 1.0,
    ),
)


def _sizes(shrink: object, linear_std: object) -> Grade:
    hint = "fan_in times the variance of a weight should be 1."
    why = "sizes_of_activations((1 / 200) ** 0.5) measures it."
    agrees = "shrink_factor is the factor of a layer of ReLU, by the variance of its output"
    keeps = "fan_in products of variance linear_std(fan_in)**2 sum to variance 1, for fan_in = 200, 50 and 7"
    cases = [(200,), (50,), (7,)]
    return together(
        number("shrink_factor", shrink, math.sqrt(0.5), SHRINKS, agrees, atol=0.015, hint=why),
        compare(
            "linear_std",
            linear_std,
            lambda fan_in: fan_in**-0.5,
            cases,
            DEVIATIONS,
            keeps,
            rtol=0.01,
            hint=hint,
        ),
    )


EXERCISES = (
    Exercise(
        "8.1",
        ("leaky",),
        '''\
@tg.primitive(x=lambda g, x, xp: ...)
def leaky(xp, x):
    """Return x where it is positive, and a tenth of it elsewhere."""
    raise NotImplementedError("write the forward rule here, and the rule for x above")
''',
        _leaky,
    ),
    Exercise(
        "8.2",
        ("numerical_gradient", "row_sum"),
        '''\
def numerical_gradient(f, x):
    """Return the slopes of f, which takes an array like x and returns a number, for each entry of x."""
    raise NotImplementedError("move one entry at a time, up and down")


row_sum = ...  # of each row of the gradient that SoftmaxCrossEntropy.backward returns
''',
        _by_central_differences,
    ),
    Exercise(
        "8.3",
        ("shrink_factor", "linear_std"),
        '''\
shrink_factor = ...  # by which each layer multiplies the size, with sqrt(1 / fan_in) and ReLU


def linear_std(fan_in):
    """Return the standard deviation of weights with which layers without activation keep the size."""
    raise NotImplementedError("which variance of the weights keeps the variance of the output?")
''',
        _sizes,
    ),
)
