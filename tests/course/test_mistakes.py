"""Every mistake in the graders' tables is recognized by its own name; none hides another, none passes."""

import inspect

import pytest
from test_any_answer import right_answers

import tinygrad_adam as tg
from tinygrad_adam.course import chapter_03, chapter_08, chapter_10, comparing, with_grader
from tinygrad_adam.course.exercises import CHAPTERS, EXERCISES

TABLES = ("compare", "number", "graded_update")
"""The functions that take a table of mistakes, as the chapters call them."""


def tables(number, monkeypatch):
    """Return the calls that grade an exercise: the function and its bound arguments."""
    calls = []

    def watched(function):
        def call(*args, **settings):
            bound = inspect.signature(function).bind(*args, **settings)
            bound.apply_defaults()
            calls.append((function, bound))
            return function(*args, **settings)

        return call

    chapter = next(each for each in CHAPTERS if EXERCISES[number] in each.EXERCISES)
    with monkeypatch.context() as patch:
        for name in TABLES:
            for module in (chapter, with_grader):
                if hasattr(module, name) and not (module is with_grader and name == "graded_update"):
                    home = with_grader if name == "graded_update" else comparing
                    patch.setattr(module, name, watched(getattr(home, name)))
        assert EXERCISES[number].grade(*right_answers(number)).passed
    return calls


@pytest.mark.parametrize("number", EXERCISES)
def test_each_mistake_is_recognized_by_its_own_name(number, monkeypatch):
    calls = tables(number, monkeypatch)
    assert calls
    for function, bound in calls:
        for mistake in bound.arguments["mistakes"]:
            again = {**bound.arguments, "student": mistake.made}
            assert function(**again).kinds == (mistake.kind,), mistake.kind


@pytest.mark.parametrize("module", [chapter_03, chapter_08, chapter_10])
def test_each_mistake_in_a_rule_is_recognized_by_its_own_name(module, monkeypatch):
    calls = []
    real = with_grader.graded_primitive
    monkeypatch.setattr(
        module, "graded_primitive", lambda *args, **inputs: calls.append(args) or real(*args, **inputs)
    )
    for exercise in module.EXERCISES:
        exercise.grade(*right_answers(exercise.number))
    ((name, _, right, cases, mistakes, slopes, *inputs),) = [
        args for args in calls if len(args) > 5 and args[5]
    ]
    for slope in slopes:
        student = primitive(right, slope.made)
        assert real(name, student, right, cases, mistakes, slopes, *inputs).kinds == (slope.kind,), slope.kind


def primitive(forward, rule):
    @tg.primitive(x=lambda g, x: rule(g, x))
    def student(xp, x):
        return forward(x)

    return student


@pytest.mark.parametrize("number", EXERCISES)
def test_sentences_are_whole(number, monkeypatch):
    for _, bound in tables(number, monkeypatch):
        for mistake in bound.arguments["mistakes"]:
            assert " ".join(mistake.sentence.split()).endswith((".", "?"))
        hint = bound.arguments.get("hint")
        assert hint is None or hint == "" or hint.strip().endswith((".", "?"))
