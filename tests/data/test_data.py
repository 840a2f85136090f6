"""TensorDataset and DataLoader: batches, orders, resumed epochs, prefetched batches, wrong arguments."""

from __future__ import annotations

import contextvars
import subprocess
import sys
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_adam import Tensor, tensor
from tinygrad_adam.data import DataLoader, TensorDataset, split
from tinygrad_adam.errors import DTypeError, IndexingError, OptionError, ShapeError, StateError

pytestmark = pytest.mark.versions


def rows(loader):
    """Every batch of an epoch as a list of row numbers."""
    return [batch[0].numpy().tolist() for batch in loader]


def place(loader):
    return {name: loader.state_dict()[name] for name in ("epoch", "batch", "seed")}


def numbers(n):
    return TensorDataset(np.arange(n))


# --- TensorDataset -----------------------------------------------------------


def test_dataset_indexes_all_arrays_together():
    x = np.arange(12.0).reshape(4, 3)
    y = np.array([3, 1, 2, 0])
    data = TensorDataset(x, y)
    assert len(data) == 4
    for index in (2, -1, np.int64(1)):
        a, b = data[index]
        assert isinstance(a, np.ndarray)
        assert isinstance(b, np.ndarray)
        assert b.shape == ()
        np.testing.assert_array_equal(a, x[index])
        np.testing.assert_array_equal(b, y[index])
    for index in (slice(1, 3), [3, 0], np.array([0, 0, 2]), np.array([True, False, False, True]), []):
        a, b = data[index]
        np.testing.assert_array_equal(a, x[index])
        np.testing.assert_array_equal(b, y[index])
    assert [int(b) for _, b in data] == [3, 1, 2, 0]


def test_dataset_keeps_dtypes_and_gathers_contiguous_copies():
    x = np.arange(24, dtype=np.uint8).reshape(4, 1, 2, 3).transpose(0, 3, 1, 2)
    data = TensorDataset(x, np.arange(8)[::2])
    a, b = data[np.array([2, 0])]
    assert a.dtype == np.uint8
    assert a.flags.c_contiguous
    assert b.flags.c_contiguous
    a[:] = 0
    b[:] = 0
    np.testing.assert_array_equal(data.arrays[0], x)
    np.testing.assert_array_equal(data.arrays[1], [0, 2, 4, 6])


def test_dataset_takes_tensors_and_sequences_by_the_rules_of_tensor():
    data = TensorDataset(tensor(np.arange(3, dtype=np.float32)), [0.5, 1.5, 2.5])
    assert [array.dtype for array in data.arrays] == [np.float32, np.float32]
    assert all(isinstance(array, np.ndarray) for array in data.arrays)


def test_transform_always_sees_a_batch():
    seen = []

    def transform(x, y):
        seen.append(x.shape)
        return x * 2, y

    data = TensorDataset(np.ones((5, 3)), np.arange(5), transform=transform)
    x, y = data[4]
    assert x.shape == (3,)
    assert x.tolist() == [2, 2, 2]
    assert y == 4
    data[1:4]
    assert seen == [(1, 3), (3, 3)]
    with pytest.raises(DTypeError, match=r"tuple of arrays[\s\S]*ndarray"):
        TensorDataset(np.ones(2), transform=lambda x: x)[:]


def test_dataset_refuses_lengths_that_differ():
    with pytest.raises(ShapeError) as caught:
        TensorDataset(np.zeros((5, 2)), np.zeros(4))
    assert "(5, 2)" in str(caught.value)
    assert "(4,)" in str(caught.value)
    with pytest.raises(ShapeError):
        TensorDataset()
    with pytest.raises(ShapeError):
        TensorDataset(np.float32(3))


@pytest.mark.parametrize("index", [4, -5, np.array([0, 9]), np.array([0.5]), np.array([True])])
def test_dataset_refuses_rows_that_do_not_exist(index):
    with pytest.raises(IndexingError, match=r"length\s+4"):
        numbers(4)[index]


def test_split_shares_nothing_and_loses_nothing():
    data = TensorDataset(np.arange(10), np.arange(10) * 10, transform=lambda x, y: (x, y))
    first, second = split(data, 0.7, seed=3)
    assert (len(first), len(second)) == (7, 3)
    assert sorted(np.concatenate([first.arrays[0], second.arrays[0]])) == list(range(10))
    np.testing.assert_array_equal(first.arrays[1], first.arrays[0] * 10)
    assert first.transform is data.transform
    again, _ = split(data, 0.7, seed=3)
    np.testing.assert_array_equal(first.arrays[0], again.arrays[0])
    other, _ = split(data, 0.7, seed=4)
    assert first.arrays[0].tolist() != other.arrays[0].tolist()


@pytest.mark.parametrize("fraction", [0, 1, -0.5, 1.5, 0.01, 0.99, float("nan"), "0.5"])
def test_split_refuses_an_empty_part(fraction):
    with pytest.raises(OptionError, match="fraction"):
        split(numbers(10), fraction)


# --- DataLoader --------------------------------------------------------------


def test_loader_yields_tuples_of_tensors_with_the_dtypes_of_the_arrays():
    data = TensorDataset(np.zeros((5, 2), np.float32), np.zeros(5, np.int64), np.zeros(5, np.float64))
    batches = list(DataLoader(data, batch_size=2))
    assert [batch[0].shape for batch in batches] == [(2, 2), (2, 2), (1, 2)]
    for batch in batches:
        assert type(batch) is tuple
        assert all(isinstance(part, Tensor) for part in batch)
        assert [part.numpy().dtype for part in batch] == [np.float32, np.int64, np.float64]


@pytest.mark.parametrize("prefetch", [0, 1, 3])
def test_loader_covers_each_example_once(prefetch):
    assert rows(DataLoader(numbers(7), 3, prefetch=prefetch)) == [[0, 1, 2], [3, 4, 5], [6]]
    assert rows(DataLoader(numbers(7), 3, drop_last=True, prefetch=prefetch)) == [[0, 1, 2], [3, 4, 5]]
    assert rows(DataLoader(numbers(6), 3, drop_last=True, prefetch=prefetch)) == [[0, 1, 2], [3, 4, 5]]
    shuffled = np.concatenate(rows(DataLoader(numbers(50), 8, shuffle=True, prefetch=prefetch))).tolist()
    assert sorted(shuffled) == list(range(50))
    assert shuffled != list(range(50))
    assert len(DataLoader(numbers(7), 3)) == 3
    assert len(DataLoader(numbers(7), 3, drop_last=True)) == 2


def test_order_is_a_pure_function_of_seed_and_epoch():
    loader = DataLoader(numbers(20), 20, shuffle=True, seed=5)
    for epoch in range(3):
        ((order,),) = loader
        np.testing.assert_array_equal(order.numpy(), np.random.default_rng([5, epoch]).permutation(20))


def test_a_loop_that_is_left_early_does_not_shorten_the_next_one():
    loader = DataLoader(numbers(20), 4, shuffle=True)
    whole = DataLoader(numbers(20), 4, shuffle=True)
    epochs = [rows(whole) for _ in range(3)]
    assert next(iter(loader))[0].numpy().tolist() == epochs[0][0]
    assert rows(loader) == epochs[1]
    assert rows(loader) == epochs[2]


@given(
    n=st.integers(1, 40),
    batch_size=st.integers(1, 12),
    shuffle=st.booleans(),
    drop_last=st.booleans(),
    prefetch=st.sampled_from([0, 2]),
    seed=st.integers(0, 2**40),
    stop=st.integers(0, 60),
)
def test_restored_loader_goes_on_where_the_other_stopped(
    n, batch_size, shuffle, drop_last, prefetch, seed, stop
):
    batch_size = min(n, batch_size)
    options = {"batch_size": batch_size, "shuffle": shuffle, "drop_last": drop_last}
    reference = DataLoader(numbers(n), seed=seed, **options)
    count = len(reference)
    expected = [rows(reference) for _ in range(stop // count + 3)]

    interrupted = DataLoader(numbers(n), seed=seed, prefetch=prefetch, **options)
    for _ in range(stop // count):
        list(interrupted)
    running = iter(interrupted)
    for _ in range(stop % count):
        next(running)
    state = interrupted.state_dict()
    assert place(interrupted) == {"epoch": stop // count, "batch": stop % count, "seed": seed}
    running.close()
    assert interrupted.state_dict() == state

    restored = DataLoader(numbers(n), seed=1, prefetch=prefetch, **options)
    list(restored)
    restored.load_state_dict(state)
    assert restored.state_dict() == state
    assert rows(restored) == expected[stop // count][stop % count :]
    assert rows(restored) == expected[stop // count + 1]
    assert place(restored) == {"epoch": stop // count + 2, "batch": 0, "seed": seed}


def test_only_the_first_loop_after_a_restore_is_short():
    whole = DataLoader(numbers(6), 2, shuffle=True)
    expected = [rows(whole) for _ in range(2)]
    restored = DataLoader(numbers(6), 2, shuffle=True)
    restored.load_state_dict({"epoch": 0, "batch": 1, "seed": 0})
    assert next(iter(restored))[0].numpy().tolist() == expected[0][1]
    assert rows(restored) == expected[1]


def test_state_after_the_last_batch_leaves_the_end_of_the_epoch_to_do():
    loader = DataLoader(numbers(6), 3, shuffle=True)
    states = [loader.state_dict() for _ in loader]
    assert (states[-1]["epoch"], states[-1]["batch"]) == (0, 2)
    assert place(loader) == {"epoch": 1, "batch": 0, "seed": 0}
    second = rows(loader)
    loader.load_state_dict(states[-1])
    assert rows(loader) == []
    assert rows(loader) == second


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"epoch": 0, "batch": 0},
        {"epoch": 0, "batch": 0, "seed": 0, "more": 0},
        {"epoch": -1, "batch": 0, "seed": 0},
        {"epoch": 0, "batch": 1.0, "seed": 0},
        {"epoch": 0, "batch": 4, "seed": 0},
    ],
)
def test_loader_refuses_a_state_that_does_not_fit(state):
    loader = DataLoader(numbers(9), 3)
    with pytest.raises(StateError):
        loader.load_state_dict(state)
    assert rows(loader) == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("batch_size", 0),
        ("batch_size", 2.0),
        ("batch_size", True),
        ("seed", -1),
        ("seed", None),
        ("prefetch", -1),
        ("prefetch", "2"),
        ("shuffle", 1),
        ("drop_last", "no"),
        ("device", "tpu"),
    ],
)
def test_loader_refuses_options_with_their_value(option, value):
    with pytest.raises(OptionError) as caught:
        DataLoader(numbers(4), **{option: value})
    assert option in str(caught.value)
    assert repr(value) in str(caught.value)


def test_bare_arrays_are_no_dataset():
    with pytest.raises(OptionError, match=r"DataLoader: put arrays into .*TensorDataset\(x, y\)"):
        DataLoader((np.zeros((4, 2)), np.arange(4)))


@pytest.mark.parametrize("prefetch", [0, 2])
def test_loader_refuses_an_epoch_without_a_batch(prefetch):
    with pytest.raises(OptionError, match=r"at least one batch[\s\S]*examples\s+0"):
        list(DataLoader(numbers(0), prefetch=prefetch))
    with pytest.raises(OptionError, match=r"at least one batch[\s\S]*drop_last\s+True"):
        list(DataLoader(numbers(3), 4, drop_last=True, prefetch=prefetch))


# --- prefetch ----------------------------------------------------------------


def loader_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("DataLoader")]


@pytest.mark.parametrize("prefetch", [1, 3])
def test_prefetch_builds_ahead_and_no_further(prefetch):
    built = []
    ahead = threading.Semaphore(0)

    def transform(x):
        built.append(threading.current_thread().name)
        ahead.release()
        return (x,)

    loader = DataLoader(TensorDataset(np.arange(40), transform=transform), 2, prefetch=prefetch)
    running = iter(loader)
    for handed in range(1, 4):
        next(running)
        # All the batches that may be built do get built, while nobody asks for them...
        for _ in range(prefetch + 1 if handed == 1 else 1):
            assert ahead.acquire(timeout=60)
        # ...and not one more.
        assert not ahead.acquire(timeout=0.05)
        assert len(built) == handed + prefetch
        assert loader.state_dict()["batch"] == handed
    assert all(name.startswith("DataLoader") for name in built)
    running.close()


def test_leaving_the_loop_early_ends_the_thread():
    loader = DataLoader(numbers(1000), 1, prefetch=4)
    for number, _ in enumerate(loader):
        assert loader_threads()
        if number == 2:
            break
    assert not loader_threads()
    assert loader.state_dict()["batch"] == 3

    with pytest.raises(KeyError):
        leave_by_an_error(loader)
    assert not loader_threads()
    list(loader)
    assert not loader_threads()


def leave_by_an_error(loader):
    for _ in loader:
        raise KeyError


def test_an_error_in_the_thread_is_raised_in_the_loop_at_its_batch():
    def transform(x):
        if 7 in x:
            raise ZeroDivisionError("batch of 7")
        return (x,)

    loader = DataLoader(TensorDataset(np.arange(10), transform=transform), 2, prefetch=3)
    seen = []
    with pytest.raises(ZeroDivisionError, match="batch of 7"):
        seen.extend(batch.numpy().tolist() for (batch,) in loader)
    assert place(loader) == {"epoch": 0, "batch": 3, "seed": 0}
    assert not loader_threads()


def test_the_thread_sees_the_context_of_the_loop():
    variable = contextvars.ContextVar("variable", default="empty")
    seen = []

    def transform(x):
        seen.append(variable.get())
        return (x,)

    variable.set("the caller's")
    list(DataLoader(TensorDataset(np.arange(4), transform=transform), 2, prefetch=1))
    assert seen == ["the caller's"] * 2


def test_a_script_that_is_interrupted_in_a_prefetching_loop_ends():
    script = """
import signal, numpy as np
from tinygrad_adam.data import DataLoader, TensorDataset
for _ in DataLoader(TensorDataset(np.arange(1000)), 1, prefetch=8):
    signal.raise_signal(signal.SIGINT)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300)
    assert done.stderr.rstrip().endswith("KeyboardInterrupt")
