"""Notebooks run in processes of their own: whatever one does, its exercises get a sentence, and the others a grade."""

import contextlib
import os
import signal
import sys
import threading

import chapters
import pytest
from submissions import code, definitions, exercise, notebook, saved

from tinygrad_adam.course import processes, runs
from tinygrad_adam.course.checking import check, check_one, in_order
from tinygrad_adam.course.runs import Limits
from tinygrad_adam.course.submissions import read_submissions
from tinygrad_adam.errors import DataError

LIMITS = Limits(cell=2)
RIGHT = chapters.solution("7.1")
WRONG = "def update(p, g, state, lr=0.001, beta1=0.9, beta2=0.999, eps=1e-8):\n    return p - lr * g"
SWALLOW = "while True:\n    try:\n        while True: pass\n    except BaseException: pass"
linux = pytest.mark.skipif(not processes.WATCHED, reason="needs /proc")
posix = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


@pytest.fixture
def graded(tmp_path):
    """Return the rows by exercise of one notebook of chapter 7, with other exercises as handed out."""

    def graded(answer, before=(), limits=LIMITS, content=None, **answers):
        folder = tmp_path / "class"
        folder.mkdir(exist_ok=True)
        given = {"7.1": answer} | {f"7.{name[-1]}": text for name, text in answers.items()}
        (folder / "ben.ipynb").write_text(content or notebook(7, given, before), "utf-8")
        (submission,) = read_submissions(folder)
        rows = check_one(submission, limits, threading.Event())
        assert [row.exercise for row in rows] == ["7.1", "7.2", "7.3"]
        return {row.exercise: row for row in rows}

    return graded


def test_two_students_have_their_rows(tmp_path):
    for student, answer in {"ben": RIGHT, "Ada": WRONG}.items():
        (tmp_path / f"{student}.ipynb").write_text(notebook(7, {"7.1": answer}), "utf-8")
    rows = in_order([row for rows in check(read_submissions(tmp_path), LIMITS) for row in rows])
    assert [(row.student, row.exercise, row.passed, row.kind) for row in rows] == [
        ("Ada", "7.1", False, "differs"),
        ("Ada", "7.2", False, "untouched"),
        ("Ada", "7.3", False, "untouched"),
        ("ben", "7.1", True, ""),
        ("ben", "7.2", False, "untouched"),
        ("ben", "7.3", False, "untouched"),
    ]
