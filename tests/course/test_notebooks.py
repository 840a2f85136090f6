"""The course as notebooks: whole, up to date, without answers for students, and as nbgrader wants them."""

import ast
import json
import re
import sys
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat")
pytest.importorskip("jupytext")
pytest.importorskip("docutils")

from tinygrad_adam.course.chapters import read_chapter  # noqa: E402
from tinygrad_adam.course.exercises import EXERCISES  # noqa: E402
from tinygrad_adam.course.notebooks import BEGIN, END, notebook, write_notebooks  # noqa: E402
from tinygrad_adam.course.scripts import chapter_files  # noqa: E402
from tinygrad_adam.errors import DataError  # noqa: E402

pytestmark = pytest.mark.versions
ROOT = Path(__file__).parents[2]
RST = re.compile(r"``(?!`)(?<!```)|^[=~-]{4,}$|:\w+:`|`_\b|^\.\. |::$", re.MULTILINE)
"""Markup of reStructuredText that means nothing in Markdown."""


@pytest.fixture(scope="module")
def chapters():
    return {file.stem: read_chapter(file) for file in chapter_files()}


@pytest.fixture(scope="module")
def students(chapters):
    return {name: notebook(chapter, instructor=False) for name, chapter in chapters.items()}


@pytest.fixture(scope="module")
def instructors(chapters):
    return {name: notebook(chapter, instructor=True) for name, chapter in chapters.items()}


def graded_cells(book, key):
    return [cell for cell in book.cells if cell.metadata.get("nbgrader", {}).get(key)]


def released(source):
    """Return a cell as nbgrader releases it: its stub in the place of the solution."""
    stub = r"\1# YOUR CODE HERE\n\1raise NotImplementedError()\n"
    return re.sub(rf"^( *){BEGIN}\n.*?{END}\n", stub, source, flags=re.MULTILINE | re.DOTALL)


def test_the_notebooks_of_the_repository_are_up_to_date(tmp_path):
    """``python docs/notebooks.py`` writes them anew."""
    fresh = {path.name: path.read_text("utf-8") for path in write_notebooks(tmp_path)}
    assert len(fresh) == 10
    assert {
        path.name: path.read_text("utf-8") for path in (ROOT / "examples" / "notebooks").iterdir()
    } == fresh


def test_notebooks_are_valid_and_name_their_chapter(students, instructors):
    for books in (students, instructors):
        for name, book in books.items():
            nbformat.validate(book)
            assert book.metadata["tinygrad_adam"] == {"chapter": name}
            assert len({cell.id for cell in book.cells}) == len(book.cells)


def test_no_restructuredtext_is_left(students, instructors):
    assert all(RST.search(text) for text in ("a ``b``", "====", "----", ":doc:`a`", ".. note", "so::"))
    for book in [*students.values(), *instructors.values()]:
        for cell in book.cells:
            text = cell.source
            if cell.cell_type == "code":
                text = "\n".join(re.findall(r"^\s*# (.*)$", text, re.MULTILINE))
            else:
                text = re.sub(r"^\| --- .*$|^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
            assert not RST.search(text), text


def test_algorithm_1_is_a_table(students):
    text = next(cell.source for cell in students["07_adam"].cells if "Algorithm 1" in cell.source)
    assert "| 11 | `w = w - alpha * m_hat / (sqrt(v_hat) + eps)` | the step |" in text
    assert len(re.findall(r"^\| (\d+) \| `[^`]+` \| [^|]+ \|$", text, re.MULTILINE)) == 7


def test_every_exercise_has_a_question_an_answer_and_a_test(students, instructors):
    for books in (students, instructors):
        cells = {cell.id: cell for book in books.values() for cell in book.cells}
        for number, exercise in EXERCISES.items():
            name, arguments = number.replace(".", "-"), ", ".join([f'"{number}"', *exercise.asks])
            assert cells[f"question-{name}"].source.startswith(f"### Exercise {number}\n")
            assert cells[f"exercise-{name}"].source.endswith(f"\ncourse.grade({arguments})")
            assert cells[f"test-{name}"].source == f"course.require({arguments})"
        assert sum(cell_id.startswith("exercise-") for cell_id in cells) == len(EXERCISES)


def test_the_cells_of_exercises_carry_the_metadata_of_nbgrader(students, instructors):
    for book in [*students.values(), *instructors.values()]:
        answers, tests = graded_cells(book, "solution"), graded_cells(book, "grade")
        assert len(answers) == len(tests) >= 2
        assert not any(
            cell.metadata.nbgrader["locked"] or "points" in cell.metadata.nbgrader for cell in answers
        )
        assert all(cell.metadata.nbgrader["locked"] for cell in tests)
        assert all(cell.metadata.nbgrader["points"] == 1 for cell in tests)
        for cell in [*answers, *tests]:
            assert cell.metadata.nbgrader["schema_version"] == 3
            assert cell.metadata.nbgrader["grade_id"] == cell.id


def test_a_student_gets_the_scaffold(students):
    for book in students.values():
        for cell in graded_cells(book, "solution"):
            exercise = EXERCISES[cell.id.removeprefix("exercise-").replace("-", ".")]
            assert cell.source.startswith(exercise.scaffold.strip())


def test_no_part_of_an_answer_is_in_the_notebook_of_a_student_or_in_a_released_one(
    chapters, students, instructors
):
    compared = 0
    for name, chapter in chapters.items():
        body = "\n".join(cell.source for cell in chapter.body)
        for number, solution in chapter.solutions.items():
            given = body + EXERCISES[number].scaffold + chapter.questions[number]
            lines = [line.strip() for cell in solution for line in re.split(r"\n|(?<=\.) ", cell.source)]
            secrets = [line for line in lines if len(line) > 12 and line not in given]
            assert secrets
            compared += len(secrets)
            for book in (students[name], instructors[name]):
                text = "\n".join(released(cell.source) for cell in book.cells)
                assert not [line for line in secrets if line in text]
                assert END not in text
    assert compared > 200


def test_a_released_exercise_is_code_that_ends_with_the_grading(instructors):
    for book in instructors.values():
        for cell in graded_cells(book, "solution"):
            assert cell.source.count(BEGIN) == cell.source.count(END) >= 1
            *_, last = ast.parse(released(cell.source)).body
            assert ast.unparse(last).startswith("course.grade(")


def test_no_chapter_defines_the_names_of_its_exercises(chapters):
    """An empty cell would be graded by them."""
    for chapter in chapters.values():
        asked = [name for number in chapter.questions for name in EXERCISES[number].asks]
        assert len(set(asked)) == len(asked)
        for cell in chapter.body:
            if cell.kind == "code":
                tree = ast.parse(cell.source)
                stored = {
                    node.id
                    for node in ast.walk(tree)
                    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
                }
                defined = {
                    node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)
                }
                assert not set(asked) & (stored | defined)


@pytest.mark.parametrize(
    ("change", "saying"),
    [
        (("# Solutions\n# ---------\n", ""), "ends with Exercises, then Solutions"),
        (("# **2.** ", "# "), "a solution for each exercise"),
        (("``alpha`` for the learning rate", "``alpha for the learning rate"), "has a mistake"),
    ],
)
def test_a_damaged_chapter_is_refused(tmp_path, change, saying):
    text = next(file for file in chapter_files() if file.stem == "07_adam").read_text("utf-8")
    assert change[0] in text
    (tmp_path / "07_adam.py").write_text(text.replace(*change), "utf-8")
    with pytest.raises(DataError, match=saying):
        read_chapter(tmp_path / "07_adam.py")


def test_the_command_writes_notebooks_and_examples(call, tmp_path):
    answer = call("course", tmp_path / "new" / "course")
    assert answer.code == 0
    assert "holds 10 notebooks, 01_one_number.ipynb to 10_a_convolutional_network.ipynb" in answer.out
    text = (tmp_path / "new" / "course" / "07_adam.ipynb").read_text("utf-8")
    assert text == (ROOT / "examples" / "notebooks" / "07_adam.ipynb").read_text("utf-8")
    examples = tmp_path / "new" / "course" / "examples"
    assert {path.name for path in examples.iterdir()} == {
        path.name for path in (ROOT / "examples").glob("*.py")
    }


def test_the_command_gives_answers_to_instructors_only(call, tmp_path):
    assert call("course", tmp_path / "mine", "--instructor").code == 0
    book = json.loads((tmp_path / "mine" / "07_adam.ipynb").read_text("utf-8"))
    assert any(BEGIN in "".join(cell["source"]) for cell in book["cells"])
    assert (tmp_path / "mine" / "examples" / "exercises" / "adam_of_your_own.py").exists()


def test_a_folder_that_exists_is_refused_and_kept(call, fails, tmp_path):
    (tmp_path / "course").mkdir()
    assert call("course", tmp_path / "course").code == 0  # it was empty
    (tmp_path / "course" / "07_adam.ipynb").write_text("an answer")
    fails("course", tmp_path / "course", saying="the folder exists; name a new one")
    assert (tmp_path / "course" / "07_adam.ipynb").read_text() == "an answer"
    (tmp_path / "file").write_text("a file")
    fails("course", tmp_path / "file", saying="the folder exists; name a new one")


@pytest.mark.parametrize("package", ["jupytext", "nbformat", "docutils"])
def test_without_the_extra_the_command_says_what_to_install(fails, tmp_path, monkeypatch, package):
    for module in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, package, None)
    fails("course", tmp_path / "new", saying=rf'needs {package}: pip install "tinygrad-adam\[course\]"')
    assert not (tmp_path / "new").exists()
