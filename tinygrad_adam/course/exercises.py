"""All exercises of the course by number, and the call that grades one."""

from __future__ import annotations

from ..errors import OptionError
from ..testing.grading.report import Grade
from . import (
    chapter_01,
    chapter_02,
    chapter_03,
    chapter_04,
    chapter_05,
    chapter_06,
    chapter_07,
    chapter_08,
    chapter_09,
    chapter_10,
)
from .exercise import Exercise

CHAPTERS = (
    chapter_01,
    chapter_02,
    chapter_03,
    chapter_04,
    chapter_05,
    chapter_06,
    chapter_07,
    chapter_08,
    chapter_09,
    chapter_10,
)
EXERCISES: dict[str, Exercise] = {e.number: e for chapter in CHAPTERS for e in chapter.EXERCISES}
"""By number, in the order of the course."""


def grade(number: str, *answers: object) -> Grade:
    """Grade an answer to an exercise of the course, and explain mistakes in sentences.

    Parameters
    ----------
    number : str
        Chapter and exercise, such as ``"7.1"``.
    *answers : object
        The objects that the exercise asks for, such as the function ``update``.

    Returns
    -------
    Grade
        ``grade.passed``, ``grade.findings``; printed, an explanation.

    Raises
    ------
    OptionError
        If there is no exercise of that number.

    Examples
    --------
    >>> from tinygrad_adam import course
    >>> course.grade("7.1", lambda p, g, state, lr=0.001, beta1=0.9, beta2=0.999, eps=1e-8: p - lr * g).passed
    False
    """
    if number not in EXERCISES:
        raise OptionError("course.grade", "there is no such exercise", number=number, there_is=[*EXERCISES])
    return EXERCISES[number].grade(*answers)


def require(number: str, *answers: object) -> None:
    """Raise an `AssertionError` with the grader's explanation unless an answer is right.

    Tools such as nbgrader give no points for a cell that raises.

    Parameters
    ----------
    number : str
        Chapter and exercise, such as ``"7.1"``.
    *answers : object
        The objects that the exercise asks for.
    """
    answer = grade(number, *answers)
    if not answer.passed:
        raise AssertionError(str(answer))
