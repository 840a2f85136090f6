"""The page docs/promises.md is a program, and what it says under its blocks is what they print."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest

NUMBER = re.compile(r"[-+]?\d[\d,]*\.?\d*(?:e[-+]?\d+)?")


def page_program():
    path = Path(__file__).parent.parent / "docs" / "promises.py"
    spec = importlib.util.spec_from_file_location("promises", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def assert_alike(printed, written):
    """Compare texts whose numbers may differ a little: roundings depend on the machine."""
    assert NUMBER.sub("0", printed).split() == NUMBER.sub("0", written).split()
    numbers = [[float(n.replace(",", "")) for n in NUMBER.findall(text)] for text in (printed, written)]
    np.testing.assert_allclose(*numbers, rtol=0.25, atol=0.03)


@pytest.mark.slow
def test_the_numbers_of_the_page_are_what_its_code_prints():
    program = page_program()
    written = program.PAGE.read_text("utf-8")
    printed, _ = program.run(written, measured=False)
    outputs = [[block[3] or "" for block in program.BLOCK.finditer(text)] for text in (printed, written)]
    assert len(outputs[0]) > 15
    for now, then in zip(*outputs, strict=True):
        assert_alike(now, then)


def test_the_comparison_of_pages_can_fail():
    assert_alike("ends at +1.00, 20,000 x 1e-15", "ends at +1.01, 20,000 x 7e-16")
    for other in (
        "ends at -1.00, 20,000 x 1e-15",
        "ends at +1.00, 2,000 x 1e-15",
        "begins at +1.00, 20,000 x 1e-15",
    ):
        with pytest.raises(AssertionError):
            assert_alike("ends at +1.00, 20,000 x 1e-15", other)
