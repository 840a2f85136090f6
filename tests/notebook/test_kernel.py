"""Every object as the last line of a cell, in a kernel of Jupyter."""

import os
import sys

import pytest
from balanced import Balanced
from displays import DISPLAYS

pytest.importorskip("ipykernel")
nbclient = pytest.importorskip("nbclient")
nbformat = pytest.importorskip("nbformat")

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # of other packages


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """The data of each cell's result, by name."""
    cells = [f"DISPLAYS[{name!r}]()" for name in DISPLAYS]
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(code) for code in ("from displays import DISPLAYS", *cells)]
    )
    folder = tmp_path_factory.mktemp("kernel")
    client = nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(folder)}})
    client.execute(env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))})
    return dict(zip(DISPLAYS, [cell.outputs for cell in notebook.cells[1:]], strict=True))


@pytest.mark.parametrize("name", DISPLAYS)
def test_a_cell_that_ends_with_it_shows_html_and_a_text_without_addresses(outputs, name):
    (output,) = outputs[name]
    assert output.output_type == "execute_result"
    assert Balanced(output.data["text/html"]).text
    text = output.data["text/plain"]
    assert " at 0x" not in text
    assert "\\n" not in text  # as the representation of a string would have
