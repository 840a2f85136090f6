"""Ctrl-C while something is under way that must not be torn apart."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def on_interrupt(handle: Callable[[], None]) -> Iterator[None]:
    """Call `handle` at the first Ctrl-C inside the block; a second one has its usual effect.

    Signals can be caught in the main thread only; in another thread nothing is changed. Nor is it where
    Ctrl-C is ignored, as in a job that a shell script starts in the background, or not handled by Python.
    """
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or before in (signal.SIG_IGN, None):
        yield
        return

    def handle_once(number: int, frame: object) -> None:
        signal.signal(signal.SIGINT, before)
        handle()

    signal.signal(signal.SIGINT, handle_once)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
