"""Modules: registration, modes, hooks, and how they are shown."""

from __future__ import annotations

import numpy as np
import pytest
from modules import Net, Pair, Tied, same_state

import tinygrad_adam as tg
import tinygrad_adam.nn.functional as F
from tinygrad_adam import errors, nn


def names(module):
    return [name for name, _ in module.named_parameters()]


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
