"""The exercises of chapter 5: momentum."""

from __future__ import annotations

from typing import Any

import numpy

from ..testing.grading.report import Grade
from ..typing import Array, Settings
from .comparing import compare
from .exercise import Exercise
from .findings import Mistake, together
from .with_grader import graded_update

# --- 5.1 -----------------------------------------------------------------------------------------


def _momentum(p: Array, g: Array, state: Settings, lr: float, momentum: float) -> Any:
    """The parameters of the exercise."""


def _update(student: object) -> Grade:
    return graded_update("update", student, _momentum, "sgd", {"momentum": 0.8})


# --- 5.2 -----------------------------------------------------------------------------------------


def _same_lr(lr: float, beta: float) -> float:
    """Return by how much a sum moves the weight, measured in moves of an average with the learning rate 1."""
    v = m = by_sum = by_average = 0.0
    for g in (1.0, -0.5, 2.0, 0.25):
        v, m = beta * v + g, beta * m + (1 - beta) * g
        by_sum, by_average = by_sum + lr * v, by_average + m
    return by_sum / by_average


def _first_step(beta: float) -> float:
    """Return the first average of a gradient of 1, which begins at 0."""
    return beta * 0.0 + (1 - beta) * 1.0


RATES = (
    Mistake(
        "the wrong way round",
        """lr * (1 - beta) makes the steps even shorter. The average is only 1 - beta times the sum, so its
        learning rate must be larger.""",
        lambda lr, beta: lr * (1 - beta),
    ),
    Mistake(
        "unchanged",
        "with the same lr the path differs: every average is smaller than the sum, by a constant factor.",
        lambda lr, beta: lr,
    ),
    Mistake(
        "divided by beta",
        """the gradient enters the average with the factor 1 - beta, and not with beta. Write out the first
        two steps of both.""",
        lambda lr, beta: lr / beta,
    ),
    Mistake(
        "the alternating sum",
        """1 + beta belongs to gradients that change their sign at each step. Here every gradient enters the
        sum with 1 and the average with 1 - beta.""",
        lambda lr, beta: lr / (1 + beta),
    ),
    Mistake(
        "lr missing",
        "lr is missing: this is the factor by which the learning rate grows, not the new learning rate.",
        lambda lr, beta: 1 / (1 - beta),
    ),
)
FIRST = (
    Mistake(
        "as long as a plain step",
        """1 would be the first step of the sum at its own learning rate. Compared at the larger learning
        rate of the average, it is shorter: m is only (1 - beta) * g then.""",
        lambda beta: 1.0,
    ),
    Mistake(
        "the final length",
        """1 / (1 - beta) is how long the steps of a sum become, after many equal gradients. At the first
        step the average has seen a single one.""",
        lambda beta: 1 / (1 - beta),
    ),
    Mistake(
        "weights swapped",
        """beta is the weight of the old average, which is 0 at first. The gradient enters with the other
        weight.""",
        lambda beta: beta,
    ),
)


def _averaged(same_lr: object, first_step: object) -> Grade:
    hint = "Write out m and v after one, two and three gradients, and compare."
    by_paths = "with same_lr(lr, beta) an average moves as far as a sum with lr, on the same gradients"
    by_first = "first_step(beta) is the first average of a gradient of 1"
    rates, betas = [(0.02, 0.8), (0.1, 0.9), (0.5, 0.3)], [(0.8,), (0.9,), (0.3,)]
    return together(
        compare("same_lr", same_lr, _same_lr, rates, RATES, by_paths, hint=hint),
        compare("first_step", first_step, _first_step, betas, FIRST, by_first, hint=hint),
    )


# --- 5.3 -----------------------------------------------------------------------------------------


def _largest_lr(c: float, beta: float) -> float:
    """Return the limit by bisection: the largest eigenvalue of two steps, as a matrix, must be below 1."""
    low, high = 0.0, 100.0 / c
    for _ in range(60):
        lr = (low + high) / 2
        size = numpy.abs(numpy.linalg.eigvals([[1 + beta - lr * c, -beta], [1.0, 0.0]])).max()
        low, high = (lr, high) if size < 1 else (low, lr)
    return low


LIMITS = (
    Mistake(
        "the limit without momentum",
        "2 / c is the limit of plain descent. Momentum allows a larger one: try a little more, and see.",
        lambda c, beta: 2 / c,
    ),
    Mistake(
        "smaller with momentum",
        """this is less than the 2 / c of plain descent. At the limit the gradients alternate in sign, and
        there they nearly cancel in the velocity: momentum damps the oscillation, and lr may be larger.""",
        lambda c, beta: 2 * (1 - beta) / c,
    ),
    Mistake(
        "gradients that agree",
        """1 / (1 - beta) is the sum of equal gradients. At the limit they alternate in sign, and the sum is
        1 - beta + beta**2 - ...""",
        lambda c, beta: 2 / (c * (1 - beta)),
    ),
    Mistake(
        "c missing",
        """the limit depends on the curvature: c times as steep, lr at most a c-th. It is right for c = 1
        only.""",
        lambda c, beta: 2 * (1 + beta),
    ),
    Mistake(
        "factor 2 missing",
        "this is half of the limit. Twice that still converges, though it oscillates.",
        lambda c, beta: (1 + beta) / c,
    ),
    Mistake(
        "beta 0.9 only",
        "this is right for a momentum of 0.9. Try another one, such as 0.5, and see how the limit moves.",
        lambda c, beta: 3.8 / c,
    ),
)


def _limit(student: object) -> Grade:
    checked = "at largest_lr(c, beta) the eigenvalues of a step pass 1, for four pairs of c and beta"
    hint = "Try plain numbers first: c = 1 and momentum 0, 0.5 and 0.9. Up to which lr does w go to 0?"
    cases = [(1.0, 0.9), (4.0, 0.5), (50.0, 0.8), (2.0, 0.0)]
    return compare("largest_lr", student, _largest_lr, cases, LIMITS, checked, rtol=0.01, hint=hint)


EXERCISES = (
    Exercise(
        "5.1",
        ("update",),
        '''\
def update(p, g, state, lr, momentum):
    """Return the new weights; keep the velocity in the dict state, which is empty at first."""
    raise NotImplementedError("update the velocity, and move along it")
''',
        _update,
    ),
    Exercise(
        "5.2",
        ("same_lr", "first_step"),
        '''\
def same_lr(lr, beta):
    """Return the learning rate with which an average takes the path of a sum with `lr`."""
    raise NotImplementedError("compare the average with the sum")


def first_step(beta):
    """Return the length of the first step of the average, in plain steps at the same learning rate."""
    raise NotImplementedError("how large is the first average?")
''',
        _averaged,
    ),
    Exercise(
        "5.3",
        ("largest_lr",),
        '''\
def largest_lr(c, beta):
    """Return the largest lr for which momentum `beta` converges on the bowl c * w**2 / 2."""
    raise NotImplementedError("find the limit by experiment for several c and beta; is there a rule?")
''',
        _limit,
    ),
)
