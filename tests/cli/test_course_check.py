"""``tinygrad-adam course --check``: the table on the terminal and on the disk."""

import csv
import os
import signal
import sys

import chapters
import pytest
from submissions import notebook

pytest.importorskip("typer")

from command_line import module

from tinygrad_adam.course.checking import Row
from tinygrad_adam.course.tables import by_exercise, table_file, visible, write_table
from tinygrad_adam.errors import OptionError

NAME = '=1+1;"[red]é\x1b[31m\u202e名,'
SHOWN = '=1+1;"[red]é\\u001b[31m\\u202e名,'


def rows_of(file):
    with file.open(encoding="utf-8-sig", newline="") as lines:
        return [*csv.DictReader(lines)]


def course(*arguments, folder):
    process = module("course", *arguments, cwd=folder)
    out, err = process.communicate()
    assert "Traceback" not in out + err
    return process.returncode, out, err


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="a file's name may not contain these characters there")
def test_a_class_gets_its_table(tmp_path):
    folder = tmp_path / "submitted"
    (folder / NAME).mkdir(parents=True)
    (folder / NAME / "07_adam.ipynb").write_text(notebook(7, {"7.1": chapters.solution("7.1")}), "utf-8")
    (folder / "ben.ipynb").write_text("no notebook", "utf-8")
    code, out, err = course("--check", folder, folder=tmp_path)
    assert (code, err) == (0, "")
    found = rows_of(tmp_path / "submitted.csv")
    assert [(row["student"], row["exercise"], row["passed"], row["kind"]) for row in found] == [
        ("'" + SHOWN, "7.1", "yes", ""),
        ("'" + SHOWN, "7.2", "no", "untouched"),
        ("'" + SHOWN, "7.3", "no", "untouched"),
        ("ben", "all", "no", "no notebook"),
    ]
    assert "1 of 3 passed" in out
    assert "7.1       1 of 1" in out
    assert "the file is no notebook" in " ".join(out.split())
    assert "\x1b" not in out
    assert sorted(os.listdir(tmp_path)) == ["submitted", "submitted.csv"]


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "killpg"), reason="needs signals")
def test_an_interrupt_keeps_the_rows_that_are_done(tmp_path):
    folder = tmp_path / "submitted"
    folder.mkdir()
    (folder / "ben.ipynb").write_text("no notebook", "utf-8")
    sleep = "import time\nopen({!r}, 'w').close()\ntime.sleep(10**6)".format(str(tmp_path / "begun"))
    (folder / "cem.ipynb").write_text(notebook(7, {"7.1": sleep}), "utf-8")
    process = module("course", "--check", folder, cwd=tmp_path, bufsize=1)
    assert "ben.ipynb: no notebook" in process.stdout.readline()
    while not (tmp_path / "begun").exists():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert (process.returncode, err) == (130, "")
    assert "Stopped; 1 notebook of 2 are in it." in out
    assert [row["student"] for row in rows_of(tmp_path / "submitted.csv")] == ["ben"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--check", "none"], "there is no such folder"),
        (["--check", "."], "the folder holds no submissions"),
        (["--check", "--instructor", "."], "choose either --check or --instructor"),
    ],
)
def test_wrong_calls_end_with_a_sentence(tmp_path, arguments, words):
    code, out, err = course(*arguments, folder=tmp_path)
    assert (code, out) == (1, "")
    assert words in err
    assert list(tmp_path.iterdir()) == []


# --- The file --------------------------------------------------------------------------------------


def row(student="ada", exercise="7.1", passed=False, kind="flipped sign"):
    return Row(student, exercise, passed, "a sentence.", kind, f"{student}.ipynb")


@pytest.mark.parametrize("begin", ["=", "+", "-", "@", "\uff1d"])
def test_no_cell_is_a_formula(tmp_path, begin):
    write_table([row(f"{begin}1+1")], tmp_path / "x.csv")
    assert rows_of(tmp_path / "x.csv")[0]["student"] == f"'{begin}1+1"


def test_a_table_replaces_an_older_one_and_no_other_file(tmp_path):
    folder = tmp_path / "submitted"
    file = table_file(folder)
    write_table([row(), row("ben")], file)
    write_table([row()], table_file(folder))
    assert [found["student"] for found in rows_of(file)] == ["ada"]
    file.write_text("my own list of the class", "utf-8")
    with pytest.raises(OptionError, match="another file has it"):
        table_file(folder)
    assert file.read_text("utf-8") == "my own list of the class"


def test_excel_and_pandas_read_the_letters(tmp_path):
    write_table([row("Zoë 名")], tmp_path / "x.csv")
    assert (tmp_path / "x.csv").read_bytes().startswith(b"\xef\xbb\xbf")
    assert rows_of(tmp_path / "x.csv")[0]["student"] == "Zoë 名"


def test_characters_that_a_terminal_obeys_are_written_out():
    assert visible("a\tb\x1b[2J\u202e") == "a\\u0009b\\u001b[2J\\u202e"
    assert visible(os.fsdecode(b"\xff")) == "\\udcff"


def test_exercises_are_summed_up_with_their_most_common_mistakes():
    rows = [row(exercise="7.10", passed=True, kind=""), *[row(f"{n}") for n in range(3)]]
    rows += [row("x", kind="empty"), row("y", passed=True, kind=""), row("z", "all", kind="no notebook")]
    assert by_exercise(rows) == [
        ("7.1", "1 of 5", "flipped sign (3), empty (1)"),
        ("7.10", "1 of 1", ""),
        ("all", "0 of 1", "no notebook (1)"),
    ]
