"""The exercises of chapter 7: Adam."""

from __future__ import annotations

import math
from typing import Any

from ..testing.grading.report import Grade
from ..typing import Array, Settings
from .comparing import compare
from .exercise import Exercise
from .findings import Mistake, together
from .with_grader import graded_update

# --- 7.1 -----------------------------------------------------------------------------------------


def _adam(
    p: Array,
    g: Array,
    state: Settings,
    lr: float = 0.001,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
) -> Any:
    """The parameters of the exercise."""


def _update(student: object) -> Grade:
    return graded_update("update", student, _adam, "adam", {"betas": (0.6, 0.7), "eps": 0.1})


# --- 7.2 -----------------------------------------------------------------------------------------


def _after_zeros(beta1: float, beta2: float) -> float:
    """Return the step of Algorithm 1, in lr, for a gradient of 1000 after a million zeros."""
    t, g = 10**6, 1000.0
    m_hat = (1 - beta1) * g / (1 - beta1**t)
    v_hat = (1 - beta2) * g**2 / (1 - beta2**t)
    return m_hat / math.sqrt(v_hat)


SPIKES = (
    Mistake(
        "the very first step",
        """1 is the length of the first step of all, where 1 - beta1**t and 1 - beta2**t cancel the factors
        in m and v. After a long time both corrections are 1, and the factors stay.""",
        lambda beta1, beta2: 1.0,
    ),
    Mistake(
        "no root",
        "the root is missing: the step divides by sqrt(v_hat), so the factor 1 - beta2 goes under the root.",
        lambda beta1, beta2: (1 - beta1) / (1 - beta2),
    ),
    Mistake(
        "upside down",
        "this is the inverse: m stands above the line, sqrt(v) below it.",
        lambda beta1, beta2: math.sqrt(1 - beta2) / (1 - beta1),
    ),
    Mistake(
        "v as large as g**2",
        "this takes v for g**2. The gradient has only just come: v took in 1 - beta2 of its square.",
        lambda beta1, beta2: 1 - beta1,
    ),
    Mistake(
        "m as large as g",
        "this takes m for g. The gradient has only just come: m took in 1 - beta1 of it.",
        lambda beta1, beta2: 1 / math.sqrt(1 - beta2),
    ),
    Mistake(
        "old weights",
        "beta1 and beta2 are the weights of the old m and v, which are 0. The new gradient has 1 - beta.",
        lambda beta1, beta2: beta1 / math.sqrt(beta2),
    ),
)


def _spike(student: object) -> Grade:
    checked = "spike(beta1, beta2) is the step of Algorithm 1 after a million zeros, for three pairs of betas"
    hint = "Begin with m = v = 0 and a large t. Put g into lines 7 to 11; g itself cancels."
    cases = [(0.9, 0.999), (0.5, 0.99), (0.8, 0.9)]
    return compare("spike", student, _after_zeros, cases, SPIKES, checked, rtol=1e-3, hint=hint)


# --- 7.3 -----------------------------------------------------------------------------------------


def _quantities(gradients: tuple[float, ...]) -> tuple[float, float, float]:
    """Return m, v and the length of the last step of Algorithm 1 in lr, without eps."""
    m = v = 0.0
    for g in gradients:
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
    t = len(gradients)
    return m, v, (m / (1 - 0.9**t)) / math.sqrt(v / (1 - 0.999**t))


def _factors(s: float) -> tuple[float, ...]:
    gradients = (1.0, -0.3, 0.5)
    scaled = _quantities(tuple(s * g for g in gradients))
    return tuple(a / b for a, b in zip(scaled, _quantities(gradients), strict=True))


def _same_eps(eps: float, s: float) -> float:
    """Return the eps with which s * g / (sqrt((s * g)**2) + eps) stays the same."""
    g = 0.5
    wanted = g / (math.sqrt(g**2) + eps)
    return s * g / wanted - math.sqrt((s * g) ** 2)


FACTORS = (
    Mistake(
        "v not squared",
        "the factor of v is wrong: line 8 takes in g**2, so s enters with its square.",
        lambda s: (s, s, math.sqrt(s)),
    ),
    Mistake(
        "v not squared, the step right",
        "the factor of v is wrong: line 8 takes in g**2, so s enters with its square.",
        lambda s: (s, s, 1.0),
    ),
    Mistake(
        "a step as in plain descent",
        """the step does not grow by s, as it does in plain descent: line 11 divides m_hat by the root of
        v_hat, and both grow.""",
        lambda s: (s, s**2, s),
    ),
    Mistake(
        "no root",
        "the step divides by the root of v_hat, and not by v_hat itself: the root of s**2 is s.",
        lambda s: (s, s**2, 1 / s),
    ),
    Mistake(
        "nothing changes",
        "m and v are means of g and g**2, so they do grow with g. Only their ratio in line 11 does not.",
        lambda s: (1.0, 1.0, 1.0),
    ),
)
EPSILONS = (
    Mistake(
        "the wrong way round",
        "sqrt(v_hat) grows by s, so eps beside it must grow as well; you make it smaller.",
        lambda eps, s: eps / s,
    ),
    Mistake(
        "unchanged",
        """with the same eps the path is a little different: sqrt(v_hat) grows by s, and eps beside it does
        not.""",
        lambda eps, s: eps,
    ),
    Mistake(
        "squared",
        "s**2 would be right inside the root, beside v_hat. In Algorithm 1, eps is added to the root.",
        lambda eps, s: eps * s**2,
    ),
)


def _scale(factors: object, same_eps: object) -> Grade:
    by_run = "factors(s) gives the ratios of m, v and the step in runs with gradients g and s * g"
    by_step = "with same_eps(eps, s) a step with s * g is as long as one with g and eps"
    hint = "Write s * g in place of g in lines 7 to 11, and move s to the front of each line."
    pairs = [(1e-8, 1000.0), (0.1, 3.0), (1e-4, 0.5)]
    return together(
        compare("factors", factors, _factors, [(1000.0,), (3.0,), (0.25,)], FACTORS, by_run, hint=hint),
        compare("same_eps", same_eps, _same_eps, pairs, EPSILONS, by_step, hint=hint),
    )


EXERCISES = (
    Exercise(
        "7.1",
        ("update",),
        '''\
def update(p, g, state, lr=0.001, beta1=0.9, beta2=0.999, eps=1e-8):
    """Return the new weights; keep t, m and v in the dict state, which is empty at first."""
    raise NotImplementedError("write lines 5 to 11 of Algorithm 1 here")
''',
        _update,
    ),
    Exercise(
        "7.2",
        ("spike",),
        '''\
def spike(beta1, beta2):
    """Return the length of the step, in multiples of lr, for one large gradient after many zeros."""
    raise NotImplementedError("put m = v = 0, a large t and one gradient into lines 7 to 11")
''',
        _spike,
    ),
    Exercise(
        "7.3",
        ("factors", "same_eps"),
        '''\
def factors(s):
    """Return the factors of m, of v and of the step, without eps, if the loss is multiplied by s."""
    raise NotImplementedError("put s * g into lines 7 to 11")


def same_eps(eps, s):
    """Return the eps with which the path for s times the loss is exactly the path with `eps`."""
    raise NotImplementedError("look at line 11")
''',
        _scale,
    ),
)
