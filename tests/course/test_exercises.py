"""The exercises of the course: right answers pass, scaffolds are untouched, mistakes are called by name."""

import re

import chapters
import pytest
from wrong_answers import WRONG

from tinygrad_adam import course
from tinygrad_adam.course.exercises import EXERCISES


def graded(number, code):
    exercise = EXERCISES[number]
    names = chapters.names_after(number, code)
    return course.grade(number, *(names[name] for name in exercise.asks))


def test_every_exercise_of_the_chapters_has_a_grader_and_the_other_way_round():
    assert list(EXERCISES) == chapters.asked()
    assert list(WRONG) == list(EXERCISES)


@pytest.mark.parametrize("number", EXERCISES)
def test_the_text_of_an_exercise_names_what_the_grader_asks_for(number):
    for name in EXERCISES[number].asks:
        assert re.search(rf"``{name}\b", chapters.exercise_text(number)), name


@pytest.mark.parametrize("number", EXERCISES)
def test_the_solution_of_the_chapter_is_right(number):
    answer = graded(number, chapters.solution(number))
    assert answer.passed, str(answer)
    assert answer.checked
    assert answer.mutants >= 3
    assert answer.unnoticed == ()


@pytest.mark.parametrize("number", EXERCISES)
def test_the_code_handed_out_is_recognized_as_untouched(number):
    answer = graded(number, EXERCISES[number].scaffold)
    assert set(answer.kinds) == {"untouched"}, str(answer)


@pytest.mark.parametrize("number", EXERCISES)
def test_empty_functions_and_numbers_are_untouched(number):
    names = EXERCISES[number].asks
    code = "\n".join(f"def {name}(*given):\n    '''Later.'''\n    pass" for name in names)
    assert set(graded(number, code).kinds) <= {"untouched", "not a number", "not a primitive"}


@pytest.mark.parametrize(
    ("number", "kind"), [(number, kind) for number, answers in WRONG.items() for kind in answers]
)
def test_a_mistake_is_called_by_its_name(number, kind):
    answer = graded(number, WRONG[number][kind])
    assert kind in answer.kinds, str(answer)
    assert "untouched" not in answer.kinds
