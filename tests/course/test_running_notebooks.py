"""The notebooks of the course run: those with answers to the end, those for students up to the exercises."""

import pytest

nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")
pytest.importorskip("jupytext")
pytest.importorskip("matplotlib")

from tinygrad_adam.course.chapters import read_chapter  # noqa: E402
from tinygrad_adam.course.notebooks import notebook  # noqa: E402
from tinygrad_adam.course.scripts import chapter_files  # noqa: E402

pytestmark = pytest.mark.slow


@pytest.fixture(params=chapter_files(), ids=lambda file: file.stem)
def run(request, tmp_path):
    def run(instructor):
        book = notebook(read_chapter(request.param), instructor)
        nbclient.execute(book, cwd=tmp_path, timeout=600, allow_errors=True)
        return book

    return run


def raised(book):
    """Return the names of the cells that raised, each with its error."""
    return {
        cell.id: output.ename
        for cell in book.cells
        for output in cell.get("outputs", ())
        if output.output_type == "error"
    }


def test_with_answers_every_cell_passes_and_pictures_are_shown(run):
    book = run(instructor=True)
    assert raised(book) == {}
    outputs = [output for cell in book.cells for output in cell.get("outputs", ())]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert not any(output.get("name") == "stderr" for output in outputs)


def test_for_students_only_the_tests_of_exercises_fail(run):
    book = run(instructor=False)
    tests = {cell.id: "AssertionError" for cell in book.cells if cell.id.startswith("test-")}
    assert raised(book) == tests
    for cell in book.cells:
        if cell.id in tests:
            assert "nothing is written here yet" in cell.outputs[-1].evalue
