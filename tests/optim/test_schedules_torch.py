"""Schedules against PyTorch's, over 1,000 steps, with Adam's and SGD's momentum where it moves."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest
from schedule_cases import CASES, LRS, STEPS, two_groups

from tinygrad_adam import optim

torch = pytest.importorskip("torch", reason="PyTorch is not installed: nothing to compare with")

pytestmark = pytest.mark.torch
lib = torch.optim.lr_scheduler


def twin_of(cls, **options):
    groups = [{"params": [torch.nn.Parameter(torch.ones(1))], "lr": lr} for lr in LRS]
    return getattr(torch.optim, cls.__name__)(groups, **{"lr": 0.01, **options})


def settings(opt):
    return [[group["lr"], *group.get("betas", [group.get("momentum")])] for group in opt.param_groups]


@pytest.mark.parametrize("cls", [optim.Adam, optim.SGD])
@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.twin])
def test_learning_rates(name, cls):
    options = {"momentum": 0.9} if cls is optim.SGD else {}
    opt, peer = two_groups(cls, **options), twin_of(cls, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch's combinations call their parts in a way it deprecates
        ours, theirs = CASES[name].build(opt), CASES[name].twin(lib, peer)
        found, wanted = [], []
        for t in range(STEPS):
            if t == STEPS // 2:
                state = json.loads(json.dumps(ours.state_dict()))
                opt = two_groups(cls, **options)
                ours = CASES[name].build(opt)
                ours.load_state_dict(state)
            found.append(settings(opt)), wanted.append(settings(peer))
            peer.step(), theirs.step(), ours.step()
    # PyTorch's lines lose digits where they are near zero: a few of the first learning rate's.
    np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("threshold_mode", ["rel", "abs"])
@pytest.mark.parametrize(
    "options",
    [
        {"patience": 2},
        {"patience": 0, "factor": 0.5, "threshold": 0.1},
        {"patience": 3, "factor": 0.7, "cooldown": 4, "min_lr": 0.02},
        {"patience": 1, "factor": 0.9, "cooldown": 1, "threshold": 0.0},
    ],
)
def test_plateau(mode, threshold_mode, options):
    options = {"mode": mode, "threshold_mode": threshold_mode, **options}
    opt, peer = two_groups(), twin_of(optim.SGD)
    ours = optim.ReduceLROnPlateau(opt, **options)
    theirs = lib.ReduceLROnPlateau(peer, eps=0.0, **options)
    rng = np.random.default_rng(1)
    sign = 1 if mode == "min" else -1
    values = 2 + sign * np.exp(-np.arange(120) / 10) + rng.normal(0, 0.05, 120)
    values[17] = np.nan
    predicted = ours.preview(list(values))
    for t, value in enumerate(values):
        assert ours.last_lrs == predicted[t]
        np.testing.assert_allclose(ours.last_lrs, [g["lr"] for g in peer.param_groups], rtol=1e-12)
        assert (ours.waited, ours.cooling) == (theirs.num_bad_epochs, theirs.cooldown_counter)
        if t == 60:
            state = json.loads(json.dumps(ours.state_dict()))
            ours = optim.ReduceLROnPlateau(two_groups(), **options)
            ours.load_state_dict(state)
        ours.step(value), theirs.step(value)
    assert ours.reductions > 1
