"""The course: every chapter runs, what it claims holds, and every picture says what it shows."""

import contextlib
import io
import re
import runpy
from pathlib import Path

import pytest

import tinygrad_adam as tg

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
plt = pytest.importorskip("matplotlib.pyplot")

FOLDER = Path(__file__).parents[2] / "examples" / "tutorial"
CHAPTERS = sorted(FOLDER.glob("[0-9]*.py"))
MEANT = {
    "06_a_step_size_for_each_weight": ["learning-rate-high"],
    "08_a_network": ["large-updates", "dead-relu"],
}
"""What the doctor finds where a chapter shows what goes wrong."""
SLOW = {
    "04_a_line_and_a_curve", "06_a_step_size_for_each_weight", "07_adam", "09_digits",
    "10_a_convolutional_network",
}  # fmt: skip


@pytest.fixture(autouse=True)
def no_pictures_left():
    yield
    plt.close("all")


@pytest.mark.parametrize(
    "path",
    [pytest.param(p, marks=pytest.mark.slow if p.stem in SLOW else ()) for p in CHAPTERS],
    ids=lambda path: path.stem,
)
def test_a_chapter_runs_and_its_pictures_are_labelled(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(plt, "show", lambda: None)
    printed = io.StringIO()
    with matplotlib.rc_context(), contextlib.redirect_stdout(printed), tg.doctor(tell=None) as doctor:
        runpy.run_path(str(path), run_name="__main__")  # the claims are its own assert lines
    assert [finding.kind for finding in doctor.findings] == MEANT.get(path.stem, [])
    assert printed.getvalue().strip()
    assert plt.get_fignums()
    for number in plt.get_fignums():
        figure = plt.figure(number)
        titles = [figure.get_suptitle(), *(ax.get_title() for ax in figure.axes)]
        assert any(titles)
        for ax in figure.axes:
            if ax.axison and ax.get_label() != "<colorbar>":
                across, upward = ax.get_shared_x_axes(), ax.get_shared_y_axes()
                assert figure.get_supxlabel() or any(a.get_xlabel() for a in across.get_siblings(ax))
                assert figure.get_supylabel() or any(a.get_ylabel() for a in upward.get_siblings(ax))


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_a_chapter_ends_with_exercises_that_are_solved(path):
    text = path.read_text(encoding="utf-8")
    before, exercises = text.split("# Exercises\n# ---------\n")
    exercises, solutions = exercises.split("# Solutions\n# ---------\n")
    asked = re.findall(r"^# (\d)\. ", exercises, re.MULTILINE)
    assert asked == [str(n) for n in range(1, len(asked) + 1)]
    assert 2 <= len(asked) <= 3
    assert re.findall(r"^# \*\*(\d)\.\*\* ", solutions, re.MULTILINE) == asked
    for solution in re.split(r"^# \*\*\d\.\*\* ", solutions, flags=re.MULTILINE)[1:]:
        assert re.search(r"^\s*assert ", solution, re.MULTILINE)
    assert re.search(r"^\s*assert ", before, re.MULTILINE)


def test_chapters_are_numbered_as_their_titles_say():
    for number, path in enumerate(CHAPTERS, 1):
        assert path.name.startswith(f"{number:02}_")
        title, line = path.read_text(encoding="utf-8").split('"""\n', 1)[1].split("\n")[:2]
        assert title.startswith(f"{number}. ")
        assert line == "=" * len(title)
