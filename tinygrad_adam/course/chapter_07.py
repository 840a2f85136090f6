"""The exercises of chapter 7: Adam."""

from __future__ import annotations

from typing import Any

from ..testing.grading.report import Grade
from .exercise import Exercise
from .with_grader import graded_update


def _adam(
    p: Any, g: Any, state: Any, lr: float = 0.001, beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8
) -> Any:
    """The parameters of the exercise."""


def _update(student: object) -> Grade:
    return graded_update("update", student, _adam, "adam", {"beta1": 0.6, "beta2": 0.7, "eps": 0.1})


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
)
