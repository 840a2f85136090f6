"""Exercises that ask for an optimizer or a primitive: `tinygrad_adam.testing.grade` checks them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy

from ..engine.graph import Primitive
from ..errors import TinygradAdamError
from ..tensor.creation import tensor
from ..tensor.tensor import Tensor
from ..testing.grading.grading import grade
from ..testing.grading.optimizers import GRADIENTS, LRS, START, alike, as_spelled, defaults_of, updates_of
from ..testing.grading.report import Finding, Grade
from ..typing import Array, Settings
from .calling import Case, Printed, numbers, outcome, raising, written
from .comparing import compare
from .findings import AnswerError, Mistake, untouched
from .reading import blank
from .showing import shown, signature

EXPLAINED = (KeyError, AttributeError, ZeroDivisionError)
"""Errors of updates for which the grader has a better sentence than their own."""
Update = Callable[..., Any]


# --- Optimizers ----------------------------------------------------------------------------------


def graded_update(
    name: str,
    student: object,
    right: Update,
    reference: str,
    settings: dict[str, Any],
    mistakes: Sequence[Mistake] = (),
) -> Grade:
    """Grade an optimizer written as a function.

    Parameters
    ----------
    name : str
        Its name in the exercise.
    student : object
        The student's function.
    right : callable
        Only its signature counts: the parameters as the exercise names them.
    reference : str
        The package's optimizer.
    settings : dict
        Its hyper-parameters, except for ``lr``.
    mistakes : sequence of Mistake
        Beyond the grader's own; `made` is an update with the parameters of the exercise.
    """
    try:
        written(name, student)
        update = _with_names(name, student, right)
        _try(name, update, settings)
        _again(name, update, settings)
        answer = grade(update, reference, settings=settings)
    except AnswerError as wrong:
        return wrong.grade
    except TinygradAdamError as error:
        return AnswerError(name, "other arguments", f"the grader cannot use your function: {error}").grade
    if answer.findings and mistakes:
        steps = updates_of(update, [GRADIENTS], LRS, settings)[0]
        for mistake in mistakes:
            if alike(steps, updates_of(mistake.made, [GRADIENTS], LRS, settings)[0]):
                evidence = answer.findings[-1].evidence
                return AnswerError(name, mistake.kind, mistake.sentence, evidence).grade
    return replace(answer, findings=tuple(replace(each, where=name) for each in answer.findings))


def _with_names(name: str, student: object, right: Update) -> Update:
    """Return the student's function with the exercise's names for its parameters, if in its order."""
    if not inspect.isfunction(student):
        sentence = f"""this is {shown(student)}. The exercise asks for a function: def
        {name}{signature(right)}."""
        raise AnswerError(name, "not a function", sentence)
    takes = list(inspect.signature(student).parameters.values())
    names = list(inspect.signature(right).parameters)
    in_one = [name.replace("beta1", "betas") for name in names if name != "beta2"]
    if any(set(known) <= {each.name for each in takes} for known in (names, in_one)):
        return student
    extra = [each for each in takes[len(names) :] if each.default is each.empty]
    if len(takes) < len(names) or extra or any(each.kind is each.VAR_KEYWORD for each in takes):
        sentence = f"it is called as {name}{signature(right)}, but yours takes {signature(student)}."
        raise AnswerError(name, "other arguments", sentence)

    def renamed(*given: Any, **settings: Any) -> Any:
        return student(*given, *(settings[key] for key in names[len(given) :] if key in settings))

    renamed.__name__ = student.__name__
    renamed.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [each.replace(name=new) for each, new in zip(takes, names, strict=False)]
    )
    return renamed


def _try(name: str, update: Update, settings: dict[str, Any]) -> None:
    """Take one step, and refuse an update that raises or returns no new weights."""
    p, printed = START.copy(), Printed()
    given = as_spelled(defaults_of(update), {"lr": 0.1, **settings})

    def step(p: Array, g: Array, state: Settings) -> Array:
        try:
            return update(p, g, state, **given)
        except EXPLAINED:
            return p

    result = outcome(name, step, step, (p, GRADIENTS[0].copy(), {}), printed)
    if result is None and printed.begin and numpy.array_equal(p, START):
        sentence = "it prints and returns None. Write return in front of the new weights."
        raise AnswerError(name, "prints", sentence, f"it prints {printed.begin.strip()!r}")
    if isinstance(result, tuple):
        sentence = f"""it returns a tuple of {len(result)}. Return the new weights alone; whatever must be
        remembered goes into the dict state."""
        raise AnswerError(name, "wrong shape", sentence)
    if result is not None:
        numbers(name, "the result of a step", numpy.where(numpy.isfinite(result), result, 0.0), START.shape)
        elsewhere = outcome(name, step, step, (START + 1.0, GRADIENTS[0].copy(), {}), printed)
        if elsewhere is not None and numpy.array_equal(result, elsewhere):
            sentence = """its result does not depend on p: is it the step alone? Return the new weights, which
            are p minus the step."""
            raise AnswerError(name, "no weights", sentence)


def _again(name: str, update: Update, settings: dict[str, Any]) -> None:
    """Refuse an update that does not begin anew with an empty state."""
    try:
        first, second = (updates_of(update, [GRADIENTS], LRS, settings)[0] for _ in range(2))
    except Exception:  # the grader has a sentence for it
        return
    if not alike(first, second):
        sentence = """with a new, empty state it goes on where it stopped before: it remembers something
        outside of state, in a global variable, say. Two parameters would mix their moments: keep all in the
        dict state."""
        raise AnswerError(name, "shared state", sentence)


# --- Primitives ----------------------------------------------------------------------------------


def graded_primitive(
    name: str,
    student: object,
    right: Callable[..., Any],
    cases: Sequence[Case],
    mistakes: Sequence[Mistake],
    slopes: Sequence[Mistake] = (),
    inputs: Any = None,
) -> Grade:
    """Grade a primitive: its forward rule by its results, the others by central differences.

    Parameters
    ----------
    name : str
        Its name in the exercise.
    student : object
        The student's primitive.
    right : callable
        The forward rule in NumPy; its parameters have the names of the exercise.
    cases : sequence of tuple
        Inputs of the forward rule.
    mistakes : sequence of Mistake
        In the forward rule.
    slopes : sequence of Mistake
        In the rule of the only input, beyond the grader's own; `made` takes g and the input.
    inputs : sequence, optional
        The inputs of `tinygrad_adam.testing.grade`.
    """
    if student is not ... and not isinstance(student, Primitive):
        found = "a function without rules" if callable(student) else shown(student)
        sentence = f"""this is {found}. Put @tg.primitive(...) with a rule for each input above
        def {name}(xp, {", ".join(inspect.signature(right).parameters)})."""
        return AnswerError(name, "not a primitive", sentence).grade
    forward = compare(name, student, right, cases, mistakes, f"{name} returns the right values", rtol=1e-6)
    if not forward.passed or not isinstance(student, Primitive):
        return forward
    empty = [key for key, rule in student.rules.items() if blank(rule.function)]
    if empty:
        sentence = "nothing is written here yet: the rule is empty."
        return Grade(name, tuple(Finding(key, "untouched", sentence) for key in empty), ())
    try:
        answer = grade(student, reference=right, inputs=inputs)
        if answer.passed or not slopes or set(answer.kinds) & {"fails", "wrong shape"}:
            return answer
        return _named_slope(student, answer, cases[0][0], slopes)
    except NotImplementedError:
        return untouched(name).grade
    except TinygradAdamError as error:
        return raising(name, error).grade


def _named_slope(student: Primitive, answer: Grade, x: Array, slopes: Sequence[Mistake]) -> Grade:
    """Replace the grader's finding if one of these mistakes gives the student's gradient."""
    leaf = tensor(x, requires_grad=True)
    y = student(leaf)
    g = numpy.cos(numpy.arange(y.size)).reshape(y.shape)
    (y * tensor(g)).sum().backward()
    for mistake in slopes:
        if isinstance(leaf.grad, Tensor) and numpy.allclose(leaf.grad.numpy(), mistake.made(g, x), rtol=1e-6):
            found = answer.findings[0]
            finding = Finding(found.where, mistake.kind, " ".join(mistake.sentence.split()), found.evidence)
            return replace(answer, findings=(finding,))
    return answer
