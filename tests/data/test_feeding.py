"""Batches on a GPU are those on the CPU, and nothing is written or read too early, under the stand-in."""

from __future__ import annotations

import contextlib
import gc

import numpy as np
import pytest
import strict_cupy
from strict_cupy import streams

import tinygrad_adam as tg
from tinygrad_adam import data, errors
from tinygrad_adam.backend.cuda import feeding

DEVICES = ["cuda", "cuda:1"]


@pytest.fixture(autouse=True)
def gpu():
    with strict_cupy.installed() as cupy:
        yield cupy


def images(n=37, augment=()):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (n, 3, 4, 5), dtype=np.uint8)
    return data.ImageDataset(pixels, rng.integers(0, 10, n), augment=augment)


def numbers(n=37):
    rng = np.random.default_rng(0)
    columns = rng.standard_normal((n, 3)), rng.random(n, np.float32), np.arange(n) % 3 == 0
    return data.TensorDataset(*columns, np.arange(n, dtype=np.int32))


def empty_rows():
    return data.TensorDataset(np.zeros((9, 0), np.float32), np.arange(9))


def changed():
    return images(augment=[data.random_crop(1), data.random_flip()])


def on_host(batches):
    return [[tensor.numpy() for tensor in batch] for batch in batches]


def check_equal(found, expected):
    assert len(found) == len(expected)
    for batch, reference in zip(found, expected, strict=True):
        for array, wanted in zip(batch, reference, strict=True):
            assert array.dtype == wanted.dtype
            np.testing.assert_array_equal(array, wanted)


# --- The same batches -----------------------------------------------------------------------------


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("make", [images, changed, numbers, empty_rows])
@pytest.mark.parametrize(
    "options", [{}, {"shuffle": True, "seed": 3}, {"drop_last": True}, {"prefetch": 2, "shuffle": True}]
)
def test_the_batches_are_those_of_the_cpu(make, options, device):
    here = data.DataLoader(make(), 8, **options)
    there = data.DataLoader(make(), 8, **options, device=device)
    for _ in range(2):
        batches = list(there)  # all kept until the end: none may lie where a later one is written
        assert {tensor.device for batch in batches for tensor in batch} == {tg.device(device)}
        check_equal(on_host(batches), on_host(here))


@pytest.mark.parametrize("n", [1, 8, 9, 16])
def test_epochs_of_few_batches(n):
    check_equal(
        on_host(data.DataLoader(numbers(n), 8, device="cuda")), on_host(data.DataLoader(numbers(n), 8))
    )


def test_batches_that_grow(gpu):
    """A dataset may give rows of another shape each time; the buffers grow with them."""

    class Growing:
        def __len__(self):
            return 6

        def __getitem__(self, rows):
            return (np.full((len(rows), 1 + int(rows[0])), rows[0], ">i4"),)

    check_equal(on_host(data.DataLoader(Growing(), 1, device="cuda")), on_host(data.DataLoader(Growing(), 1)))


def test_types_that_tensors_do_not_hold():
    loader = data.DataLoader(data.TensorDataset(np.zeros(4, np.complex64)), 2, device="cuda")
    with pytest.raises(errors.DTypeError, match="complex64"):
        next(iter(loader))


@pytest.mark.parametrize("taken", [1, 3, 5])
@pytest.mark.parametrize("prefetch", [0, 2])
def test_going_on_in_the_middle_of_an_epoch(taken, prefetch):
    def make(device):
        return data.DataLoader(changed(), 8, shuffle=True, seed=1, prefetch=prefetch, device=device)

    stopped = make("cuda")
    for _, _ in zip(range(taken), stopped, strict=False):
        pass
    state = stopped.state_dict()
    assert state["batch"] == taken, "one on its way does not count"
    there, here = make("cuda"), make("cpu")
    there.load_state_dict(state)
    here.load_state_dict(state)
    rest = on_host(there)
    assert len(rest) == 5 - taken
    check_equal(rest, on_host(here))
    check_equal(on_host(there), on_host(here))


@pytest.mark.parametrize("taken", [1, 2, 4])
def test_leaving_the_loop_early(taken):
    """The fixture fails if an array was gone while it was copied to."""
    loader = data.DataLoader(numbers(), 8, device="cuda")
    for _, _ in zip(range(taken), loader, strict=False):
        pass
    check_equal(on_host(loader), on_host(data.DataLoader(numbers(), 8)))


def test_an_error_while_gathering():
    class Broken(data.TensorDataset):
        def __getitem__(self, rows):
            if 20 in rows:
                raise ZeroDivisionError
            return super().__getitem__(rows)

    batches = iter(data.DataLoader(Broken(np.arange(37)), 8, device="cuda"))
    kept = [next(batches)]
    with pytest.raises(ZeroDivisionError):
        kept.append(next(batches))
    assert kept[0][0].numpy().tolist() == list(range(8))


# --- What crosses the bus, and when ---------------------------------------------------------------


@pytest.fixture
def crossing(monkeypatch):
    """The arrays that were copied to a GPU on a stream of its own."""
    copied = []
    real = streams.Stream._copy

    def copy(self, array, source):
        copied.append((source.dtype, source.shape))
        real(self, array, source)

    monkeypatch.setattr(streams.Stream, "_copy", copy)
    return copied


def test_bytes_cross_the_bus_and_become_floats_behind_it(crossing):
    ((x, y),) = data.DataLoader(images(6), 6, device="cuda")
    assert crossing == [(np.uint8, (6, 3, 4, 5)), (np.int64, (6,))]
    assert (x.dtype, y.dtype) == (np.float32, np.int64)


def test_a_transform_works_on_the_host_unless_it_says_otherwise(crossing, gpu):
    def halved(x):
        seen.append(type(x))
        return (x / 2,)

    seen = []
    dataset = data.TensorDataset(np.arange(6, dtype=np.int16), transform=halved)
    (((here,),)) = data.DataLoader(dataset, 6, device="cuda")
    halved.on_any_device = True
    (((there,),)) = data.DataLoader(dataset, 6, device="cuda")
    assert seen == [np.ndarray, gpu.ndarray]
    assert [dtype for dtype, _ in crossing] == [np.float64, np.int16]
    assert here.numpy().tolist() == there.numpy().tolist() == [0, 0.5, 1, 1.5, 2, 2.5]
    assert dataset.transform is halved


def test_there_are_two_buffers_for_each_array(monkeypatch, gpu):
    sizes = []
    real = gpu.cuda.alloc_pinned_memory
    monkeypatch.setattr(gpu.cuda, "alloc_pinned_memory", lambda size: sizes.append(size) or real(size))
    list(data.DataLoader(images(37), 8, device="cuda"))
    assert sizes == [8 * 60, 8 * 8] * 2


def test_a_batch_is_on_its_way_before_the_one_before_is_worked_with(crossing):
    loader = data.DataLoader(numbers(32), 8, device="cuda")
    ways = [len(crossing) // 4 for _ in loader]
    assert ways == [2, 3, 4, 4]


@pytest.mark.parametrize("resident", [False, True])
def test_no_value_is_read_on_the_host(resident):
    tg.device("cuda")  # which makes a product of its own
    dataset = images().to("cuda") if resident else images()
    with strict_cupy.no_host_reads():
        assert len(list(data.DataLoader(dataset, 8, shuffle=True, device="cuda"))) == 5


def nothing(*args):
    return None


def hand_on(self, sent):
    return sent.arrays


WAITS = {
    "the host, for the buffer": (streams.Event, "synchronize", nothing),
    "the copy, for what was computed before": (streams.Event, "record", lambda self, stream=None: None),
    "what is computed, for the copy": (feeding._Feeder, "receive", hand_on),
}


@pytest.mark.parametrize("wait", WAITS)
def test_each_wait_is_needed(monkeypatch, wait):
    """Without it, a batch is wrong or the stand-in refuses."""
    place, name, instead = WAITS[wait]
    monkeypatch.setattr(place, name, instead)

    def feed():
        there = on_host(data.DataLoader(numbers(), 8, device="cuda"))
        check_equal(there, on_host(data.DataLoader(numbers(), 8)))
        streams.check()

    with pytest.raises(AssertionError):
        feed()
    gc.collect()
    with contextlib.suppress(AssertionError):  # what is wrong with it besides
        streams.check()


# --- A dataset that lives on a GPU ----------------------------------------------------------------


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("make", [images, numbers])
def test_a_dataset_on_a_gpu_gives_the_same_batches(crossing, make, device):
    moved = make().to(device)
    assert len(moved) == 37
    options = {"batch_size": 8, "shuffle": True, "seed": 5}
    there = data.DataLoader(moved, **options, device=device)
    check_equal(on_host(there), on_host(data.DataLoader(make(), **options)))
    assert crossing == []


def test_batches_of_a_dataset_on_a_gpu_for_another_device():
    moved = numbers().to("cuda")
    for device in ("cpu", "cuda:1"):
        batches = list(data.DataLoader(moved, 8, device=device))
        assert {tensor.device for batch in batches for tensor in batch} == {device}
        check_equal(on_host(batches), on_host(data.DataLoader(numbers(), 8)))


@pytest.mark.parametrize(
    "index", [2, -1, slice(3, 30, 4), [1, -2, 5], [], np.array([7, 7]), np.arange(37) % 5 == 0]
)
def test_rows_of_a_dataset_on_a_gpu(gpu, index):
    for dataset in (images(), numbers()):
        found = dataset.to("cuda:1")[index]
        assert {type(array) for array in found} == {gpu.ndarray}
        check_equal([[array.get() for array in found]], [dataset[index]])


@pytest.mark.parametrize("index", [37, -38, [0, 37], np.array([-38]), np.ones(36, bool)])
def test_rows_that_are_not_there(index):
    for dataset in (numbers(), numbers().to("cuda")):
        with pytest.raises(errors.IndexingError, match=r"TensorDataset.*\n  length  37"):
            dataset[index]


def test_moving_leaves_the_dataset_as_it_was(gpu):
    dataset = images()
    back = dataset.to("cuda").to("cuda:1").to("cpu")
    assert {type(array) for array in dataset.arrays + back.arrays} == {np.ndarray}
    check_equal([back[:]], [dataset[:]])


def test_splitting_on_a_gpu():
    dataset = numbers()
    for there, here in zip(data.split(dataset.to("cuda"), 0.7), data.split(dataset, 0.7), strict=True):
        check_equal([[array.get() for array in there.arrays]], [here.arrays])


@pytest.mark.parametrize("device", DEVICES)
def test_augmenting_is_for_the_host(device):
    with pytest.raises(
        errors.OptionError, match=r"TensorDataset.to: augment works on the host; .*\n  device"
    ):
        changed().to(device)
    assert changed().to("cpu").augment is not None


def test_a_dataset_that_does_not_fit():
    strict_cupy.limit[0] = 1000
    with pytest.raises(errors.DeviceError, match="the GPU is out of memory"):
        images(100).to("cuda")
