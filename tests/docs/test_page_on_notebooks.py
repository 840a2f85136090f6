"""The page about notebooks, in a notebook: its cells run in a real kernel, and show what the page says."""

from __future__ import annotations

import pages
import pytest

pytestmark = pytest.mark.slow
nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

PAGE = pages.ROOT / "docs/howto/notebooks.md"
BLOCKS = [block[2] for block in pages.BLOCK.finditer(PAGE.read_text("utf-8"))]
SETTING_UP = BLOCKS[0] + BLOCKS[1]
FIT = "history = trainer.fit(digits.arrays('train'), 1)"
INTERRUPTING = """
class Interrupting(training.Callback):
    def on_step_end(self, trainer):
        import os, signal
        if trainer.step == 70:
            os.kill(os.getpid(), signal.SIGINT)

trainer.callbacks.append(Interrupting())
"""
FAILING = """
class Failing(training.Callback):
    def on_step_end(self, trainer):
        raise KeyError

trainer.callbacks.append(Failing())
"""
SILENT = {
    "told so": "history = trainer.fit(digits.arrays('train'), 1, progress=False)",
    "redirected": f"import contextlib, io\nwith contextlib.redirect_stdout(io.StringIO()):\n    {FIT}",
    "captured": f"%%capture\n{FIT}",
    "one of many": "outcome = training.run_trial(training.RunConfig(model='mlp:4', epochs=1))",
}
LOSS = """
x = tg.tensor([2.0], requires_grad=True)
with tg.tracing():
    loss = (x * x).sum()
str(loss.explain().steps[0].line)
"""


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
    fit = FIT.replace("1)", "3)")
    *_, stopped, resumed = run(SETTING_UP, INTERRUPTING, fit, fit)
    assert only(stopped)["text/plain"] == "stopped in epoch 1/3 after batch 70/120: interrupted\n"
    assert len(only(resumed)["text/plain"].splitlines()) == 3


def test_progress_is_not_shown_where_it_is_not_wanted():
    assert run(SETTING_UP, *SILENT.values()) == [[]] * 5


def test_progress_ends_with_an_error():
    _, _, failed, after = run(SETTING_UP, FAILING, FIT, f"trainer.callbacks.pop(); {FIT}", allow_errors=True)
    assert [output.output_type for output in failed] == ["display_data", "error"]
    assert "batches" not in failed[0].data["text/plain"]
    assert only(after)["text/plain"].startswith("epoch 1/1  loss")


@pytest.mark.parametrize("before", ["", "import matplotlib.pyplot\n", "%matplotlib inline\n"])
def test_a_plot_is_one_picture(before):
    pytest.importorskip("matplotlib")
    history = "training.History([{'epoch': 1, 'loss': 1.0}, {'epoch': 2, 'loss': 0.5}])"
    shown = only(run(before + SETTING_UP, f"{history}.plot()")[-1])
    assert {kind for kind in shown if kind.startswith("image/")} == {"image/png"}


def test_lines_name_the_cell_also_after_it_ran_again():
    other = LOSS.replace("2.0", "3.0")
    first, again, changed = run(SETTING_UP, LOSS, LOSS, other)[1:]
    shown = [only(outputs)["text/plain"] for outputs in (first, again, changed)]
    assert shown == [f"'cell {number}, line 3: loss = (x * x).sum()'" for number in (2, 3, 4)]
