"""State, files and copies of modules."""

from __future__ import annotations

import copy
import errno
import pickle

import numpy as np
import pytest
import safetensors.numpy
from modules import Net, Pair, Tied, same_state

import tinygrad_adam as tg
from tinygrad_adam import errors, nn

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
