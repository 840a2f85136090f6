"""The exercises of chapter 7: Adam."""

from __future__ import annotations

from typing import Any

from ..testing.grading.grading import grade
from ..testing.grading.report import Grade
from .exercise import Exercise


def _adam(update: Any) -> Grade:
    return grade(update, reference="adam")


EXERCISES = (
    Exercise(
        "7.1",
        ("update",),
        '''\
def update(p, g, state, lr=0.001, beta1=0.9, beta2=0.999, eps=1e-8):
    """Return the new weights; keep t, m and v in the dict state, which is empty at first."""
    raise NotImplementedError("write lines 5 to 11 of Algorithm 1 here")
''',
        _adam,
    ),
)
