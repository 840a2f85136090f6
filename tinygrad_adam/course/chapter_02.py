"""The exercises of chapter 2: a graph of numbers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ..testing.grading.report import Grade
from ..typing import TensorLike
from .calling import Printed, outcome, written
from .comparing import compare
from .exercise import Exercise
from .findings import AnswerError, Mistake, together
from .showing import shown

# --- 2.1 -----------------------------------------------------------------------------------------

POINTS = (-1.1, 0.5, 0.8)


def _value_and_slope(exp: Callable[[Any], Any], Value: Any, a: float) -> tuple[float, float]:
    """Return exp(a * a + a), computed by the student's engine, and its slope with respect to a."""
    leaf = Value(a)
    result = exp(leaf * leaf + leaf)
    result.backward()
    return result.data, leaf.grad


def _right(a: float) -> tuple[float, float]:
    step = 1e-6
    ends = [math.exp(w * w + w) for w in (a + step, a - step)]
    return math.exp(a * a + a), (ends[0] - ends[1]) / (2 * step)


def _with_slope(slope: Callable[[float], float]) -> Callable[[float], tuple[float, float]]:
    """Return the results of an exp whose slope is computed from its input by `slope`."""
    return lambda a: (math.exp(a * a + a), slope(a * a + a) * (2 * a + 1))


EXPS = (
    Mistake(
        "no parents",
        """the value is right, but the slope of a is 0: nothing flows back. Give the new Value its parent
        and the slope with respect to it: Value(y, (value,), (slope,), "exp").""",
        _with_slope(lambda u: 0.0),
    ),
    Mistake(
        "slope 1",
        """the value is right, but the slope with respect to the input is not 1: exp has its own output as
        slope.""",
        _with_slope(lambda u: 1.0),
    ),
    Mistake(
        "the input as slope",
        "the slope is the input of exp. It should be the output: the derivative of exp is exp.",
        _with_slope(lambda u: u),
    ),
    Mistake(
        "the power rule",
        """the slope is x * exp(x - 1). The power rule n * x**(n - 1) is for a constant exponent; in
        exp(x) the exponent varies, and the derivative of exp is exp.""",
        _with_slope(lambda u: u * math.exp(u - 1)),
    ),
    Mistake(
        "input times output",
        "the slope is the input times the output. The derivative of exp is exp: the output alone.",
        _with_slope(lambda u: u * math.exp(u)),
    ),
    Mistake(
        "flipped sign",
        "the slope has the wrong sign; all else is right.",
        _with_slope(lambda u: -math.exp(u)),
    ),
)


def _of_a_value(value: TensorLike) -> Any:
    """The parameters of the exercise."""


def _sound(Value: Any) -> Any:
    """Return a Value of 0.5, unless the student's engine gives wrong slopes without exp."""
    three = Value(3.0)
    (three * three + three).backward()
    if three.grad != 7.0:
        sentence = f"""your class Value gives {three.grad} as the slope of a * a + a at 3, and 7 is right. Has
        exercise 2 left = in place of += in backward? Run the cell with class Value as the chapter has it."""
        raise AnswerError("exp", "broken Value", sentence)
    return Value(0.5)


def _exp(student: object) -> Grade:
    """Grade `exp` with the class Value of the notebook in which it was written."""
    try:
        written("exp", student)
        Value = getattr(student, "__globals__", {}).get("Value")
        if callable(student) and Value is None:
            sentence = "there is no class Value here. Run the cell that defines it, then this one."
            raise AnswerError("exp", "no Value", sentence)
        leaf: Any = None if Value is None else _sound(Value)
        result = outcome("exp", student, _of_a_value, [leaf], Printed())
        if leaf.data != 0.5:
            sentence = "exp changes the data of its argument, which others still need. Make a new Value."
            raise AnswerError("exp", "changes its arguments", sentence)
        exp: Any = student
        if not isinstance(result, type(leaf)):
            sentence = f"""exp(value) returns {shown(result)}, of type {type(result).__name__}. Return a
            Value, or the operation is missing in the graph and nothing flows back: Value(y, (value,),
            (slope,), "exp")."""
            raise AnswerError("exp", "not a Value", sentence)
    except AnswerError as wrong:
        return wrong.grade

    def through_the_graph(a: float) -> tuple[float, float]:
        return _value_and_slope(exp, Value, a)

    said = "the value of exp(a * a + a) and its slope at a = {} are"
    checked = "the value and the slope of exp(a * a + a) are right at a = -1.1, 0.5 and 0.8"
    hint = "The derivative of exp is exp: pass the output as slopes, and the input as parents."
    cases = [(a,) for a in POINTS]
    return compare("exp", through_the_graph, _right, cases, EXPS, checked, hint=hint, said=said)


# --- 2.2 -----------------------------------------------------------------------------------------

NUMBERS = ((-2.0,), (0.5,), (3.0,), (7.0,))
LAST_WINS = "With = each use of a overwrites the slope before: follow the walk, and keep the last one."

SUMS = (
    Mistake(
        "the sum over uses",
        "this is the right slope, the sum over all three uses. With = in place of += nothing is added up.",
        lambda a: 2 * a + 1,
    ),
    Mistake(
        "the sum visited last",
        """this is the slope of the use as a summand. But the walk goes from the highest number to the lowest:
        the sum was created last and is visited first, and the product then overwrites its 1.""",
        lambda a: 1.0,
    ),
    Mistake(
        "both uses in the product",
        """this adds up the two uses in the product a * a. They are visited one after the other, and with =
        the second overwrites the first, too.""",
        lambda a: 2 * a,
    ),
    Mistake(
        "only one use lost",
        "this keeps the 1 of the summand and one use in the product. With = one use alone survives.",
        lambda a: a + 1,
    ),
)
CUBES = (
    Mistake(
        "the sum over uses",
        "this is the right slope of the cube, the sum over three uses. With = nothing is added up.",
        lambda a: 3 * a**2,
    ),
    Mistake(
        "both uses in the product",
        """this adds up two uses. In the inner product a * a, too, the second use overwrites the first.""",
        lambda a: 2 * a**2,
    ),
    Mistake(
        "slope received not multiplied",
        """this is the slope of the inner product with respect to a. The chain rule multiplies it by the slope
        that the inner product has received, which is a.""",
        lambda a: a,
    ),
)


def _overwritten(student: object, cube: object) -> Grade:
    checked = "{} agrees with an engine that overwrites, at a = -2, 0.5, 3 and 7"
    names = "overwritten", "overwritten_cube"
    return together(
        compare(names[0], student, lambda a: a, NUMBERS, SUMS, checked.format(names[0]), hint=LAST_WINS),
        compare(names[1], cube, lambda a: a * a, NUMBERS, CUBES, checked.format(names[1]), hint=LAST_WINS),
    )


EXERCISES = (
    Exercise(
        "2.1",
        ("exp",),
        '''\
def exp(value):
    """Return a Value that holds the exponential of a Value, and knows its slope."""
    raise NotImplementedError("compute the exponential, and return a Value as tanh does")


Value.exp = exp  # now it is a method, too
''',
        _exp,
    ),
    Exercise(
        "2.2",
        ("overwritten", "overwritten_cube"),
        '''\
def overwritten(a):
    """Return the slope of a * a + a that the engine gives with = in place of +=."""
    raise NotImplementedError("which use of a is visited last?")


def overwritten_cube(a):
    """Return the slope of a * a * a that the engine gives with = in place of +=."""
    raise NotImplementedError("which use of a is visited last?")
''',
        _overwritten,
    ),
)
