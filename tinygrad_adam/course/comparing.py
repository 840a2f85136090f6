"""Comparing a student's function or number with the right one, and with the results of typical mistakes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy

from ..testing.grading.report import Grade
from ..typing import Array
from .calling import Case, numbers, result_of, written
from .findings import AnswerError, Mistake
from .showing import call, difference, shown

NEAR = 0.02
"""Differences up to this share of the largest result are called inexact."""


def compare(
    name: str,
    student: object,
    right: Callable[..., Any],
    cases: Sequence[Case],
    mistakes: Sequence[Mistake],
    checked: str,
    *,
    rtol: float = 1e-4,
    hint: str = "",
    said: str = "",
) -> Grade:
    """Grade a function by its results.

    Parameters
    ----------
    name : str
        Its name in the exercise.
    student : object
        The student's function.
    right : callable
        Computes the right results; its parameters have the names of the exercise.
    cases : sequence of tuple
        The arguments of each call.
    mistakes : sequence of Mistake
        Searched in this order for one that gives the student's results.
    checked : str
        The comparison, in words; shown with the grade of a right answer.
    rtol : float
        Allowed difference, relative to the largest number of a result.
    hint : str
        Closes the explanation of results that no mistake gives.
    said : str
        Names a result if the call does not; braces stand for the arguments.
    """
    with numpy.errstate(all="ignore"):
        wanted = _results(right, cases)
        made = [(mistake, _results(mistake.made, cases)) for mistake in mistakes]
    try:
        got = [result_of(name, student, right, c, w.shape) for c, w in zip(cases, wanted, strict=True)]
    except AnswerError as wrong:
        return wrong.grade
    if _all_alike(got, wanted, rtol):
        unnoticed = tuple(mistake.kind for mistake, results in made if _all_alike(results, wanted, rtol))
        return Grade(name, (), (" ".join(checked.split()),), len(made), unnoticed)
    i = next(i for i, (g, w) in enumerate(zip(got, wanted, strict=True)) if not _alike(g, w, rtol))
    saying = said.format(*map(shown, cases[i])) if said else f"{call(name, cases[i], right)} returns"
    kind = bool if isinstance(right(*cases[i]), bool) else float
    evidence = difference(saying, got[i].astype(kind), wanted[i].astype(kind))
    for mistake, results in made:
        if _all_alike(got, results, rtol):
            return AnswerError(name, mistake.kind, mistake.sentence, evidence).grade
    varied = not _all_alike(wanted, wanted[:1] * len(got), rtol)
    if varied and _all_alike(got, got[:1] * len(got), 1e-12):
        sentence = f"""it returns {shown(got[0])} for all arguments. Compute the result from the arguments of
        the call, not from one example or from variables of the notebook."""
        return AnswerError(name, "hard-coded", sentence, evidence).grade
    scale = max(float(numpy.abs(w).max(initial=0.0)) for w in wanted)
    if all(bool((numpy.abs(g - w) <= NEAR * scale).all()) for g, w in zip(got, wanted, strict=True)):
        sentence = "it is close, but not exact: the differences are larger than rounding explains."
        return AnswerError(name, "inexact", f"{sentence} {hint}", evidence).grade
    sentence = "the results are neither right nor the results of a typical mistake."
    return AnswerError(name, "differs", f"{sentence} {hint}", evidence).grade


def _results(function: Callable[..., Any], cases: Sequence[Case]) -> list[Array]:
    return [numpy.asarray(function(*case), numpy.float64) for case in cases]


def _alike(got: Array, wanted: Array, rtol: float) -> bool:
    """Tell whether two results agree, relative to the largest number of the wanted one."""
    if got.shape != wanted.shape:
        return False
    scale = float(numpy.abs(wanted).max(initial=0.0))
    return bool((numpy.abs(got - wanted) <= rtol * (scale + 0.01)).all())


def _all_alike(got: Sequence[Array], wanted: Sequence[Array], rtol: float) -> bool:
    return all(_alike(g, w, rtol) for g, w in zip(got, wanted, strict=True))


def number(
    name: str,
    student: object,
    right: float,
    mistakes: Sequence[Mistake],
    checked: str,
    *,
    atol: float = 0.0,
    hint: str = "",
) -> Grade:
    """Grade a number; the explanation of a wrong one does not give the right one away.

    Parameters
    ----------
    name : str
        Its name in the exercise.
    student : object
        The student's number.
    right : float
        The right one.
    mistakes : sequence of Mistake
        Numbers that typical mistakes give.
    checked : str
        The comparison, in words.
    atol : float
        Allowed difference, also from a mistake's number.
    hint : str
        Closes the explanation of a number that no mistake gives.
    """
    try:
        written(name, student)
        if callable(student):
            sentence = "this is a function. The exercise asks for a number: call it, and assign the result."
            raise AnswerError(name, "not a number", sentence)
        got = float(numbers(name, "it", student, ()))
    except AnswerError as wrong:
        return wrong.grade
    near = atol + 1e-9 * abs(right)
    if abs(got - right) <= near:
        unnoticed = tuple(m.kind for m in mistakes if abs(m.made - right) <= near)
        return Grade(name, (), (checked,), len(mistakes), unnoticed)
    evidence = f"yours: {got:.6g}"
    for mistake in mistakes:
        if abs(got - mistake.made) <= near:
            return AnswerError(name, mistake.kind, mistake.sentence, evidence).grade
    if atol and abs(got - right) <= 40 * atol:
        sentence = f"it is close, but the exercise asks for a difference of at most {atol:g}."
        return AnswerError(name, "inexact", f"{sentence} {hint}", evidence).grade
    sentence = "this is neither the right number nor one that a typical mistake gives."
    return AnswerError(name, "differs", f"{sentence} {hint}", evidence).grade
