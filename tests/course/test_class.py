"""A class of eight hands in each chapter: the table says the right thing for each answer."""

import chapters
import pytest
from submissions import notebook, numbers
from wrong_answers import WRONG

from tinygrad_adam.course.checking import check, in_order
from tinygrad_adam.course.exercises import EXERCISES
from tinygrad_adam.course.runs import Limits
from tinygrad_adam.course.submissions import read_submissions

LIMITS = Limits(cell=1)
STUDENTS = {
    "ada": lambda number: chapters.solution(number),
    "ben": lambda number: EXERCISES[number].scaffold,
    "cem": lambda number: "",
    "dia": lambda number: f"def {EXERCISES[number].asks[0]}(x:\n    return x",
    "eli": lambda number: "while True:\n    pass",
    "fay": lambda number: mistake(number, 0)[1],
    "gil": lambda number: mistake(number, 1)[1],
    "hua": lambda number: mistake(number, 2)[1],
}


def mistake(number, place):
    """Return a typical mistake: its kind, and the code."""
    return [*WRONG[number].items()][place]


def expected(student, number):
    """Return the kinds that the table may name."""
    kinds = {"ada": "", "ben": "untouched", "cem": "empty", "dia": "syntax", "eli": "too long"}
    return kinds[student] if student in kinds else mistake(number, "fgh".index(student[0]))[0]


def hand_in(folder, student, chapter, answer):
    place = folder / student
    place.mkdir(exist_ok=True)
    answers = {number: answer(number) for number in numbers(chapter)}
    (place / f"{chapter:02}_x.ipynb").write_text(notebook(chapter, answers), "utf-8")


def table(folder):
    return in_order([row for rows in check(read_submissions(folder), LIMITS) for row in rows])


@pytest.mark.slow
@pytest.mark.parametrize("chapter", sorted({int(number.split(".")[0]) for number in EXERCISES}))
def test_the_table_is_right_for_each_of_a_class(chapter, tmp_path):
    for student, answer in STUDENTS.items():
        hand_in(tmp_path, student, chapter, answer)
    rows = table(tmp_path)
    assert [(row.student, row.exercise) for row in rows] == [
        (student, number) for student in STUDENTS for number in numbers(chapter)
    ]
    assert {(row.student, row.exercise): row.kind for row in rows} == {
        (student, number): expected(student, number) for student in STUDENTS for number in numbers(chapter)
    }
    assert [row.passed for row in rows] == [row.student == "ada" for row in rows]
    assert all(row.sentence.endswith((".", "?", ".)")) and "\n" not in row.sentence for row in rows)


@pytest.mark.slow
def test_one_row_changes_when_one_answer_changes_on_the_disk(tmp_path):
    for student in ("ada", "ben", "fay"):
        hand_in(tmp_path, student, 7, STUDENTS[student])
    before = table(tmp_path)
    assert table(tmp_path) == before
    hand_in(tmp_path, "ben", 7, lambda number: STUDENTS["ada" if number == "7.2" else "ben"](number))
    after = table(tmp_path)
    changed = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
    assert [(new.student, new.exercise, old.passed, new.passed) for old, new in changed] == [
        ("ben", "7.2", False, True)
    ]
