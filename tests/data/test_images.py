"""Image datasets, their random changes, and CIFAR-10: what a batch holds, what a resumed run sees again."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import pickle
import tarfile
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tinygrad_adam.data import (
    DATASETS,
    DataLoader,
    ImageData,
    ImageDataset,
    TensorDataset,
    load_cifar10,
    load_dataset,
    load_digits,
    random_crop,
    random_flip,
    split,
)
from tinygrad_adam.data.datasets import cifar10
from tinygrad_adam.errors import DataError, DTypeError, IndexingError, OptionError, ShapeError

CHANGES = (random_crop(2), random_flip())


def bytes_of(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def examples(n=50, augment=CHANGES):
    return ImageDataset(bytes_of(n, 3, 6, 5), np.arange(n), augment=augment)


def collect(loader):
    """Every batch of an epoch: images and labels."""
    return [(x.numpy(), y.numpy()) for x, y in loader]


def same(first, second):
    assert len(first) == len(second)
    for (x, y), (other_x, other_y) in zip(first, second, strict=True):
        np.testing.assert_array_equal(x, other_x)
        np.testing.assert_array_equal(y, other_y)


# --- the dataset -------------------------------------------------------------


@pytest.mark.parametrize("shape", [(9, 4, 5), (9, 1, 4, 5), (9, 3, 4, 5)])
def test_batches_are_floats_made_of_bytes(shape):
    images = bytes_of(*shape)
    data = ImageDataset(images, np.arange(9, dtype=np.uint8))
    assert len(data) == 9
    channels = images.reshape(9, -1, 4, 5)
    for index in (np.array([3, 0, 3]), [8], slice(2, 5), channels[:, 0, 0, 0] > 100):
        x, y = data[index]
        assert (x.dtype, y.dtype) == (np.float32, np.int64)
        assert x.flags.c_contiguous
        expected = channels[index].astype(np.float32)
        expected /= 255
        np.testing.assert_array_equal(x, expected)
        np.testing.assert_array_equal(y, np.arange(9)[index])
    x, y = data[4]
    np.testing.assert_array_equal(x, channels[4] / np.float32(255))
    assert (x.shape, y.shape, y) == (channels.shape[1:], (), 4)
    with pytest.raises(IndexingError):
        data[9]


def test_a_dataset_gives_what_arrays_give_bit_for_bit():
    digits = load_digits()
    for part in ("train", "test"):
        images, labels = digits.dataset(part)[:]
        x, y = digits.arrays(part, flatten=False)
        assert images.dtype == x.dtype
        np.testing.assert_array_equal(images, x)
        np.testing.assert_array_equal(labels, y)
    assert digits.shape == (1, 8, 8)
    assert digits.dataset("train", [random_flip()]).augment is not None
    with pytest.raises(OptionError, match="did you mean 'train'"):
        digits.dataset("training")


def test_the_dataset_holds_the_bytes_and_a_batch_only_its_own_floats():
    images = bytes_of(4000, 3, 32, 32)
    data = ImageDataset(images, np.zeros(4000, np.uint8), augment=CHANGES)
    assert np.shares_memory(data.arrays[0], images)
    gray = bytes_of(4, 6, 5)
    assert np.shares_memory(ImageDataset(gray, np.arange(4)).arrays[0], gray)
    tracemalloc.start()
    try:
        data = ImageDataset(images, np.zeros(4000, np.uint8), augment=CHANGES)
        for _ in DataLoader(data, 40, shuffle=True):
            pass
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < images.nbytes / 4  # a float copy of all would be four times images.nbytes


@pytest.mark.parametrize(
    ("error", "words", "arguments"),
    [
        (DTypeError, "uint8[\\s\\S]*float32", (np.zeros((2, 4, 4), np.float32), np.arange(2))),
        (DTypeError, "uint8[\\s\\S]*list", ([[[1]]], np.arange(1))),
        (ShapeError, r"\(2, 4, 4, 3\)", (np.zeros((2, 4, 4, 3), np.uint8), np.arange(2))),
        (ShapeError, r"\(2, 4\)", (np.zeros((2, 4), np.uint8), np.arange(2))),
        (ShapeError, r"\(3,\)", (np.zeros((2, 4, 4), np.uint8), np.arange(3))),
        (ShapeError, r"\(2, 1\)", (np.zeros((2, 4, 4), np.uint8), np.zeros((2, 1), int))),
        (DTypeError, "float64", (np.zeros((2, 4, 4), np.uint8), np.zeros(2))),
        (DTypeError, "list", (np.zeros((2, 4, 4), np.uint8), [0, 1])),
        (OptionError, "scale +0", (np.zeros((2, 4, 4), np.uint8), np.arange(2), 0)),
        (OptionError, "scale +nan", (np.zeros((2, 4, 4), np.uint8), np.arange(2), float("nan"))),
        (OptionError, "scale +'1'", (np.zeros((2, 4, 4), np.uint8), np.arange(2), "1")),
        (OptionError, "sequence", (np.zeros((2, 4, 4), np.uint8), np.arange(2), 1.0, random_flip())),
        (OptionError, "sequence", (np.zeros((2, 4, 4), np.uint8), np.arange(2), 1.0, ["flip"])),
    ],
)
def test_the_dataset_refuses(error, words, arguments):
    with pytest.raises(error, match=words):
        ImageDataset(*arguments)


def test_image_data_takes_gray_and_color_and_nothing_else():
    def made(images):
        return ImageData("n", images, labels, images[:1], labels[:1], ("a", "b"), 255.0, "", "")

    labels = np.array([1, 0, 1], np.uint8)
    color = bytes_of(3, 3, 4, 5)
    data = made(color)
    assert data.shape == (3, 4, 5)
    x, y = data.arrays("train")
    assert (x.shape, x.dtype, y.dtype) == ((3, 60), np.float32, np.int64)
    np.testing.assert_array_equal(x[1].reshape(3, 4, 5), color[1] / np.float32(255))
    assert data.arrays("test", flatten=False)[0].shape == (1, 3, 4, 5)
    assert made(color[:, 0]).arrays("train", flatten=False)[0].shape == (3, 1, 4, 5)
    with pytest.raises(ShapeError, match="ImageData"):
        made(color.transpose(0, 2, 3, 1))
    for part in ("train_images", "test_images"):
        with pytest.raises(ShapeError, match=r"\(3, 4\)"):
            replace(data, **{part: color[:, 0, :, 0]})
    with pytest.raises(DTypeError, match="uint8"):
        made(color / 255)


# --- crop and flip -----------------------------------------------------------


@pytest.mark.parametrize("padding", [0, 1, 4])
@pytest.mark.parametrize("channels", [1, 3])
def test_crop_against_a_plain_loop(padding, channels):
    images = bytes_of(40, channels, 7, 5)
    before = images.copy()
    got = random_crop(padding)(np.random.default_rng(3), images)
    np.testing.assert_array_equal(images, before)
    down, right = np.random.default_rng(3).integers(0, 2 * padding + 1, (2, 40))
    expected = np.zeros_like(images)
    for n, c, i, j in np.ndindex(images.shape):
        row, column = i + down[n] - padding, j + right[n] - padding
        if 0 <= row < 7 and 0 <= column < 5:
            expected[n, c, i, j] = images[n, c, row, column]
    assert got.dtype == np.uint8
    np.testing.assert_array_equal(got, expected)


def test_flip_against_a_plain_loop():
    images = bytes_of(40, 3, 4, 5)
    before = images.copy()
    got = random_flip()(np.random.default_rng(3), images)
    np.testing.assert_array_equal(images, before)
    chosen = np.random.default_rng(3).random(40) < 0.5
    assert 0 < chosen.sum() < 40
    for n in range(40):
        for c in range(3):
            for i in range(4):
                row = images[n, c, i].tolist()
                assert got[n, c, i].tolist() == (row[::-1] if chosen[n] else row)


def test_every_place_of_the_crop_is_as_likely_and_half_is_flipped():
    n, padding = 20_000, 1
    images = np.zeros((n, 1, 5, 5), np.uint8)
    images[:, :, 2, 2] = 1  # ends where the crop moved it
    moved = random_crop(padding)(np.random.default_rng(0), images)
    assert (moved.sum((1, 2, 3)) == 1).all()
    counts = moved.sum((0, 1), dtype=int)
    assert counts.sum() == n
    inner = counts[1:4, 1:4]
    assert inner.sum() == n
    expected = n / 9
    assert ((inner - expected) ** 2 / expected).sum() < 26.1  # chi-squared, 8 degrees of freedom, p = 0.001

    images[:] = 0
    images[..., 0] = 1
    flipped = random_flip()(np.random.default_rng(0), images)[:, 0, 0, 4].sum(dtype=int)
    assert abs(flipped - n / 2) < 3.3 * np.sqrt(n) / 2


@pytest.mark.parametrize("padding", [-1, 1.0, True, "4", None])
def test_crop_refuses(padding):
    with pytest.raises(OptionError, match="padding"):
        random_crop(padding)


# --- random changes in the loader --------------------------------------------


def test_the_loader_changes_images_and_indexing_does_not():
    data, plain = examples(), examples(augment=())
    same([data[:]], [plain[:]])
    ((x, y),) = collect(DataLoader(data, 50))
    ((expected, _),) = collect(DataLoader(plain, 50))
    assert y.tolist() == list(range(50))
    assert x.dtype == np.float32
    assert (x.min(), x.max()) == (0, 1)
    assert sum(not np.array_equal(a, b) for a, b in zip(x, expected, strict=True)) > 40
    np.testing.assert_array_equal(data.arrays[0], bytes_of(50, 3, 6, 5))


def test_a_batch_is_a_pure_function_of_seed_epoch_and_number():
    loader = DataLoader(examples(), 20, shuffle=True, seed=7)
    for epoch in range(2):
        order = np.random.default_rng([7, epoch]).permutation(50)
        for number, (x, y) in enumerate(collect(loader)):
            rows = order[number * 20 : (number + 1) * 20]
            sequence = np.random.SeedSequence(7, spawn_key=(epoch, number))
            images = bytes_of(50, 3, 6, 5)[rows]
            generator = np.random.default_rng(sequence)
            for change in CHANGES:
                images = change(generator, images)
            np.testing.assert_array_equal(x, images / np.float32(255))
            np.testing.assert_array_equal(y, rows)


def test_no_two_generators_of_a_run_are_the_same():
    draws = []

    def draw(generator, x):
        draws.append(generator.random())
        return (x,)

    loader = DataLoader(TensorDataset(np.arange(6), augment=draw), 2, seed=3)
    for _ in range(3):
        list(loader)
    list(DataLoader(TensorDataset(np.arange(6), augment=draw), 2, seed=4))
    # Nor that of an epoch's order: entropy is padded with zeros, so [seed, epoch, 0] would be [seed, epoch].
    draws += [np.random.default_rng([3, epoch]).random() for epoch in range(3)]
    assert len(set(draws)) == len(draws) == 15


@pytest.mark.parametrize("prefetch", [1, 3])
def test_prefetch_changes_no_bit(prefetch):
    one = DataLoader(examples(), 8, shuffle=True, seed=2)
    other = DataLoader(examples(), 8, shuffle=True, seed=2, prefetch=prefetch)
    for _ in range(3):
        same(collect(one), collect(other))


@pytest.mark.parametrize("prefetch", [0, 2])
@pytest.mark.parametrize("stop", [1, 3, 6, 7, 9])
def test_a_run_stopped_in_mid_epoch_goes_on_with_the_same_batches(stop, prefetch):
    whole = DataLoader(examples(), 8, shuffle=True, seed=5)
    epochs = [collect(whole) for _ in range(3)]
    expected = [batch for epoch in epochs for batch in epoch]

    stopped = DataLoader(examples(), 8, shuffle=True, seed=5, prefetch=prefetch)
    seen = []
    while len(seen) < stop:
        for x, y in stopped:
            seen.append((x.numpy(), y.numpy()))
            if len(seen) == stop:
                state = stopped.state_dict()
                break
    same(seen, expected[:stop])

    resumed = DataLoader(examples(), 8, shuffle=True, seed=0, prefetch=prefetch)
    resumed.load_state_dict(state)
    same(collect(resumed) + collect(resumed), expected[stop : (stop - 1) // 7 * 7 + 14])


def test_epochs_differ_and_seeds_differ():
    loader = DataLoader(examples(), 50, seed=1)
    (first,), (second,) = collect(loader), collect(loader)
    assert not np.array_equal(first[0], second[0])
    ((other, _),) = collect(DataLoader(examples(), 50, seed=2))
    assert not np.array_equal(first[0], other)


def test_only_the_first_part_of_a_split_is_changed():
    data = examples(100)
    train, validation = split(data, 0.8, seed=1)
    assert type(train) is type(validation) is ImageDataset
    assert (len(train), len(validation)) == (80, 20)
    assert (train.augment, validation.augment) == (data.augment, None)
    assert data.augment is not None
    assert train.arrays[0].dtype == np.uint8
    assert sorted(np.concatenate([train.arrays[1], validation.arrays[1]])) == list(range(100))
    images = bytes_of(100, 3, 6, 5)
    for part, changed in ((train, True), (validation, False)):
        assert not np.shares_memory(part.arrays[0], data.arrays[0])
        ((x, y),) = collect(DataLoader(part, len(part)))
        np.testing.assert_array_equal(part[:][0], images[y] / np.float32(255))
        assert np.array_equal(x, images[y] / np.float32(255)) is not changed


def test_augment_of_any_arrays_comes_before_transform():
    def augment(generator, x, y):
        return x + generator.integers(1, 10, len(x)), y

    data = TensorDataset(np.arange(8), np.arange(8), transform=lambda x, y: (x * 100, y), augment=augment)
    ((x, y),) = collect(DataLoader(data, 8, seed=6))
    added = np.random.default_rng(np.random.SeedSequence(6, spawn_key=(0, 0))).integers(1, 10, 8)
    np.testing.assert_array_equal(x, (y + added) * 100)
    np.testing.assert_array_equal(data[:][0], y * 100)
    rows = np.array([3, 1])
    generator = np.random.default_rng(0)
    same([TensorDataset(y, y).batch(rows, generator)], [(rows, rows)])
    with pytest.raises(DTypeError, match="augment must return a tuple"):
        list(DataLoader(TensorDataset(y, augment=lambda _, x: x)))


def test_a_dataset_of_ones_own_may_have_a_batch():
    class Own:
        augment = None

        def __len__(self):
            return 4

        def __getitem__(self, rows):
            return (rows,)

        def batch(self, rows, generator):
            return (rows + generator.integers(10, 99),)

    plain = [batch.numpy().tolist() for (batch,) in DataLoader(Own(), 2)]
    assert plain == [[0, 1], [2, 3]]
    Own.augment = True
    assert min(min(batch.numpy()) for (batch,) in DataLoader(Own(), 2)) >= 10


def test_an_image_dataset_can_be_pickled():
    data = pickle.loads(pickle.dumps(examples()))
    same(collect(DataLoader(data, 8)), collect(DataLoader(examples(), 8)))


# --- CIFAR-10 ----------------------------------------------------------------


FEW = 3  # images a file, of the files that stand in for the published ones


@pytest.fixture
def members(monkeypatch):
    """Six small files, and a loader that takes them for the published ones."""
    made = {}
    for number, name in enumerate(cifar10.MEMBER_MD5):
        records = bytes_of(FEW, cifar10.RECORD, seed=number)
        records[:, 0] = np.arange(FEW) + number
        made[name] = records.tobytes()
        monkeypatch.setitem(cifar10.MEMBER_MD5, name, hashlib.md5(made[name]).hexdigest())
    monkeypatch.setattr(cifar10, "IMAGES", FEW)
    return made


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The data set's own folder under TINYGRAD_ADAM_DATA; nothing else can be found or reached."""
    monkeypatch.setenv("TINYGRAD_ADAM_DATA", str(tmp_path / "data"))
    monkeypatch.setattr("tinygrad_adam.data.datasets.fetch._cache", lambda: tmp_path / "cache")
    monkeypatch.setattr(cifar10, "ARCHIVE", replace(cifar10.ARCHIVE, mirrors=("http://127.0.0.1:1/",)))
    path = tmp_path / "data" / "cifar10"
    path.mkdir(parents=True)
    return path


def entry(name, content=b"", kind=tarfile.REGTYPE, link=""):
    info = tarfile.TarInfo(name)
    info.type, info.size, info.linkname = kind, len(content), link
    return info, content


def official(members):
    names = ["data_batch_1.bin", "test_batch.bin", *(f"data_batch_{i}.bin" for i in (5, 2, 4, 3))]
    return [
        entry("cifar-10-batches-bin", kind=tarfile.DIRTYPE),
        entry("cifar-10-batches-bin/batches.meta.txt", b"airplane\n"),
        *(entry("cifar-10-batches-bin/" + name, members[name]) for name in names),
    ]


def pack(path, entries, monkeypatch):
    """Write an archive and take its checksum for the published one."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for info, content in entries:
            archive.addfile(info, io.BytesIO(content))
    publish(path, stream.getvalue(), monkeypatch)


def publish(path, content, monkeypatch):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    checksum = hashlib.md5(content).hexdigest()
    monkeypatch.setattr(cifar10, "ARCHIVE", replace(cifar10.ARCHIVE, checksum=checksum))


def check(data, members):
    assert (data.name, data.shape, len(data.classes), data.scale) == ("cifar10", (3, 32, 32), 10, 255.0)
    records = np.concatenate(
        [np.frombuffer(content, np.uint8).reshape(FEW, 3073) for content in members.values()]
    )
    images = np.concatenate([data.train_images, data.test_images])
    labels = np.concatenate([data.train_labels, data.test_labels])
    assert (len(data.train_images), len(data.test_images)) == (5 * FEW, FEW)
    np.testing.assert_array_equal(labels, records[:, 0])
    assert labels.tolist() == [i + n for n in range(6) for i in range(FEW)]
    for channel, row, column in ((0, 0, 0), (1, 2, 3), (2, 31, 31)):
        pixels = records[:, 1 + channel * 1024 + row * 32 + column]
        np.testing.assert_array_equal(images[:, channel, row, column], pixels)


def test_cifar10_from_the_six_files(members, folder):
    for name, content in members.items():
        (folder / name).write_bytes(content)
    check(load_dataset("cifar10"), members)


@pytest.mark.parametrize("place", ["data", "cache"])
def test_cifar10_from_the_archive(place, members, folder, tmp_path, monkeypatch):
    path = tmp_path / place / "cifar10" / "cifar-10-binary.tar.gz"
    pack(path, official(members), monkeypatch)
    before = sorted(tmp_path.rglob("*"))
    check(load_cifar10(), members)
    assert sorted(tmp_path.rglob("*")) == before  # nothing is unpacked


def test_cifar10_from_files_in_the_cache(members, folder, tmp_path):
    (tmp_path / "cache" / "cifar10").mkdir(parents=True)
    for name, content in members.items():
        (tmp_path / "cache" / "cifar10" / name).write_bytes(content)
    check(load_cifar10(), members)


def test_the_archive_serves_where_files_are_missing(members, folder, monkeypatch):
    pack(folder / "cifar-10-binary.tar.gz", official(members), monkeypatch)
    (folder / "test_batch.bin").write_bytes(members["test_batch.bin"])
    check(load_cifar10(), members)


def refusal(*words):
    with pytest.raises(DataError) as caught:
        load_cifar10()
    for word in words:
        assert str(word) in str(caught.value)


def test_cifar10_nowhere_says_where_it_may_be(folder):
    refusal("TINYGRAD_ADAM_DATA", "cifar10/cifar-10-binary.tar.gz", "http://127.0.0.1:1/")


def test_cifar10_refuses_wrong_files(members, folder):
    for name, content in members.items():
        (folder / name).write_bytes(content)
    wrong = folder / "data_batch_4.bin"
    right = members[wrong.name]
    wrong.write_bytes(right[:-1])
    refusal(wrong, f"{len(right)} bytes", f"{len(right) - 1} bytes", "replace")
    damaged = right[:-1] + bytes([right[-1] ^ 1])
    wrong.write_bytes(damaged)
    refusal(wrong, hashlib.md5(right).hexdigest(), hashlib.md5(damaged).hexdigest(), "replace")
    wrong.unlink()
    refusal(folder, "missing   data_batch_4.bin", "cifar-10-binary.tar.gz")


def test_cifar10_refuses_a_wrong_archive(folder):
    path = folder / "cifar-10-binary.tar.gz"
    path.write_bytes(b"mine")
    refusal(path, "md5 c32a1d4ab5d03f1284b67883e8d87530", hashlib.md5(b"mine").hexdigest(), "replace")
    assert path.read_bytes() == b"mine"


TEST = "cifar-10-batches-bin/test_batch.bin"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda e: e[:-1], ["lacks files", "missing   cifar-10-batches-bin/data_batch_3.bin"]),
        (lambda e: [x for x in e if x[0].name != TEST], ["lacks files", TEST]),
        (lambda e: [*e, entry("/etc/passwd", b"x")], ["plain file", "/etc/passwd"]),
        (lambda e: [*e, entry("cifar-10-batches-bin/../../up", b"x")], ["plain file", "../../up"]),
        (lambda e: [entry("a", kind=tarfile.SYMTYPE, link="/etc"), *e], ["plain file", "type b'2'"]),
        (lambda e: [*e, entry("a", kind=tarfile.LNKTYPE, link=TEST)], ["plain file", "type b'1'"]),
        (lambda e: [*e, entry("a", kind=tarfile.CHRTYPE)], ["plain file", "type b'3'"]),
        (lambda e: [*e, entry("a", kind=tarfile.FIFOTYPE)], ["plain file", "type b'6'"]),
        (lambda e: [entry(TEST, kind=tarfile.SYMTYPE, link="/etc/hosts"), *e], [TEST, "type b'2'"]),
        (lambda e: [entry(TEST, b"short"), *e], [TEST, f"{FEW * 3073} bytes", "5 bytes"]),
        (lambda e: [entry(TEST, bytes(FEW * 3073)), *e], [TEST, hashlib.md5(bytes(FEW * 3073)).hexdigest()]),
        (lambda e: [entry(info.name.split("/")[-1], content) for info, content in e], ["lacks files"]),
        (lambda e: [], ["lacks files"]),
    ],
)  # fmt: skip
def test_cifar10_refuses_strange_members(change, words, members, folder, tmp_path, monkeypatch):
    path = folder / "cifar-10-binary.tar.gz"
    pack(path, change(official(members)), monkeypatch)
    before = sorted(tmp_path.rglob("*"))
    refusal(path, "replace or remove", *words)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    "damage",
    [
        lambda z: b"",
        lambda z: b"not gzip at all",
        lambda z: gzip.compress(b"not a tar" * 100),
        lambda z: z[: len(z) // 2],
        lambda z: z[:2000] + bytes(200) + z[2200:],
        # A second stream that goes wrong in the middle of a file.
        lambda z: gzip.compress(gzip.decompress(z)[:5000]) + z[:10] + b"\xff" * 100,
    ],
)
def test_cifar10_refuses_a_damaged_archive(damage, members, folder, monkeypatch):
    path = folder / "cifar-10-binary.tar.gz"
    pack(path, official(members), monkeypatch)
    publish(path, damage(path.read_bytes()), monkeypatch)
    refusal(path, "replace or remove")


DATA = Path(os.environ.get("TINYGRAD_ADAM_DATA") or "/nowhere", "cifar10")


@pytest.mark.skipif(
    not (DATA / "test_batch.bin").is_file() and not (DATA / cifar10.ARCHIVE.name).is_file(),
    reason="set TINYGRAD_ADAM_DATA to a folder that has cifar10/ to test on the published files",
)
def test_the_published_cifar10():
    data, info = load_cifar10(), DATASETS["cifar10"]
    assert data.train_images.shape == (50_000, *info.shape)
    assert data.test_images.shape == (10_000, *info.shape)
    assert info.classes == len(data.classes)
    assert np.bincount(data.train_labels).tolist() == [5000] * 10
    assert np.bincount(data.test_labels).tolist() == [1000] * 10
    assert [data.classes[label] for label in data.train_labels[:3]] == ["frog", "truck", "truck"]
    assert [data.classes[label] for label in data.test_labels[:3]] == ["cat", "ship", "ship"]
    # The means and deviations of red, green and blue that the field normalizes CIFAR-10 with.
    mean, std = data.train_images.mean((0, 2, 3)) / 255, data.train_images.std((0, 2, 3)) / 255
    np.testing.assert_allclose(mean, [0.4914, 0.4822, 0.4465], atol=5e-5)
    np.testing.assert_allclose(std, [0.2470, 0.2435, 0.2616], atol=5e-5)
