"""A trial computes with one thread and gives the same numbers, whoever runs it; how threads are asked for."""

import multiprocessing
import os
import subprocess
import sys
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from executors import Inline

import tinygrad_adam as tg
from tinygrad_adam.backend import threads
from tinygrad_adam.training import RunConfig, process_pool, run_trial

NET = """
from pathlib import Path
from tinygrad_adam import get_num_threads, nn
from tinygrad_adam.backend import threads

def net(input_shape, classes):
    counts = {get_num_threads(), *(count() for count, _ in threads._blas())}
    with Path(__file__).with_suffix(".txt").open("a") as file:
        file.write(" ".join(map(str, sorted(counts))) + ";")
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, classes))
"""


@pytest.fixture
def net(tmp_path):
    (tmp_path / "net.py").write_text(NET)
    return tmp_path / "net.py"


@pytest.fixture
def three():
    """This process computes with three threads, and must still do so afterwards."""
    before = tg.get_num_threads()
    tg.set_num_threads(3)
    blas = [count() for count, _ in threads._blas()]
    yield
    assert tg.get_num_threads() == 3
    assert [count() for count, _ in threads._blas()] == blas
    tg.set_num_threads(before)


def foreign_processes():
    """Stands for MPI's and Dask's workers, which this package does not start."""
    return ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))


RUNNERS = {
    "in this thread": Inline,
    "in other threads": lambda: ThreadPoolExecutor(2),
    "in processes of its own": lambda: process_pool(1),
    "in processes of others": foreign_processes,
}


def test_a_trial_computes_with_one_thread(net, three):
    config = RunConfig(model=f"{net}:net", epochs=1, batch_size=2048, dropout=0.0)
    found = {}
    for name, runner in RUNNERS.items():
        with runner() as pool:
            jobs = [pool.submit(run_trial, config) for _ in range(2)]
            rows = [job.result().rows for job in jobs]
        found[name] = [{k: v for k, v in row.items() if k != "seconds"} for many in rows for row in many]
    assert len({str(rows) for rows in found.values()}) == 1, found
    counts = net.with_suffix(".txt").read_text().split(";")
    assert set(counts) == {"1", ""}  # each time: of the package, and of the BLAS libraries


@pytest.mark.slow
def test_workers_that_were_asked_to_compute_with_more_threads(net, three):
    with process_pool(1, threads=2) as pool:
        pool.submit(run_trial, RunConfig(model=f"{net}:net", epochs=1, batch_size=2048)).result()
    assert set(net.with_suffix(".txt").read_text().split(";")) == {"2", ""}


def test_a_count_of_a_block_is_of_this_thread_alone(three):
    seen = []
    with threads.num_threads(1):
        other = threading.Thread(target=lambda: seen.append(tg.get_num_threads()))
        other.start()
        other.join()
        seen.append(tg.get_num_threads())
        with threads.num_threads(2):
            seen.append(tg.get_num_threads())
            threads.in_pieces(lambda start, stop: seen.append((start, stop)), 10, 1)
        assert threads.in_pieces(lambda start, stop: (start, stop), 10, 1) == [(0, 10)]
        assert threads.products_in_pieces(lambda start, stop: (start, stop), 10, 1) == [(0, 10)]
    assert (seen[:3], sorted(seen[3:])) == ([3, 1, 2], [(0, 5), (5, 10)])
    assert len(threads.in_pieces(lambda start, stop: None, 12, 1)) == 3


def test_a_block_that_fails_gives_the_threads_back(three):
    with pytest.raises(KeyError), threads.num_threads(1):
        raise KeyError
    assert threads._scopes == 0


@pytest.mark.parametrize("count", [0, -1, 1.5, True, None])
def test_bad_counts(count):
    with (
        pytest.raises(tg.errors.OptionError, match="count must be an integer >= 1"),
        threads.num_threads(count),
    ):
        pass


def test_numpys_numbers_count_threads():
    with threads.num_threads(np.int64(2)):
        assert tg.get_num_threads() == 2


# --- At the start --------------------------------------------------------------------------

OWN, USUAL = "TINYGRAD_ADAM_NUM_THREADS", "OMP_NUM_THREADS"
COUNTS = """
from tinygrad_adam.backend import threads
print(threads.get_num_threads(), *{count() for count, _ in threads._blas()})
"""


def at_start(**variables):
    environment = {k: v for k, v in os.environ.items() if not k.endswith("_NUM_THREADS")}
    environment |= {"PYTHONPATH": str(Path(tg.__file__).parents[1]), **variables}
    return subprocess.run([sys.executable, "-c", COUNTS], env=environment, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("variables", "count", "blas"),
    [
        ({USUAL: "1"}, "1", "1"),
        ({USUAL: "3,2"}, "3", None),
        ({USUAL: "many"}, None, None),
        ({OWN: "1"}, "1", "1"),
        ({OWN: "", USUAL: "2"}, "2", None),
        ({OWN: "2", USUAL: "1"}, "2", "2"),
    ],
    ids=str,
)
def test_the_usual_variables_are_obeyed(variables, count, blas):
    answer = at_start(**variables)
    assert answer.stderr == ""
    found = answer.stdout.split()
    assert found[0] == (count or str(threads._usable_cores()))
    if blas is not None and threads._blas():
        assert set(found[1:]) <= {blas}


@pytest.mark.parametrize("value", ["0", "two"])
def test_a_bad_count_at_the_start_is_named(value):
    answer = at_start(**{OWN: value})
    assert "OptionError: TINYGRAD_ADAM_NUM_THREADS: it must be a positive integer" in answer.stderr
