"""Submissions are found and read; a file that is no notebook of the course has a sentence."""

import json
import os

import pytest
from submissions import code, exercise, notebook, saved, text

from tinygrad_adam.course.submissions import read_submissions
from tinygrad_adam.errors import DataError

GOOD = notebook(7, {})


def hand_in(folder, path, content=GOOD):
    file = folder / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content, "utf-8") if isinstance(content, str) else file.write_bytes(content)


def only(folder):
    (submission,) = read_submissions(folder)
    return submission


def test_a_student_is_a_folder_or_a_file(tmp_path):
    hand_in(tmp_path, "ben/07_adam.ipynb")
    hand_in(tmp_path, "Ada.ipynb")
    hand_in(tmp_path, "cem/lab 7/07_adam.ipynb")
    found = read_submissions(tmp_path)
    assert [(each.student, each.file) for each in found] == [
        ("Ada", "Ada.ipynb"), ("ben", "ben/07_adam.ipynb"), ("cem", "cem/lab 7/07_adam.ipynb"),
    ]  # fmt: skip
    assert not any(each.problem for each in found)


def test_backups_of_jupyter_and_what_unpacking_leaves_are_no_submissions(tmp_path):
    hand_in(tmp_path, "ben/07_adam.ipynb")
    hand_in(tmp_path, "ben/.ipynb_checkpoints/07_adam-checkpoint.ipynb")
    hand_in(tmp_path, "__MACOSX/ben/07_adam.ipynb")
    hand_in(tmp_path, "ben/._07_adam.ipynb", b"\x00\x05")
    hand_in(tmp_path, "class list.txt", "ben")
    assert only(tmp_path).file == "ben/07_adam.ipynb"


def test_the_cells_of_the_exercises_are_found(tmp_path):
    hand_in(tmp_path, "ben.ipynb")
    submission = only(tmp_path)
    assert {*submission.places} == {"7.1", "7.2", "7.3"}
    for number, places in submission.places.items():
        assert [submission.cells[place].name for place in places] == [f"exercise {number}"]
    assert submission.lost == {}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "the file is empty"),
        ("Dear teacher", "the file is no notebook"),
        (GOOD[: len(GOOD) // 2], "breaks off or is damaged in line 1 of 1"),
        (b"PK\x03\x04...", "a zip archive. Unpack it"),
        (b"\xff\xfe\x00{", "the file is no notebook"),
        ("<<<<<<< HEAD\n{}\n=======", "a merge in Git"),
        ("[" * 100_000, "the file is no notebook"),
        ("[]", "it has no list of cells"),
        ('{"cells": {}}', "it has no list of cells"),
        ('{"cells": [3]}', "it has no list of cells"),
        ('{"cells": [{"cell_type": "code", "source": [1]}]}', "it has no list of cells"),
        ('{"worksheets": []}', "a format of before 2015"),
        (saved([code("print(1)")], None), "not one of this course"),
        (saved([code("x", "exercise-7-1")], 99), "not one of this course"),
        (saved([code("x", "task-1")], None), "not one of this course"),
        (GOOD.replace('"07', '"' + "9" * 5000), "not one of this course"),  # more digits than int() takes
    ],
)
def test_a_file_that_is_no_notebook_of_the_course_has_a_sentence(content, words, tmp_path):
    hand_in(tmp_path, "ben/07_adam.ipynb", content)
    hand_in(tmp_path, "cem/07_adam.ipynb")
    ben, cem = read_submissions(tmp_path)
    assert words in ben.problem
    assert (cem.student, cem.problem) == ("cem", "")


def test_a_folder_without_a_notebook_says_what_it_holds(tmp_path):
    hand_in(tmp_path, "ben/answers.pdf", "%PDF")
    (tmp_path / "cem").mkdir()
    ben, cem = read_submissions(tmp_path)
    assert ben.problem == "there is no notebook (.ipynb) in this folder; it holds answers.pdf."
    assert cem.problem.endswith("it holds nothing.")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "ben.ipynb")
    assert "no regular file" in only(tmp_path).problem


def test_a_huge_file_is_not_read(tmp_path):
    with (tmp_path / "ben.ipynb").open("wb") as file:
        file.truncate(2**30)
    assert "the file has 1,024 MB. Clear all outputs" in only(tmp_path).problem


def test_a_deleted_cell_and_one_that_became_text_are_reported(tmp_path):
    cells = [*exercise("7.1", "update = 1"), text("the answer", "exercise-7-2")]
    hand_in(tmp_path, "ben.ipynb", saved(cells, 7))
    submission = only(tmp_path)
    assert [*submission.places] == ["7.1"]
    assert submission.lost["7.2"].startswith("its cell is text now, not code. Copy the cell")
    assert submission.lost["7.3"].startswith("its cell is deleted. Copy the cell")


def test_a_cell_that_lost_its_mark_is_known_by_its_call_of_the_grader(tmp_path):
    cells = [code("import numpy as np"), code("update = 1\ncourse.grade('7.1', update)")]
    hand_in(tmp_path, "ben.ipynb", saved(cells, 7))
    assert only(tmp_path).places == {"7.1": (1,)}


def test_copies_of_a_cell_belong_to_one_exercise(tmp_path):
    cells = [*exercise("7.1", "update = 1"), *exercise("7.1", "update = 2")]
    hand_in(tmp_path, "ben.ipynb", saved(cells, 7))
    assert len(only(tmp_path).places["7.1"]) == 2


def test_a_notebook_without_the_mark_of_its_chapter_is_known_by_its_exercises(tmp_path):
    hand_in(tmp_path, "ben.ipynb", saved(exercise("7.1", "update = 1"), None))
    submission = only(tmp_path)
    assert {*submission.places, *submission.lost} == {"7.1", "7.2", "7.3"}


def test_sources_are_lists_of_lines_too(tmp_path):
    content = json.loads(saved([code("a = 1\nb = 2", "exercise-7-1")], 7))
    content["cells"][0]["source"] = ["a = 1\n", "b = 2"]
    hand_in(tmp_path, "ben.ipynb", json.dumps(content))
    assert only(tmp_path).cells[0].source == "a = 1\nb = 2"


def test_metadata_of_any_form_is_read(tmp_path):
    content = json.loads(GOOD)
    for cell, metadata in zip(
        content["cells"], [None, [], "x", {"nbgrader": 3}, {"nbgrader": {"grade_id": []}}], strict=False
    ):
        cell["metadata"] = metadata
    hand_in(tmp_path, "ben.ipynb", json.dumps(content))
    assert only(tmp_path).problem == ""


def test_a_folder_without_submissions_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"STUDENT/NOTEBOOK\.ipynb or STUDENT\.ipynb"):
        read_submissions(tmp_path)
    with pytest.raises(DataError, match="there is no such folder"):
        read_submissions(tmp_path / "none")
    hand_in(tmp_path, "ben.ipynb")
    with pytest.raises(DataError, match="this is a file"):
        read_submissions(tmp_path / "ben.ipynb")
