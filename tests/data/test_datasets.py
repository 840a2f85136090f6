"""The data sets: synthetic ones, digits, MNIST, and files in idx format."""

from __future__ import annotations

import gzip
import hashlib
import os
import struct
from pathlib import Path

import numpy as np
import pytest

from tinygrad_adam.data import DATASETS, blobs, load_dataset, load_digits, load_mnist, moons, spirals
from tinygrad_adam.data.datasets import mnist
from tinygrad_adam.data.datasets.idx import parse_idx, read_idx
from tinygrad_adam.errors import DataError, OptionError

pytestmark = pytest.mark.versions


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


CONTENT = np.random.default_rng(0).bytes(1000)
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
    path.write_bytes(damage(gzip.compress(CONTENT)))
    with pytest.raises(DataError, match="gzip file is damaged"):
        read_idx(path)


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
