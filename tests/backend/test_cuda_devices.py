"""Devices, under the strict stand-in for CuPy: names, moves, files, and what is refused."""

from __future__ import annotations

import copy
import itertools
import subprocess
import sys

import numpy as np
import pytest
import strict_cupy
from on_gpu import GPU

import tinygrad_adam as tg
from tinygrad_adam import data, errors, nn, optim, training
from tinygrad_adam.backend.device import get_backend
from tinygrad_adam.engine.graph import PRIMITIVES
from tinygrad_adam.nn import functional as F


@pytest.fixture(autouse=True)
def gpu():
    with strict_cupy.installed() as cupy:
        yield cupy


PAIRS = list(itertools.permutations(["cpu", "cuda:0", "cuda:1"], 2))


def numbers(*shape, device=GPU, **settings):
    return tg.tensor(np.random.default_rng(0).standard_normal(shape), device=device, **settings)


# --- Names ----------------------------------------------------------------------------------------------


def test_names(gpu):
    assert [tg.device(name) for name in ("cpu", "cuda", "cuda:0", "cuda:1")] == [
        "cpu",
        "cuda:0",
        "cuda:0",
        GPU,
    ]
    with gpu.cuda.Device(1):
        assert tg.device("cuda") == GPU
        assert tg.zeros(2, device="cuda").device == GPU
        assert tg.zeros(2, device="cuda:0").device == "cuda:0"
    assert get_backend(GPU) is get_backend(GPU)


def test_nothing_of_cupy_is_imported_unless_a_gpu_is_asked_for():
    script = "import sys, tinygrad_adam as tg; tg.zeros(2).sum().item(); print('cupy' in sys.modules, end='')"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout == "False"


# --- Making and moving ----------------------------------------------------------------------------------


CREATIONS = {
    "tensor": lambda **how: tg.tensor([1.0, 2.0], **how),
    "zeros": lambda **how: tg.zeros(2, 3, **how),
    "ones": lambda **how: tg.ones(2, **how),
    "full": lambda **how: tg.full((2,), 3.0, **how),
    "arange": lambda **how: tg.arange(4, **how),
    "eye": lambda **how: tg.eye(3, **how),
    "rand": lambda **how: tg.rand(3, **how),
    "randn": lambda **how: tg.randn(3, **how),
}


@pytest.mark.parametrize("name", CREATIONS)
def test_creation(name):
    make = CREATIONS[name]
    with tg.fork_rng(0):
        there = make(device=GPU)
    with tg.fork_rng(0):
        here = make()
    assert (there.device, here.device) == (GPU, "cpu")
    assert there.dtype == here.dtype
    np.testing.assert_array_equal(there.numpy(), here.numpy())


def test_data_stay_where_they_are_unless_a_device_is_given(gpu):
    x = numbers(2, 3)
    assert tg.tensor(x).device == GPU
    assert tg.tensor(x._data).device == GPU
    assert tg.tensor(x, device="cpu").device == "cpu"
    assert nn.Parameter(x).device == GPU
    before = strict_cupy.host_reads()
    tg.tensor(x, dtype=np.float32)
    assert strict_cupy.host_reads() == before


@pytest.mark.parametrize(("here", "there"), PAIRS)
def test_moves_of_tensors(here, there):
    x = numbers(2, 3, device=here, requires_grad=True)
    y = x.to(there)
    assert (y.device, y.requires_grad, y.node) == (there, True, None)
    assert y.to(there) is y
    np.testing.assert_array_equal(y.detach().numpy(), x.detach().numpy())
    assert copy.deepcopy(y).device == there
    assert y.to("float32").device == there
    assert y.astype(int).copy().device == there


def test_what_is_assigned_is_moved():
    p = nn.Parameter(numbers(2, 3))
    p.data = np.ones((2, 3))
    p.grad = np.full((2, 3), 2.0)
    with tg.no_grad():
        p[0] = np.zeros(3)
        p[1, 0] = tg.tensor(5.0)
        p += 1
    assert (p.device, p.grad.device) == (GPU, GPU)
    assert p.tolist() == [[1, 1, 1], [6, 2, 2]]


def test_initial_weights_are_the_same_everywhere():
    found = []
    for device in ("cpu", GPU):
        with tg.fork_rng(0):
            weight = nn.init.kaiming_normal_(tg.zeros(3, 4, device=device))
        assert weight.device == device
        found.append(weight.numpy())
    np.testing.assert_array_equal(*found)


def test_gradients_are_checked_where_the_inputs_are():
    x = numbers(3, 2, requires_grad=True)
    assert tg.gradcheck(lambda x: (x * x).sin(), x)
    assert tg.gradgradcheck(lambda x: (x * x).sin(), x)
    with pytest.raises(errors.GradcheckError):
        tg.gradcheck(lambda x: x.detach() * x, x)


def test_a_step_on_a_copy_leaves_the_original(gpu):
    x = numbers(3, requires_grad=True)
    for twin in (copy.deepcopy(x), x.detach().copy(), x.to("float32"), tg.tensor(x)):
        with tg.no_grad():
            twin *= 0.0
    assert abs(x.detach()).sum() > 0
    assert copy.deepcopy(optim.Adam([x]))._storages[0][0].data.device.id == 1


def test_what_is_spread_is_not_written_to():
    """NumPy refuses, CuPy would write to the one element that there is."""
    one = tg.ones(1, device=GPU)
    spread = one.broadcast_to((3,))
    with pytest.raises(errors.ShapeError, match="read-only"):
        spread += 1
    with pytest.raises(errors.ShapeError, match="read-only"):
        spread[0] = 5
    assert one.item() == 1
    one.broadcast_to((1, 1))[0] = 2
    assert one.item() == 2


def test_the_representation_says_where():
    assert repr(tg.tensor([1.5], device=GPU)) == "tensor([1.5], device=cuda:1)"


def test_indices_may_come_from_the_host_and_not_from_another_gpu():
    x = numbers(4, 2)
    for index in ([2, 0], np.array([2, 0]), tg.tensor([2, 0]), tg.tensor([2, 0], device=GPU)):
        np.testing.assert_array_equal(x[index].numpy(), x.numpy()[[2, 0]])
    for other in (numbers(4, 2, device="cpu"), numbers(4, 2, device="cuda:0")):
        with pytest.raises(errors.DeviceError, match="the index is on another device"):
            other[tg.tensor([2, 0], device=GPU)]


def test_the_current_gpu_stays_the_current_one(gpu):
    x = numbers(3, requires_grad=True)
    (x * x).sum().backward()
    optim.SGD([x], lr=0.1).step()
    with pytest.raises(errors.ShapeError):
        x + numbers(2)
    assert gpu.cuda.Device().id == 0


# --- Modules, optimizers, files ---------------------------------------------------------------------------


def network():
    with tg.fork_rng(0):
        return nn.Sequential(nn.Linear(3, 4, bias=False), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 2))


def take_step(model, opt, seed):
    device = next(model.parameters()).device
    x = np.random.default_rng(seed).standard_normal((8, 3))
    loss = (model(tg.tensor(x, dtype=np.float32, device=device)) ** 2).mean()
    opt.zero_grad()
    loss.backward()
    opt.step()


def test_a_model_may_move_between_steps():
    stays, moves = network(), network()
    optimizers = [optim.Adam(model.named_parameters(), lr=0.05) for model in (stays, moves)]
    for seed, device in enumerate(["cpu", GPU, GPU, "cuda:0", "cpu"]):
        parameters = list(moves.parameters())
        assert moves.to(device) is moves
        assert all(a is b for a, b in zip(parameters, moves.parameters(), strict=True))
        assert {t.device for t in (*moves.parameters(), *moves.buffers())} == {device}
        for model, opt in zip((stays, moves), optimizers, strict=True):
            take_step(model, opt, seed)
    for name, value in moves.state_dict().items():
        np.testing.assert_allclose(value, stays.state_dict()[name], rtol=1e-4, atol=1e-6)


def test_a_model_on_a_gpu_is_cast_there():
    model = network().to(GPU).to("float64")
    assert {(p.device, p.dtype.name) for p in model.parameters()} == {(GPU, "float64")}


def test_states_are_of_numpy_and_go_anywhere(tmp_path):
    trained = network().to(GPU)
    opt = optim.Adam(trained.named_parameters(), lr=0.05)
    take_step(trained, opt, 0)
    arrays = [*trained.state_dict().values()]
    arrays += [value for entry in opt.state_dict()["state"].values() for value in entry.values()]
    assert {type(value) for value in arrays} == {np.ndarray, int}
    trained.save(tmp_path / "model.safetensors")
    training.save_checkpoint(tmp_path / "run.safetensors", trained, opt)
    for device in ("cpu", "cuda:0", GPU):
        model = network().to(device).load(tmp_path / "model.safetensors")
        again = optim.Adam(model.named_parameters(), lr=0.05)
        training.load_checkpoint(tmp_path / "run.safetensors", model, again)
        assert {p.device for p in model.parameters()} == {device}
        with_tensors = network()
        with_tensors.load_state_dict(
            {name: tg.tensor(v, device=GPU) for name, v in model.state_dict().items()}
        )
        twin, twin_opt = copy.deepcopy((trained, opt))
        take_step(twin, twin_opt, 1)
        take_step(model, again, 1)
        for name, value in model.state_dict().items():
            np.testing.assert_allclose(value, twin.state_dict()[name], rtol=1e-4, atol=1e-6)


# --- Apart --------------------------------------------------------------------------------------------------


MIXTURES = {
    "add": (lambda a, b: a + b, ("a", "b")),
    "matmul": (lambda a, b: a @ b, ("a", "b")),
    "where": (lambda a, b: tg.where(a, b, 0.0), ("condition", "a")),
    "concatenate": (lambda a, b: tg.concatenate([a, b]), ("arrays[0]", "arrays[1]")),
    "einsum": (lambda a, b: tg.einsum("ij,ij->i", a, b), ("operands[0]", "operands[1]")),
    "conv2d": (lambda a, b: F.conv2d(a.reshape(1, 1, 3, 3), b.reshape(1, 1, 3, 3)), ("x", "weight")),
    "linear": (F.linear, ("x", "weight")),
    "squared_error": (F.mse_loss, ("input", "target")),
    "softmax_cross_entropy": (lambda a, b: F.cross_entropy(a, tg.tensor([0, 1, 2], device=b.device)),
                              ("logits", "labels")),
}  # fmt: skip


@pytest.mark.parametrize(("here", "there"), PAIRS)
@pytest.mark.parametrize("name", MIXTURES)
def test_devices_are_not_mixed(name, here, there):
    mix, (first, second) = MIXTURES[name]
    with pytest.raises(errors.DeviceError, match=rf"^{name}: all arrays must be on one device") as caught:
        mix(numbers(3, 3, device=here), numbers(3, 3, device=there))
    lines = [line.split() for line in str(caught.value).splitlines()]
    assert any(line[0] == first and line[-1] == here for line in lines)
    assert any(line[0] == second and line[-1] == there for line in lines)


def test_a_numpy_array_beside_a_tensor_of_a_gpu():
    x, host = numbers(2, 2), np.ones((2, 2))
    for mix in (
        lambda: x + host,
        lambda: host + x,
        lambda: np.multiply(host, x),
        lambda: F.mse_loss(x, host),
    ):
        with pytest.raises(errors.DeviceError, match=r"tg\.tensor\(array, device='cuda:1'\)"):
            mix()


@pytest.mark.parametrize("number", [2, 2.0, np.float32(2), np.float64(2)])
def test_numbers_beside_a_tensor_of_a_gpu(number):
    x = numbers(2, 2)
    for result in (x * number, number * x):
        assert result.device == GPU
        np.testing.assert_array_equal(result.numpy(), x.numpy() * 2)


def test_a_lack_of_memory_tells_the_sizes():
    x = numbers(1000, 1000)
    strict_cupy.limit[0], strict_cupy.counts["used"] = 10 * 2**20, 9 * 2**20
    for call, name in ((lambda: x + 1, "add"), (lambda: x.sum(axis=0, keepdims=True) + x, "add"),
                       (lambda: tg.zeros(1000, 1000, device=GPU), "zeros"), (lambda: x.to("cuda:0"), "to"),
                       (lambda: numbers(1000, 1000), "to")):  # fmt: skip
        with pytest.raises(
            errors.DeviceError, match=rf"^{name}: the GPU is out of memory; try a smaller"
        ) as caught:
            call()
        assert ("7.6 MiB" if name != "zeros" else "3.8 MiB") in str(caught.value)
        assert "9.0 MiB" in str(caught.value)


@pytest.mark.parametrize("word", ["CUBLAS_STATUS_ALLOC_FAILED", "cudaErrorMemoryAllocation: out of memory"])
def test_a_library_that_gets_no_memory_is_told_alike(word, monkeypatch):
    x = numbers(3, 3).requires_grad_()
    y = (x @ x).sum()

    def matmul(*args, **settings):
        raise RuntimeError(word)

    for rules in get_backend(GPU).rules.values():
        monkeypatch.setitem(rules, PRIMITIVES["_matmul"].forward, matmul)
    for call in (lambda: x @ x, y.backward):
        with pytest.raises(errors.DeviceError, match=r"^matmul: the GPU is out of memory") as caught:
            call()
        assert str(caught.value).count("out of memory;") == 1
        assert word in str(caught.value)


# --- Training loop ------------------------------------------------------------------------------------------


def trainer_on(device, loss=F.cross_entropy, **settings):
    with tg.fork_rng(0):
        model = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 2)).to(device)
    metrics = {"accuracy": training.Accuracy(), "top": training.Accuracy(top=2)}
    opt = optim.Adam(model.named_parameters(), lr=0.02)
    return training.Trainer(model, opt, loss, metrics, max_grad_norm=1.0, **settings)


def loader_on(device, n=400):
    return data.DataLoader(data.TensorDataset(*data.moons(n)).to(device), 16, shuffle=True, device=device)


def test_a_dataset_on_a_gpu_is_gathered_by_the_thread_that_computes(monkeypatch):
    def thread(*args):
        raise AssertionError

    monkeypatch.setattr("tinygrad_adam.data.loader.ThreadPoolExecutor", thread)
    loader = data.DataLoader(data.TensorDataset(np.arange(9.0)).to(GPU), 4, prefetch=2, device=GPU)
    assert [x.numpy().tolist() for (x,) in loader] == [[0, 1, 2, 3], [4, 5, 6, 7], [8]]


def test_the_trainer_reads_seldom_and_writes_the_history_of_the_cpu():
    found = []
    for device in ("cpu", GPU):
        trainer = trainer_on(device)
        before = strict_cupy.host_reads()
        trainer.fit(loader_on(device), epochs=2, validation=loader_on(device, 100))
        found.append([{k: v for k, v in row.items() if k != "seconds"} for row in trainer.history])
        reads = strict_cupy.host_reads() - before
    for here, there in zip(*found, strict=True):
        assert here.keys() == there.keys()
        np.testing.assert_allclose([*here.values()], [*there.values()], rtol=1e-4)
    assert reads < 2 * 12  # a dozen an epoch of 25 batches; the CPU looks at every one
    assert trainer.last_loss > 0
    assert trainer.predict(loader_on(GPU, 20)).shape == (20, 2)


@pytest.mark.parametrize("epochs", [1, 50])
def test_a_loss_that_is_not_finite_is_found_late(epochs):
    trainer = trainer_on(GPU, lambda output, target: (output * np.inf).sum() * 0.0)
    with pytest.raises(errors.NonFiniteError, match=r"the loss is not finite; .* go on from a checkpoint"):
        trainer.fit(loader_on(GPU, 16 * 10 if epochs == 1 else 16 * 100), epochs=epochs)
    assert trainer.step == (10 if epochs == 1 else 63)
    assert not trainer.history.rows


def test_a_run_goes_on_on_another_device(tmp_path):
    whole, first = trainer_on("cpu"), trainer_on(GPU)
    whole.fit(loader_on("cpu"), epochs=3)
    first.fit(loader_on(GPU), epochs=2)
    first.save(tmp_path / "run.safetensors")
    second = trainer_on("cpu")
    second.load(tmp_path / "run.safetensors")
    second.fit(loader_on("cpu"), epochs=3)
    np.testing.assert_allclose(second.history["loss"], whole.history["loss"], rtol=1e-4)
