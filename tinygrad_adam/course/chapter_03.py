"""The exercises of chapter 3: arrays."""

from __future__ import annotations

from typing import Any

import numpy

from ..testing.grading.report import Grade
from ..typing import Array
from .comparing import number
from .exercise import Exercise
from .findings import Mistake, together
from .with_grader import graded_primitive

# --- 3.1 -----------------------------------------------------------------------------------------


def _layer_right(x: Array, W: Array, b: Array) -> Any:
    return x @ W.T + b


def _filled(*shapes: tuple[int, ...]) -> tuple[Any, ...]:
    rng = numpy.random.default_rng(3)
    return tuple(rng.standard_normal(shape) for shape in shapes)


LAYERS = (
    Mistake("no bias", "the bias b is not added to the output.", lambda x, W, b: x @ W.T),
    Mistake("bias subtracted", "the bias b is subtracted; it should be added.", lambda x, W, b: x @ W.T - b),
    Mistake(
        "W not transposed",
        """W has a row for each output, shape (out, in), so the product is x @ W.T. x @ W runs without an
        error only where W is square.""",
        lambda x, W, b: x @ W + b,
    ),
)


def _layer(student: object) -> Grade:
    # With square arrays, W in place of W.T gives a wrong number, and not an error, so that the mistake can be
    # recognized. If it cannot be, the shapes of a batch with three different sizes say more.
    square, batch = _filled((4, 4), (4, 4), (4,)), _filled((5, 4), (3, 4), (3,))
    on_square = graded_primitive("layer", student, _layer_right, [square], LAYERS, inputs=square)
    if not on_square.passed and "differs" not in on_square.kinds:
        return on_square
    on_batch = graded_primitive("layer", student, _layer_right, [batch], (), inputs=batch)
    return on_square if on_batch.passed and not on_square.passed else on_batch


# --- 3.2 -----------------------------------------------------------------------------------------


def _logsumexp(x: Array) -> Any:
    return numpy.log(numpy.sum(numpy.exp(x)))


MAXIMA = (
    Mistake(
        "mean for sum",
        "this is the logarithm of the mean of the exponentials. The sum is wanted.",
        lambda x: numpy.log(numpy.mean(numpy.exp(x))),
    ),
    Mistake(
        "the maximum itself",
        "this is the largest entry. The smooth maximum is log(sum(exp(x))).",
        numpy.max,
    ),
    Mistake(
        "no logarithm",
        "the logarithm is missing: this is sum(exp(x)).",
        lambda x: numpy.sum(numpy.exp(x)),
    ),
    Mistake(
        "the logarithm undone",
        "this is sum(log(exp(x))), which is sum(x). Sum the exponentials before you take the logarithm.",
        numpy.sum,
    ),
)
SLOPES = (
    Mistake(
        "y - x for x - y",
        "the exponent has the wrong sign: exp(x) / sum(exp(x)) is exp(x - y).",
        lambda g, x: g * numpy.exp(_logsumexp(x) - x),
    ),
    Mistake(
        "inner slopes only",
        "the outer slope is missing: the logarithm has the slope 1 over the sum, which is exp(-y).",
        lambda g, x: g * numpy.exp(x),
    ),
    Mistake(
        "outer slope only",
        "the inner slope is missing: after 1 over the sum comes the slope of exp(x), which is exp(x).",
        lambda g, x: g / numpy.sum(numpy.exp(x)) + 0 * x,
    ),
    Mistake(
        "the largest alone",
        "this gives all of g to the largest entry. The smooth maximum depends on all of them.",
        lambda g, x: g * (x == x.max()),
    ),
)
SUMS = (
    Mistake(
        "0",
        """0 would mean that the smooth maximum stays as it is when all entries grow by the same amount. Try
        it: add 1 to each entry of x.""",
        0.0,
    ),
    Mistake(
        "the number of entries",
        """3 is the number of entries in the solution's example. Each entry of the gradient is less than 1:
        print it.""",
        3.0,
    ),
    Mistake(
        "the share of one entry",
        "this is the mean of the entries for x of three entries. The sum is wanted.",
        1 / 3,
    ),
)


def _smooth_maximum(student: object, total: object) -> Grade:
    cases = [_filled((3, 3)), _filled((5,))]
    hint = "Imagine that all entries of x grow by the same amount. By how much does the smooth maximum grow?"
    return together(
        graded_primitive("logsumexp", student, _logsumexp, cases, MAXIMA, SLOPES),
        number(
            "sum_of_gradient",
            total,
            1.0,
            SUMS,
            "sum_of_gradient is the sum of the entries for any x",
            atol=1e-6,
            hint=hint,
        ),
    )


EXERCISES = (
    Exercise(
        "3.1",
        ("layer",),
        '''\
@tg.primitive(
    x=lambda g, W: ...,
    W=lambda g, x: ...,
    b=lambda g: ...,
)
def layer(xp, x, W, b):
    """Return x @ W.T + b; x has the shape (n, in), W (out, in), b (out,)."""
    raise NotImplementedError("write the forward rule here, and the other three above")
''',
        _layer,
    ),
    Exercise(
        "3.2",
        ("logsumexp", "sum_of_gradient"),
        '''\
@tg.primitive(x=lambda g, x, y, xp: ...)
def logsumexp(xp, x):
    """Return log(sum(exp(x))), a single number."""
    raise NotImplementedError("write the forward rule here, and the rule for x above")


sum_of_gradient = ...  # of all entries of the gradient of logsumexp
''',
        _smooth_maximum,
    ),
)
