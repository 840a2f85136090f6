"""Datasets, the loader, and the data sets: what they give, what they resume, what they refuse."""

from __future__ import annotations

import builtins
import contextvars
import gzip
import hashlib
import os
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_adam import Tensor, tensor
from tinygrad_adam.data import (
    DATASETS,
    DataLoader,
    TensorDataset,
    blobs,
    load_dataset,
    load_digits,
    load_mnist,
    moons,
    spirals,
    split,
)
from tinygrad_adam.data.datasets import mnist
from tinygrad_adam.data.datasets.fetch import RemoteFile, fetch
from tinygrad_adam.data.datasets.idx import parse_idx, read_idx
from tinygrad_adam.errors import DataError, DTypeError, IndexingError, OptionError, ShapeError, StateError

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


# --- synthetic ---------------------------------------------------------------


@pytest.mark.parametrize(("make", "classes"), [(spirals, 3), (moons, 2), (blobs, 3)])
def test_synthetic_sets(make, classes):
    x, y = make(100, seed=1)
    assert (x.dtype, x.shape, y.dtype, y.shape) == (np.float32, (100, 2), np.int64, (100,))
    counts = np.bincount(y)
    assert len(counts) == classes
    assert np.ptp(counts) <= 1
    assert len(set(y[:20])) == classes
    again, _ = make(100, seed=1)
    np.testing.assert_array_equal(x, again)
    other, _ = make(100, seed=2)
    assert not np.array_equal(x, other)


def test_synthetic_shapes_without_noise():
    x, y = spirals(60, classes=4, noise=0)
    radius = np.hypot(*x.T)
    assert radius.max() <= 1
    away = np.angle(np.exp(1j * (np.arctan2(x[:, 1], x[:, 0]) - 4 * radius - y * np.pi / 2)))
    np.testing.assert_allclose(away, 0, atol=1e-4)

    x, y = moons(60, noise=0)
    centers = np.array([[0, 0], [1, 0.5]])[y]
    np.testing.assert_allclose(np.hypot(*(x - centers).T), 1, atol=1e-6)
    assert (x[y == 0, 1] >= 0).all()
    assert (x[y == 1, 1] <= 0.5).all()

    x, y = blobs(60, classes=4, spread=0)
    np.testing.assert_allclose(x, np.array([[1, 0], [0, 1], [-1, 0], [0, -1]])[y], atol=1e-6)


def test_noise_is_a_standard_deviation():
    clean, _ = blobs(20_000, spread=0)
    noisy, _ = blobs(20_000, spread=0.5)
    assert np.std(noisy - clean) == pytest.approx(0.5, rel=0.05)


@pytest.mark.parametrize(
    "call",
    [
        lambda: spirals(0),
        lambda: spirals(10.0),
        lambda: spirals(10, classes=1),
        lambda: spirals(10, noise=-1),
        lambda: moons(10, noise=float("nan")),
        lambda: moons(10, noise="much"),
        lambda: blobs(10, spread=float("inf")),
        lambda: blobs(10, seed=-1),
    ],
)
def test_synthetic_sets_refuse_bad_options(call):
    with pytest.raises(OptionError):
        call()


# --- digits and the registry -------------------------------------------------


def test_digits_are_the_official_split():
    data = load_digits()
    assert data.train_images.shape == (3823, 8, 8)
    assert data.test_images.shape == (1797, 8, 8)
    assert (data.train_images.dtype, data.train_labels.dtype) == (np.uint8, np.uint8)
    # Counts by class from the data set's own documentation (optdigits.names).
    assert np.bincount(data.train_labels).tolist() == [376, 389, 380, 389, 387, 376, 377, 387, 380, 382]
    assert np.bincount(data.test_labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    # The first line of optdigits.tra.
    assert data.train_images[0, 0].tolist() == [0, 1, 6, 15, 12, 1, 0, 0]
    assert data.train_labels[0] == 0
    assert "10.24432/C50P49" in data.credit
    assert data.license == "CC BY 4.0"


def test_arrays_are_ready_for_a_network():
    data = load_digits()
    x, y = data.arrays("train")
    assert (x.dtype, x.shape, y.dtype, y.shape) == (np.float32, (3823, 64), np.int64, (3823,))
    assert (x.min(), x.max()) == (0, 1)
    images, labels = data.arrays("test", flatten=False)
    assert images.shape == (1797, 1, 8, 8)
    np.testing.assert_array_equal(images[:, 0] * 16, data.test_images)
    np.testing.assert_array_equal(labels, data.test_labels)
    with pytest.raises(OptionError, match="did you mean 'train'"):
        data.arrays("training")


def test_image_data_has_a_short_repr_and_is_frozen():
    data = load_digits()
    assert len(repr(data)) < 500
    with pytest.raises(AttributeError):
        data.scale = 1.0


def test_the_registry_tells_the_truth_about_the_digits():
    info = DATASETS["digits"]
    data = load_dataset("digits")
    assert info.name == data.name
    assert info.shape == data.train_images.shape[1:]
    assert info.classes == len(data.classes)
    assert info.license == data.license
    assert all(name == info.name for name, info in DATASETS.items())
    with pytest.raises(OptionError, match="did you mean 'fashion-mnist'"):
        load_dataset("fashion_mnist")


# --- idx ---------------------------------------------------------------------


def idx(array, code=0x08):
    big = array.astype(array.dtype.newbyteorder(">"))
    return struct.pack(f">HBB{array.ndim}I", 0, code, array.ndim, *array.shape) + big.tobytes()


@pytest.mark.parametrize(
    ("code", "dtype"), [(0x08, "u1"), (0x09, "i1"), (0x0B, "i2"), (0x0C, "i4"), (0x0D, "f4"), (0x0E, "f8")]
)
def test_idx_round_trip(code, dtype, tmp_path):
    array = np.arange(-3, 21).reshape(2, 3, 4).astype(dtype)
    (tmp_path / "plain").write_bytes(idx(array, code))
    (tmp_path / "packed").write_bytes(gzip.compress(idx(array, code)))
    for name in ("plain", "packed"):
        read = read_idx(tmp_path / name)
        assert read.dtype == np.dtype(dtype)
        assert read.flags.writeable
        np.testing.assert_array_equal(read, array)


def test_idx_with_a_zero_dimension():
    assert parse_idx(idx(np.zeros((0, 28, 28), np.uint8)), "empty").shape == (0, 28, 28)


CONTENT = np.random.default_rng(0).bytes(300_000)
GOOD = idx(np.arange(6, dtype=np.uint8).reshape(2, 3))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not an idx file"),
        (b"\0\0\x08", "not an idx file"),
        (b"\x01" + GOOD[1:], "magic +01 00 08 02"),
        (b"\0\0\x0a" + GOOD[3:], "not an idx file"),
        (b"\0\0\x08\0" + b"x", "not an idx file"),
        (GOOD[:11], "header is cut short"),
        (GOOD[:-1], "expected +18 bytes\n +found +17 bytes"),
        (GOOD + b"\0", "found +19 bytes"),
        (struct.pack(">HBB4I", 0, 8, 4, *[2**16] * 4), "do not fill"),  # 2**64 values: 0 in 64 bits
        (b"<html>404</html>", "not an idx file"),
        (struct.pack(">HBB65I", 0, 8, 65, *[1] * 65) + b"x", "no array of the shape in the header"),
        (struct.pack(">HBB255I", 0, 8, 255, *[0] * 255), "no array of the shape in the header"),
        (struct.pack(">HBB4I", 0, 8, 4, 0, *[2**32 - 1] * 3), "no array of the shape in the header"),
    ],
)
def test_idx_refuses(content, words, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(DataError, match=words) as caught:
        read_idx(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("name", [".", "absent"])
def test_idx_refuses_what_is_no_file(tmp_path, name):
    with pytest.raises(DataError, match="read_idx: the file cannot be read"):
        read_idx(tmp_path / name)


@pytest.mark.parametrize(
    "damage",
    [lambda z: z[:-9], lambda z: z[:5], lambda z: z[:-2] + b"??", lambda z: z[:12] + b"?" * 9 + z[21:]],
)
def test_idx_refuses_damaged_gzip(damage, tmp_path):
    path = tmp_path / "file.gz"
    path.write_bytes(damage(gzip.compress(CONTENT[:1000])))
    with pytest.raises(DataError, match="gzip file is damaged"):
        read_idx(path)


# --- fetch -------------------------------------------------------------------


SHA256 = hashlib.sha256(CONTENT).hexdigest()


@dataclass
class Mirror:
    """A server on this machine, and how it behaves."""

    base: str = ""
    content: bytes = CONTENT
    ranges: bool = True
    status: int | None = None
    die_after: int | None = None
    on_request: Callable[[], None] = lambda: None
    requests: list[str | None] = field(default_factory=list)  # the Range header of each


@pytest.fixture
def mirrors() -> Iterator[tuple[Mirror, Mirror]]:
    servers, described = [], []
    for _ in range(2):
        mirror = Mirror()
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler(mirror))
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        mirror.base = f"http://127.0.0.1:{server.server_port}/"
        servers.append(server)
        described.append(mirror)
    yield tuple(described)
    for server in servers:
        server.shutdown()
        server.server_close()


def handler(mirror):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            wanted = self.headers["Range"]
            mirror.requests.append(wanted)
            mirror.on_request()
            start = 0
            if wanted and mirror.ranges:
                start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            body = mirror.content[start:]
            status = mirror.status or (206 if start else 200)
            if start and not body:
                status = 416
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: mirror.die_after])

        def log_message(self, *_):
            pass

    return Handler


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache folder of this test's own."""
    monkeypatch.delenv("TINYGRAD_ADAM_DATA", raising=False)
    monkeypatch.setattr("tinygrad_adam.data.datasets.fetch._cache", lambda: tmp_path / "cache")
    return tmp_path / "cache" / "set"


@pytest.fixture
def remote(mirrors):
    return RemoteFile("set", "file.gz", SHA256, tuple(mirror.base for mirror in mirrors))


def left_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_download_verifies_and_is_kept(mirrors, cache, remote):
    path = fetch(remote)
    assert path == cache / "file.gz"
    assert path.read_bytes() == CONTENT
    assert left_in(cache) == ["file.gz"]
    assert fetch(remote) == path
    assert [len(mirror.requests) for mirror in mirrors] == [1, 0]


def test_md5_serves_where_the_publisher_gives_no_other(mirrors, cache, remote, tmp_path, monkeypatch):
    checksum = hashlib.md5(CONTENT).hexdigest()
    remote = replace(remote, checksum=checksum, algorithm="md5")
    mirrors[0].content = b"other"
    assert fetch(remote).read_bytes() == CONTENT
    assert fetch(remote) == cache / "file.gz"
    assert [len(mirror.requests) for mirror in mirrors] == [1, 1]
    monkeypatch.setenv("TINYGRAD_ADAM_DATA", str(tmp_path / "data"))
    (tmp_path / "data" / "set").mkdir(parents=True)
    (tmp_path / "data" / "set" / "file.gz").write_bytes(b"mine")
    with pytest.raises(DataError) as caught:
        fetch(remote)
    for words in (f"md5 {checksum}", f"md5 {hashlib.md5(b'mine').hexdigest()}"):
        assert words in str(caught.value)


def test_the_second_mirror_is_tried(mirrors, cache, remote):
    mirrors[0].status = 503
    assert fetch(remote).read_bytes() == CONTENT
    assert [len(mirror.requests) for mirror in mirrors] == [1, 1]


def test_a_wrong_file_in_the_cache_is_downloaded_again(mirrors, cache, remote):
    cache.mkdir(parents=True)
    (cache / "file.gz").write_bytes(CONTENT[:-1] + b"?")
    assert fetch(remote).read_bytes() == CONTENT


def test_a_wrong_download_leaves_nothing(mirrors, cache, remote):
    for mirror in mirrors:
        mirror.content = b"<html>Please log in to the hotel's network</html>"
    with pytest.raises(DataError) as caught:
        fetch(remote)
    message = str(caught.value)
    for mirror in mirrors:
        assert mirror.base + "file.gz" in message
    assert SHA256 in message
    assert hashlib.sha256(mirrors[0].content).hexdigest() in message
    assert left_in(cache) == []


def test_a_download_that_breaks_off_is_resumed_by_the_other_mirror(mirrors, cache, remote):
    mirrors[0].die_after = 200_000
    assert fetch(remote).read_bytes() == CONTENT
    (wanted,) = mirrors[1].requests
    assert wanted is not None
    assert 0 < int(wanted.removeprefix("bytes=").removesuffix("-")) <= 200_000
    assert left_in(cache) == ["file.gz"]


def test_a_download_that_breaks_off_everywhere_is_resumed_next_time(mirrors, cache, remote):
    mirrors[0].die_after = 100_000
    mirrors[1].status = 500
    with pytest.raises(DataError):
        fetch(remote)
    assert left_in(cache) == ["file.gz.part"]
    mirrors[0].die_after = None
    assert fetch(remote).read_bytes() == CONTENT
    assert mirrors[0].requests[1] is not None
    assert left_in(cache) == ["file.gz"]


def test_a_part_is_replaced_where_the_server_knows_no_ranges(mirrors, cache, remote):
    cache.mkdir(parents=True)
    (cache / "file.gz.part").write_bytes(b"x" * 1000)
    mirrors[0].ranges = False
    assert fetch(remote).read_bytes() == CONTENT
    assert mirrors[0].requests == ["bytes=1000-"]
    assert mirrors[1].requests == []


def test_a_part_longer_than_the_file_is_cut_where_the_server_knows_no_ranges(mirrors, cache, remote):
    cache.mkdir(parents=True)
    (cache / "file.gz.part").write_bytes(b"x" * 400_000)
    mirrors[0].ranges = False
    assert fetch(remote).read_bytes() == CONTENT
    assert mirrors[1].requests == []


def test_a_part_that_is_complete_is_only_verified(mirrors, cache, remote):
    cache.mkdir(parents=True)
    (cache / "file.gz.part").write_bytes(CONTENT)
    assert fetch(remote).read_bytes() == CONTENT
    assert mirrors[0].requests == [f"bytes={len(CONTENT)}-"]
    assert mirrors[1].requests == []


@pytest.mark.parametrize("size", [1000, 400_000])
def test_a_part_of_something_else_does_no_harm(size, mirrors, cache, remote):
    cache.mkdir(parents=True)
    (cache / "file.gz.part").write_bytes(b"x" * size)
    assert fetch(remote).read_bytes() == CONTENT
    assert mirrors[1].requests == [None]
    assert left_in(cache) == ["file.gz"]


@pytest.mark.parametrize("ranges", [True, False])
def test_downloads_at_the_same_time_do_not_spoil_each_other(ranges, mirrors, cache, remote):
    mirrors[0].ranges = ranges
    mirrors[0].on_request = threading.Barrier(4, timeout=60).wait
    with ThreadPoolExecutor(4) as pool:
        paths = list(pool.map(fetch, [replace(remote, mirrors=remote.mirrors[:1])] * 4))
    assert set(paths) == {cache / "file.gz"}
    assert paths[0].read_bytes() == CONTENT
    assert left_in(cache) == ["file.gz"]


def test_ctrl_c_keeps_the_part_and_nothing_else(mirrors, cache, remote, monkeypatch):
    import requests

    whole = requests.Response.iter_content

    def interrupted(self, size):
        yield next(whole(self, size))
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(requests.Response, "iter_content", interrupted)
        with pytest.raises(KeyboardInterrupt):
            fetch(remote)
    assert left_in(cache) == ["file.gz.part"]
    assert CONTENT.startswith((cache / "file.gz.part").read_bytes())
    assert fetch(remote).read_bytes() == CONTENT
    assert mirrors[0].requests[1] is not None


def test_mirrors_that_cannot_be_reached_are_all_named(cache):
    remote = RemoteFile("set", "file.gz", SHA256, ("http://127.0.0.1:1/a/", "http://127.0.0.1:1/b/"))
    with pytest.raises(DataError) as caught:
        fetch(remote)
    first, *reasons = str(caught.value).splitlines()
    assert "TINYGRAD_ADAM_DATA" in first
    assert "set/file.gz" in first
    assert [line.split()[0] for line in reasons] == [mirror + "file.gz" for mirror in remote.mirrors]
    assert all("ConnectionError" in line for line in reasons)


def test_a_folder_of_files_comes_first(mirrors, cache, remote, tmp_path, monkeypatch):
    folder = tmp_path / "data"
    (folder / "set").mkdir(parents=True)
    (folder / "set" / "file.gz").write_bytes(CONTENT)
    monkeypatch.setenv("TINYGRAD_ADAM_DATA", str(folder))
    assert fetch(remote) == folder / "set" / "file.gz"
    assert fetch(replace(remote, folder="other")).parent == cache.parent / "other"
    assert len(mirrors[0].requests) == 1


def test_a_wrong_file_in_the_folder_is_refused_and_left(mirrors, cache, remote, tmp_path, monkeypatch):
    path = tmp_path / "data" / "set" / "file.gz"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"mine")
    monkeypatch.setenv("TINYGRAD_ADAM_DATA", str(tmp_path / "data"))
    with pytest.raises(DataError) as caught:
        fetch(remote)
    for words in (str(path), SHA256, hashlib.sha256(b"mine").hexdigest(), "TINYGRAD_ADAM_DATA", "replace"):
        assert words in str(caught.value)
    assert path.read_bytes() == b"mine"
    assert mirrors[0].requests == []


def without(monkeypatch, *packages):
    real = builtins.__import__

    def limited(name, *args, **kwargs):
        if name.split(".")[0] in packages:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", limited)


@pytest.mark.parametrize("package", ["pooch", "requests", "rich"])
def test_a_missing_package_is_named_only_when_it_is_needed(package, cache, remote, monkeypatch):
    without(monkeypatch, package)
    with pytest.raises(DataError, match=rf'pip install "tinygrad-adam\[cli\]"\n +missing +{package}'):
        fetch(remote)
    cache.mkdir(parents=True)
    (cache / "file.gz").write_bytes(CONTENT)
    assert fetch(remote) == cache / "file.gz"


@pytest.mark.skipif(sys.platform != "linux", reason="the layout of the cache without platformdirs")
@pytest.mark.parametrize("packages", [(), ("platformdirs",)])
def test_the_cache_is_where_linux_keeps_caches(packages, remote, tmp_path, monkeypatch):
    monkeypatch.delenv("TINYGRAD_ADAM_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    without(monkeypatch, *packages)
    path = tmp_path / "tinygrad_adam" / "set" / "file.gz"
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT)
    assert fetch(remote) == path


def test_importing_the_room_imports_none_of_the_optional_packages():
    script = (
        "import sys, tinygrad_adam.data; "
        "print(*{'pooch', 'requests', 'rich', 'platformdirs'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


# --- MNIST -------------------------------------------------------------------


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_the_mnist_family_from_a_folder(name, tmp_path, monkeypatch):
    """The loader's own path, on small files that stand in for the published ones."""
    arrays = {
        "train_images": np.arange(6 * 28 * 28, dtype=np.uint8).reshape(6, 28, 28),
        "train_labels": np.arange(6, dtype=np.uint8),
        "test_images": np.full((2, 28, 28), 255, np.uint8),
        "test_labels": np.array([9, 0], np.uint8),
    }
    (tmp_path / name).mkdir()
    table = mnist.MNIST_SHA256 if name == "mnist" else mnist.FASHION_SHA256
    for part, array in arrays.items():
        content = gzip.compress(idx(array))
        (tmp_path / name / mnist.FILES[part]).write_bytes(content)
        monkeypatch.setitem(table, part, hashlib.sha256(content).hexdigest())
    monkeypatch.setenv("TINYGRAD_ADAM_DATA", str(tmp_path))
    data = load_dataset(name)
    for part, array in arrays.items():
        np.testing.assert_array_equal(getattr(data, part), array)
    assert data.name == name
    assert len(set(data.classes)) == 10
    assert data.arrays("test")[0].max() == 1


@pytest.mark.skipif(
    not Path(os.environ.get("TINYGRAD_ADAM_DATA", ""), "mnist").is_dir()
    or "TINYGRAD_ADAM_DATA" not in os.environ,
    reason="set TINYGRAD_ADAM_DATA to a folder that has mnist/ to test on the published files",
)
def test_the_published_mnist():
    data = load_mnist()
    assert data.train_images.shape == (60_000, 28, 28)
    assert data.test_images.shape == (10_000, 28, 28)
    assert np.bincount(data.train_labels).tolist() == [
        5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949,
    ]  # fmt: skip
    assert data.test_labels[:5].tolist() == [7, 2, 1, 0, 4]
    # The mean and the deviation that the field normalizes MNIST with.
    x, _ = data.arrays("train")
    assert x.mean(dtype=np.float64) == pytest.approx(0.1307, abs=5e-5)
    assert x.std(dtype=np.float64) == pytest.approx(0.3081, abs=5e-5)
