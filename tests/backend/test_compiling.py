"""Who waits for the compiler is told so: once, and only then."""

from __future__ import annotations

import importlib.util

import pytest

from tinygrad_adam.backend.compiling import on_compilation


def test_told_once_when_something_compiles_and_not_again():
    numba = pytest.importorskip("numba")
    first, second = numba.njit(lambda x: x + 1), numba.njit(lambda x: x + 2)
    told = []
    with on_compilation(lambda: told.append(1)):
        assert not told
        assert (first(1), second(1)) == (2, 3)
        assert told == [1]
    del told[:]
    with on_compilation(lambda: told.append(1)):
        first(2)
    assert not told
    first(2.5)  # compiled outside of any block
    assert not told


def test_nothing_is_told_without_numba(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with on_compilation(lambda: pytest.fail("told")):
        pass
