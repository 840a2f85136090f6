"""Every page is a program, and what it says under its blocks is what they print."""

from __future__ import annotations

import re
import shlex

import numpy as np
import pages
import pytest

pytestmark = pytest.mark.torch

NUMBER = re.compile(r"[-+]?\d[\d,]*\.?\d*(?:e[-+]?\d+)?")
SLOW = {
    f"docs/{page}.md"
    for page in (
        "promises", "explain", "optimizers", "explanation/weight-decay", "explanation/corrections",
        "explanation/larger-steps", "explanation/schedules",
    )
}  # fmt: skip
NAMES = [path.relative_to(pages.ROOT).as_posix() for path in pages.PAGES]


def assert_alike(printed, written):
    """Compare texts whose numbers may differ a little: roundings depend on the machine."""
    assert NUMBER.sub("0", printed).split() == NUMBER.sub("0", written).split()
    for now, then in zip(NUMBER.findall(printed), NUMBER.findall(written), strict=True):
        tiny = "e-" in now or "e-" in then
        now, then = (float(number.replace(",", "")) for number in (now, then))
        np.testing.assert_allclose(now, then, rtol=0.25, atol=1e-12 if tiny else 0.03)


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow if n in SLOW else ()) for n in NAMES]
)
def test_what_the_page_says_is_what_its_code_prints(name):
    written = (pages.ROOT / name).read_text("utf-8")
    printed, _ = pages.run(written, measured=False)
    now, then = ([block[3] or "" for block in pages.BLOCK.finditer(text)] for text in (printed, written))
    assert len(then) == written.count("```python")
    for shown_now, shown_then in zip(now, then, strict=True):
        assert_alike(shown_now, shown_then)


COMMAND = re.compile(
    r"^(?: {4}|.*?`)(?:\.venv/bin/)?tinygrad-adam ([a-z][a-z-]*(?: [^`#\n]*)?)", re.MULTILINE
)


def commands():
    """Yield the commands of this package that the pages name, in blocks and in lines of text."""
    for path in [*pages.PAGES, pages.ROOT / "docs" / "selfcheck.md"]:
        for match in COMMAND.finditer(path.read_text("utf-8")):
            yield path.name, match[1].strip()


def parse(command):
    """Let the command line parse a command, and run nothing."""
    typer = pytest.importorskip("typer")
    from tinygrad_adam.cli import app

    group = typer.main.get_command(app)
    words = shlex.split(command)
    with group.make_context("tinygrad-adam", list(words)) as context:
        name, called, options = group.resolve_command(context, words)
        with called.make_context(name, options):
            pass


@pytest.mark.parametrize(("page", "command"), sorted(set(commands())))
def test_a_command_that_a_page_names_is_one(page, command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    parse(command)


def test_a_command_with_a_wrong_option_is_noticed():
    with pytest.raises(Exception, match="No such option"):
        parse("train --flim film.html")


def test_the_pages_are_found():
    assert {"README.md", "docs/promises.md", "docs/gpu.md", "docs/design.md"} <= set(NAMES)


def test_a_page_that_is_wrong_is_noticed():
    page = "```python\nprint('two:', 1 + 1)\n```\n\n    two: 7\n\nText.\n"
    assert pages.run(page)[0] == page.replace("7", "2")
    assert pages.run(page.replace("python", "python measured"), measured=False)[0].count("7") == 1


def test_the_comparison_of_pages_can_fail():
    assert_alike("ends at +1.00, 20,000 x 1e-15", "ends at +1.01, 20,000 x 7e-16")
    for other in (
        "ends at -1.00, 20,000 x 1e-15",
        "ends at +1.00, 2,000 x 1e-15",
        "ends at +1.00, 20,000 x 1e-08",
        "begins at +1.00, 20,000 x 1e-15",
    ):
        with pytest.raises(AssertionError):
            assert_alike("ends at +1.00, 20,000 x 1e-15", other)
