"""Values that are loaded into modules, optimizers and averages: what does not fit is refused by name."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_adam as tg
from tinygrad_adam import errors, nn, optim


class Buffers(nn.Module):
    def __init__(self):
        super().__init__()
        for dtype in ("float32", "float64", "int64", "int8", "uint8", "bool"):
            self.register_buffer(dtype, tg.zeros(2, dtype=dtype))


BAD = [
    ("float32", [0.0, 1e300]), ("float64", np.longdouble("1e4000")),
    ("int64", np.nan), ("int64", 3.7), ("int64", np.inf), ("int64", np.uint64(2**63)), ("int64", 2.0**63),
    ("int8", 128), ("int8", -129.0), ("uint8", -1), ("uint8", 256), ("uint8", np.int8(-1)),
    ("bool", 2), ("bool", 0.5), ("bool", np.nan),
    ("float32", "1"), ("float32", 1j), ("float32", None), ("int64", np.datetime64("2020")),
]  # fmt: skip
GOOD = [
    ("float32", 0.1), ("float32", np.nan), ("float32", -np.inf), ("float32", 2**62),
    ("float32", np.float16(0.5)),
    ("float32", float(np.finfo(np.float32).max)), ("float64", True), ("int64", 3.0), ("int64", True),
    ("int64", -(2.0**63)), ("int64", np.uint64(2**63 - 1)), ("int8", -128.0), ("uint8", 255), ("uint8", 0.0),
    ("bool", 1), ("bool", 0.0),
]  # fmt: skip


def two(value):
    return np.resize(np.array(value), 2) if not isinstance(value, list) else np.array(value)


@pytest.mark.parametrize(("name", "value"), BAD, ids=str)
def test_values_that_do_not_fit_a_buffer_are_refused_by_name(name, value):
    model = Buffers()
    state = model.state_dict()
    with pytest.raises(errors.StateError, match=rf"unfit +{name}: "):
        model.load_state_dict({**state, "float32": np.ones(2, np.float32), name: two(value)})
    for key, before in state.items():
        np.testing.assert_array_equal(model.state_dict()[key], before)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("name", "value"), GOOD, ids=str)
def test_values_that_fit_are_loaded(name, value):
    model = Buffers()
    model.load_state_dict({**model.state_dict(), name: two(value)})
    wanted = two(value).astype(name)
    np.testing.assert_array_equal(model.state_dict()[name], wanted)
    if np.dtype(name).kind in "iub":
        assert model.state_dict()[name].tolist() == [int(value)] * 2


def test_masks_are_refused():
    model = nn.Linear(2, 1, bias=False)
    masked = np.ma.array([[1.0, 2.0]], mask=[[0, 1]], dtype=np.float32)
    with pytest.raises(errors.StateError, match=r"unfit +weight: the array has a mask; call .filled\(\)"):
        model.load_state_dict({"weight": masked})


# --- Names -------------------------------------------------------------------------------------


def test_names_that_do_not_match_are_returned():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    state = {"0.weight": np.full((2, 2), 7.0), "head.weight": np.ones(3)}
    report = model.load_state_dict(state, strict=False)
    assert report.missing_keys == ["0.bias", "1.weight", "1.bias"]
    assert report.unexpected_keys == ["head.weight"]
    assert model[0].weight.detach().numpy().tolist() == [[7, 7], [7, 7]]
    assert model.load_state_dict(model.state_dict()) == ([], [])


@pytest.mark.parametrize("strict", [False, True])
def test_a_state_of_which_no_name_fits_is_refused(strict, tmp_path):
    model = nn.Linear(2, 2)
    state = {f"module.{name}": value for name, value in model.state_dict().items()}
    with pytest.raises(
        errors.StateError, match=r"missing +weight; bias\n  unexpected  module.weight; module.bias"
    ):
        model.load_state_dict(state, strict)
    nn.Sequential(model).save(tmp_path / "other.safetensors")
    with pytest.raises(errors.StateError, match=r"unexpected  0\.bias; 0\.weight"):
        model.load(tmp_path / "other.safetensors", strict)
    assert model.load_state_dict({}, strict=False).missing_keys == ["weight", "bias"]


def tied():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[1].weight = model[0].weight
    return model


@pytest.mark.parametrize("strict", [False, True])
def test_tied_weights_with_two_values_are_refused(strict):
    model = tied()
    state = model.state_dict()
    state["1.weight"] = state["0.weight"] + 1
    before = model[0].weight.detach().numpy().copy()
    with pytest.raises(errors.StateError, match=r"tied here, different there +0\.weight and 1\.weight"):
        model.load_state_dict(state, strict)
    np.testing.assert_array_equal(model[0].weight.detach().numpy(), before)
    state["0.weight"] = state["1.weight"] = np.full((2, 2), np.nan)  # equal, and so are whole untied models
    model.load_state_dict(state, strict)
    assert np.isnan(model[1].weight.detach().numpy()).all()


# --- Optimizers and averages -------------------------------------------------------------------


def trained():
    p = nn.Parameter(np.ones(2, np.float32))
    opt = optim.Adam([("w", p)])
    p.grad = np.ones(2)
    opt.step()
    return opt


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"v": [1e300, 0.0]}, r"w\.v: float64 does not fit float32, as in 1e\+300"),
        ({"m": ["1", "2"]}, r"w\.m: <U1 is none of"),
        ({"m": np.ma.array([1.0, 2.0], mask=[0, 1])}, r"w\.m: the array has a mask"),
        ({"m": [1.0]}, r"w\.m: here \(2,\), there \(1,\)"),
        ({"m": None}, r"w\.m: here \(2,\), there None"),
        ({"step": 3.7}, r"w\.step: 3\.7 is not a number of steps"),
        ({"step": -1}, r"w\.step: -1"),
        ({"step": np.nan}, r"w\.step: nan"),
        ({"step": None}, r"w\.step: None"),
        ({"step": "1"}, r"w\.step: '1'"),
    ],
)
def test_moments_and_steps_that_do_not_fit_are_refused(change, message):
    opt = trained()
    saved = opt.state_dict()
    saved["state"]["w"].update(change)
    before = opt.state_dict()
    with pytest.raises(errors.StateError, match=message):
        opt.load_state_dict(saved)
    assert opt.state_dict()["state"]["w"]["step"] == 1
    np.testing.assert_array_equal(opt.state_dict()["state"]["w"]["m"], before["state"]["w"]["m"])


def test_entries_of_unknown_parameters_are_refused():
    opt = trained()
    saved = opt.state_dict()
    saved["state"]["u"] = saved["state"]["w"]
    with pytest.raises(errors.StateError, match="none of the parameters: u"):
        opt.load_state_dict(saved)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"count": 1.5}, "count"),
        ({"count": True}, "count"),
        ({"weights": {"weight": [[1e300]]}}, "weight  float64 does not fit float32, as in 1e"),
        ({"weights": {"weight": [["1"]]}}, "weight  <U1 is none of"),
        ({"weights": {"weight": [1.0]}}, r"there +\[\(1,\)\]"),
    ],
)
def test_averages_that_do_not_fit_are_refused(change, message):
    average = optim.PolyakAverage(nn.Linear(1, 1, bias=False))
    average.update()
    before = average.state_dict()
    with pytest.raises(errors.StateError, match=message):
        average.load_state_dict({**before, **change})
    assert average.state_dict() == before


@pytest.mark.parametrize("state", [[], None, "state", {}, nn.Linear(1, 1)], ids=repr)
def test_what_is_no_state_is_refused(state):
    opt, model = trained(), nn.Linear(1, 1)
    for target in (opt, optim.StepLR(opt, 1), optim.PolyakAverage(model), model):
        with pytest.raises(
            errors.StateError, match=r"give a state as state_dict\(\) returns it|does not fit"
        ):
            target.load_state_dict(state)
