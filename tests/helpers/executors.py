"""Executors for tests that should not wait for processes."""

from concurrent.futures import Executor, Future
from contextlib import contextmanager


class Inline(Executor):
    """Runs each job immediately; optionally raises KeyboardInterrupt before a given job."""

    def __init__(self, interrupt_before=None):
        self.left = interrupt_before
        self.calls = []

    def submit(self, function, /, *args, **kwargs):
        if self.left is not None:
            if self.left == 0:
                raise KeyboardInterrupt
            self.left -= 1
        self.calls.append((function, args, kwargs))
        future = Future()
        try:
            future.set_result(function(*args, **kwargs))
        except BaseException as error:
            future.set_exception(error)
        return future


class Disorderly(Executor):
    """Runs the first job last, after all `count` jobs are submitted, and the others immediately."""

    def __init__(self, count):
        self.left, self.first = count, None

    def submit(self, function, /, *args, **kwargs):
        self.left -= 1
        future = Future()
        if self.first is None:
            self.first = (future, function, args, kwargs)
            return future
        future.set_result(function(*args, **kwargs))
        if self.left == 0:
            waiting, function, args, kwargs = self.first
            waiting.set_result(function(*args, **kwargs))
        return future


@contextmanager
def inline_pool(workers=None, threads=1):
    """Stands in for `process_pool`."""
    yield Inline()
