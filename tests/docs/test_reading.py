"""The README's reading order and the page that includes source: files and objects exist, sizes are true."""

from __future__ import annotations

import ast
import re

import pages
import pytest

PAGE = (pages.ROOT / "docs" / "engine_read_aloud.md").read_text("utf-8")
INCLUDED = re.findall(r"```\{literalinclude\} \.\./(\S+)\n:pyobject: (\S+)\n", PAGE)
README = (pages.ROOT / "README.md").read_text("utf-8")
READING = re.findall(r"^\| \[`[^`]+`\]\((tinygrad_adam/\S+\.py)\) \| (\d+) \|", README, re.MULTILINE)


def test_the_page_includes_a_step():
    files = {file for file, _ in INCLUDED}
    assert len(INCLUDED) == PAGE.count("literalinclude") >= 10
    assert {
        "tinygrad_adam/engine/graph.py",
        "tinygrad_adam/engine/backward.py",
        "tinygrad_adam/optim/adam.py",
    } <= files


@pytest.mark.parametrize(("file", "name"), INCLUDED)
def test_what_the_page_includes_exists(file, name):
    body = ast.parse((pages.ROOT / file).read_text("utf-8")).body
    for part in name.split("."):
        (found,) = [node for node in body if getattr(node, "name", None) == part]
        body = found.body


def test_there_is_a_reading_order():
    assert [file for file, _ in READING][:3] == [
        f"tinygrad_adam/engine/{name}.py" for name in ("graph", "rules", "backward")
    ]


@pytest.mark.parametrize(("file", "lines"), READING)
def test_sizes_of_the_reading_order(file, lines):
    assert abs(len((pages.ROOT / file).read_text("utf-8").splitlines()) - int(lines)) <= 0.1 * int(lines)
