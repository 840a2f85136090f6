"""The state of optimizers, saved and loaded; what they refuse; gradients that are not finite."""

from __future__ import annotations

import copy
import math
import pickle

import numpy as np
import pytest
from optim_cases import (
    KERNELS,
    ROWS,
    assert_same,
    give,
    model_and_optimizer,
    moments_of,
    parameter,
    take_steps,
    train,
    values,
)

import tinygrad_adam as tg
from tinygrad_adam import errors, nn, optim

# --- State -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ROWS)
def test_a_run_resumes_bit_for_bit(name):
    model, opt = model_and_optimizer(ROWS[name].cls, **ROWS[name].stateful)
    train(model, opt, 3)
    twin, twin_opt = model_and_optimizer(ROWS[name].cls)
    twin.load_state_dict(model.state_dict())
    state = opt.state_dict()
    twin_opt.load_state_dict(state)
    train(model, opt, 3, seed=1)
    train(twin, twin_opt, 3, seed=1)
    assert_same(values(model), values(twin))
    assert_same(moments_of(opt), moments_of(twin_opt))
    assert opt.param_groups[0].keys() == twin_opt.param_groups[0].keys()
    for key, value in ROWS[name].stateful.items():
        assert twin_opt.param_groups[0][key] == value
    assert state["state"]["0.bias"]["step"] == 3  # the saved state did not follow


def test_a_state_is_matched_by_name_not_by_order():
    model, opt = model_and_optimizer()
    train(model, opt)
    twin, _ = model_and_optimizer()
    twin.load_state_dict(model.state_dict())
    other = optim.Adam(reversed(list(twin.named_parameters())))
    other.load_state_dict(opt.state_dict())
    assert_same(moments_of(other), moments_of(opt))
    train(model, opt, seed=1)
    train(twin, other, seed=1)
    assert_same(values(model), values(twin))


def test_a_state_of_parameters_that_never_moved_resets():
    model, opt = model_and_optimizer()
    empty = opt.state_dict()
    assert empty["state"] == {}
    train(model, opt)
    opt.load_state_dict(empty)
    assert opt.state_dict()["state"] == {}
    fresh, fresh_opt = model_and_optimizer()
    fresh.load_state_dict(model.state_dict())
    train(model, opt, seed=1)
    train(fresh, fresh_opt, seed=1)
    assert_same(values(model), values(fresh))


def grouped(model, *groups):
    """Return an optimizer whose groups hold the parameters of these names, with settings of their own."""
    params = dict(model.named_parameters())
    return optim.Adam([{"params": [(n, params[n]) for n in names], **own} for names, own in groups])


WEIGHTS, BIASES = ["0.weight", "2.weight"], ["0.bias", "2.bias"]


@pytest.mark.parametrize("settings", [{}, {"amsgrad": True, "lr": 0.2, "betas": (0.5, 0.9)}], ids=str)
def test_a_state_survives_another_layout_of_groups(settings):
    """One group becomes two, those two become three in another order, and those one again."""
    model, opt = model_and_optimizer(**settings)
    train(model, opt)
    state, wanted = opt.state_dict(), moments_of(opt)
    for layout in (
        [WEIGHTS, BIASES],
        [["2.bias"], ["0.bias", "2.weight"], ["0.weight"]],
        [[*reversed(WEIGHTS), *BIASES]],
    ):
        twin, _ = model_and_optimizer()
        twin.load_state_dict(model.state_dict())
        other = grouped(twin, *((names, {"lr": 7.0}) for names in layout))
        other.load_state_dict(state)
        assert_same(moments_of(other), wanted)
        for group in other.param_groups:
            assert {**group, "params": None} == {**opt.param_groups[0], "params": None}
        state = other.state_dict()
        train(twin, other, seed=1)
        before = copy.deepcopy((model, opt))
        train(*before, seed=1)
        assert_same(values(twin), values(before[0]))


def test_groups_that_cannot_be_joined_are_refused_by_name():
    model, _ = model_and_optimizer()
    apart = grouped(model, (WEIGHTS, {"weight_decay": 0.5}), (BIASES, {}))
    train(model, apart)
    one, one_opt = model_and_optimizer()
    train(one, one_opt)
    before = moments_of(one_opt)
    with pytest.raises(
        errors.StateError, match=r"another weight_decay each.*\n  0.weight  0.5\n  0.bias    0.0"
    ):
        one_opt.load_state_dict(apart.state_dict())
    assert_same(moments_of(one_opt), before)


def other_optimizer(saved):
    saved["optimizer"] = "SGD"


def other_name(saved):
    saved["groups"][0]["params"][0] = "elsewhere"


def fewer_names(saved):
    saved["groups"][0]["params"].pop()


def more_groups(saved):
    saved["groups"].append({**saved["groups"][0], "params": ["elsewhere"]})


def other_shape(saved):
    saved["state"]["0.weight"]["m"] = np.ones((3, 5))


def no_moment(saved):
    del saved["state"]["2.bias"]["v"]


def bad_setting(saved):
    saved["groups"][0]["lr"] = -1.0


def amsgrad_without_maximum(saved):
    saved["groups"][0]["amsgrad"] = True


@pytest.mark.parametrize(
    ("damage", "kind", "message"),
    [
        (other_optimizer, errors.StateError, r"saved by another optimizer; make that.*\n  saved  SGD"),
        (other_name, errors.StateError, r"missing .*0\.weight.*\n  unexpected .*elsewhere"),
        (fewer_names, errors.StateError, r"missing .*2\.bias"),
        (more_groups, errors.StateError, r"missing +\[\]\n  unexpected +\['elsewhere'\]"),
        (other_shape, errors.StateError, r"0\.weight\.m: here \(5, 3\), there \(3, 5\)"),
        (no_moment, errors.StateError, r"2\.bias\.v: here \(2,\), there None"),
        (amsgrad_without_maximum, errors.StateError, r"0\.weight\.v_max"),
        (bad_setting, errors.OptionError, "-1.0"),
    ],
)
def test_a_state_that_does_not_fit_is_refused_whole(damage, kind, message):
    model, opt = model_and_optimizer()
    train(model, opt)
    source, source_opt = model_and_optimizer(lr=0.5)
    train(source, source_opt, 5)
    saved = source_opt.state_dict()
    damage(saved)
    before, moments, settings_before = values(model), moments_of(opt), dict(opt.param_groups[0])
    with pytest.raises(kind, match=message):
        opt.load_state_dict(saved)
    assert_same(values(model), before)
    assert_same(moments_of(opt), moments)
    assert opt.param_groups[0] == settings_before


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_a_copy_of_model_and_optimizer_goes_its_own_way(copied):
    model, opt = model_and_optimizer()
    train(model, opt)
    twin, twin_opt = copied((model, opt))
    before = values(model)
    train(twin, twin_opt, seed=1)
    assert_same(values(model), before)
    train(model, opt, seed=1)
    assert_same(values(model), values(twin))
    assert_same(moments_of(opt), moments_of(twin_opt))


# --- Wrong use ---------------------------------------------------------------------------------


REFUSED = [
    *(
        (name, {key: value}, key)
        for name, row in ROWS.items()
        for key in row.refused
        for value in row.refused[key]
    ),
    *((name, *together) for name, row in ROWS.items() for together in row.refused_together),
]


@pytest.mark.parametrize(("name", "options", "key"), REFUSED, ids=str)
def test_hyper_parameters_out_of_their_domain(name, options, key):
    cls = ROWS[name].cls
    with pytest.raises(errors.OptionError) as caught:
        cls([parameter(1.0)], **options)
    message = str(caught.value)
    assert message.startswith(f"{cls.__name__}: {key} must be ")
    assert message.endswith(f"\n  {key}  {options[key]!r}")
    good, opt = {"params": [parameter(1.0)]}, cls([parameter(1.0)])
    with pytest.raises(errors.OptionError):
        opt.add_param_group({**good, **options})
    assert len(opt.param_groups) == 1


@pytest.mark.parametrize("name", ROWS)
def test_every_hyper_parameter_has_a_refused_value(name):
    known = set(ROWS[name].cls([parameter(1.0)]).defaults)
    assert known == set(ROWS[name].refused)


def frozen():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[0].requires_grad_(False)
    return model.named_parameters()


def shared():
    p = parameter(1.0)
    return [p, p]


@pytest.mark.parametrize(
    ("params", "kind", "message"),
    [
        (lambda: [], errors.OptionError, "there are no parameters"),
        (lambda: iter(()), errors.OptionError, "there are no parameters"),
        (lambda: nn.ReLU().parameters(), errors.OptionError, "there are no parameters"),
        (lambda: [{"params": []}], errors.OptionError, "a group has no parameters; leave it out"),
        (shared, errors.OptionError, r"appears twice; list each once, in one group\n  name  1"),
        (lambda: [{"params": shared()[:1]}, {"params": shared()}], errors.OptionError, "appears twice"),
        (lambda: [("a", parameter(1.0)), ("a", parameter(1.0))], errors.OptionError, r"twice; .*\n  name  a"),
        (lambda: parameter(1.0), errors.DTypeError, r"write \[p\]"),
        (lambda: nn.Linear(1, 1), errors.DTypeError, r"write model.parameters\(\)"),
        (lambda: [parameter(1.0) * 2], errors.DTypeError, r"only leaf.*\n.*0\n.*result of an operation"),
        (lambda: [tg.tensor([1, 2])], errors.DTypeError, r"only leaf.*\n.*\n.*int64 leaf"),
        (lambda: [np.ones(2)], errors.DTypeError, "ndarray"),
        (lambda: [None], errors.DTypeError, "NoneType"),
        (frozen, errors.OptionError, r"needs no gradient; leave .*if p.requires_grad\]\n  name  0\.weight"),
        (lambda: [{"lr": 0.1}], errors.OptionError, r"dict with 'params'\n.*lr"),
        (lambda: [{"params": [parameter(1.0)]}, parameter(1.0)], errors.OptionError, "Parameter"),
        (lambda: [{"params": [parameter(1.0)], "rate": 1}], errors.OptionError, r"unknown.*\n.*rate.*\n.*lr"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("cls", [optim.SGD, optim.AdamW])
def test_wrong_parameters(cls, params, kind, message):
    with pytest.raises(kind, match=message):
        cls(params())


def test_the_remedy_for_frozen_parameters_works():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[0].requires_grad_(False)
    opt = optim.Adam([(n, p) for n, p in model.named_parameters() if p.requires_grad])
    before = values(model)
    model(tg.ones(1, 2)).sum().backward()
    opt.step()
    assert set(opt.state_dict()["state"]) == {"1.weight", "1.bias"}
    assert np.array_equal(values(model)["0.weight"], before["0.weight"])
    assert not np.array_equal(values(model)["1.weight"], before["1.weight"])


@pytest.mark.parametrize("name", ROWS)
def test_a_step_before_backward_says_so(name):
    p = parameter(1.0)
    opt = ROWS[name].cls([p])
    with pytest.raises(errors.GraphError, match=r"step: no parameter has a gradient; call loss\.backward"):
        opt.step()
    assert p.item() == 1
    assert opt.state_dict()["state"] == {}


def test_optimizers_by_name():
    opt = optim.build_optimizer("adamw", [parameter(1.0)], lr=0.5)
    assert type(opt) is optim.AdamW
    assert opt.param_groups[0]["lr"] == 0.5
    with pytest.raises(errors.OptionError, match="did you mean 'adam'"):
        optim.build_optimizer("adm", [parameter(1.0)])
    with pytest.raises(errors.OptionError, match="did you mean 'betas'"):
        optim.build_optimizer("adam", [parameter(1.0)], beta=1)


# --- Gradients that are not finite ---------------------------------------------------------------


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_step_that_is_skipped_changes_nothing_and_is_counted(name, kernels, bad):
    cls, options = ROWS[name].cls, ROWS[name].stateful
    twins = []
    for gradients in ([1.0, bad, 2.0, bad, bad, 3.0], [1.0, 2.0, 3.0]):
        a, b = parameter(1.0, 2.0), parameter(3.0, dtype=np.float32)
        opt = cls([a, b], lr=0.1, on_nonfinite="skip", **options)
        with tg.use_kernels(kernels):
            for g in gradients:
                give(a, 1.0), give(b, g)
                opt.step()
        twins.append((a.tolist(), b.tolist(), opt.skipped, moments_of(opt)))
    (*skipping, first), (*plain, second) = twins
    assert skipping[2] == 3
    assert plain[2] == 0
    assert skipping[:2] == plain[:2]
    assert_same(first, second)


@pytest.mark.parametrize("kernels", KERNELS)
def test_a_gradient_that_is_not_finite_is_named(kernels):
    model, _ = model_and_optimizer()
    opt = optim.Adam(model.named_parameters(), on_nonfinite="raise")
    with tg.use_kernels(kernels):
        train(model, opt)
        before, moments = values(model), moments_of(opt)
        for p in model.parameters():
            give(p, 1.0)
        model[2].bias.grad.data[1] = math.nan
        with pytest.raises(
            errors.NonFiniteError, match=r"Adam.step: a gradient .*'skip'.*\n  name  2\.bias$"
        ):
            opt.step()
    assert_same(values(model), before)
    assert_same(moments_of(opt), moments)
    assert opt.skipped == 0


def test_by_default_nothing_is_looked_for():
    p = parameter(1.0, 2.0)
    opt = optim.SGD([p], lr=1.0)
    take_steps(opt, p, [[math.inf, 1.0]])
    assert p.tolist() == [-math.inf, 1.0]
    assert opt.skipped == 0


def test_old_gradients_do_not_count():
    """A parameter that has no gradient in this step still has the one of an earlier step in memory."""
    a, b = parameter(1.0), parameter(1.0)
    opt = optim.SGD([a, b], lr=1.0, on_nonfinite="skip")
    give(a, math.nan), give(b, 1.0)
    opt.step()
    opt.zero_grad()
    give(b, 1.0)
    opt.step()
    assert (a.item(), b.item(), opt.skipped) == (1.0, 0.0, 1)


def test_what_to_do_must_be_known():
    with pytest.raises(
        errors.OptionError, match="unknown choice for on_nonfinite 'skipp'; did you mean 'skip'"
    ):
        optim.Adam([parameter(1.0)], on_nonfinite="skipp")
