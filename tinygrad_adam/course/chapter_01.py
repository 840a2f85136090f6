"""The exercises of chapter 1: one number."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from ..testing.grading.report import Grade
from ..typing import Array, Settings
from .comparing import compare, number
from .exercise import Exercise
from .findings import Mistake
from .with_grader import graded_update

# --- 1.1 -----------------------------------------------------------------------------------------

POINTS = (-1.3, 0.3, 0.9, 2.5)
STEP = 1e-5


def _by_differences(w: float) -> float:
    def g(w: float) -> float:
        return w * math.exp(-w)

    return (g(w + STEP) - g(w - STEP)) / (2 * STEP)


SLOPES = (
    Mistake(
        "product of slopes",
        """this is the slope of w times the slope of exp(-w). The slope of a product is another: the slope of
        the first factor times the second, plus the first times the slope of the second.""",
        lambda w: -math.exp(-w),
    ),
    Mistake(
        "inner slope missing",
        """the slope of exp(-w) is -exp(-w), not exp(-w): the chain rule multiplies by the slope of -w, which
        is -1.""",
        lambda w: (1 + w) * math.exp(-w),
    ),
    Mistake(
        "second term missing",
        """a term is missing: w stands in both factors of w * exp(-w). You have the slope of the first factor
        times the second; add the first factor times the slope of the second.""",
        lambda w: math.exp(-w),
    ),
    Mistake(
        "first term missing",
        """a term is missing: w stands in both factors of w * exp(-w). You have the first factor times the
        slope of the second; add the slope of the first factor, which is 1, times the second.""",
        lambda w: -w * math.exp(-w),
    ),
    Mistake(
        "flipped sign", "the sign is wrong everywhere; all else is right.", lambda w: (w - 1) * math.exp(-w)
    ),
    Mistake(
        "the function itself",
        "this is the value of g(w) = w * exp(-w), and not its slope.",
        lambda w: w * math.exp(-w),
    ),
)


def _slope_of_g(student: object) -> Grade:
    checked = "slope_of_g(w) agrees with central differences of w * exp(-w) at w = -1.3, 0.3, 0.9 and 2.5"
    hint = "Apply the product rule to w and exp(-w), and the chain rule to exp(-w)."
    cases = [(w,) for w in POINTS]
    return compare("slope_of_g", student, _by_differences, cases, SLOPES, checked, hint=hint)


# --- 1.2 -----------------------------------------------------------------------------------------


def _descent(p: Array, g: Array, state: Settings, lr: float) -> Any:
    return p - lr * g


def _update(student: object) -> Grade:
    answer = graded_update("update", student, _descent, "sgd", {})
    # Mistakes with a momentum cannot show: this step has none.
    return replace(answer, mutants=answer.mutants - len(answer.unnoticed), unnoticed=())


# --- 1.3 -----------------------------------------------------------------------------------------


def _crossing(low: float, high: float) -> float:
    """Return the point at which the slope of the chapter's curve is 0, by bisection."""

    def slope(w: float) -> float:
        return 0.2 * w + math.cos(w)

    rising = slope(low) < 0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if (slope(middle) < 0) == rising else (low, middle)
    return low


RIDGE, LEFT, RIGHT = _crossing(0.0, 3.0), _crossing(-3.0, 0.0), _crossing(3.0, 5.0)
VALLEY = """this is the bottom of the {} valley. The slope is 0 there, too, but descent ends here and does
not part here. At the ridge the slope changes from positive to negative, from left to right."""
RIDGES = (
    Mistake("the left valley", VALLEY.format("left"), LEFT),
    Mistake("the right valley", VALLEY.format("right"), RIGHT),
    Mistake(
        "halfway",
        """this is the middle between the two valleys. A ridge may lie anywhere between them: look for slope
        0.""",
        (LEFT + RIGHT) / 2,
    ),
    Mistake(
        "the sine alone",
        """this is where sin(w) is largest. The loss also contains 0.1 * w**2, whose slope 0.2 * w moves the
        ridge.""",
        math.pi / 2,
    ),
)


def _ridge(student: object) -> Grade:
    checked = "the slope of 0.1 * w**2 + sin(w) is positive left of the ridge, negative right of it"
    hint = """Between the valleys there is one point where the slope changes from positive to negative.
    Halve an interval that contains it, again and again."""
    return number("ridge", student, RIDGE, RIDGES, checked, atol=0.0006, hint=hint)


EXERCISES = (
    Exercise(
        "1.1",
        ("slope_of_g",),
        '''\
def slope_of_g(w):
    """Return the slope of g(w) = w * exp(-w) at the number w."""
    raise NotImplementedError("find the slope by the rules of calculus")
''',
        _slope_of_g,
    ),
    Exercise(
        "1.2",
        ("update",),
        '''\
def update(p, g, state, lr):
    """Return the weight p after one step against its slope g; the dict state is not needed yet."""
    raise NotImplementedError("write the step of gradient descent")
''',
        _update,
    ),
    Exercise(
        "1.3",
        ("ridge",),
        """\
ridge = ...  # the w at which descent parts, to three decimals
""",
        _ridge,
    ),
)
