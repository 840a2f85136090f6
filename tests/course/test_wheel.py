"""An installation from a wheel writes the course, without a clone."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("hatchling")
pytest.importorskip("jupytext")
pytest.importorskip("docutils")

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_chapters_and_examples_travel_in_the_wheel(tmp_path):
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=300)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
    roots = {path.name for path in (tmp_path / "installed").iterdir() if path.suffix != ".dist-info"}
    assert roots == {"tinygrad_adam"}
    subprocess.run(
        [sys.executable, "-m", "tinygrad_adam", "course", "lessons"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(tmp_path / "installed")}, check=True, timeout=300,
    )  # fmt: skip
    written = {path.name: path.read_text("utf-8") for path in (tmp_path / "lessons").glob("*.ipynb")}
    assert written == {
        path.name: path.read_text("utf-8") for path in (ROOT / "examples" / "notebooks").iterdir()
    }
    examples = {path.name for path in (tmp_path / "lessons" / "examples").iterdir()}
    assert examples == {path.name for path in (ROOT / "examples").glob("*.py")}
