"""The exercises of chapter 6: a step size for each weight."""

from __future__ import annotations

from typing import Any

import numpy

from ..backend.overrides import use_kernels
from ..nn import Parameter
from ..optim import RMSprop
from ..testing.grading.report import Grade
from ..typing import Array, Settings
from .comparing import compare
from .exercise import Exercise
from .findings import Mistake
from .with_grader import graded_update

# --- 6.1 and 6.2 ---------------------------------------------------------------------------------


def _adagrad(p: Array, g: Array, state: Settings, lr: float, eps: float) -> Any:
    """The parameters of the exercise."""


def _rmsprop(p: Array, g: Array, state: Settings, lr: float, alpha: float, eps: float) -> Any:
    """The parameters of the exercise."""


def _graded_adagrad(student: object) -> Grade:
    return graded_update("adagrad", student, _adagrad, "adagrad", {"eps": 0.1})


def _graded_rmsprop(student: object) -> Grade:
    return graded_update("rmsprop", student, _rmsprop, "rmsprop", {"alpha": 0.7, "eps": 0.1})


# --- 6.3 -----------------------------------------------------------------------------------------

GRADIENTS = ((5.0, 0.1), (-0.001, 0.1), (300.0, 0.02), (-7.0, 0.5), (0.0, 0.1))


def _by_rmsprop(g: float, lr: float) -> float:
    """Return the change of a weight in a step of the package's RMSprop."""
    w = Parameter(numpy.zeros(1))
    w.grad = numpy.array([g])
    with use_kernels("reference"):  # faster ones would be compiled first
        RMSprop([w], lr=lr, alpha=0.0).step()
    return float(w.item())


MOVES = (
    Mistake(
        "flipped sign",
        "the weight moves up the slope. For a positive gradient it must become smaller.",
        lambda g, lr: lr * numpy.sign(g),
    ),
    Mistake(
        "always down",
        """the weight becomes smaller for every gradient. Where the gradient is negative it must grow: what is
        g / sqrt(g**2) for a negative g?""",
        lambda g, lr: -lr if g else 0.0,
    ),
    Mistake(
        "plain descent",
        "this is plain gradient descent. RMSProp divides by sqrt(v), and v is g**2 here.",
        lambda g, lr: -lr * g,
    ),
    Mistake(
        "no root",
        "you divide by v = g**2. RMSProp divides by its root: g / sqrt(g**2).",
        lambda g, lr: -lr / g if g else 0.0,
    ),
    Mistake(
        "lr missing",
        "the learning rate is missing: the direction is right, the length is 1.",
        lambda g, lr: -numpy.sign(g),
    ),
    Mistake(
        "the length",
        "this is the length of the step. The change of the weight has a sign, too.",
        lambda g, lr: lr if g else 0.0,
    ),
    Mistake(
        "no step",
        """nothing moves. With alpha = 0 the average v forgets the past, but it takes in the present
        gradient with the factor 1.""",
        lambda g, lr: 0.0,
    ),
)


def _move(student: object) -> Grade:
    checked = "move(g, lr) is the step of the package's RMSprop with alpha = 0, for five gradients"
    hint = "Set alpha to 0 in v = alpha * v + (1 - alpha) * g**2, and put this v into the step."
    return compare("move", student, _by_rmsprop, GRADIENTS, MOVES, checked, rtol=1e-3, hint=hint)


EXERCISES = (
    Exercise(
        "6.1",
        ("adagrad",),
        '''\
def adagrad(p, g, state, lr, eps):
    """Return the new weights; keep the sum of squares in the dict state, which is empty at first."""
    raise NotImplementedError("add to the sum, and divide by its root")
''',
        _graded_adagrad,
    ),
    Exercise(
        "6.2",
        ("rmsprop",),
        '''\
def rmsprop(p, g, state, lr, alpha, eps):
    """Return the new weights; keep the mean of squares in the dict state, which is empty at first."""
    raise NotImplementedError("update the mean, and divide by its root")
''',
        _graded_rmsprop,
    ),
    Exercise(
        "6.3",
        ("move",),
        '''\
def move(g, lr):
    """Return the change of a weight with the gradient g, a number, in a step of RMSProp with alpha = 0."""
    raise NotImplementedError("write down v, and simplify the step")
''',
        _move,
    ),
)
