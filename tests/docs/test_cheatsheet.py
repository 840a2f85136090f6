"""Every cell of the cheat sheet is run, a column a library, from the top."""

from __future__ import annotations

import contextlib
import io
import re

import numpy as np
import pages
import pytest

pytestmark = pytest.mark.torch

PAGE = (pages.ROOT / "docs" / "cheatsheet.md").read_text("utf-8")
CODE = re.compile(r"^`([^`]+)`$")


def tables():
    """Yield the heading and the rows of each table of code: the first column has no heading."""
    for text in re.findall(r"(?:^\|.*\n){3,}", PAGE, re.MULTILINE):
        head, _, *rows = ([cell.strip() for cell in line[1:-1].split("|")] for line in text.splitlines())
        if not head[0]:
            yield head, rows


def cells(column):
    """Return the code of a library's cells. The table without any heading is ours."""
    found = []
    for head, rows in tables():
        if column in head:
            found += [row[head.index(column)] for row in rows]
        elif column == "tinygrad_adam":
            assert not any(head)
            found += [row[1] for row in rows]
    return [CODE.match(cell)[1] for cell in found if cell]


def run(column, names, folder):
    done = 0
    with contextlib.chdir(folder), contextlib.redirect_stdout(io.StringIO()):
        for code in cells(column):
            exec(compile(code, code, "exec"), names)
            done += 1
    return done


def test_ours(tmp_path):
    names = {"__name__": "__main__"}
    exec(pages.BLOCK.search(PAGE)[2], names)
    assert run("tinygrad_adam", names, tmp_path) > 50


def test_numpy(tmp_path):
    x = np.linspace(0.1, 0.9, 9).reshape(3, 3)
    assert run("NumPy", {"np": np, "x": x, "w": np.eye(3)}, tmp_path) > 15


def test_pytorch(tmp_path):
    torch = pytest.importorskip("torch")
    loaders = pytest.importorskip("torch.utils.data")
    import safetensors.torch

    names = {
        "torch": torch,
        "nn": torch.nn,
        "optim": torch.optim,
        "F": torch.nn.functional,
        "data": loaders,
        "safetensors": safetensors,
        "labels": np.array([0, 1, 0]),
        "x": torch.linspace(0.1, 0.9, 9).reshape(3, 3),
        "w": torch.eye(3).requires_grad_(),
    }
    assert run("PyTorch", names, tmp_path) > 40


def test_micrograd(tmp_path):
    engine = pytest.importorskip("micrograd.engine")
    assert run("micrograd", {"Value": engine.Value}, tmp_path) > 4
