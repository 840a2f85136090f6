"""Threads and processes: a fork, and an end."""

from __future__ import annotations

import os

import pytest
from child import python

pytestmark = pytest.mark.products


FORK = """
import faulthandler, os, threading, warnings
faulthandler.dump_traceback_later(240, exit=True)
import numpy as np
import tinygrad_adam as tg
from tinygrad_adam.backend import threads
from tinygrad_adam.kernels.cpu import convolution as cpu_convolution

cpu_convolution._LEAST = 1
warnings.filterwarnings("ignore", message=".*multi-threaded", category=DeprecationWarning)
tg.set_num_threads(2)
x, w = tg.tensor(np.random.default_rng(0).standard_normal((6, 2, 9, 9))), tg.ones(3, 2, 3, 3)
big = tg.tensor(np.random.default_rng(0).standard_normal(1 << 20))

def results():
    return tg.conv2d(x, w).numpy(), big.relu().numpy()

def blas():
    return {count() for count, _ in threads._blas()} or {2}

wanted = results()
entered, leave = threading.Event(), threading.Event()

def hold():
    with threads.one_blas_thread:
        entered.set()
        leave.wait()

other = threading.Thread(target=hold)
if HELD:
    other.start()
    entered.wait()
child = os.fork()
if child == 0:
    assert not threads._workers
    assert blas() == {2}, blas()
    right = all(np.array_equal(a, b) for a, b in zip(results(), wanted))
    assert threads._workers
    os._exit(0 if right and blas() == {2} else 3)
leave.set()
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
if HELD:
    other.join()
assert blas() == {2}, blas()
assert all(np.array_equal(a, b) for a, b in zip(results(), wanted))
print("done")
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("held", [False, True], ids=["", "while another thread convolves"])
def test_after_a_fork(held):
    pytest.importorskip("numba")
    done = python(f"HELD = {held}\n" + FORK)
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr
