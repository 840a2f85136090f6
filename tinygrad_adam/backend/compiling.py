"""A word when Numba compiles, which it does once for each machine: who waits should know why."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def told_of_compilation(tell: Callable[[], object]) -> Iterator[None]:
    """Call `tell` the first time that a kernel has to be compiled inside the block.

    Kernels found on disk, where each is put once compiled, are not told of.
    """
    if importlib.util.find_spec("numba") is None:
        yield
        return
    from numba.core import event

    told = False

    class Listener(event.Listener):
        def on_start(self, _event: Any) -> None:
            nonlocal told
            if not told:
                told = True
                tell()

        def on_end(self, _event: Any) -> None:
            pass

    with event.install_listener("numba:compile", Listener()):
        yield
