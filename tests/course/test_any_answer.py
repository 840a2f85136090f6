"""Whatever a student writes, the grader answers with a sentence; right answers pass in every form."""

import functools
import linecache
import math
import sys
from dataclasses import replace

import chapters
import numpy as np
import pytest

import tinygrad_adam as tg
from tinygrad_adam import course
from tinygrad_adam.course.exercises import EXERCISES
from tinygrad_adam.engine.graph import Primitive


class Thing:
    """An object of the student's."""


def prints(*given, **settings):
    print("12.5")


def exits(*given, **settings):
    sys.exit("done")


def forever(*given, **settings):
    return forever(*given, **settings)


def misspelled(*given, **settings):
    return learning_rat * given[0]  # noqa: F821


def empty(*given, **settings):
    """Later."""


ANYTHING = {
    "a text": "42",
    "nothing": None,
    "a list of texts": ["a", "b"],
    "lists of different lengths": [[1, 2], [3]],
    "an empty list": [],
    "an object": Thing(),
    "a class": Thing,
    "a complex number": 1j,
    "not a number": math.nan,
    "infinity": -math.inf,
    "a function without parameters": lambda: 1.0,
    "an empty function": empty,
    "a function that returns a text": lambda *given, **settings: "1.0",
    "a function that returns nan": lambda *given, **settings: math.nan,
    "a function that returns an object": lambda *given, **settings: Thing(),
    "a function that returns a dict": lambda *given, **settings: {"x": 1},
    "a function that returns a function": lambda *given, **settings: prints,
    "a function that returns many numbers": lambda *given, **settings: np.ones((7, 3, 2)),
    "a generator": lambda *given, **settings: (each for each in given),
    "a function that prints": prints,
    "a function that exits": exits,
    "a function that calls itself for ever": forever,
    "a misspelled name": misspelled,
    "a function in C": np.hypot,
    "the print function": print,
}


@functools.cache
def right_answers(number):
    names = chapters.names_after(number, chapters.solution(number))
    return tuple(names[name] for name in EXERCISES[number].asks)


@pytest.mark.parametrize("number", EXERCISES)
def test_anything_gets_a_sentence(number, capsys):
    right = right_answers(number)
    for anything, value in ANYTHING.items():
        for i, name in enumerate(EXERCISES[number].asks):
            answer = course.grade(number, *right[:i], value, *right[i + 1 :])
            assert [finding.where for finding in answer.findings] == [name], anything
            assert answer.findings[0].sentence.endswith((".", "?")), anything
            assert " at 0x" not in answer.findings[0].sentence, anything
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("number", EXERCISES)
def test_grading_twice_says_the_same(number):
    first = course.grade(number, *right_answers(number))
    assert str(course.grade(number, *right_answers(number))) == str(first)


@pytest.mark.parametrize("number", EXERCISES)
def test_too_few_answers_are_missing(number):
    answer = course.grade(number)
    assert answer.kinds == ("missing",)
    assert all(name in answer.findings[0].sentence for name in EXERCISES[number].asks)


FORMS = {
    "Tensors of float32": lambda value: tg.tensor(np.asarray(value, "float32")),
    "NumPy": lambda value: np.asarray(value, "float64"),
    "lists": lambda value: np.asarray(value).tolist(),
    "an axis more": lambda value: np.asarray(value, "float64")[None] if np.ndim(value) == 0 else value,
}


IN_OTHER_FORMS = [
    number for number in EXERCISES if number not in ("2.1", "1.2", "5.1", "6.1", "6.2", "7.1", "9.1")
]
"""Exercises that ask for numbers, or functions that return numbers."""


@pytest.mark.parametrize("number", IN_OTHER_FORMS)
def test_right_numbers_pass_in_every_form(number):
    def given(answer, form):
        if isinstance(answer, Primitive):
            return answer
        return (lambda *case: form(answer(*case))) if callable(answer) else form(answer)

    for name, form in FORMS.items():
        answer = course.grade(number, *(given(each, form) for each in right_answers(number)))
        assert answer.passed, (name, str(answer))


UPDATES = {
    "other names": (
        "7.1",
        """
def update(w, grad, memory, alpha=0.001, b1=0.9, b2=0.999, tiny=1e-8):
    t = memory["t"] = memory.get("t", 0) + 1
    m = memory["m"] = b1 * memory.get("m", 0) + (1 - b1) * grad
    v = memory["v"] = b2 * memory.get("v", 0) + (1 - b2) * grad**2
    return w - alpha * m / (1 - b1**t) / (np.sqrt(v / (1 - b2**t)) + tiny)""",
    ),
    "betas as a pair": (
        "7.1",
        """
def update(p, g, state, lr=0.001, betas=(0.9, 0.999), eps=1e-8):
    t = state["t"] = state.get("t", 0) + 1
    m = state["m"] = betas[0] * state.get("m", 0) + (1 - betas[0]) * g
    v = state["v"] = betas[1] * state.get("v", 0) + (1 - betas[1]) * g**2
    return p - lr * m / (1 - betas[0] ** t) / (np.sqrt(v / (1 - betas[1] ** t)) + eps)""",
    ),
    "another order": (
        "9.1",
        """
def update(p, g, state, weight_decay, eps, beta2, beta1, lr):
    t = state["t"] = state.get("t", 0) + 1
    m = state["m"] = beta1 * state.get("m", 0) + (1 - beta1) * g
    v = state["v"] = beta2 * state.get("v", 0) + (1 - beta2) * g**2
    return p * (1 - lr * weight_decay) - lr * m / (1 - beta1**t) / (np.sqrt(v / (1 - beta2**t)) + eps)""",
    ),
    "a list": (
        "1.2",
        """
def update(p, g, state, lr):
    return [weight - lr * slope for weight, slope in zip(p, g)]""",
    ),
}


@pytest.mark.parametrize("form", UPDATES)
def test_right_updates_pass_in_other_forms(form):
    number, code = UPDATES[form]
    answer = course.grade(number, chapters.names_after(number, code)["update"])
    assert answer.passed, str(answer)


def test_a_weight_may_be_changed_in_place():
    def update(p, g, state, lr):
        p -= lr * g

    assert course.grade("1.2", update).passed


@pytest.mark.parametrize("number", ["1.2", "7.1"])
def test_the_step_alone_is_no_answer_and_the_sentence_says_so(number):
    def update(p, g, state, lr=0.001, beta1=0.9, beta2=0.999, eps=1e-8):
        return lr * g

    (finding,) = course.grade(number, update).findings
    assert finding.kind == "no weights"
    assert "does not depend on p" in finding.sentence


def test_an_error_names_the_students_line():
    code = "def slope_of_g(w):\n    square = w * w\n    return square + missing\n"
    linecache.cache["cell 3"] = (len(code), None, code.splitlines(keepends=True), "cell 3")
    names = {}
    exec(compile(code, "cell 3", "exec"), names)
    (finding,) = course.grade("1.1", names["slope_of_g"]).findings
    assert finding.kind == "raises"
    assert "NameError: name 'missing' is not defined" in finding.sentence
    assert finding.evidence == "called as slope_of_g(-1.3)\nin cell 3:3: return square + missing"


def test_one_part_of_an_answer_is_graded_while_the_other_is_not_written():
    answer = course.grade("10.2", ..., 144)
    assert [(finding.where, finding.kind) for finding in answer.findings] == [
        ("conv_weights", "untouched"), ("linear_weights", "differs"),
    ]  # fmt: skip


def test_a_transpose_on_the_wrong_side_is_answered_with_the_shapes():
    @tg.primitive(x=lambda g, W: g @ W.T, W=lambda g, x: g.T @ x, b=lambda g: g)
    def layer(xp, x, W, b):
        return x @ W.T + b

    (finding,) = course.grade("3.1", layer).findings
    assert finding.where == "x"
    assert "(5, 3)" in finding.sentence
    assert "(5, 4)" in finding.sentence


def test_a_rule_that_is_not_written_is_untouched_while_others_are():
    @tg.primitive(x=lambda g, W: g @ W, W=lambda g, x: ..., b=lambda g: g)
    def layer(xp, x, W, b):
        return x @ W.T + b

    assert [(f.where, f.kind) for f in course.grade("3.1", layer).findings] == [("W", "untouched")]


def test_a_wrong_number_is_answered_without_the_right_one():
    answer = str(course.grade("10.2", 161, 37441))
    assert "160" not in answer
    assert "37440" not in answer.replace(",", "")


def test_a_broken_class_of_the_notebook_is_a_finding_with_its_line():
    code = """
def backward(self):
    raise ValueError("no slopes")

Value.backward = backward

def exp(value):
    return value
"""
    (finding,) = course.grade("2.1", chapters.names_after("2.1", code)["exp"]).findings
    assert (finding.kind, finding.sentence) == ("raises", "your code raises ValueError: no slopes.")
    assert finding.evidence == "in <string>:3"


def test_an_error_of_the_grader_itself_is_not_blamed_on_the_student(monkeypatch):
    def fails(value):
        raise ZeroDivisionError("of the grader")

    exercise = replace(EXERCISES["1.3"], check=fails)
    monkeypatch.setattr("tinygrad_adam.course.exercise.line_of", lambda error: "")
    with pytest.raises(ZeroDivisionError, match="of the grader"):
        exercise.grade(1.0)
