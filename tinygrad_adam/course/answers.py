"""Comparing a student's function or number with the right one, and with the results of typical mistakes."""

from __future__ import annotations

import contextlib
import inspect
import io
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy

from ..engine.graph import Primitive
from ..tensor.tensor import Tensor
from ..testing.grading.report import Finding, Grade
from ..typing import Array
from .reading import blank, line_of

Case = tuple[Any, ...]
"""The arguments of one call."""
NEAR = 0.02
"""Differences up to this share of the largest result are called inexact."""


class AnswerError(Exception):
    """Ends a check with a finding."""

    def __init__(self, where: str, kind: str, sentence: str, evidence: str = "") -> None:
        super().__init__(sentence)
        self.grade = Grade(where, (Finding(where, kind, " ".join(sentence.split()), evidence),), ())


@dataclass(frozen=True)
class Mistake:
    """A typical mistake.

    Attributes
    ----------
    kind : str
        Its name, such as ``"flipped sign"``.
    sentence : str
        The mistake, the reason and the remedy.
    made : callable or float
        The function, or the number, that one gets with this mistake.
    """

    kind: str
    sentence: str
    made: Any


# --- Functions and numbers -----------------------------------------------------------------------


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
    saying = [said.format(*map(shown, case)) if said else f"{call(name, case)} returns" for case in cases]
    wanted = [numpy.asarray(right(*case), float) for case in cases]
    try:
        got = [result_of(name, student, right, case, w.shape) for case, w in zip(cases, wanted, strict=True)]
    except AnswerError as wrong:
        return wrong.grade
    with numpy.errstate(all="ignore"):
        made = [(m, [numpy.asarray(m.made(*case), float) for case in cases]) for m in mistakes]
    if all_alike(got, wanted, rtol):
        unnoticed = tuple(mistake.kind for mistake, results in made if all_alike(results, wanted, rtol))
        return Grade(name, (), (" ".join(checked.split()),), len(made), unnoticed)
    i = next(i for i, (g, w) in enumerate(zip(got, wanted, strict=True)) if not alike(g, w, rtol))
    evidence = f"{saying[i]} {shown(got[i])}; right is {shown(wanted[i])}"
    for mistake, results in made:
        if all_alike(got, results, rtol):
            return AnswerError(name, mistake.kind, mistake.sentence, evidence).grade
    varied = not all_alike(wanted, wanted[:1] * len(got), rtol)
    if varied and all_alike(got, got[:1] * len(got), 1e-12):
        sentence = f"""it returns {shown(got[0])} for all arguments. Compute the result from the arguments of
        the call, not from one example or from variables of the notebook."""
        return AnswerError(name, "hard-coded", sentence, evidence).grade
    scale = max(float(numpy.abs(w).max(initial=0.0)) for w in wanted)
    if all(bool((numpy.abs(g - w) <= NEAR * scale).all()) for g, w in zip(got, wanted, strict=True)):
        sentence = "it is close, but not exact: the differences are larger than rounding explains."
        return AnswerError(name, "inexact", f"{sentence} {hint}", evidence).grade
    sentence = "the results are neither right nor the results of a typical mistake."
    return AnswerError(name, "differs", f"{sentence} {hint}", evidence).grade


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


def together(*grades: Grade) -> Grade:
    """Return one grade of an answer that has several parts."""
    return Grade(
        grades[0].name,
        tuple(finding for grade in grades for finding in grade.findings),
        tuple(text for grade in grades for text in grade.checked),
        sum(grade.mutants for grade in grades),
        tuple(kind for grade in grades for kind in grade.unnoticed),
    )


# --- Calling a student's function ----------------------------------------------------------------


def written(name: str, student: object) -> None:
    """Refuse an answer that is as it was handed out."""
    if student is ... or blank(student):
        raise untouched(name)


def untouched(name: str) -> AnswerError:
    """Return the finding for an answer that is as it was handed out."""
    return AnswerError(name, "untouched", "nothing is written here yet.")


def result_of(
    name: str, student: object, right: Callable[..., Any], case: Case, shape: tuple[int, ...]
) -> Array:
    """Call a student's function and return its result as an array of float64 of a given shape.

    Raises
    ------
    AnswerError
        If it is none, is not written yet, takes other arguments, raises, changes its arguments, or returns
        anything but finite numbers in this shape.
    """
    written(name, student)
    given, printed = [_copied(argument) for argument in case], Printed()
    result = outcome(name, student, inspect.signature(right), given, printed)
    for before, after in zip(case, given, strict=True):
        if isinstance(before, numpy.ndarray | list) and not numpy.allclose(before, after, 1e-12, 1e-12):
            sentence = """it changes an argument in place. The array belongs to the caller: work on a copy,
            x.copy(), or make a new array, as in x = x + step."""
            evidence = f"{shown(before)} became {shown(after)}"
            raise AnswerError(name, "changes its arguments", sentence, evidence)
    if result is None and printed.begin:
        sentence = "it prints its result and returns None. Write return where print stands."
        raise AnswerError(name, "prints", sentence, f"{call(name, case)} prints {printed.begin.strip()!r}")
    if result is None:
        sentence = "it returns None. Does it end with return, followed by the result?"
        raise AnswerError(name, "returns nothing", sentence, f"{call(name, case)} returns None")
    return numbers(name, call(name, case), result, shape)


def outcome(
    name: str, student: object, signature: inspect.Signature, given: Sequence[Any], printed: Printed
) -> Any:
    """Call a student's function, and refuse one that cannot be called or raises."""
    if not callable(student):
        sentence = f"this is {student!r}. The exercise asks for a function: def {name}{signature}: ..."
        raise AnswerError(name, "not a function", sentence)
    with contextlib.suppress(ValueError):  # some functions in C have no signature
        takes = inspect.signature(student)
        try:
            takes.bind(*given)
        except TypeError:
            sentence = f"it is called as {name}{signature}, but yours takes {takes}."
            raise AnswerError(name, "other arguments", sentence) from None
    try:
        with contextlib.redirect_stdout(printed), warnings.catch_warnings(), numpy.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            return student(*given)
    except NotImplementedError:
        raise untouched(name) from None
    except (Exception, SystemExit) as error:
        raise raising(name, error, call(name, given)) from None


def raising(name: str, error: BaseException, calling: str = "") -> AnswerError:
    """Return the finding for code that raises, with the student's line."""
    sentence, line = f"your code raises {type(error).__name__}: {error}".rstrip(". ") + ".", line_of(error)
    if isinstance(error, TypeError) and "scalar" in str(error):
        sentence += " The argument is an array: np.sqrt and its like take arrays, math.sqrt does not."
    evidence = [f"called as {calling}"] * bool(calling) + [f"in {line}"] * bool(line)
    return AnswerError(name, "raises", sentence, "\n".join(evidence))


class Printed(io.TextIOBase):
    """Stands in for the terminal and keeps the beginning of the printed text."""

    begin = ""

    def write(self, text: str) -> int:
        """Keep the text if there is room."""
        self.begin = (self.begin + text[:60])[:60]
        return len(text)


# --- Numbers -------------------------------------------------------------------------------------


def numbers(name: str, said: str, value: object, shape: tuple[int, ...]) -> Array:
    """Return a student's numbers as an array of float64, or refuse anything else.

    Parameters
    ----------
    name : str
        Of the answer.
    said : str
        The call that gave the value, for the explanation.
    value : object
        Numbers in any form: Python's, NumPy's, Tensors, lists of them.
    shape : tuple of int
        Their shape; one number may have any axes of length 1.
    """
    try:
        array = numpy.asarray(_plain(value))
    except Exception:  # lists of different lengths, or an object that refuses
        array = numpy.asarray(None)
    if array.dtype.kind not in "biuf":
        kind = f"the text {value!r}" if isinstance(value, str) else f"of type {type(value).__name__}"
        remedy = "Write it without quotes." if isinstance(value, str) else "Numbers are wanted."
        raise AnswerError(name, "not a number", f"{said} is {kind}, not a number. {remedy}")
    if array.shape != shape and not (array.size == 1 and shape == ()):
        sentence = f"{said} has shape {array.shape}; the result should have shape {shape}."
        if isinstance(value, tuple):
            sentence = f"{said} is a tuple of {len(value)}, of shape {array.shape}; {shape} is wanted."
        raise AnswerError(name, "wrong shape", sentence)
    array = array.reshape(shape).astype(numpy.float64)
    if not numpy.isfinite(array).all():
        sentence = f"{said} is {shown(array)}. Is something divided by 0, or a number too large for exp?"
        raise AnswerError(name, "not finite", sentence)
    return array


def _plain(value: object) -> Any:
    """Replace Tensors, also within lists, by arrays."""
    if isinstance(value, Tensor):
        return value.detach().numpy()
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value


def _copied(argument: Any) -> Any:
    return argument.copy() if isinstance(argument, numpy.ndarray | list) else argument


def alike(got: Array, wanted: Array, rtol: float) -> bool:
    """Tell whether two results agree, relative to the largest number of the wanted one."""
    if got.shape != wanted.shape:
        return False
    scale = float(numpy.abs(wanted).max(initial=0.0))
    return bool((numpy.abs(got - wanted) <= rtol * (scale + 0.01)).all())


def all_alike(got: Sequence[Array], wanted: Sequence[Array], rtol: float) -> bool:
    """Tell whether all results agree."""
    return all(alike(g, w, rtol) for g, w in zip(got, wanted, strict=True))


def call(name: str, case: Sequence[Any]) -> str:
    """Return a call as a student would write it."""
    return f"{name}({', '.join(map(shown, case))})"


def shown(value: Any) -> str:
    """Return a value in short form."""
    if isinstance(value, Primitive) or callable(value):
        return str(getattr(value, "__name__", type(value).__name__))
    if isinstance(value, numpy.ndarray) and value.ndim:
        if value.size > 8:
            return f"<array of shape {value.shape}>"
        return numpy.array2string(value, precision=5, separator=", ", suppress_small=True)
    if isinstance(value, float | numpy.ndarray | numpy.floating):
        return f"{float(value):.6g}"
    return repr(value)
