"""The reference on the site lists every public name of the package, once, and no other."""

from __future__ import annotations

import importlib
import inspect
import re
import types

import pages
import pytest

import tinygrad_adam as tg
from tinygrad_adam import course, cuda, data, errors, explain, nn, optim, testing, training
from tinygrad_adam.engine import events as watching

FOLDER = pages.ROOT / "docs" / "reference"
ROOMS = (
    tg,
    course,
    cuda,
    data,
    errors,
    explain,
    nn,
    nn.functional,
    nn.init,
    optim,
    testing,
    training,
    watching,
)
INTERNAL = {
    "answer_attributes", "answer_calls", "apart", "missing", "near_names", "optional", "tell", "unknown_name",
    "unwatched", "watched",
}  # fmt: skip
"""What the rooms of the package call, and nobody else."""


def listed():
    """Return the names that the pages list, each with the module that it is looked up in."""
    found = []
    for page in sorted(FOLDER.glob("*.rst")):
        module, inside = None, False
        for line in page.read_text("utf-8").splitlines():
            if match := re.match(r"\.\. currentmodule:: (\S+)", line):
                module = match[1]
            elif line.startswith(".. autosummary::"):
                inside = True
            elif line and not line.startswith(" "):
                inside = False
            elif inside and line.strip() and not line.strip().startswith(":"):
                found.append((module, line.strip()))
    return found


def resolve(module, name):
    return getattr(importlib.import_module(module), name)


def public(room):
    """Yield the public functions, classes and primitives of a room, those that come when asked for, too."""
    late = {name: getattr(room, name) for name in getattr(room, "_FUNCTIONS", ())}
    for name, thing in {**vars(room), **late}.items():
        if name.startswith("_") or name in INTERNAL or isinstance(thing, types.ModuleType):
            continue
        home = getattr(inspect.unwrap(thing) if callable(thing) else thing, "__module__", "") or ""
        defined = home == room.__name__ or room.__file__.endswith("__init__.py")
        if home.startswith("tinygrad_adam") and defined and callable(thing):
            yield name, thing


def test_every_name_that_is_listed_exists_and_says_what_it_does():
    for module, name in listed():
        assert inspect.getdoc(resolve(module, name)), (module, name)


def test_no_name_is_listed_twice():
    things = [resolve(module, name) for module, name in listed()]
    twice = [
        entry for entry, thing in zip(listed(), things, strict=True) if sum(t is thing for t in things) > 1
    ]
    assert not twice


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.__name__)
def test_every_public_name_is_listed(room):
    there = {id(resolve(module, name)) for module, name in listed()}
    assert not sorted(name for name, thing in public(room) if id(thing) not in there)
