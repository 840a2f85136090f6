"""The exercises of chapter 4: a line and a curve."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy

from ..testing.grading.report import Grade
from ..typing import Array
from .calling import Case
from .comparing import compare
from .exercise import Exercise
from .findings import Mistake

Gradient = Callable[[float, float, Array, Array], Any]


def _points(count: int) -> tuple[Array, Array]:
    rng = numpy.random.default_rng(count)
    return rng.uniform(-1, 2, count), rng.standard_normal(count)


# --- 4.1 -----------------------------------------------------------------------------------------

LINES: list[Case] = [(0.5, -0.2, *_points(7)), (-1.5, 0.75, *_points(12))]
STEP = 1e-5


def _by_differences(w: float, b: float, x: Array, y: Array) -> tuple[float, float]:
    def loss(w: float, b: float) -> Any:
        return numpy.mean((w * x + b - y) ** 2)

    by_w = (loss(w + STEP, b) - loss(w - STEP, b)) / (2 * STEP)
    by_b = (loss(w, b + STEP) - loss(w, b - STEP)) / (2 * STEP)
    return by_w, by_b


def _from_error(combine: Callable[[Array, Array], tuple[Any, Any]]) -> Gradient:
    """Return a function that computes the two slopes from the errors and x."""
    return lambda w, b, x, y: combine(w * x + b - y, x)


GRADIENTS = (
    Mistake(
        "flipped sign",
        """the sign is wrong: the error is w * x + b - y, the line minus the point, and not the other way
        round.""",
        _from_error(lambda error, x: (-2 * (error * x).mean(), -2 * error.mean())),
    ),
    Mistake(
        "factor 2 missing",
        "a factor of 2 is missing: the derivative of error**2 is 2 * error.",
        _from_error(lambda error, x: ((error * x).mean(), error.mean())),
    ),
    Mistake(
        "sum for mean",
        """this is the gradient of the sum of the squares. The loss is their mean, so the gradient is a mean,
        too: divide by the number of points.""",
        _from_error(lambda error, x: (2 * (error * x).sum(), 2 * error.sum())),
    ),
    Mistake(
        "x missing",
        """the slope with respect to w lacks the inner derivative: w was multiplied by x, so each error is
        multiplied by its x before the mean is taken.""",
        _from_error(lambda error, x: (2 * error.mean(), 2 * error.mean())),
    ),
    Mistake(
        "product of means",
        """the slope with respect to w is the mean of the products error * x. The product of the two means is
        another number.""",
        _from_error(lambda error, x: (2 * error.mean() * x.mean(), 2 * error.mean())),
    ),
    Mistake(
        "x in both",
        """the slope with respect to b has a factor x too many: b is added as it is, its inner derivative is
        1.""",
        _from_error(lambda error, x: (2 * (error * x).mean(), 2 * (error * x).mean())),
    ),
    Mistake(
        "order",
        "the two slopes are in the wrong order: return the one for w first, then the one for b.",
        _from_error(lambda error, x: (2 * error.mean(), 2 * (error * x).mean())),
    ),
)


def _gradient(student: object) -> Grade:
    checked = "both slopes agree with central differences of the loss, for 7 points and for 12"
    hint = """Write error = w * x + b - y. The loss is the mean of error**2; apply the chain rule to one
    point, then take the mean."""
    return compare("slopes_by_hand", student, _by_differences, LINES, GRADIENTS, checked, hint=hint)


# --- 4.2 -----------------------------------------------------------------------------------------

BATCHES: list[Case] = [(*_points(40), 4, 0.3), (*_points(12), 3, 0.1), (*_points(10), 5, 0.2)]


def _slopes(w: Array, x: Array, y: Array) -> Array:
    error = w[0] * x + w[1] - y
    return 2 * numpy.array([(error * x).mean(), error.mean()])


def _one_step(x: Array, y: Array, batches: int, lr: float) -> Array:
    return -lr * _slopes(numpy.zeros(2), x, y)


def _parts(x: Array, y: Array, batches: int) -> Array:
    """Return the slopes for each batch."""
    pairs = zip(numpy.split(x, batches), numpy.split(y, batches), strict=True)
    return numpy.array([_slopes(numpy.zeros(2), *pair) for pair in pairs])


def _one_after_the_other(x: Array, y: Array, batches: int, lr: float) -> Array:
    w = numpy.zeros(2)
    for pair in zip(numpy.split(x, batches), numpy.split(y, batches), strict=True):
        w = w - lr * _slopes(w, *pair)
    return w


STEPS = (
    Mistake(
        "not divided",
        """the step is as many times too long as there are batches. backward adds to the gradients, so they
        are the sum of as many means. Divide it: opt.step(grad_scale=...).""",
        lambda x, y, batches, lr: batches * _one_step(x, y, batches, lr),
    ),
    Mistake(
        "divided by the points",
        """you divide by the number of points. Each batch's loss is a mean already, so the gradients are the
        sum of one mean per batch, and not of one term per point.""",
        lambda x, y, batches, lr: batches * _one_step(x, y, batches, lr) / len(x),
    ),
    Mistake(
        "divided by the size of a batch",
        """you divide by the number of points in a batch. The mean of each batch has done that. How many of
        these means have been added up?""",
        lambda x, y, batches, lr: batches**2 * _one_step(x, y, batches, lr) / len(x),
    ),
    Mistake(
        "a step for each batch",
        """you take a step after each batch, so the later gradients are computed at other weights. Call
        backward for all batches first, and opt.step once after the loop.""",
        _one_after_the_other,
    ),
    Mistake(
        "only the last batch",
        """only the last batch counts. Does opt.zero_grad in the loop erase the gradients of the batches
        before?""",
        lambda x, y, batches, lr: -lr * _parts(x, y, batches)[-1],
    ),
    Mistake(
        "only the last batch, divided",
        """only the last batch counts, and its gradient is divided. Does opt.zero_grad in the loop erase the
        gradients of the batches before?""",
        lambda x, y, batches, lr: -lr * _parts(x, y, batches)[-1] / batches,
    ),
    Mistake(
        "flipped sign",
        "the step goes up the slope. Gradient descent subtracts it.",
        lambda x, y, batches, lr: -_one_step(x, y, batches, lr),
    ),
    Mistake("no step", "the weights are still zero. Is opt.step called?", lambda *case: numpy.zeros(2)),
)


def _accumulated(student: object) -> Grade:
    checked = "one step from 4, 3 and 5 batches equals the step from all points at once"
    hint = "Begin with both weights at zero, add up the gradients of the batches' means, and step once."
    return compare("accumulated_step", student, _one_step, BATCHES, STEPS, checked, hint=hint)


EXERCISES = (
    Exercise(
        "4.1",
        ("slopes_by_hand",),
        '''\
def slopes_by_hand(w, b, x, y):
    """Return the slopes of mean((w * x + b - y)**2) with respect to w and b, in this order."""
    raise NotImplementedError("derive the two slopes by hand")
''',
        _gradient,
    ),
    Exercise(
        "4.2",
        ("accumulated_step",),
        '''\
def accumulated_step(x, y, batches, lr):
    """Return the weights [w, b] of the line after one step from [0, 0].

    The gradient comes from as many batches as `batches` says, all of the same size.
    """
    w = nn.Parameter(np.zeros(2))
    opt = optim.SGD([w], lr=lr)
    raise NotImplementedError("add up the gradients of the batches, and take one step")
''',
        _accumulated,
    ),
)
