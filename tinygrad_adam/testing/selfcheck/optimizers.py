"""The options of every optimizer that its update is checked with: together they reach each part of it."""

from __future__ import annotations

from typing import Any

from ...optim import OPTIMIZERS

Options = list[dict[str, Any]]

ADAM: Options = [
    {"betas": (0.9, 0.999), "eps": 0.1},
    {"betas": (0.5, 0.7), "eps": 0.1},
    {"betas": (0.5, 0.7), "eps": 0.1, "amsgrad": True},
    {"betas": (0.5, 0.7), "eps": 0.1, "weight_decay": 0.3},
    {"betas": (0.5, 0.7), "eps": 0.1, "weight_decay": 0.3, "amsgrad": True},
    {"betas": (0.0, 0.9), "eps": 1e-8},
    {"betas": (0.9, 0.0), "eps": 0.1},
    {"betas": (0.5, 0.7), "eps": 0.0},
    {"betas": (0.5, 0.7), "eps": 0.1, "eps_at": "hat"},
    {"betas": (0.5, 0.7), "eps": 0.1, "eps_at": "inside"},
    {"betas": (0.5, 0.7), "eps": 0.1, "eps_at": "hat", "amsgrad": True, "bias_correction": False},
    {"betas": (0.5, 0.7), "eps": 0.1, "amsgrad": True, "amsgrad_after_correction": True},
    {"betas": (0.5, 0.7), "eps": 0.1, "amsgrad_after_correction": True, "bias_correction": False},
    {"betas": (0.5, 0.7), "eps": 0.1, "lr_decay": 0.5, "weight_decay": 0.3},
    {"betas": (0.5, 0.7), "eps": 0.1, "beta1_decay": 0.5},
]
FAMILY: Options = [  # of Adam's relatives, which have no options but these
    {"betas": (0.9, 0.999), "eps": 0.1},
    {"betas": (0.5, 0.7), "eps": 0.1, "weight_decay": 0.3},
    {"betas": (0.0, 0.9), "eps": 0.01},
    {"betas": (0.5, 0.9), "eps": 1e-8},
]
DECOUPLED: Options = [{**options, "decoupled_weight_decay": True} for options in FAMILY]
BOUND: Options = [
    {"betas": (0.5, 0.7), "eps": 0.1, "final_lr": 0.02, "gamma": 0.05},  # above, within and below
    {"betas": (0.9, 0.999), "eps": 0.1, "weight_decay": 0.3},
    {"betas": (0.5, 0.7), "eps": 0.01, "final_lr": 0.5, "gamma": 0.5, "base_lr": 0.2},
    {"betas": (0.5, 0.7), "eps": 0.1, "final_lr": 0.01, "gamma": 1.0},
    {"betas": (0.5, 0.7), "eps": 0.1, "final_lr": 1.0, "gamma": 1e-6},
]

OPTIONS: dict[str, Options] = {
    "sgd": [
        {},
        {"weight_decay": 0.3},
        {"momentum": 0.8},
        {"momentum": 0.8, "dampening": 0.4},
        {"momentum": 0.8, "nesterov": True, "weight_decay": 0.3},
        {"momentum": 0.8, "dampening": 1.0, "weight_decay": 0.1},
    ],
    "adagrad": [
        {"eps": 0.1},
        {"eps": 0.1, "lr_decay": 0.5},
        {"eps": 0.1, "weight_decay": 0.3},
        {"eps": 0.1, "initial_accumulator_value": 0.7},
    ],
    "adadelta": [{"eps": 0.1}, {"eps": 0.1, "rho": 0.5, "weight_decay": 0.3}, {"eps": 0.01, "rho": 0.0}],
    "rmsprop": [
        {"eps": 0.1},
        {"eps": 0.1, "alpha": 0.5, "weight_decay": 0.3},
        {"eps": 0.1, "alpha": 0.5, "momentum": 0.8},
        {"eps": 0.1, "alpha": 0.7, "centered": True},
        {"eps": 0.1, "alpha": 0.5, "momentum": 0.8, "centered": True, "weight_decay": 0.3},
    ],
    "adam": [*ADAM, *({**options, "decoupled_weight_decay": True} for options in ADAM)],
    "adamw": [*ADAM, {"weight_decay": 0.3, "decoupled_weight_decay": False}],
    "adamax": FAMILY,
    "nadam": [*FAMILY, *DECOUPLED, {"eps": 0.1, "momentum_decay": 0.5}],
    "radam": [*FAMILY, *DECOUPLED],
    "adabound": BOUND,
    "amsbound": BOUND,
    "adabelief": [*FAMILY, *DECOUPLED],
    "lion": [{}, {"betas": (0.5, 0.7)}, {"betas": (0.8, 0.2), "weight_decay": 0.3}, {"betas": (0.3, 0.9)}],
}
"""By the optimizer's name; an optimizer without a row is checked with its defaults."""
OPTIONS |= {name: [{}] for name in OPTIMIZERS if name not in OPTIONS}
