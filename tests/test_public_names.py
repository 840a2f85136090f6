"""The public names of the package, their parameters, and the imports that pages show stay as listed."""

from __future__ import annotations

import importlib
import sys

import public_names
import pytest

LISTED, _, IMPORTS = public_names.LIST.read_text("utf-8").partition("\n\n")
HOW = "after an intended change, run: python tests/public_names.py"


def test_every_name_is_listed_with_its_parameters_and_no_other():
    listed, found = LISTED.splitlines(), public_names.lines()
    assert len(listed) > 1000
    assert sorted({*listed} - {*found}) == [], f"missing or changed; {HOW}"
    assert sorted({*found} - {*listed}) == [], f"not listed; {HOW}"


@pytest.mark.parametrize("line", IMPORTS.splitlines())
def test_imports_that_pages_show_work(line):
    module, _, name = line.removeprefix("import ").rpartition(".")
    assert hasattr(importlib.import_module(module), name) or importlib.import_module(f"{module}.{name}")


def test_imports_that_pages_show_are_listed():
    assert sorted({f"import {name}" for name in public_names.imports()} - {*IMPORTS.splitlines()}) == [], HOW


def test_the_registry_of_primitives_is_not_empty():
    registries = [
        vars(module)["PRIMITIVES"]
        for name, module in sorted(sys.modules.items())
        if name.startswith("tinygrad_adam.") and "PRIMITIVES" in vars(module)
    ]
    assert registries
    for registry in registries:
        assert registry is registries[0]
    assert len(registries[0]) >= 102
    assert {"add", "exp", "sum", "softmax"} <= {*registries[0]}
