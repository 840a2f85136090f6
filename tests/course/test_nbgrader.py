"""Nbgrader releases and grades a chapter as it is written for instructors."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

nbgrader_api = pytest.importorskip("nbgrader.api")
nbformat = pytest.importorskip("nbformat")
pytest.importorskip("jupytext")

from tinygrad_adam.course.notebooks import write_course  # noqa: E402

pytestmark = pytest.mark.slow

RIGHT = """
    t = state["t"] = state.get("t", 0) + 1
    m = state["m"] = beta1 * state.get("m", 0) + (1 - beta1) * g
    v = state["v"] = beta2 * state.get("v", 0) + (1 - beta2) * g**2
    return p - lr * m / (1 - beta1**t) / ((v / (1 - beta2**t)) ** 0.5 + eps)
"""
STUB = "    # YOUR CODE HERE\n    raise NotImplementedError()\n"
STUDENTS = {
    "right": lambda cell: cell.replace(STUB, RIGHT),
    "untouched": lambda cell: cell,
    "wrong": lambda cell: cell.replace(STUB, RIGHT.replace("(1 - beta2**t)", "1")),
    "empty": lambda cell: "",
    "broken": lambda cell: cell.replace(STUB, "    return p - lr * (\n"),
    "commented out": lambda cell: "\n".join(f"# {line}" for line in cell.splitlines()),
}
"""What each student makes of the cell of exercise 7.1."""


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """A course of nbgrader with the released chapter 7, and a function that calls nbgrader in it."""
    root = tmp_path_factory.mktemp("nbgrader")
    (root / "nbgrader_config.py").write_text("c = get_config()\n")

    def nbgrader(*words):
        command = [sys.executable, "-m", "nbgrader", *words]
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stdout + done.stderr

    write_course(root / "source" / "adam", instructor=True)
    for path in (root / "source" / "adam").glob("*.ipynb"):
        if path.stem != "07_adam":
            path.unlink()
    with pytest.MonkeyPatch.context() as patch:  # nbgrader calls a command of its own environment
        patch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
        nbgrader("generate_assignment", "adam")
        yield root, nbgrader


def exercise(book):
    return next(cell for cell in book.cells if cell.id == "exercise-7-1")


def test_the_released_exercise_keeps_the_head_of_the_scaffold_and_the_grading(course):
    book = nbformat.read(course[0] / "release" / "adam" / "07_adam.ipynb", 4)
    head, stub, end = exercise(book).source.partition(STUB)
    assert head.startswith("def update(p, g, state, lr=0.001, beta1=0.9, beta2=0.999, eps=1e-8):\n")
    assert stub
    assert end.strip() == 'course.grade("7.1", update)'
    assert (course[0] / "release" / "adam" / "examples" / "02_mlp_digits.py").exists()


def test_only_the_right_answer_gets_the_point(course):
    root, nbgrader = course
    for student, write in STUDENTS.items():
        book = nbformat.read(root / "release" / "adam" / "07_adam.ipynb", 4)
        cell = exercise(book)
        cell.source = write(cell.source)
        folder = root / "submitted" / student / "adam"
        folder.mkdir(parents=True)
        nbformat.write(book, folder / "07_adam.ipynb")
    nbgrader("autograde", "adam")
    with nbgrader_api.Gradebook(f"sqlite:///{root / 'gradebook.db'}") as gradebook:
        points = {
            student: gradebook.find_grade("test-7-1", "07_adam", "adam", student).score
            for student in STUDENTS
        }
    assert points == dict.fromkeys(STUDENTS, 0.0) | {"right": 1.0}
