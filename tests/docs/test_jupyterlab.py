"""The page about notebooks in JupyterLab itself: its four cells lead to a film that plays, in both themes."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pages
import pytest

pytestmark = [pytest.mark.browser, pytest.mark.slow]
nbformat = pytest.importorskip("nbformat")
pytest.importorskip("jupyterlab")
pytest.importorskip("ipykernel")

PAGE = pages.ROOT / "docs/howto/notebooks.md"
CELLS = [*[block[2] for block in pages.BLOCK.finditer(PAGE.read_text("utf-8"))][:4], "history.plot()"]


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """Start JupyterLab on a folder with the notebook; yield its address and its folder of settings."""
    folder = tmp_path_factory.mktemp("lab")
    cells = [nbformat.v4.new_code_cell(cell.rstrip()) for cell in CELLS]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    (folder / "work").mkdir()
    notebook = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})
    for name in ("Light", "Dark"):  # one each: a notebook that was open keeps its kernel
        nbformat.write(notebook, folder / f"work/{name}.ipynb")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "PYTHONPATH": str(pages.ROOT)}
    for kind in ("JUPYTER_CONFIG", "JUPYTER_RUNTIME", "JUPYTERLAB_SETTINGS", "JUPYTERLAB_WORKSPACES"):
        environment[f"{kind}_DIR"] = str(folder / kind)
    options = ["--no-browser", "--allow-root", f"--port={port}", "--ServerApp.port_retries=0"]
    options += ["--IdentityProvider.token=", f"--ServerApp.root_dir={folder / 'work'}"]
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", *options], env=environment, stdout=log, stderr=log
        )
    address = f"http://127.0.0.1:{port}"
    try:
        while server.poll() is None:
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"{address}/api/status").close()
                break
            time.sleep(0.2)
        assert server.poll() is None, (folder / "log").read_text()
        yield address, folder / "JUPYTERLAB_SETTINGS/@jupyterlab/apputils-extension"
    finally:
        server.terminate()
        server.wait()


def settle(folder: Path, theme: str) -> None:
    """Choose a theme, and answer the question for news that JupyterLab asks at its first start."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "themes.jupyterlab-settings").write_text(json.dumps({"theme": f"JupyterLab {theme}"}))
    (folder / "notification.jupyterlab-settings").write_text(json.dumps({"fetchNews": "false"}))


@pytest.mark.parametrize(("theme", "paper"), [("Light", "rgb(243, 245, 248)"), ("Dark", "rgb(18, 23, 30)")])
def test_four_cells_lead_to_a_film_in_jupyterlab(lab, browser, theme, paper):
    address, settings = lab
    settle(settings, theme)
    page = browser.new_page(viewport={"width": 1366, "height": 768})
    page.set_default_timeout(60_000)
    page.goto(f"{address}/lab/tree/{theme}.ipynb?reset")
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()  # it drops what comes before
    page.locator(".jp-CodeCell .cm-content").first.click()
    for number, _ in enumerate(CELLS, 1):
        page.keyboard.press("Shift+Enter")
        page.locator(".jp-InputPrompt").get_by_text(f"[{number}]:", exact=True).wait_for()
    progress = page.locator(".jp-CodeCell >> nth=2").locator(".jp-OutputArea-output")
    assert [line[:9] for line in progress.inner_text().splitlines()] == [
        "epoch 1/3",
        "epoch 2/3",
        "epoch 3/3",
    ]
    film = page.frame_locator(".jp-OutputArea iframe")
    before = film.locator("#where").inner_text()
    film.locator("#forth").click()
    assert film.locator("#where").inner_text() != before
    assert film.locator("body").evaluate("body => getComputedStyle(body).backgroundColor") == paper
    assert page.locator(".jp-OutputArea img").count() == 1
    if pictures := os.environ.get("TINYGRAD_ADAM_PICTURES"):  # a folder, for a look at what people see
        for number, shown in enumerate(
            (".jp-CodeCell >> nth=2", ".jp-OutputArea iframe", ".jp-OutputArea img")
        ):
            page.locator(shown).scroll_into_view_if_needed()
            page.screenshot(path=Path(pictures) / f"{theme}-{number}.png")
    page.close()
