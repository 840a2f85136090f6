"""The page about notebooks, in a notebook: its cells run in a real kernel, and show what the page says."""

from __future__ import annotations

import re

import pages
import pytest

pytestmark = pytest.mark.slow
nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

BLOCKS = [
    block[2] for block in pages.BLOCK.finditer((pages.ROOT / "docs/howto/notebooks.md").read_text("utf-8"))
]
LOSS = """
x = tg.tensor([2.0], requires_grad=True)
with tg.tracing():
    loss = (x * x).sum()
str(loss.explain().steps[0].line)
"""
SETTING_UP = BLOCKS[0] + BLOCKS[1]


def run(*cells, allow_errors=False):
    """Run cells in one kernel, and return the outputs of each."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3", allow_errors=allow_errors).execute()
    return [cell.outputs for cell in notebook.cells]


def only(outputs):
    """Return the data of the only output of a cell."""
    (output,) = outputs
    return output.data


def test_four_cells_lead_to_a_film():
    imported, made, trained, film = run(*BLOCKS[:4])
    assert (imported, made) == ([], [])
    progress = only(trained)
    assert [line.partition("  ")[0] for line in progress["text/plain"].splitlines()] == [
        "epoch 1/3", "epoch 2/3", "epoch 3/3",
    ]  # fmt: skip
    assert "batches" not in progress["text/html"]
    page = only(film)["text/html"]
    assert page.startswith("<div")
    assert "const packed" in page


def test_progress_is_one_output_that_says_why_training_stopped():
    interrupting = (
        "class Stop(training.Callback):\n    def on_step_end(self, trainer):\n        import os, signal\n"
    )
    interrupting += "        if trainer.step == 70: os.kill(os.getpid(), signal.SIGINT)\n"
    interrupting += "trainer.callbacks.append(Stop())"
    *_, stopped, resumed = run(
        SETTING_UP,
        interrupting,
        "h = trainer.fit(digits.arrays('train'), 3)",
        "h = trainer.fit(digits.arrays('train'), 3)",
    )
    batches = re.search(
        r"stopped in epoch 1/3 after batch (\d+)/108: interrupted", only(stopped)["text/plain"]
    )
    assert batches[1] == "70"
    assert len(only(resumed)["text/plain"].splitlines()) == 3


@pytest.mark.parametrize(
    "silent",
    [
        "trainer.fit(digits.arrays('train'), 1, progress=False);",
        "import contextlib, io\nwith contextlib.redirect_stdout(io.StringIO()):\n    h = trainer.fit(digits.arrays('train'), 1)",
        "%%capture\ntrainer.fit(digits.arrays('train'), 1)",
        "c = training.compare(training.RunConfig(data='digits', model='mlp:4', epochs=1), seeds=[0],\n"
        "    entries=[training.Entry('sgd')]);",
    ],
    ids=["told so", "redirected", "captured", "comparison"],
)
def test_progress_is_not_shown_where_it_is_not_wanted(silent):
    assert run(SETTING_UP, silent)[-1] == []


def test_progress_ends_with_an_error():
    failing = "class Stop(training.Callback):\n    def on_step_end(self, trainer):\n        raise KeyError\n"
    failing += "trainer.callbacks.append(Stop())"
    fit = "h = trainer.fit(digits.arrays('train'), 1)"
    shown = run(SETTING_UP, failing, fit, "trainer.callbacks.pop();" + fit, allow_errors=True)
    assert [output.output_type for output in shown[2]] == ["display_data", "error"]
    assert "batches" not in shown[2][0].data["text/plain"]
    assert only(shown[3])["text/plain"].startswith("epoch 1/1  loss")


@pytest.mark.parametrize("before", ["", "import matplotlib.pyplot\n", "%matplotlib inline\n"])
def test_a_plot_is_one_picture(before):
    pytest.importorskip("matplotlib")
    history = "training.History([{'epoch': 1, 'loss': 1.0}, {'epoch': 2, 'loss': 0.5}])"
    shown = only(run(before + SETTING_UP, f"{history}.plot()")[-1])
    assert {kind for kind in shown if kind.startswith("image/")} == {"image/png"}


def test_lines_name_the_cell_also_after_it_ran_again():
    first, again, other = run(
        SETTING_UP, LOSS, LOSS.replace("2.0", "3.0"), "str(loss.explain().steps[0].line)"
    )[1:]
    assert only(first)["text/plain"] == "'cell 2, line 3: loss = (x * x).sum()'"
    assert only(again)["text/plain"] == "'cell 3, line 3: loss = (x * x).sum()'"
    assert only(other) == only(again)
