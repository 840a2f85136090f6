"""Layers, losses and files against PyTorch, with the same weights."""

from __future__ import annotations

import numpy as np
import pytest
from layers import LAYERS, build, small_cnn

import tinygrad_adam as tg
from tinygrad_adam import errors, nn

torch = pytest.importorskip("torch", reason="PyTorch is not installed: nothing to compare with")

from safetensors.torch import load_file, save_file  # noqa: E402 (imports torch)

pytestmark = pytest.mark.torch

SHARED = [layer for layer in LAYERS if not isinstance(layer.torch, str)]


def near(got, wanted, what=""):
    np.testing.assert_allclose(np.asarray(got), np.asarray(wanted), rtol=1e-10, atol=1e-10, err_msg=what)
    assert np.shape(got) == tuple(wanted.shape), what


def twin_of(layer, module):
    twin = (layer.torch or layer.make)(torch.nn, torch.tensor).double()
    state = {name: torch.tensor(value) for name, value in module.state_dict().items()}
    twin.load_state_dict(state, strict=not layer.name.endswith("Loss"))  # there the class weights are buffers
    return twin


def run_both(module, twin, inputs, constants, seed):
    ours = [tg.tensor(a, requires_grad=True) for a in inputs]
    theirs = [torch.tensor(a, requires_grad=True) for a in inputs]
    module.zero_grad()
    twin.zero_grad()
    y = module(*ours, *map(tg.tensor, constants))
    z = twin(*theirs, *map(torch.tensor, constants))
    near(y.detach().numpy(), z.detach(), "output")
    if y.requires_grad:
        weights = np.random.default_rng(seed).standard_normal(y.shape)
        (y * weights).sum().backward()
        (z * torch.tensor(weights)).sum().backward()
    for i, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        near(a.grad.numpy(), b.grad, f"gradient of input {i}")
    pairs = zip(module.named_parameters(), twin.named_parameters(), strict=True)
    for (name, p), (their_name, q) in pairs:
        assert name == their_name
        near(p.grad.numpy(), q.grad, f"gradient of {name}")


@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides:UserWarning")  # PyTorch's, for KLDivLoss
@pytest.mark.parametrize("kernels", ["fast", "reference"])
@pytest.mark.parametrize("layer", SHARED, ids=str)
def test_layers_agree(layer, kernels):
    module = build(layer)
    twin = twin_of(layer, module)
    rng = np.random.default_rng(1)
    module.train(layer.train)
    twin.train(layer.train)
    with tg.use_kernels(kernels):
        for seed in range(3):  # several batches, for the running statistics
            run_both(module, twin, layer.inputs(rng), layer.constants(rng), seed)
        buffers = dict(twin.named_buffers())
        for name, value in module.named_buffers():
            near(value.numpy(), buffers[name], name)
        run_both(module.eval(), twin.eval(), layer.inputs(rng), layer.constants(rng), 3)


def test_rows_without_a_counterpart_say_why():
    without = {str(layer) for layer in LAYERS if isinstance(layer.torch, str)}
    assert without == {"HingeLoss", "HingeLoss-sum", "Embedding-sparse", "SparseLinear"}


@pytest.mark.parametrize("name", ["BatchNorm1d", "BatchNorm2d"])
def test_mode_does_not_change_state_names(name):
    ours, theirs = getattr(nn, name)(3), getattr(torch.nn, name)(3)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for name, value in theirs.state_dict().items():
        assert str(ours.state_dict()[name].dtype) == str(value.dtype).removeprefix("torch.")


# --- Initial weights ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["weight", "bias"])
def test_default_linear_weights_are_distributed_as_in_pytorch(name):
    with tg.fork_rng(0):
        ours = np.sort(nn.Linear(50, 4000).state_dict()[name].ravel())
    generator = torch.random.get_rng_state()
    torch.manual_seed(0)
    theirs = np.sort(torch.nn.Linear(50, 4000).state_dict()[name].numpy().ravel())
    torch.random.set_rng_state(generator)
    np.testing.assert_allclose(ours.std(), theirs.std(), rtol=0.03)
    np.testing.assert_allclose([ours[0], ours[-1]], [theirs[0], theirs[-1]], rtol=0.01)
    assert np.abs(ours - theirs).max() < 0.1 * theirs[-1]  # all quantiles


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("Conv1d", (40, 60, 5)),
        ("Conv1d", (40, 60, 5, 1, 0, 1, 4)),
        ("Conv2d", (12, 200, 3)),
        ("Conv2d", (16, 400, (2, 3), 1, 0, 1, 2)),
        ("ConvTranspose2d", (200, 12, 3)),  # the fan is that of the outputs
        ("ConvTranspose2d", (400, 16, (2, 3), 1, 0, 0, 2)),
    ],
)
def test_default_filters_are_distributed_as_in_pytorch(name, settings):
    with tg.fork_rng(0):
        ours = getattr(nn, name)(*settings).state_dict()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        theirs = getattr(torch.nn, name)(*settings).state_dict()
    assert list(ours) == list(theirs) == ["weight", "bias"]
    bound = np.abs(theirs["weight"].numpy()).max()
    assert ours["weight"].shape == theirs["weight"].shape
    np.testing.assert_allclose(ours["weight"].std(), theirs["weight"].std(), rtol=0.03)
    np.testing.assert_allclose(np.abs(ours["weight"]).max(), bound, rtol=0.01)
    assert ours["bias"].shape == theirs["bias"].shape
    assert 0.5 * bound < np.abs(ours["bias"]).max() <= 1.01 * bound
    assert 0.5 * bound < np.abs(theirs["bias"].numpy()).max()


def test_default_embedding_is_distributed_as_in_pytorch():
    with tg.fork_rng(0):
        ours = nn.Embedding(1000, 50).weight.data
    theirs = torch.nn.Embedding(1000, 50).weight.detach().numpy()
    np.testing.assert_allclose(ours.std(), theirs.std(), rtol=0.02)
    assert abs(ours.mean()) < 0.02


@pytest.mark.parametrize("name", ["linear", "sigmoid", "tanh", "relu", "leaky_relu", "selu"])
def test_gains(name):
    assert nn.init.calculate_gain(name) == pytest.approx(torch.nn.init.calculate_gain(name), rel=1e-15)


def test_gain_of_a_slope():
    ours = nn.init.calculate_gain("leaky_relu", 0.3)
    assert ours == pytest.approx(torch.nn.init.calculate_gain("leaky_relu", 0.3), rel=1e-15)


@pytest.mark.parametrize("mode", ["fan_in", "fan_out"])
@pytest.mark.parametrize("shape", [(300, 200), (60, 20, 3, 3)])
@pytest.mark.parametrize(
    ("name", "takes_mode"),
    [
        ("kaiming_uniform_", True),
        ("kaiming_normal_", True),
        ("xavier_uniform_", False),
        ("xavier_normal_", False),
    ],
)
def test_initial_spread_agrees(name, takes_mode, shape, mode):
    settings = {"mode": mode, "a": 0.2} if takes_mode else {"gain": 1.5}
    with tg.fork_rng(0):
        ours = getattr(nn.init, name)(tg.zeros(shape), **settings).data
    theirs = getattr(torch.nn.init, name)(torch.zeros(shape), **settings).numpy()
    np.testing.assert_allclose(ours.std(), theirs.std(), rtol=0.03)
    if "uniform" in name:
        np.testing.assert_allclose(np.abs(ours).max(), np.abs(theirs).max(), rtol=0.01)


# --- Files -------------------------------------------------------------------------------------


def both(cnn=False):
    def make(lib):
        if cnn:
            return small_cnn(lib, None)
        return lib.Sequential(lib.Linear(4, 5), lib.BatchNorm1d(5), lib.ReLU(), lib.Linear(5, 3))

    return make(nn), make(torch.nn)


@pytest.mark.parametrize(("cnn", "shape"), [(False, (4,)), (True, (2, 6, 4))], ids=["mlp", "cnn"])
def test_pytorch_reads_our_file(tmp_path, cnn, shape):
    ours, theirs = both(cnn)
    ours(tg.randn(8, *shape))  # moves the running statistics
    ours.save(tmp_path / "m.safetensors")
    theirs.load_state_dict(load_file(tmp_path / "m.safetensors"))  # raises if a name is amiss
    x = np.random.default_rng(0).standard_normal((3, *shape)).astype(np.float32)
    wanted = theirs.eval()(torch.tensor(x)).detach()
    np.testing.assert_allclose(ours.eval()(tg.tensor(x)).detach().numpy(), wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("cnn", "shape"), [(False, (4,)), (True, (2, 6, 4))], ids=["mlp", "cnn"])
def test_we_read_the_file_of_pytorch(tmp_path, cnn, shape):
    ours, theirs = both(cnn)
    theirs(torch.randn(8, *shape))
    save_file(theirs.state_dict(), tmp_path / "m.safetensors")
    ours.load(tmp_path / "m.safetensors")
    for name, value in theirs.state_dict().items():
        assert np.array_equal(ours.state_dict()[name], value.numpy()), name


def test_a_state_dict_of_pytorch_loads_as_it_is():
    ours, theirs = both()
    ours.load_state_dict(theirs.state_dict())
    assert np.array_equal(ours[3].weight.data, theirs[3].weight.detach().numpy())


def test_the_state_of_a_cnn_goes_there_and_back():
    ours, theirs = both(cnn=True)
    theirs(torch.randn(8, 2, 6, 4))
    ours.load_state_dict(theirs.state_dict())
    again = both(cnn=True)[1]
    again.load_state_dict({name: torch.from_numpy(value) for name, value in ours.state_dict().items()})
    assert list(again.state_dict()) == list(theirs.state_dict())
    for name, value in theirs.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name
    x = np.random.default_rng(0).standard_normal((3, 2, 6, 4)).astype(np.float32)
    wanted = again.eval()(torch.tensor(x)).detach()
    np.testing.assert_allclose(ours.eval()(tg.tensor(x)).detach().numpy(), wanted, rtol=1e-5, atol=1e-6)


def test_a_layer_used_twice_has_both_names_as_in_pytorch():
    a, b = nn.Linear(3, 3), torch.nn.Linear(3, 3)
    ours, theirs = nn.Sequential(a, nn.Tanh(), a), torch.nn.Sequential(b, torch.nn.Tanh(), b)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert [n for n, _ in ours.named_parameters()] == [n for n, _ in theirs.named_parameters()]
    ours.load_state_dict(theirs.state_dict())
    assert np.array_equal(a.weight.data, b.weight.detach().numpy())


@pytest.mark.parametrize("how", ["torch.save", "bfloat16"])
def test_files_of_pytorch_that_cannot_be_read_are_refused(tmp_path, how):
    path = tmp_path / "m.safetensors"
    if how == "torch.save":
        torch.save(torch.nn.Linear(2, 2).state_dict(), path)
    else:
        save_file(torch.nn.Linear(2, 2).bfloat16().state_dict(), path)
    with pytest.raises(errors.CheckpointError, match=r"loading .*m\.safetensors"):
        nn.Linear(2, 2).load(path)
