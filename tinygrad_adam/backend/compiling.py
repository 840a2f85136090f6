"""Notice of compilation by Numba, which happens once on each machine, and makes a first call slow."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def on_compilation(tell: Callable[[], object]) -> Iterator[None]:
    """Call `tell` once, when a kernel is first compiled inside the block.

    A kernel that was compiled before is loaded from disk, without a call.
    """
    if importlib.util.find_spec("numba") is None:
        yield
        return
    from numba.core import event

    called = False

    class Listener(event.Listener):
        def on_start(self, _event: object) -> None:
            nonlocal called
            if not called:
                called = True
                tell()

        def on_end(self, _event: object) -> None:
            pass

    with event.install_listener("numba:compile", Listener()):
        yield
