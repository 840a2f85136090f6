"""Settings and fixtures shared by several test files."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import sys

import pytest

with contextlib.suppress(ModuleNotFoundError):  # not needed by all tests
    from hypothesis import HealthCheck, settings

    # Do not fail on a busy machine.
    settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("untimed")


def pytest_configure():
    """Let Ctrl-C interrupt the tests and their children, even if the shell starts them in the background."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish(session):
    """Limit PyTorch to one thread: its idle threads spin and would take cores away from the tests."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


@pytest.fixture
def call(monkeypatch, capfd):
    """Call the entry point in this process, as the console script does."""
    from command_line import Answer

    from tinygrad_adam import cli

    def call(*args):
        monkeypatch.setattr(sys, "argv", ["tinygrad-adam", *map(str, args)])
        capfd.readouterr()
        code = 0
        try:
            cli.main()
        except SystemExit as error:
            code = error.code or 0
        return Answer(code, *capfd.readouterr())

    return call


@pytest.fixture
def fails(call):
    """The call must end with code 1, say this on stderr, and nothing else anywhere."""

    def fails(*args, saying):
        answer = call(*args)
        assert answer.code == 1, answer.out + answer.err
        assert answer.out == ""
        assert re.search(saying, answer.err, re.DOTALL), answer.err
        assert re.match(r"\w+Error: ", answer.err)
        return answer.err

    return fails


@pytest.fixture
def no_pictures(monkeypatch):
    """Disable the pictures of runs, which would take longer to draw than the runs take to train."""
    from tinygrad_adam.training import History, run

    monkeypatch.setattr(run, "plot_predictions", lambda *args: None)
    monkeypatch.setattr(History, "plot", lambda *args: None)


@pytest.fixture
def train(call, no_pictures, tmp_path):
    """Train a small model for a moment."""
    from command_line import SMALL

    return lambda *args, out="run": call("train", *SMALL, "--out", tmp_path / out, *args)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run that was trained well enough to know its digits."""
    from tinygrad_adam.training import Run, RunConfig

    folder = tmp_path_factory.mktemp("runs") / "run"
    config = RunConfig(model="mlp:48", epochs=8, settings={"lr": 0.01}, dropout=0.1)
    Run.start(config, folder).fit()
    return folder


@pytest.fixture(scope="module")  # Playwright runs an event loop as long as it is open
def browser():
    """Start headless Chromium, installed by the system or by Playwright."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason='needs pip install "tinygrad-adam[browser]"'
    )
    found = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    with playwright.sync_playwright() as p:
        try:
            browser = p.chromium.launch(executable_path=found, args=["--no-sandbox"])
        except playwright.Error as error:
            pytest.skip(f"no Chromium: {error.message.splitlines()[0]}")
        yield browser
        browser.close()


@pytest.fixture
def blank(browser):
    """Open a page that must not log messages, raise errors, or request anything but files."""
    page = browser.new_page(viewport={"width": 1200, "height": 800})
    complaints = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: complaints.append(request.url) if request.url[:5] != "file:" else None)
    yield page
    assert complaints == []
    page.close()
