"""Wrong calls of optimizers, of what is done to gradients, and of averages of weights."""

from __future__ import annotations

import math

import numpy as np

import tinygrad_adam as tg
from tinygrad_adam import nn, optim

SETTINGS = {
    "SGD": "lr momentum dampening weight_decay nesterov",
    "Adam": "lr betas eps weight_decay amsgrad decoupled_weight_decay eps_at amsgrad_after_correction "
    "bias_correction lr_decay beta1_decay",
    "AdamW": "lr betas eps weight_decay amsgrad",
    "Adagrad": "lr lr_decay weight_decay initial_accumulator_value eps",
    "Adadelta": "lr rho eps weight_decay",
    "RMSprop": "lr alpha eps weight_decay momentum centered",
    "Adamax": "lr betas eps weight_decay",
    "NAdam": "lr betas eps weight_decay momentum_decay decoupled_weight_decay",
    "RAdam": "lr betas eps weight_decay decoupled_weight_decay",
    "AdaBound": "lr betas final_lr gamma eps weight_decay base_lr",
    "AMSBound": "lr betas final_lr gamma eps weight_decay base_lr",
    "AdaBelief": "lr betas eps weight_decay decoupled_weight_decay",
    "Lion": "lr betas weight_decay",
    "SparseAdam": "lr betas eps",
}
"""The settings of each optimizer, none of which may be a word or -1."""


def parameter(*values):
    return nn.Parameter(np.array(values or (1.0,)))


def adam(**settings):
    return optim.Adam([("w", parameter(1.0, 2.0))], **settings)


def trained():
    opt = adam()
    opt.param_groups[0]["params"][0].grad = np.ones(2)
    opt.step()
    return opt


def loaded(change):
    opt = trained()
    saved = opt.state_dict()
    saved["groups"][0] = dict(saved["groups"][0])
    change(saved)
    opt.load_state_dict(saved)


def of_a_group(**settings):
    return adam().add_param_group({"params": [parameter()], **settings})


def stepped(value, **settings):
    opt = adam(**settings)
    opt.param_groups[0]["params"][0].grad = np.array([1.0, value])
    opt.step()


def sparse_step():
    table = nn.Embedding(4, 2, sparse=True)
    table([1]).sum().backward()
    optim.Adam([("table", table.weight)]).step()


def group_set(name, value):
    adam().param_groups[0][name] = value


def attribute_set(name, value, opt=adam):
    setattr(opt(), name, value)


def frozen():
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    return optim.SGD(model.requires_grad_(False).named_parameters())


def cast_apart():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    opt = optim.SGD(model.parameters(), lr=0.1)
    model[1].to(np.float64)
    for p in model.parameters():
        p.grad = np.ones(p.shape)
    opt.step()


def average(count=1, kind=optim.PolyakAverage):
    found = kind(nn.Linear(1, 1, bias=False))
    for _ in range(count):
        found.update()
    return found


def average_loaded(**change):
    found = average()
    found.load_state_dict({**found.state_dict(), **change})


def updated_inside():
    found = average()
    with found.applied():
        found.update()


def applied_inside():
    found = average()
    with found.applied(), found.applied():
        pass


CALLS = {
    **{
        f"{name} with {setting}={value!r}": lambda name=name, setting=setting, value=value: getattr(
            optim, name
        )([parameter()], **{setting: value})
        for name, settings in SETTINGS.items()
        for setting in settings.split()
        for value in ("x", -1)
    },
    **{
        f"Adam with betas={value!r}": lambda value=value: adam(betas=value)
        for value in (0.9, (0.9,), (1.0, 0.9), (0.9, math.nan), None)
    },
    **{
        f"{name} before backward": lambda name=name: getattr(optim, name)([parameter()], lr=0.1).step()
        for name in SETTINGS
    },
    "SGD of Nesterov without momentum": lambda: optim.SGD([parameter()], lr=0.1, nesterov=True),
    "Adam with an lr of nan": lambda: adam(lr=math.nan),
    "Adam with an lr of True": lambda: adam(lr=True),
    "Adam with an unknown choice": lambda: adam(on_nonfinite="skipp"),
    "Adam with an unknown keyword": lambda: adam(beta=0.9),
    "Adam of no parameters": lambda: optim.Adam([]),
    "Adam of an empty group": lambda: optim.Adam([{"params": []}]),
    "Adam of a parameter twice": lambda: optim.Adam([P, P]),
    "Adam of a name twice": lambda: optim.Adam([("a", parameter()), ("a", parameter())]),
    "Adam of a Parameter": lambda: optim.Adam(parameter()),
    "Adam of a model": lambda: optim.Adam(nn.Linear(1, 1)),
    "Adam of a result": lambda: optim.Adam([parameter() * 2]),
    "Adam of integers": lambda: optim.Adam([tg.tensor([1, 2])]),
    "Adam of an array": lambda: optim.Adam([np.ones(2)]),
    "Adam of None": lambda: optim.Adam([None]),
    "SGD of a frozen model": frozen,
    "Adam of a group without params": lambda: optim.Adam([{"lr": 0.1}]),
    "Adam of a group and a Parameter": lambda: optim.Adam([{"params": [parameter()]}, parameter()]),
    "a group with an unknown setting": lambda: of_a_group(rate=1),
    "a group with a negative lr": lambda: of_a_group(lr=-2.0),
    "a group that is a list": lambda: adam().add_param_group([parameter()]),
    "a group that is given an unknown setting": lambda: group_set("learnig_rate", 1.0),
    "a group that is given a learning_rate": lambda: group_set("learning_rate", 1.0),
    "a group that is given parameters": lambda: group_set("params", [parameter()]),
    "an optimizer that is given an lr": lambda: attribute_set("lr", 0.1),
    "an optimizer that is given a learning_rate": lambda: attribute_set("learning_rate", 0.1),
    "an optimizer that is given an unknown setting": lambda: attribute_set("weight_decy", 0.1),
    "an optimizer that is given a method": lambda: attribute_set("zero_grad", None),
    "an average that is given an unknown setting": lambda: attribute_set("beta", 0.5, average),
    "a step with a closure": lambda: trained().step(len),
    "a step with a scale of zero": lambda: trained().step(grad_scale=0.0),
    "a step with a scale of nan": lambda: trained().step(grad_scale=math.nan),
    "a step along nan": lambda: stepped(math.nan, on_nonfinite="raise"),
    "a step along a row-sparse gradient": sparse_step,
    "a step of a model that was cast in part": cast_apart,
    "moments of another parameter": lambda: adam().moments(parameter()),
    "build_optimizer of an unknown name": lambda: optim.build_optimizer("adm", [parameter()]),
    "build_optimizer with an unknown setting": lambda: optim.build_optimizer("adam", [parameter()], beta=1),
    "like an unknown dialect": lambda: optim.Adam.like([parameter()], "kras"),
    "like a dialect with an unknown setting": lambda: optim.Adam.like([parameter()], "keras", rate=1),
    "compare_dialects of an unknown one": lambda: optim.compare_dialects(tg.sum, [1.0], ["kras"]),
    "compare_dialects in no step": lambda: optim.compare_dialects(tg.sum, [1.0], steps=0),
    # States.
    "the state of another optimizer": lambda: loaded(lambda s: s.update(optimizer="SGD")),
    "the state of another name": lambda: loaded(lambda s: s["groups"][0].update(params=["elsewhere"])),
    "the state of fewer names": lambda: loaded(lambda s: s["groups"][0].update(params=[])),
    "the state of another shape": lambda: loaded(lambda s: s["state"]["w"].update(m=np.ones((3, 5)))),
    "the state without a moment": lambda: loaded(lambda s: s["state"]["w"].pop("v")),
    "the state of large numbers": lambda: loaded(lambda s: s["state"]["w"].update(v=["1", "2"])),
    "the state of a fraction of steps": lambda: loaded(lambda s: s["state"]["w"].update(step=3.7)),
    "the state of a negative step": lambda: loaded(lambda s: s["state"]["w"].update(step=-1)),
    "the state with a bad setting": lambda: loaded(lambda s: s["groups"][0].update(lr=-1.0)),
    "the state of unknown parameters": lambda: loaded(lambda s: s["state"].update(u=s["state"]["w"])),
    "a state that is a list": lambda: adam().load_state_dict([]),
    "a state that is empty": lambda: adam().load_state_dict({}),
    # Gradients.
    **{
        f"{name} to {value!r}": lambda name=name, value=value: getattr(optim, name)([parameter()], value)
        for name in ("clip_grad_norm_", "clip_grad_value_", "clip_grad_adaptive_")
        for value in (0, -1.0, math.nan, "1", True)
    },
    "add_grad_noise_ at a negative step": lambda: optim.add_grad_noise_([parameter()], -1),
    "add_grad_noise_ at a fraction": lambda: optim.add_grad_noise_([parameter()], 1.5),
    "add_grad_noise_ of a negative eta": lambda: optim.add_grad_noise_([parameter()], 0, eta=-0.1),
    "add_grad_noise_ of a gamma of nan": lambda: optim.add_grad_noise_([parameter()], 0, gamma=math.nan),
    # Averages.
    **{
        f"ExponentialMovingAverage of {decay!r}": lambda decay=decay: optim.ExponentialMovingAverage(
            nn.Linear(1, 1), decay
        )
        for decay in (1.0, -0.1, "x", None)
    },
    "PolyakAverage of nothing": lambda: optim.PolyakAverage(nn.ReLU()),
    "copy_to_model before an update": lambda: average(0).copy_to_model(),
    "update of an average that is applied": updated_inside,
    "an average that is applied twice": applied_inside,
    "the state of another average": lambda: average().load_state_dict(
        average(1, optim.ExponentialMovingAverage).state_dict()
    ),
    "the state of an average of a fraction": lambda: average_loaded(count=1.5),
    "the state of an average of another shape": lambda: average_loaded(weights={"weight": [1.0]}),
    "the state of an average of words": lambda: average_loaded(weights={"weight": [["1"]]}),
}
P = parameter()
