"""Modules, layers, initial weights and files of weights."""

from __future__ import annotations

import copy
import errno
import math
import pickle

import numpy as np
import pytest
import safetensors.numpy
from layers import LAYERS, build, exported_layers

import tinygrad_adam as tg
import tinygrad_adam.nn.functional as F
from tinygrad_adam import errors, nn
from tinygrad_adam.nn import init


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(3, 4)
        self.norm = nn.BatchNorm1d(4)
        self.scale = nn.Parameter(tg.ones(4))
        self.last = nn.Linear(4, 2, bias=False)

    def forward(self, x):
        return self.last(self.norm(self.first(x)).relu() * self.scale)


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(6, 3)
        self.out = nn.Linear(3, 6)
        self.out.weight = self.table.weight

    def forward(self, indices):
        return self.out(self.table(indices))


class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Parameter(tg.zeros(2))
        self.b = nn.Parameter(tg.zeros(3))


def names(module):
    return [name for name, _ in module.named_parameters()]


def same_state(left, right):
    assert left.keys() == right.keys()
    return all(np.array_equal(left[name], right[name]) for name in left)


# --- Registration ------------------------------------------------------------------------------


def test_parameters_come_in_the_order_of_assignment_own_ones_first():
    assert names(Net()) == ["scale", "first.weight", "first.bias", "norm.weight", "norm.bias", "last.weight"]


def test_a_replacement_keeps_its_place():
    pair = Pair()
    pair.a = nn.Parameter(tg.ones(2))
    assert names(pair) == ["a", "b"]
    assert pair.a.tolist() == [1, 1]
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    setattr(model, "0", nn.Linear(2, 3))
    assert model(tg.ones(1, 2)).shape == (1, 3)
    assert isinstance(model[1], nn.ReLU)


def test_an_attribute_can_change_its_kind_through_deletion_only():
    pair = Pair()
    with pytest.raises(errors.OptionError, match=r"Pair: attribute 'a' is registered.*\n.*Tensor"):
        pair.a = tg.ones(2)
    with pytest.raises(errors.OptionError, match="Linear"):
        pair.a = nn.Linear(1, 1)
    with pytest.raises(errors.OptionError, match="int"):
        pair.a = 3
    del pair.a
    assert names(pair) == ["b"]
    assert not hasattr(pair, "a")
    pair.a = nn.Linear(1, 1)
    assert names(pair) == ["b", "a.weight", "a.bias"]
    with pytest.raises(AttributeError):
        del pair.c


def test_none_empties_a_place_and_it_can_be_filled_again():
    pair = Pair()
    pair.a = None
    assert pair.a is None
    assert names(pair) == list(pair.state_dict()) == ["b"]
    pair.a = nn.Parameter(tg.ones(2))
    assert names(pair) == ["a", "b"]


def test_a_plain_tensor_is_not_registered_and_a_parameter_can_follow_it():
    pair = Pair()
    pair.c = tg.ones(2)
    assert list(pair.state_dict()) == ["a", "b"]
    pair.c = nn.Parameter(tg.ones(2))
    assert names(pair) == ["a", "b", "c"]


def test_forgetting_super_init_says_so():
    class Forgot(nn.Module):
        def __init__(self):
            self.layer = nn.Linear(1, 1)

    with pytest.raises(errors.OptionError, match=r"Forgot: call super\(\).__init__\(\) before.*\n.*layer"):
        Forgot()


def test_a_module_without_forward_says_so():
    with pytest.raises(NotImplementedError, match="Pair has no forward"):
        Pair()(1)


def test_registered_modules_are_attributes_too():
    pair = Pair()
    pair.register_module("head", nn.Linear(1, 1))
    assert pair.head is dict(pair.named_children())["head"]
    with pytest.raises(errors.OptionError, match=r"only Modules can be children\n.*name.*f\n.*function"):
        pair.register_module("f", lambda x: x)
    with pytest.raises(errors.OptionError, match="only Modules"):
        nn.Sequential(nn.Linear(1, 1), F.relu)
    with pytest.raises(errors.OptionError, match=r"write ReLU\(\) for one"):
        nn.Sequential(nn.Linear(1, 1), nn.ReLU)
    with pytest.raises(errors.OptionError, match=r"unpack a list of them, as in Sequential\(\*layers\)"):
        nn.Sequential([nn.Linear(1, 1)])


def test_buffers_are_saved_but_not_trained():
    pair = Pair()
    pair.register_buffer("mask", tg.ones(2))
    pair.register_buffer("absent", None)
    assert [name for name, _ in pair.named_buffers()] == ["mask"]
    assert names(pair) == ["a", "b"]
    assert list(pair.state_dict()) == ["a", "b", "mask"]
    pair.mask = tg.zeros(2)
    pair.absent = tg.ones(1)
    assert pair.state_dict()["mask"].tolist() == [0, 0]
    assert [b.shape for b in pair.buffers()] == [(2,), (1,)]
    with pytest.raises(errors.OptionError, match=r"a buffer is a Tensor or None\n.*mask\n.*ndarray"):
        pair.register_buffer("mask", np.ones(2))


def test_shared_parameters_count_once_and_are_saved_under_each_name():
    tied = Tied()
    assert names(tied) == ["table.weight", "out.bias"]
    assert list(tied.state_dict()) == ["table.weight", "out.weight", "out.bias"]
    assert tied.parameter_count() == 24
    tied(np.array([1, 2])).sum().backward()
    ways = tied.table.weight.grad.numpy()
    assert (ways[0] != 0).all()  # as an output
    assert not np.array_equal(ways[1], ways[0])  # and as an input


def test_a_shared_module_is_visited_once():
    layer = nn.Linear(2, 2)
    model = nn.Sequential(layer, layer)
    assert [name for name, _ in model.named_modules()] == ["", "0"]
    assert model.parameter_count() == 6
    assert list(model.state_dict()) == ["0.weight", "0.bias", "1.weight", "1.bias"]
    model.load_state_dict(model.state_dict())


def test_lists():
    layers = nn.ModuleList(nn.Linear(2, 2) for _ in range(3))
    layers.append(nn.ReLU())
    assert len(layers) == 4
    assert layers[-1] is list(layers)[3]
    assert isinstance(layers[1:3], nn.ModuleList)
    assert [id(m) for m in layers[1:3]] == [id(layers[1]), id(layers[2])]
    assert len(list(layers.parameters())) == 6
    with pytest.raises(errors.IndexingError, match=r"ModuleList: it has 4 members\n.*4"):
        layers[4]


def test_walks():
    net = nn.Sequential(nn.Linear(1, 1), nn.Sequential(nn.ReLU(), nn.Tanh()))
    assert [name for name, _ in net.named_modules()] == ["", "0", "1", "1.0", "1.1"]
    assert list(net.children()) == [net[0], net[1]]
    seen = []
    assert net.apply(lambda m: seen.append(type(m).__name__)) is net
    assert seen == ["Linear", "ReLU", "Tanh", "Sequential", "Sequential"]


# --- Mode, gradients, dtype ----------------------------------------------------------------------


def test_train_and_eval_reach_all_modules():
    net = nn.Sequential(nn.Dropout(), nn.Sequential(nn.Dropout()))
    assert net.training
    assert net.eval() is net
    assert not any(m.training for m in net.modules())
    net[1].train()
    assert [m.training for m in net.modules()] == [False, False, True, True]


def test_freezing():
    net = Net()
    assert net.requires_grad_(False) is net
    assert not net(tg.ones(2, 3)).requires_grad
    net.last.requires_grad_()
    net(tg.randn(2, 3)).sum().backward()
    assert [name for name, p in net.named_parameters() if p.grad is not None] == ["last.weight"]
    net.zero_grad()
    assert all(p.grad is None for p in net.parameters())


def test_to_a_dtype_keeps_the_objects_and_leaves_integers():
    net = Net()
    before = list(net.parameters())
    version = before[0]._version[0]
    assert net.to(np.float64) is net
    assert all(a is b for a, b in zip(net.parameters(), before, strict=True))
    assert before[0]._version[0] > version
    assert {p.dtype.name for p in net.parameters()} == {"float64"}
    assert {name: b.dtype.name for name, b in net.named_buffers()} == {
        "norm.running_mean": "float64", "norm.running_var": "float64", "norm.num_batches_tracked": "int64",
    }  # fmt: skip
    assert net(tg.randn(4, 3, dtype=np.float64)).dtype == np.float64
    assert net.to("float32").scale.dtype == np.float32


def test_to_nothing_new_changes_nothing():
    net = Net()
    net(tg.randn(4, 3)).sum().backward()
    places = [p.data for p in net.parameters()]
    net.to("cpu").to(np.float32)
    assert all(
        p.data is place and p.grad is not None for p, place in zip(net.parameters(), places, strict=True)
    )


@pytest.mark.parametrize("dtype", [np.int64, "int32", bool, np.float16, np.complex64, "no such"])
def test_parameters_stay_floats(dtype):
    net = Net()
    with pytest.raises((errors.DTypeError, errors.OptionError)):
        net.to(dtype)
    assert net.scale.dtype == np.float32


def test_default_dtype_reaches_parameters():
    with tg.default_dtype(np.float64):
        net = Net()
    assert {p.dtype.name for p in net.parameters()} == {"float64"}
    assert net.norm.running_var.dtype == np.float64


def test_assigning_a_value_copies_into_place():
    p = nn.Parameter([1.0, 2.0])
    place, values = p.data, np.array([3.0, 4.0])
    p.data = values
    values[0] = 9
    assert p.data is place
    assert p.tolist() == [3, 4]
    p.data = tg.ones(2)
    assert place.tolist() == [1, 1]
    with pytest.raises(errors.ShapeError, match=r"same shape\n.*\(2,\)\n.*\(1,\)"):
        p.data = np.ones(1)


def test_a_parameter_copies_and_refuses_integers():
    values = np.ones(2)
    p = nn.Parameter(values)
    values[0] = 5
    assert p.tolist() == [1, 1]
    assert p.requires_grad
    assert not nn.Parameter(values, requires_grad=False).requires_grad
    with pytest.raises(errors.DTypeError, match="only floats have gradients"):
        nn.Parameter([1, 2])


# --- Hooks -------------------------------------------------------------------------------------


def test_forward_hooks_see_replace_and_leave():
    layer, seen = nn.ReLU(), []
    remove_look = layer.register_forward_hook(lambda m, args, y: seen.append((m, args, y)))
    remove_double = layer.register_forward_hook(lambda m, args, y: y * 2)
    x = tg.tensor([1.0, -1.0])
    assert layer(x).tolist() == [2, 0]
    module, args, y = seen[0]
    assert module is layer
    assert args == (x,)
    assert y.tolist() == [1, 0]
    remove_double()
    remove_double()
    assert layer(x).tolist() == [1, 0]
    remove_look()
    layer(x)
    assert len(seen) == 2


def test_pre_hooks_replace_arguments():
    layer = nn.ReLU()
    remove = layer.register_forward_pre_hook(lambda m, args: -args[0])
    assert layer(tg.tensor([1.0, -1.0])).tolist() == [0, 1]
    remove()
    layer.register_forward_pre_hook(lambda m, args: (args[0] + 1,))
    layer.register_forward_pre_hook(lambda m, args: None)
    assert layer(tg.tensor([1.0, -1.0])).tolist() == [2, 0]


# --- State -------------------------------------------------------------------------------------


def test_a_state_is_a_copy_and_loads():
    a, b = Net(), Net()
    a(tg.randn(5, 3))
    state = a.state_dict()
    state["scale"][0] = 7
    assert a.scale.tolist() == [1, 1, 1, 1]
    version = b.scale._version[0]
    b.load_state_dict(state)
    assert same_state(b.state_dict(), state)
    assert b.scale._version[0] > version
    state["scale"][0] = 8
    assert b.scale.tolist()[0] == 7


def test_a_state_may_hold_tensors_lists_and_other_dtypes():
    pair = Pair()
    pair.load_state_dict({"a": tg.tensor([1.0, 2.0]), "b": [3, 4, 5]})
    assert pair.a.tolist() == [1, 2]
    assert pair.b.tolist() == [3, 4, 5]
    assert pair.b.dtype == np.float32


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("first.bias"), r"missing +first\.bias"),
        (lambda s: s.update(extra=np.ones(1)), "unexpected +extra"),
        (lambda s: s.update(scale=np.ones(5)), r"misshapen +scale: here \(4,\), there \(5,\)"),
        (lambda s: s.update(scale=np.ones(())), r"misshapen +scale: here \(4,\), there \(\)"),
        (lambda s: s.update({"last.weight": np.full((2, 4), "x")}), r"unfit +last\.weight"),
        (
            lambda s: s.update({"last.weight": np.ones((2, 4), complex)}),
            r"unfit +last\.weight: complex",
        ),
    ],
)
def test_a_state_that_does_not_fit_is_refused_whole(change, message):
    net, other = Net(), Net()
    before, state = net.state_dict(), other.state_dict()
    change(state)
    with pytest.raises(errors.StateError, match=message):
        net.load_state_dict(state)
    assert same_state(net.state_dict(), before)


def test_all_misfits_are_reported_at_once():
    with pytest.raises(errors.StateError) as caught:
        Pair().load_state_dict({"a": np.ones(3), "c": np.ones(1)})
    assert str(caught.value) == (
        "Pair: the state does not fit this module\n"
        "  missing     b\n"
        "  unexpected  c\n"
        "  misshapen   a: here (2,), there (3,)"
    )


def test_a_part_of_a_state_loads_when_not_strict():
    pair = Pair()
    pair.load_state_dict({"a": np.ones(2), "c": np.ones(1)}, strict=False)
    assert pair.a.tolist() == [1, 1]
    assert pair.b.tolist() == [0, 0, 0]
    with pytest.raises(errors.StateError, match="misshapen"):
        pair.load_state_dict({"a": np.ones(3)}, strict=False)


def test_loading_after_an_operation_kept_the_value_is_noticed():
    layer = nn.Linear(2, 2)
    y = layer(tg.ones(1, 2, requires_grad=True)).sum()
    layer.load_state_dict(layer.state_dict())
    with pytest.raises(errors.GraphError, match="changed in place"):
        y.backward()


# --- Files -------------------------------------------------------------------------------------


def test_save_and_load(tmp_path):
    net, other = Net(), Net()
    net(tg.randn(5, 3))
    path = tmp_path / "new" / "folder" / "net.safetensors"
    net.save(path)
    assert [p.name for p in path.parent.iterdir()] == ["net.safetensors"]
    assert same_state(safetensors.numpy.load_file(path), net.state_dict())
    assert other.load(str(path)) is other
    assert same_state(other.state_dict(), net.state_dict())


def test_tied_weights_survive_a_file(tmp_path):
    a, b = Tied(), Tied()
    a.save(tmp_path / "t")
    b.load(tmp_path / "t")
    assert b.out.weight is b.table.weight
    assert same_state(a.state_dict(), b.state_dict())


@pytest.mark.parametrize("kind", ["missing", "empty", "text", "pickle", "truncated", "header cut", "folder"])
def test_files_that_are_not_whole_are_refused(tmp_path, kind):
    net, path = Net(), tmp_path / "net.safetensors"
    before = net.state_dict()
    net.save(path)
    whole = path.read_bytes()
    if kind == "missing":
        path = tmp_path / "absent"
    elif kind == "folder":
        path = tmp_path
    else:
        path.write_bytes(
            {
                "empty": b"",
                "text": b"these are no weights, but long enough for a header",
                "pickle": pickle.dumps(before),
                "truncated": whole[:-3],
                "header cut": whole[:20],
            }[kind]
        )
    with pytest.raises(errors.CheckpointError) as caught:
        net.load(path)
    assert str(path) in str(caught.value)
    expected = {"missing": "there is no such file", "folder": "it is a folder"}
    assert expected.get(kind, "not a whole safetensors or .npz file") in str(caught.value)
    assert same_state(net.state_dict(), before)


def test_a_file_of_another_model_is_refused(tmp_path):
    Pair().save(tmp_path / "pair")
    with pytest.raises(errors.StateError, match="missing"):
        Net().load(tmp_path / "pair")


def test_a_failing_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "net"
    net = Net()
    net.save(path)
    old = path.read_bytes()

    def half(tensors, filename, metadata=None):
        with open(filename, "wb") as file:
            file.write(old[: len(old) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(safetensors.numpy, "save_file", half)
    with pytest.raises(errors.CheckpointError, match=r"No space left on device.*is as it was"):
        Net().save(path)
    with pytest.raises(errors.CheckpointError):
        net.save(tmp_path / "second")
    assert path.read_bytes() == old
    assert [p.name for p in tmp_path.iterdir()] == ["net"]


def test_a_save_that_is_interrupted_leaves_no_partial_file(tmp_path, monkeypatch):
    def stopped(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(safetensors.numpy, "save_file", stopped)
    with pytest.raises(KeyboardInterrupt):
        Net().save(tmp_path / "net")
    assert list(tmp_path.iterdir()) == []


def test_a_saved_file_has_the_usual_permissions(tmp_path):
    (tmp_path / "plain").write_bytes(b"")
    Pair().save(tmp_path / "pair")
    assert (tmp_path / "pair").stat().st_mode == (tmp_path / "plain").stat().st_mode


# --- Copies ------------------------------------------------------------------------------------


def test_a_deep_copy_is_independent_and_keeps_ties():
    tied = Tied()
    tied(np.array([0])).sum().backward()
    twin = copy.deepcopy(tied)
    assert twin.out.weight is twin.table.weight
    assert isinstance(twin.out.weight, nn.Parameter)
    assert same_state(twin.state_dict(), tied.state_dict())
    assert np.array_equal(twin.out.bias.grad.numpy(), tied.out.bias.grad.numpy())
    twin.out.bias.data += 1
    twin.out.bias.grad.data[...] = 0
    assert not np.array_equal(twin.out.bias.data, tied.out.bias.data)
    assert tied.out.bias.grad.numpy().any()


def test_a_copy_of_a_trained_model_leaves_the_flat_storage():
    net = nn.Linear(2, 2)
    opt = tg.optim.SGD(net.parameters(), lr=1.0)
    net(tg.ones(1, 2)).sum().backward()
    twin = pickle.loads(pickle.dumps(net)), copy.deepcopy(net)
    before = net.state_dict()
    opt.step()
    for copied in twin:
        assert same_state(copied.state_dict(), before)
        copied.zero_grad()
        copied(tg.ones(1, 2)).sum().backward()
        assert np.array_equal(copied.bias.grad.numpy(), [1, 1])


# --- What is shown -----------------------------------------------------------------------------


def test_repr():
    assert repr(Net()) == (
        "Net(  # 36 parameters\n"
        "  (first): Linear(3, 4)  # 16\n"
        "  (norm): BatchNorm1d(4)  # 8\n"
        "  (last): Linear(4, 2, bias=False)  # 8\n"
        ")"
    )
    assert repr(nn.Sequential(nn.Linear(1000, 2), nn.Sequential(nn.Dropout(0.2)))) == (
        "Sequential(  # 2,002 parameters\n"
        "  (0): Linear(1000, 2)  # 2,002\n"
        "  (1): Sequential(\n"
        "    (0): Dropout(p=0.2)\n"
        "  )\n"
        ")"
    )
    assert repr(nn.ModuleList()) == "ModuleList()"


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        (nn.LeakyReLU(0.2), "LeakyReLU(negative_slope=0.2)"),
        (nn.ELU(2.0), "ELU(alpha=2.0)"),
        (nn.GELU("tanh"), "GELU(approximate='tanh')"),
        (nn.Softmax(), "Softmax(axis=-1)"),
        (nn.LogSoftmax(0), "LogSoftmax(axis=0)"),
        (nn.Embedding(3, 2), "Embedding(3, 2)  # 6 parameters"),
        (nn.LayerNorm((2, 3)), "LayerNorm((2, 3))  # 12 parameters"),
        (nn.HuberLoss(0.5), "HuberLoss(delta=0.5, reduction='mean')"),
        (nn.HingeLoss(), "HingeLoss(margin=1.0, reduction='mean')"),
    ],
)
def test_settings_are_shown(layer, text):
    assert repr(layer) == text


def test_summary_runs_once_and_leaves_no_trace():
    net = nn.Sequential(nn.Linear(3, 400), nn.BatchNorm1d(400), nn.Dropout(), nn.Linear(400, 2))
    net[2].eval()
    before = net.state_dict()
    text = net.summary(tg.ones(5, 3))
    assert [line.split() for line in text.splitlines() if not line.startswith("-")] == [
        ["layer", "output", "shape", "parameters"],
        ["0", "(Linear)", "(5,", "400)", "1,600"],
        ["1", "(BatchNorm1d)", "(5,", "400)", "800"],
        ["2", "(Dropout)", "(5,", "400)", "0"],
        ["3", "(Linear)", "(5,", "2)", "802"],
        ["total", "3,202"],
    ]
    assert same_state(net.state_dict(), before)
    assert [m.training for m in net.modules()] == [True, True, True, False, True]
    assert not any(m._forward_hooks for m in net.modules())
    with pytest.raises(errors.ShapeError):
        net.summary(tg.ones(5, 4))
    assert net.training
    assert not any(m._forward_hooks for m in net.modules())


# --- Layers ------------------------------------------------------------------------------------


def test_every_exported_layer_is_in_the_table():
    assert exported_layers() == {layer.name for layer in LAYERS}


@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_gradients_of_layers(layer):
    module = build(layer).train(layer.train)
    rng = np.random.default_rng(0)
    inputs = [tg.tensor(a, requires_grad=True) for a in layer.inputs(rng)]
    constants = layer.constants(rng)
    parameters = dict(module.named_parameters())

    def call(*leaves):
        # The checker hands over leaves of its own; they take the parameters' places.
        xs, values = leaves[: len(inputs)], leaves[len(inputs) :]
        originals = [_place(module, name) for name in parameters]
        for (owner, key), value in zip(originals, values, strict=True):
            object.__setattr__(owner, key, value)
        try:
            return module(*xs, *constants)
        finally:
            for (owner, key), value in zip(originals, parameters.values(), strict=True):
                object.__setattr__(owner, key, value)

    everything = [*inputs, *(p.detach().requires_grad_() for p in parameters.values())]
    with tg.use_kernels("reference"):
        assert tg.gradcheck(call, everything)


def _place(module, name):
    *path, key = name.split(".")
    for step in path:
        module = dict(module.named_children())[step]
    return module, key


def test_a_wrong_gradient_of_a_layer_is_caught(monkeypatch):
    ops = nn.normalization.ops
    rule = ops.layer_norm
    monkeypatch.setattr(ops, "layer_norm", lambda x, *rest: rule(x, *rest) + 0.1 * x.detach())
    with pytest.raises(errors.GradcheckError):
        test_gradients_of_layers(next(layer for layer in LAYERS if layer.name == "LayerNorm"))


def softmax(x, axis):
    return np.exp(x) / np.exp(x).sum(axis=axis, keepdims=True)


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (nn.LeakyReLU(0.3), lambda x: np.where(x > 0, x, 0.3 * x)),
        (nn.ELU(0.7), lambda x: np.where(x > 0, x, 0.7 * np.expm1(x))),
        (nn.GELU(), lambda x: x * (1 + np.vectorize(math.erf)(x / math.sqrt(2))) / 2),
        (nn.GELU("tanh"), lambda x: x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))) / 2),
        (nn.Softmax(0), lambda x: softmax(x, 0)),
        (nn.LogSoftmax(0), lambda x: np.log(softmax(x, 0))),
        (nn.LayerNorm(4, eps=0.5), lambda x: ((x.T - x.mean(1)) / np.sqrt(x.var(1) + 0.5)).T),
        (nn.BatchNorm1d(4, eps=0.5), lambda x: (x - x.mean(0)) / np.sqrt(x.var(0) + 0.5)),
        (nn.BatchNorm1d(4, eps=0.5).eval(), lambda x: x / np.sqrt(1.5)),
        (nn.Flatten(), lambda x: x),
    ],
    ids=lambda value: repr(value).partition(" at ")[0],
)  # fmt: skip
def test_settings_reach_the_function(layer, expected):
    x = np.random.default_rng(0).standard_normal((5, 4))
    np.testing.assert_allclose(layer(tg.tensor(x)).detach().numpy(), expected(x), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (nn.HuberLoss(0.5), 0.5 * (2 - 0.25)),
        (nn.HuberLoss(3.0, "sum"), 2 * 4 / 2),
        (nn.L1Loss("sum"), 4),
        (nn.MSELoss("none"), [4, 4]),
        (nn.HingeLoss(margin=5.0), 2),
        (nn.BCEWithLogitsLoss(pos_weight=3.0, reduction="sum"), 2 * 3 * math.log1p(math.exp(-3))),
    ],
    ids=repr,
)
def test_settings_reach_the_loss(loss, expected):
    x, target = tg.tensor([3.0, 3.0]), tg.tensor([1.0, 1.0])
    np.testing.assert_allclose(loss(x, target).numpy(), expected, rtol=1e-6)


def test_settings_reach_cross_entropy():
    logits, labels, weight = (
        tg.tensor([[0.0, math.log(3)], [0.0, 0.0]]),
        np.array([0, 1]),
        np.array([1.0, 2.0]),
    )
    a, b = math.log(4), math.log(2)
    for log_probs, loss in ((logits, nn.CrossEntropyLoss), (nn.LogSoftmax()(logits), nn.NLLLoss)):
        assert loss()(log_probs, labels).item() == pytest.approx((a + b) / 2)
        assert loss(weight=weight)(log_probs, labels).item() == pytest.approx((a + 2 * b) / 3)
        assert loss(ignore_index=1)(log_probs, labels).item() == pytest.approx(a)
        assert loss(reduction="none")(log_probs, labels).tolist() == pytest.approx([a, b])
    smooth = nn.CrossEntropyLoss(label_smoothing=0.5, reduction="sum")(logits, labels)
    assert smooth.item() == pytest.approx(0.75 * a + 0.25 * (a - math.log(3)) + b)


def test_hinge_loss_in_closed_form():
    scores = tg.tensor([2.0, 0.25, -1.0], requires_grad=True)
    loss = nn.HingeLoss(margin=1.0, reduction="sum")(scores, np.array([1, 1, -1]))
    loss.backward()
    assert loss.item() == 0.75
    assert scores.grad.tolist() == [0, -1, 0]


def test_batch_norm_counts_and_averages():
    norm = nn.BatchNorm1d(2, momentum=0.25)
    x = np.array([[1.0, 10.0], [3.0, 30.0]], np.float32)
    norm(tg.tensor(x))
    assert norm.num_batches_tracked.item() == 1
    np.testing.assert_allclose(norm.running_mean.numpy(), 0.25 * x.mean(0))
    np.testing.assert_allclose(norm.running_var.numpy(), 0.75 + 0.25 * x.var(0, ddof=1))
    norm.eval()(tg.tensor(x))
    assert norm.num_batches_tracked.item() == 1
    np.testing.assert_allclose(norm.running_mean.numpy(), 0.25 * x.mean(0))


# --- Dropout -----------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_dropout_keeps_the_right_share_and_the_mean(p):
    n = 200_000
    with tg.fork_rng(1):
        y = nn.Dropout(p)(tg.ones(n)).numpy()
    kept = y != 0
    assert abs(kept.mean() - (1 - p)) < 5 * math.sqrt(p * (1 - p) / n)
    np.testing.assert_allclose(y[kept], 1 / (1 - p), rtol=1e-6)
    assert abs(y.mean() - 1) < 5 * math.sqrt(p / (1 - p) / n)
    neighbors = np.corrcoef(kept[:-1], kept[1:])[0, 1]
    assert abs(neighbors) < 5 / math.sqrt(n)


def masks(seed, kernels="fast"):
    with tg.fork_rng(seed), tg.use_kernels(kernels):
        layer = nn.Dropout(0.3)
        return [layer(tg.ones(7, 11)).numpy() for _ in range(2)]


def test_dropout_follows_the_seed():
    first, second = masks(5)
    assert np.array_equal(first, masks(5)[0])
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, masks(6)[0])


def test_both_kernel_sets_drop_the_same():
    for fast, reference in zip(masks(5), masks(5, "reference"), strict=True):
        assert np.array_equal(fast, reference)
    x = np.asfortranarray(np.random.default_rng(0).standard_normal((5, 6)))
    with tg.fork_rng(0):
        fast = F.dropout(tg.tensor(x), 0.5)
    with tg.fork_rng(0), tg.use_kernels("reference"):
        reference = F.dropout(tg.tensor(x), 0.5)
    assert np.array_equal(fast.numpy(), reference.numpy())


@pytest.mark.parametrize("kernels", ["fast", "reference"])
def test_the_gradient_of_dropout_has_the_same_mask(kernels):
    x = tg.ones(50, requires_grad=True)
    with tg.use_kernels(kernels):
        y = nn.Dropout(0.4)(x)
        y.sum().backward()
    assert np.array_equal(x.grad.numpy(), y.detach().numpy())


def test_dropout_is_idle_in_evaluation_and_at_zero():
    x = tg.ones(5)
    assert nn.Dropout(0.9).eval()(x) is x
    assert nn.Dropout(0.0)(x) is x


# --- Initial weights ---------------------------------------------------------------------------


def draw(function, *shape, **settings):
    with tg.fork_rng(3):
        weight = tg.zeros(shape, dtype=np.float64)
        assert function(weight, **settings) is weight
        return weight.numpy()


def assert_uniform(values, bound):
    """Extremes, mean, variance and all quantiles of a uniform distribution on [-bound, bound]."""
    ordered = np.sort(values.ravel())
    assert np.abs(ordered).max() <= bound
    expected = np.linspace(-bound, bound, ordered.size)
    assert np.abs(ordered - expected).max() < 3 * bound / math.sqrt(ordered.size)


def assert_normal(values, std, mean=0.0):
    n = values.size
    z = (values - mean) / std
    assert abs(z.mean()) < 4 / math.sqrt(n)
    assert abs(z.var() - 1) < 4 * math.sqrt(2 / n)
    assert abs((z**4).mean() - 3) < 4 * math.sqrt(96 / n)


def test_default_weights():
    with tg.fork_rng(0):
        layer = nn.Linear(64, 500)
        assert_uniform(layer.weight.data, 1 / 8)
        assert_uniform(layer.bias.data, 1 / 8)
        assert_normal(nn.Embedding(500, 40).weight.data.astype(float), 1.0)
    for norm in (nn.LayerNorm((2, 3)), nn.BatchNorm1d(4)):
        assert (norm.weight.data == 1).all()
        assert (norm.bias.data == 0).all()


def test_weights_follow_the_seed():
    with tg.fork_rng(0):
        a, b = nn.Linear(3, 3).state_dict(), nn.Linear(3, 3).state_dict()
    with tg.fork_rng(0):
        again = nn.Linear(3, 3).state_dict()
    assert same_state(a, again)
    assert not same_state(a, b)


def test_constant():
    assert (draw(init.constant_, 2, 3, value=0.5) == 0.5).all()


def test_uniform_and_normal():
    assert_uniform(draw(init.uniform_, 40000, low=1.0, high=3.0) - 2, 1.0)
    assert_normal(draw(init.normal_, 40000, mean=2.0, std=0.3), 0.3, 2.0)


def test_truncated_normal():
    values = draw(init.trunc_normal_, 200, 200, std=2.0, low=-2.0, high=2.0)
    assert np.abs(values).max() <= 2
    # The variance of a standard normal distribution cut at one is 1 - 2 phi(1) / (2 Phi(1) - 1).
    density, inside = math.exp(-0.5) / math.sqrt(2 * math.pi), math.erf(1 / math.sqrt(2))
    assert values.var() == pytest.approx(4 * (1 - 2 * density / inside), rel=0.03)
    assert abs(values.mean()) < 0.03
    assert draw(init.trunc_normal_, 1000, mean=1.0, std=5.0, low=0.5, high=1.0).min() >= 0.5
    with pytest.raises(errors.OptionError, match=r"almost none of the distribution\n.*low +8"):
        init.trunc_normal_(tg.zeros(2), low=8.0, high=9.0)


@pytest.mark.parametrize(("mode", "fan"), [("fan_in", 45), ("fan_out", 90)])
def test_kaiming(mode, fan):
    shape = (90, 5, 3, 3) if mode == "fan_in" else (10, 50, 3, 3)
    gain = math.sqrt(2 / (1 + 0.1**2))
    assert_uniform(draw(init.kaiming_uniform_, *shape, a=0.1, mode=mode), gain * math.sqrt(3 / fan))
    assert_normal(draw(init.kaiming_normal_, *shape, a=0.1, mode=mode), gain / math.sqrt(fan))
    relu = draw(init.kaiming_normal_, *shape, mode=mode, nonlinearity="relu")
    assert_normal(relu, math.sqrt(2 / fan))


def test_xavier():
    assert_uniform(draw(init.xavier_uniform_, 100, 200, gain=2.0), 2 * math.sqrt(6 / 300))
    assert_normal(draw(init.xavier_normal_, 30, 20, 2, 2, gain=0.5), 0.5 * math.sqrt(2 / 200))


@pytest.mark.parametrize("shape", [(5, 5), (3, 8), (8, 3), (4, 3, 2, 2), (20, 2, 3)])
def test_orthogonal(shape):
    w = draw(init.orthogonal_, *shape, gain=1.5).reshape(shape[0], -1)
    gram = w @ w.T if w.shape[0] <= w.shape[1] else w.T @ w
    np.testing.assert_allclose(gram, 2.25 * np.eye(len(gram)), atol=1e-12)


def test_orthogonal_is_uniform():
    with tg.fork_rng(0):
        signs = [init.orthogonal_(tg.zeros(2, 2)).data[0, 0] > 0 for _ in range(400)]
    assert abs(np.mean(signs) - 0.5) < 0.1  # without the sign correction all would be alike


def test_fan_in_uniform():
    assert_uniform(draw(init.fan_in_uniform_, 20000, fan_in=16), 0.25)


def test_initializers_write_in_place_and_keep_the_dtype():
    p = nn.Parameter(tg.zeros(4, 4))
    place, version = p.data, p._version[0]
    assert init.xavier_normal_(p) is p
    assert p.data is place
    assert p.dtype == np.float32
    assert p._version[0] > version


def test_every_initializer_is_tested():
    functions = {name for name in vars(init) if name.endswith("_") and not name.startswith("_")}
    assert functions == {
        "constant_", "uniform_", "normal_", "trunc_normal_", "kaiming_uniform_", "kaiming_normal_",
        "xavier_uniform_", "xavier_normal_", "orthogonal_", "fan_in_uniform_",
    }  # fmt: skip


def test_initializers_refuse_what_has_no_fans():
    with pytest.raises(errors.ShapeError, match=r"at least two axes\n.*\(3,\)"):
        init.xavier_uniform_(tg.zeros(3))
    with pytest.raises(errors.ShapeError, match="at least two axes"):
        init.orthogonal_(tg.zeros(3))
    with pytest.raises(errors.OptionError, match="did you mean 'fan_in'"):
        init.kaiming_normal_(tg.zeros(3, 3), mode="fanin")
    with pytest.raises(errors.OptionError, match="did you mean 'leaky_relu'"):
        init.calculate_gain("leakyrelu")


# --- Wrong use ---------------------------------------------------------------------------------


def test_the_documented_message():
    with pytest.raises(errors.ShapeError) as caught:
        nn.Linear(128, 100)(tg.ones(32, 64))
    assert str(caught.value) == (
        "linear: x.shape[-1] must equal weight.shape[1]\n  x       (32, 64)\n  weight  (100, 128)\n"
        "  in Linear(128, 100)"
    )


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: nn.LayerNorm(4)(tg.ones(2, 3)), errors.ShapeError, r"layer_norm: .*\n.*\(2, 3\)\n.*\(4,\)"),
        (lambda: nn.BatchNorm1d(4)(tg.ones(2, 3)), errors.ShapeError, r"BatchNorm1d: .*\n.*\(2, 3\)\n.*4"),
        (lambda: nn.BatchNorm1d(3)(tg.ones(3)), errors.ShapeError, r"\(N, C\)"),
        (lambda: nn.BatchNorm1d(3)(tg.ones(1, 3)), errors.ShapeError, "more than one value for each channel"),
        (lambda: F.batch_norm(tg.ones(4, 3), None, None, [1.0, 2.0]), errors.ShapeError, "weight must have"),
        (lambda: F.batch_norm(tg.ones(4, 3), tg.ones(1), tg.ones(1)), errors.ShapeError, "running_mean must"),
        (lambda: nn.Embedding(4, 2)([0, 4]), errors.IndexingError, r"range\(4\)\n.*0\n.*4"),
        (lambda: nn.Embedding(4, 2)([-1]), errors.IndexingError, r"range\(4\)"),
        (lambda: nn.Embedding(4, 2)(tg.ones(2)), errors.DTypeError, r"integers\n.*float32"),
        (lambda: nn.Dropout(1.0), errors.OptionError, r"p must be in \[0, 1\)\n  p  1.0"),
        (lambda: nn.Dropout(-0.1), errors.OptionError, "-0.1"),
        (lambda: nn.Dropout(math.nan), errors.OptionError, "nan"),
        (lambda: F.dropout(tg.ones(2), 2.0), errors.OptionError, "2.0"),
        (lambda: nn.Linear(0, 2), errors.OptionError, r"sizes must be positive integers\n.*in_features +0"),
        (lambda: nn.Linear("4", 2), errors.OptionError, "positive integers\n.*in_features +'4'"),
        (lambda: nn.Linear(2, 2.0), errors.OptionError, "out_features +2.0"),
        (lambda: nn.Embedding(3, -1), errors.OptionError, "embedding_dim +-1"),
        (lambda: nn.LayerNorm((3, 0)), errors.OptionError, r"normalized_shape\[1\] +0"),
        (lambda: nn.BatchNorm1d("4"), errors.OptionError, "num_features +'4'"),
        (lambda: nn.MSELoss("average")(tg.ones(2), tg.ones(2)), errors.OptionError, "reduction 'average'"),
        (lambda: nn.MSELoss()(tg.ones(3), tg.ones(3, 1)), errors.ShapeError, r"\(3,\)\n.*\(3, 1\)"),
        (lambda: nn.HuberLoss(0.0)(tg.ones(2), tg.ones(2)), errors.OptionError, "delta must be positive"),
        (lambda: nn.CrossEntropyLoss()(tg.ones(2, 3), [0]), errors.ShapeError, r"\(2, 3\)\n.*\(1,\)"),
        (lambda: nn.CrossEntropyLoss()(tg.ones(2, 3), [0, 3]), errors.IndexingError, r"range\(3\)"),
        (lambda: nn.NLLLoss()(tg.ones(3), [0]), errors.ShapeError, r"\(N, C\)"),
        (lambda: nn.GELU("erf")(tg.ones(1)), errors.OptionError, "erf"),
    ],
)  # fmt: skip
def test_wrong_use(call, kind, message):
    with pytest.raises(kind, match=message):
        call()


def test_sizes_may_be_numpy_integers():
    n = np.prod((2, 3))
    assert nn.Linear(n, n)(tg.ones(1, 6)).shape == (1, 6)
    assert nn.LayerNorm(n)(tg.ones(2, 6)).shape == (2, 6)
    assert nn.LayerNorm([2, 3])(tg.ones(5, 2, 3)).shape == (5, 2, 3)
    assert repr(nn.LayerNorm(n)) == "LayerNorm((6,))  # 12 parameters"
    assert nn.Embedding(n, 2)(np.arange(6, dtype=np.uint8)).shape == (6, 2)


# --- A layer and the ReLU behind it ------------------------------------------------------------

JOINED = {
    "small": (lambda: [nn.Linear(5, 4)], (3, 5)),
    "large": (lambda: [nn.Linear(300, 400)], (100, 300)),  # in pieces
    "large, no bias": (lambda: [nn.Linear(400, 300, bias=False)], (2, 50, 400)),
    "tall": (lambda: [nn.Linear(300, 100)], (700, 300)),
    "columns": (lambda: [nn.Conv2d(3, 5, 3, stride=2)], (2, 3, 9, 8)),
    "groups": (lambda: [nn.Conv2d(4, 6, 3, padding="same", groups=2)], (2, 4, 5, 5)),
    "Winograd": (lambda: [nn.Conv2d(16, 16, 3, padding=1)], (2, 16, 9, 7)),
    "at the end": (lambda: [nn.Conv2d(1, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(8, 9)], (5, 1, 2, 2)),
}  # fmt: skip


@pytest.mark.parametrize("kernels", ["fast", "reference"])
@pytest.mark.parametrize("kind", JOINED)
def test_a_relu_in_the_same_pass_changes_no_bit(kind, kernels):
    layers, shape = JOINED[kind]
    tg.manual_seed(0)
    net = nn.Sequential(*layers(), nn.ReLU())
    apart = nn.ModuleList(net)  # the same layers
    array = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    found = []
    for together in (True, False):
        x = tg.tensor(array, requires_grad=True)
        net.zero_grad()
        with tg.use_kernels(kernels):
            y = x
            for layer in [net] if together else apart:
                y = layer(y)
            (y * y).sum().backward()
        found.append([y.detach().numpy(), x.grad.numpy(), *(p.grad.numpy() for p in net.parameters())])
    assert (found[0][0] == 0).any()
    assert (found[0][0] > 0).any()
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("hooked", [0, 1])
def test_who_looks_at_a_layer_or_its_relu_sees_both(hooked):
    net = nn.Sequential(nn.Linear(4, 50), nn.ReLU())
    x = tg.ones(1, 4)
    joined = net(x)
    seen = []
    net[hooked].register_forward_hook(lambda layer, args, y: seen.extend([args[0], y]))
    np.testing.assert_array_equal(net(x).detach().numpy(), joined.detach().numpy())
    assert (seen[1 - hooked].detach().numpy() < 0).any()


@pytest.mark.parametrize("replaced", [0, 1])
def test_a_forward_of_its_own_is_called(replaced):
    net = nn.Sequential(nn.Linear(4, 50), nn.ReLU())
    net[replaced].forward = lambda x: tg.ones(1, 50) * -3 if replaced == 0 else x * 0 + 7
    assert set(net(tg.ones(1, 4)).detach().numpy().reshape(-1).tolist()) == {[0.0, 7.0][replaced]}


def test_nan_passes_a_joined_relu():
    net = nn.Sequential(nn.Linear(2, 300), nn.ReLU())
    with tg.no_grad():
        assert np.isnan(net(tg.tensor([[1.0, np.nan]])).numpy()).all()
        assert np.isnan(net(tg.tensor(np.full((4000, 2), np.nan))).numpy()).all()


@pytest.mark.parametrize("call", [F.linear, F.conv2d])
def test_no_other_activation_is_joined(call):
    with pytest.raises(errors.OptionError, match=r"the activation must be 'relu' or None[^\n]*\n.*tanh"):
        call(tg.ones(1, 1, 2, 2), tg.ones(1, 1, 2, 2), activation="tanh")
