"""The command line where something is missing around it: packages, a terminal, standard output."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import tinygrad_adam as tg

pytest.importorskip("typer")

BLOCKED = """
import runpy, sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Missing())
sys.argv = ["tinygrad-adam", *{arguments}]
{start}
"""
STARTS = {
    "the command": "from tinygrad_adam.cli import main; sys.exit(main())",  # as pip's script does
    "python -m": "runpy.run_module('tinygrad_adam', run_name='__main__', alter_sys=True)",
}


def python(code, folder, **settings):
    environment = {**os.environ, "PYTHONPATH": str(Path(tg.__file__).parents[1]), **settings.pop("env", {})}
    return subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True, **settings
    )


@pytest.mark.parametrize(
    ("start", "blocked"),
    [("the command", ["typer"]), ("python -m", ["typer", "click"]), ("python -m", ["rich"])],
)
def test_without_the_packages_of_the_command_line_it_says_how_to_get_them(tmp_path, start, blocked):
    code = BLOCKED.format(blocked=set(blocked), arguments=["train"], start=STARTS[start])
    answer = python(code, tmp_path)
    assert answer.stderr == 'the command line needs more packages: pip install "tinygrad-adam[cli]"\n'
    assert (answer.returncode, answer.stdout) == (1, "")
    assert list(tmp_path.iterdir()) == []


def test_without_what_draws_it_says_how_to_get_it(tmp_path):
    arguments = ["race", "--steps", "3", "--lr", "0.1", "--out", "race.png"]
    code = BLOCKED.format(blocked={"matplotlib"}, arguments=arguments, start=STARTS["python -m"])
    answer = python(code, tmp_path)
    assert answer.stderr == 'OptionError: RacePicture: needs matplotlib: pip install "tinygrad-adam[cli]"\n'
    assert answer.returncode == 1
    assert list(tmp_path.iterdir()) == []


def command(*arguments):
    return f"import sys; sys.argv = ['tinygrad-adam', *{[*map(str, arguments)]}]; {STARTS['the command']}"


UNDRAWN = """
from tinygrad_adam.training import History, run
History.plot = run.plot_predictions = lambda *args: None
"""


@pytest.mark.skipif(os.name == "nt", reason="shells of POSIX close standard output by >&-")
@pytest.mark.parametrize("closed", [pytest.param(">&-", marks=pytest.mark.slow), ">&- 2>&- <&-"])
def test_closed_streams(tmp_path, closed):
    code = UNDRAWN + command("train", "--model", "mlp:4", "--epochs", 1, "--batch-size", 1024)
    environment = {**os.environ, "PYTHONPATH": str(Path(tg.__file__).parents[1])}
    words = ["sh", "-c", f'"$0" -c "$1" {closed}', sys.executable, code]
    answer = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (answer.returncode, answer.stderr) == (0, "")
    assert (tmp_path / "runs" / "digits-mlp-1" / "best.safetensors").exists()


def test_a_terminal_without_a_width(tmp_path):
    answers = [
        python(command(*words), tmp_path, env={"COLUMNS": "0"}).stdout for words in (["datasets"], ["--help"])
    ]
    assert "fashion-mnist: 70,000 pictures of clothes" in answers[0]
    assert "Train a model" in answers[1]
