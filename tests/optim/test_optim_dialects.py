"""Dialects of Adam: each library's formula written out, told from every other, and compared."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from optim_cases import KERNELS, give, parameter

import tinygrad_adam as tg
from tinygrad_adam import errors, optim

# Every library writes its Adam down in a way of its own; so do these, for one element.


def paper(theta, gradients, alpha=0.001, beta1=0.9, beta2=0.999, eps=1e-8, l2=0.0, maximum=False):
    """Kingma & Ba, Algorithm 1; PyTorch, with L2 and AMSGrad of the moment that is not corrected."""
    m = v = top = 0.0
    path = []
    for t, g in enumerate(gradients, 1):
        g = g + l2 * theta
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        top = max(top, v) if maximum else v
        m_hat = m / (1 - beta1**t)
        v_hat = top / (1 - beta2**t)
        theta = theta - alpha * m_hat / (math.sqrt(v_hat) + eps)
        path.append(theta)
    return path


def optax(theta, gradients, alpha=0.001, beta1=0.9, beta2=0.999, eps=1e-8, decay=0.0, maximum=False):
    """Moments, corrections, the maximum; the decay is part of what is scaled by the learning rate."""
    mu = nu = nu_max = 0.0
    path = []
    for count, g in enumerate(gradients, 1):
        mu = (1 - beta1) * g + beta1 * mu
        nu = (1 - beta2) * g * g + beta2 * nu
        mu_hat, nu_hat = mu / (1 - beta1**count), nu / (1 - beta2**count)
        nu_max = max(nu_max, nu_hat) if maximum else nu_hat
        update = mu_hat / (math.sqrt(nu_max) + eps) + decay * theta
        theta = theta + -alpha * update
        path.append(theta)
    return path


def section_2(theta, gradients, lr=0.001, beta1=0.9, beta2=0.999, eps_hat=1e-8, l2=0.0, decay=0.0,
              lr_decay=0.0, maximum=False):  # fmt: skip
    """TensorFlow, Keras, Chainer, MXNet, Caffe, Lasagne, Torch 7: the corrections are in the step size."""
    m = v = v_hat = 0.0
    path = []
    for iterations, g in enumerate(gradients):
        t = iterations + 1
        rate = lr * 1 / (1 + lr_decay * iterations)
        g = g + l2 * theta
        m += (1 - beta1) * (g - m)
        v += (1 - beta2) * (g * g - v)
        v_hat = max(v_hat, v) if maximum else v
        lr_t = rate * math.sqrt(1 - beta2**t) / (1 - beta1**t)
        theta = theta - lr_t * m / (math.sqrt(v_hat) + eps_hat) - rate * decay * theta
        path.append(theta)
    return path


def blocks(theta, gradients, lr=0.002, beta1=0.9, beta2=0.999, eps=1e-8, decay_factor=1 - 1e-8, l2=0.0,
           maximum=False):  # fmt: skip
    """The first beta decays, the correction does not know."""
    mean = variance = top = 0.0
    path = []
    for time, g in enumerate(gradients):
        g = g + l2 * theta
        beta_1t = beta1 * decay_factor**time
        mean = beta_1t * mean + (1 - beta_1t) * g
        variance = beta2 * variance + (1 - beta2) * g**2
        top = max(top, variance) if maximum else variance
        mean_hat, variance_hat = mean / (1 - beta1 ** (time + 1)), top / (1 - beta2 ** (time + 1))
        theta = theta - lr * mean_hat / (math.sqrt(variance_hat) + eps)
        path.append(theta)
    return path


def mlx(theta, gradients, lr=0.001, b1=0.9, b2=0.999, eps=1e-8, decay=0.0, maximum=False):
    """No correction unless asked for."""
    m = v = top = 0.0
    path = []
    for g in gradients:
        theta = theta * (1 - lr * decay)
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * g * g
        top = max(top, v) if maximum else v
        theta = theta - lr * m / (math.sqrt(top) + eps)
        path.append(theta)
    return path


# For each dialect its formula, and what it calls the settings that are tried here.
ALGORITHM_1 = {"lr": "alpha", "eps": "eps", "amsgrad": "maximum"}
HAT = {"lr": "lr", "eps": "eps_hat", "amsgrad": "maximum", "lr_decay": "lr_decay"}
FORMULAS = {
    "paper": (paper, {**ALGORITHM_1, "weight_decay": "l2"}, {}),
    "pytorch": (paper, {**ALGORITHM_1, "weight_decay": "l2"}, {}),
    "optax": (optax, {**ALGORITHM_1, "weight_decay": "decay"}, {}),
    "tensorflow": (section_2, {**HAT, "weight_decay": "l2"}, {}),
    "keras": (section_2, {**HAT, "weight_decay": "decay"}, {"eps_hat": 1e-7}),
    "chainer": (section_2, {**HAT, "weight_decay": "decay"}, {}),
    "mxnet": (section_2, {**HAT, "weight_decay": "l2"}, {}),
    "caffe": (section_2, {**HAT, "weight_decay": "l2"}, {}),
    "lasagne": (section_2, {**HAT, "weight_decay": "l2"}, {}),
    "torch7": (section_2, {**HAT, "weight_decay": "l2"}, {}),
    "blocks": (
        blocks,
        {"lr": "lr", "eps": "eps", "amsgrad": "maximum", "weight_decay": "l2", "beta1_decay": "decay_factor"},
        {},
    ),
    "mlx": (mlx, {"lr": "lr", "eps": "eps", "amsgrad": "maximum", "weight_decay": "decay"}, {}),
}
SAME = [{"paper", "pytorch"}, {"tensorflow", "mxnet", "caffe", "lasagne", "torch7"}]
"""Dialects that are one and the same in all that they have."""

# Gradients of 1e-7 see the eps of the defaults; decreasing ones, a large eps and AMSGrad see the rest.
DECREASING = [4.0, -2.0, 1.0, 0.5, 0.25, -0.125, 0.06]
TRIALS = [
    ({}, [1e-7 * g for g in DECREASING]),
    ({"eps": 0.1}, DECREASING),
    ({"eps": 0.1, "lr": 0.05, "amsgrad": True}, DECREASING),
    ({"eps": 0.1, "lr": 0.05, "weight_decay": 0.3}, DECREASING),
    ({"eps": 0.1, "lr": 0.05, "lr_decay": 0.5, "weight_decay": 0.3}, DECREASING),
    ({"eps": 0.1, "lr": 0.05, "beta1_decay": 0.5}, DECREASING),
]


def path_of(name, settings, gradients):
    p = parameter(1.5)
    opt = optim.Adam.like([p], name, **settings)
    path = []
    for g in gradients:
        give(p, g)
        opt.step()
        path.append(p.item())
    return path


def test_every_dialect_has_a_formula():
    assert set(FORMULAS) == set(optim.DIALECTS)


CASES = [
    (name, trial)
    for name, (_, names, _) in FORMULAS.items()
    for trial, (settings, _) in enumerate(TRIALS)
    if set(settings) <= set(names)
]


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize(("name", "trial"), CASES)
def test_dialects_follow_the_formulas_of_their_libraries(name, trial, kernels):
    formula, names, own = FORMULAS[name]
    settings, gradients = TRIALS[trial]
    wanted = formula(1.5, gradients, **{**own, **{names[key]: value for key, value in settings.items()}})
    with tg.use_kernels(kernels):
        np.testing.assert_allclose(path_of(name, settings, gradients), wanted, rtol=1e-13)


def test_every_trial_has_a_dialect():
    assert {trial for _, trial in CASES} == set(range(len(TRIALS)))


@pytest.mark.parametrize(("one", "other"), list(itertools.combinations(FORMULAS, 2)))
def test_dialects_are_told_from_one_another(one, other):
    """By paths that differ by far more than rounding, but for those that are the same."""
    largest = 0.0
    for settings, gradients in TRIALS[:4]:
        a, b = (np.array(path_of(name, settings, gradients)) for name in (one, other))
        moved = np.abs(a - 1.5).max()
        largest = max(largest, np.abs(a - b).max() / moved)
    if any({one, other} <= group for group in SAME):
        assert largest == 0
    else:
        assert largest > 0.01


def test_the_same_dialects_have_the_same_settings():
    for group in SAME:
        first, *others = [optim.DIALECTS[name] for name in sorted(group)]
        assert all(other == first for other in others)


def test_the_dialect_of_pytorch_is_the_default():
    plain, pytorch = optim.Adam([parameter(1.0)]), optim.Adam.like([parameter(1.0)], "pytorch")
    assert plain.defaults == pytorch.defaults


def test_dialects_take_groups_and_own_settings():
    a, b = parameter(1.0), parameter(1.0)
    opt = optim.Adam.like(
        [{"params": [a], "eps": 0.5}, {"params": [b]}], "keras", lr=0.1, on_nonfinite="skip"
    )
    assert [group["eps"] for group in opt.param_groups] == [0.5, 1e-7]
    assert all(group["lr"] == 0.1 and group["eps_at"] == "hat" for group in opt.param_groups)
    assert opt.on_nonfinite == "skip"


def test_adamw_of_other_libraries():
    for name in optim.DIALECTS:
        opt = optim.AdamW.like([parameter(1.0)], name)
        assert type(opt) is optim.AdamW
        group = opt.param_groups[0]
        assert group["decoupled_weight_decay"]
        assert group["weight_decay"] == 0.01
        assert group["eps_at"] == optim.DIALECTS[name].get("eps_at", "outside")


def test_unknown_dialects():
    with pytest.raises(errors.OptionError, match="unknown dialect 'kras'; did you mean 'keras'"):
        optim.Adam.like([parameter(1.0)], "kras")
    with pytest.raises(errors.OptionError, match="did you mean 'keras'"):
        optim.compare_dialects(lambda p: p.sum(), [1.0], ["kras"])


# --- compare_dialects --------------------------------------------------------------------------


def test_a_comparison_holds_the_paths():
    result = optim.compare_dialects(
        lambda p: (p**2).sum() / 2, [4.0, -1.0], ["paper", "keras"], steps=5, eps=0.1, lr=0.3
    )
    assert list(result.paths) == ["paper", "keras"]
    for name, formula in (("paper", paper), ("keras", section_2)):
        assert result.paths[name].shape == (6, 2)
        assert result.paths[name][0].tolist() == [4.0, -1.0]
        for column in (0, 1):
            points = result.paths[name][:, column]  # the gradient is the point itself
            names = {"alpha": 0.3, "eps": 0.1} if formula is paper else {"lr": 0.3, "eps_hat": 0.1}
            np.testing.assert_allclose(points[1:], formula(points[0], points[:-1], **names), rtol=1e-12)


def test_where_paths_part():
    everything = optim.compare_dialects(lambda p: (p**2).sum(), np.ones((2, 2)), eps=0.1, amsgrad=True)
    assert set(everything.paths) == set(optim.DIALECTS)
    assert everything.paths["mlx"].shape == (21, 2, 2)
    assert everything.parting("paper", "pytorch") is None
    assert everything.parting("paper", "tensorflow") == everything.parting("tensorflow", "paper") == 1
    assert everything.parting("paper", "optax") > 1
    # Without weight decay, and with one eps for all, the seven with an epsilon hat are the same.
    assert str(everything).count("never") == 1 + 7 * 6 // 2


def test_hardly_anything_parts_with_the_usual_eps():
    result = optim.compare_dialects(lambda p: (p**2).sum(), [1.0], ["paper", "tensorflow"], steps=50)
    assert result.parting("paper", "tensorflow") is None
    assert np.abs(result.paths["paper"] - result.paths["tensorflow"]).max() > 0


@pytest.mark.parametrize("steps", [0, -1, 2.5])
def test_comparisons_need_steps(steps):
    with pytest.raises(errors.OptionError, match=f"steps must be a positive integer\n  steps  {steps}"):
        optim.compare_dialects(lambda p: p.sum(), [1.0], steps=steps)
