"""What several test files ask for."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys

import pytest

with contextlib.suppress(ModuleNotFoundError):  # who runs but some of the tests may not have it
    from hypothesis import HealthCheck, settings

    # A busy machine is no error.
    settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("untimed")


def pytest_configure():
    """Let Ctrl-C interrupt the tests and their children: in the background a shell lets them ignore it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish(session):
    """Let PyTorch compute in one thread: others of it that wait for work keep the cores from the tests."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


@pytest.fixture
def no_pictures(monkeypatch):
    """Runs leave no pictures: drawing takes longer than training here."""
    from tinygrad_adam.training import History, run

    monkeypatch.setattr(run, "plot_predictions", lambda *args: None)
    monkeypatch.setattr(History, "plot", lambda *args: None)


@pytest.fixture(scope="module")  # Playwright runs an event loop as long as it is open
def browser():
    """Chromium without a window: that of the system, or the one that Playwright installed."""
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
    """Give a page that may neither complain nor ask for anything but a file."""
    page = browser.new_page(viewport={"width": 1200, "height": 800})
    complaints = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: complaints.append(request.url) if request.url[:5] != "file:" else None)
    yield page
    assert complaints == []
    page.close()
