"""Notebooks run in processes of their own: whatever one does, its exercises have sentences or grades."""

import os
import threading
import time

import chapters
import pytest
from submissions import code, definitions, exercise, notebook, saved

from tinygrad_adam.course import processes, runs
from tinygrad_adam.course.checking import check, check_one, in_order
from tinygrad_adam.course.runs import Limits, StoppedError
from tinygrad_adam.course.submissions import read_submissions

LIMITS = Limits(cell=3)
RIGHT, LAST_RIGHT = chapters.solution("7.1"), {"7.3": chapters.solution("7.3")}
WRONG = "def update(p, g, state, lr=0.001, beta1=0.9, beta2=0.999, eps=1e-8):\n    return p - lr * g"
SWALLOW = "while True:\n    try:\n        while True: pass\n    except BaseException: pass"
linux = pytest.mark.skipif(not processes.WATCHED, reason="needs /proc")
posix = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


@pytest.fixture
def graded(tmp_path):
    """Return the rows by exercise of one notebook of chapter 7, with other exercises as handed out."""

    def graded(answer, others=(), before=(), limits=LIMITS, content=None):
        folder = tmp_path / "class"
        folder.mkdir(exist_ok=True)
        given = {"7.1": answer, **dict(others)}
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


def test_it_stops_when_it_is_told_to(tmp_path):
    (tmp_path / "ben.ipynb").write_text(notebook(7, {}), "utf-8")
    stop = threading.Event()
    stop.set()
    with pytest.raises(StoppedError):
        check_one(read_submissions(tmp_path)[0], LIMITS, stop)


# --- Cells of exercises --------------------------------------------------------------------------

MISTAKES = {
    "a word for input": ("name = input('your name')\n" + RIGHT, "raises", "waits for input() in line 1"),
    "a name that is missing": ("update = make_adam()", "raises", "NameError in line 1: name 'make_adam'"),
    "too deep": ("def f(n):\n    return f(n + 1)\nf(0)", "raises", "RecursionError in line 2"),
    "too large a file": ("open('x', 'wb').truncate(2**30)", "raises", "OSError in line 1"),
    "too large an array": ("import numpy as np\nnp.ones(10**15)", "raises", "MemoryError"),
    "an endless call": (
        WRONG.replace("return", "while True: pass\n    return"),
        "too long",
        "a call of update",
    ),
    "the end of Python": ("import os\nos._exit(0)", "ended", "the cell ends the Python process"),
    "its own death": ("import os\nos.kill(os.getpid(), 9)", "ended", "or kills it (SIGKILL)"),
    "a crash": ("import ctypes\nctypes.string_at(0)", "ended", "crashes Python"),
    "a closed channel": ("import os\nos.closerange(0, 99)", "ended", "or closes its files"),
    "no definition": ("adam = 3", "missing", 'the line "def update('),
    "only words": ("'later'", "missing", "does not define update"),
}


@linux
@pytest.mark.slow
@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_cell_that_fails_has_a_sentence_and_the_next_exercise_is_graded(graded, mistake):
    answer, kind, words = MISTAKES[mistake]
    rows = graded(answer, others=LAST_RIGHT)
    assert (rows["7.1"].passed, rows["7.1"].kind) == (False, kind)
    assert words in rows["7.1"].sentence
    assert rows["7.2"].kind == "untouched"
    assert rows["7.3"].passed


@linux
@pytest.mark.slow
def test_a_loop_that_catches_everything_is_ended_from_outside(graded, monkeypatch):
    monkeypatch.setattr(runs, "GRACE", 1)
    rows = graded(SWALLOW, others={"7.2": SWALLOW, **LAST_RIGHT}, limits=Limits(cell=1))
    assert [row.kind for row in rows.values()] == ["too long", "too long", ""]


@linux
@pytest.mark.slow
def test_a_cell_that_only_sleeps_is_ended_from_outside(graded, monkeypatch):
    monkeypatch.setattr(runs, "GRACE", 1)
    assert graded("import time\ntime.sleep(10**6)", limits=Limits(cell=1))["7.1"].kind == "too long"


@linux
@pytest.mark.slow
def test_memory_is_bounded(graded):
    grows = "kept = []\nwhile True:\n    kept.append(bytearray(10**7))"
    rows = graded(grows, limits=Limits(cell=60, memory=2**29), others=LAST_RIGHT)
    assert rows["7.1"].sentence.startswith("the cell takes more than 0.5 GiB of memory")
    assert rows["7.3"].passed


@linux
@pytest.mark.slow
def test_processes_are_bounded(graded):
    rows = graded("import os\nwhile True:\n    os.fork()", limits=Limits(cell=60, threads=30))
    assert rows["7.1"].kind == "processes"
    assert rows["7.2"].kind == "untouched"


@linux
@pytest.mark.slow
def test_the_time_of_the_whole_is_bounded(graded):
    rows = graded("import time\ntime.sleep(10**6)", limits=Limits(whole=4))
    assert {row.kind for row in rows.values()} == {"too long"}
    assert rows["7.3"].sentence == "the notebook takes longer than 4 seconds in all."


HARMLESS = {
    "a gigabyte": "for _ in range(1000):\n    print('x' * 10**6)",
    "a gigabyte past print": "import os\nfor _ in range(1000):\n    os.write(1, b'x' * 10**6)",
    "its folder is deleted": "import os, shutil\nshutil.rmtree(os.getcwd())",
    "a thread that stays": "import threading\nthreading.Thread(target=threading.Event().wait).start()",
    "another output": "import sys\nsys.stdout = sys.stderr = None",
    "a process in two": "import os\nos.fork()",
    "processes that all write": "import os\nfor _ in range(4):\n    os.fork()",
    "many pictures": "import matplotlib.pyplot as plt\nfor _ in range(30):\n    plt.figure()\nplt.show()",
}


@posix
@pytest.mark.slow
@pytest.mark.parametrize("harmless", HARMLESS)
def test_a_right_answer_passes_whatever_its_cell_does_besides(graded, harmless):
    row = graded(f"{HARMLESS[harmless]}\n{RIGHT}")["7.1"]
    assert (row.passed, row.sentence) == (True, "right.")


@linux
@pytest.mark.slow
def test_no_process_stays(graded, tmp_path):
    daemon = f"""
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        open({str(tmp_path / "pid")!r}, "w").write(str(os.getpid()))
        time.sleep(10**6)
    os._exit(0)
while not os.path.exists({str(tmp_path / "pid")!r}) or not open({str(tmp_path / "pid")!r}).read():
    time.sleep(0.01)
"""
    assert graded(daemon + RIGHT)["7.1"].passed
    pid = (tmp_path / "pid").read_text()
    deadline = time.monotonic() + 60
    while processes.PROC.joinpath(pid).exists() and time.monotonic() < deadline:
        state = processes.PROC.joinpath(pid, "stat").read_text().rpartition(") ")[2][0]
        if state == "Z":  # dead, and not yet collected
            return
        time.sleep(0.01)
    assert not processes.PROC.joinpath(pid).exists()


@pytest.mark.slow
def test_a_right_answer_above_a_failing_line_passes_and_the_failure_is_named(graded):
    row = graded(f"{RIGHT}\n1 / 0")["7.1"]
    assert row.passed
    assert row.sentence.startswith("right, but the cell raises ZeroDivisionError in line ")


# --- Cells before ---------------------------------------------------------------------------------


@pytest.mark.slow
def test_cells_that_fail_before_do_not_matter_to_those_that_need_nothing_of_them(graded):
    rows = graded(RIGHT, before=["1 / 0", "import os\nos._exit(0)", "def f(", "%load_ext nothing"])
    assert rows["7.1"].passed


@pytest.mark.slow
def test_a_missing_name_is_explained_by_the_cell_that_should_have_made_it(graded):
    rows = graded("update = optimizer", before=["import os\nos._exit(1)\noptimizer = 3"])
    assert rows["7.1"].sentence == (
        "the cell raises NameError in line 1: name 'optimizer' is not defined. Before it, code cell 3 "
        "(import os) fails: the cell ends the Python process, as os._exit does, or closes its files; take "
        "that out."
    )


@pytest.mark.slow
def test_an_answer_in_another_cell_is_not_taken_but_found(graded):
    row = graded("", before=[RIGHT])["7.1"]
    assert not row.passed
    assert row.sentence == (
        "the cell is empty; it should define update. code cell 3 does: move the answer from there into the "
        "exercise's own cell."
    )


@pytest.mark.slow
def test_the_last_copy_of_a_cell_counts(graded):
    cells = [code(definitions(7)), code("from tinygrad_adam import course")]
    cells += [
        *exercise("7.1", WRONG),
        *exercise("7.1", RIGHT),
        *exercise("7.2", "x = 1"),
        *exercise("7.3", ""),
    ]
    row = graded("", content=saved(cells, 7))["7.1"]
    assert row.passed
    assert row.sentence == "right (There are 2 copies of the cell, and the last one counts.)"


# --- Grades that were not earned -------------------------------------------------------------------

CHEATS = {
    "the grader": "course.grade = lambda *answers: 1",
    "the table of exercises": """
from tinygrad_adam.course.exercises import EXERCISES
EXERCISES.clear()""",
    "the passed of a grade": """
from tinygrad_adam.testing.grading.report import Grade
Grade.passed = True""",
    "the comparison": """
import tinygrad_adam.testing.grading.optimizers as graders
graders.alike = lambda *given, **settings: True
import numpy as np
np.allclose = np.array_equal = lambda *given, **settings: True""",
    "the reference": """
from tinygrad_adam import optim
optim.Adam = optim.SGD
optim.Adam.update = optim.SGD.update""",
    "a message": """
import os
for file in range(3, 50):
    try:
        os.write(file, b'\\n["verdict", "7.1", true, "", "right"]\\n["end"]\\n')
    except OSError:
        pass""",
    "a results file": "open('results.csv', 'w').write('ben,7.1,yes')",
}


@pytest.mark.slow
@pytest.mark.parametrize("cheat", CHEATS)
def test_a_wrong_answer_fails_whatever_its_cell_replaces(graded, cheat):
    rows = graded(f"{CHEATS[cheat]}\n{WRONG}", others=LAST_RIGHT)
    assert (rows["7.1"].passed, rows["7.1"].kind) == (False, "differs")
