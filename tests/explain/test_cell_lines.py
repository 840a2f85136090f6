"""The lines of a notebook's cells: they are named by the cell's number, as the notebook shows it."""

import json
import linecache
import subprocess
import sys
from types import SimpleNamespace

import pytest

import tinygrad_adam as tg
from tinygrad_adam.explain.chain_rule.source_lines import SourceLine

CODE = "x = tg.tensor([2.0], requires_grad=True)\nwith tg.tracing():\n    loss = (x * x).sum()\n"
KERNELS_NAME = "/tmp/ipykernel_1234/3939175715.py"


@pytest.fixture
def cells(monkeypatch):
    """Stand in for IPython, which keeps the numbers of the files that its cells are compiled from."""
    known = {}
    shell = SimpleNamespace(compile=SimpleNamespace(_filename_map=known))
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    return known


def explained(file):
    """Run the cell as a kernel would, and return its loss."""
    names = {"tg": tg}
    linecache.cache[file] = (len(CODE), None, CODE.splitlines(keepends=True), file)
    exec(compile(CODE, file, "exec"), names)
    return names["loss"]


def test_a_line_in_a_notebook_names_the_cell_and_the_line_within(cells):
    cells[KERNELS_NAME] = 3
    line = explained(KERNELS_NAME).explain().steps[0].line
    assert str(line) == "cell 3, line 3: loss = (x * x).sum()"


def test_everything_that_shows_a_line_shows_the_cell(cells, tmp_path):
    cells[KERNELS_NAME] = 3
    loss = explained(KERNELS_NAME)
    shown = [str(loss.explain()), tg.draw(loss).svg]
    assert ["cell 3, line 3: loss = (x * x).sum()" in text for text in shown] == [True, True]
    assert ["3939175715" in text for text in shown] == [False, False]


def test_a_cell_that_ran_again_has_its_new_number(cells):
    cells[KERNELS_NAME] = 3
    line = explained(KERNELS_NAME).explain().steps[0].line
    cells[KERNELS_NAME] = 8
    assert str(line) == "cell 8, line 3: loss = (x * x).sum()"


def test_the_terminal_of_an_older_ipython_says_the_number_in_the_name(cells):
    assert SourceLine("<ipython-input-12-0a1b2c>", 4, "<module>").place == "cell 12, line 4"


def test_a_module_that_a_notebook_imports_keeps_its_name(cells):
    cells[KERNELS_NAME] = 3
    assert SourceLine("/home/mia/nets.py", 4, "forward").place.endswith("nets.py:4")


def test_without_ipython_a_line_names_its_file(monkeypatch):
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    assert SourceLine(KERNELS_NAME, 2, "<module>").place.endswith("3939175715.py:2")
    assert "IPython" not in sys.modules


@pytest.mark.slow
def test_the_shell_of_ipython_names_its_cells():
    pytest.importorskip("IPython")
    program = (
        "from IPython.core.interactiveshell import InteractiveShell\n"
        "import json\n"
        "shell = InteractiveShell.instance()\n"
        "run = lambda code: shell.run_cell(code, store_history=True)\n"
        "run('import tinygrad_adam as tg')\n"
        f"code = {CODE!r}\n"
        "for _ in range(2):\n"
        "    run(code)\n"
        "    print(json.dumps(str(shell.user_ns['loss'].explain().steps[0].line)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert [json.loads(line) for line in done.stdout.splitlines()] == [
        "cell 2, line 3: loss = (x * x).sum()",
        "cell 3, line 3: loss = (x * x).sum()",
    ]
