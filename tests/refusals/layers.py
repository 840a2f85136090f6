"""Wrong calls of layers, modules, initial weights and their states."""

from __future__ import annotations

import math

import numpy as np

import tinygrad_adam as tg
from tinygrad_adam import nn
from tinygrad_adam.nn import init

CONVOLUTIONS = {"Conv1d": nn.Conv1d, "Conv2d": nn.Conv2d, "ConvTranspose2d": nn.ConvTranspose2d}


class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Parameter([0.0, 0.0]), nn.Parameter([0.0, 0.0, 0.0])


class Forgot(nn.Module):
    def __init__(self):
        self.layer = nn.Linear(1, 1)


def assigned(value):
    Pair().a = value


def deleted():
    del Pair().c


def loaded(**change):
    Pair().load_state_dict({"a": np.ones(2), "b": np.ones(3), **change})


def replaced(index, value):
    nn.Sequential(nn.ReLU(), nn.Tanh())[index] = value


CALLS = {
    **{
        f"{name} with {key}={value!r}": lambda cls=cls, key=key, value=value: cls(
            **{"in_channels": 4, "out_channels": 4, "kernel_size": 3, key: value}
        )
        for name, cls in CONVOLUTIONS.items()
        for key, value in [
            ("in_channels", 0), ("out_channels", -1), ("in_channels", 3.0), ("groups", 0), ("groups", 3),
            ("kernel_size", 0), ("kernel_size", 1.5), ("kernel_size", (1, 2, 3)),
        ]
    },
    "Linear of no features": lambda: nn.Linear(0, 2),
    "Linear of a word": lambda: nn.Linear("4", 2),
    "Linear of a fraction": lambda: nn.Linear(2, 2.0),
    "Linear of True": lambda: nn.Linear(True, 2),
    "Linear of other features": lambda: nn.Linear(128, 100)(tg.ones(32, 64)),
    "Linear of a list": lambda: nn.Linear(2, 1)([[1.0, 2.0]]),
    "SparseLinear of no features": lambda: nn.SparseLinear(0, 3),
    "SparseLinear of a Tensor": lambda: nn.SparseLinear(8, 3)(tg.ones(2, 8)),
    "Embedding of a negative size": lambda: nn.Embedding(3, -1),
    "Embedding out of range": lambda: nn.Embedding(4, 2)([0, 4]),
    "Embedding of a negative index": lambda: nn.Embedding(4, 2)([-1]),
    "Embedding of floats": lambda: nn.Embedding(4, 2)(tg.ones(2)),
    "Dropout of everything": lambda: nn.Dropout(1.0),
    "Dropout of a word": lambda: nn.Dropout("0.5"),
    "Dropout2d of less than nothing": lambda: nn.Dropout2d(-0.1),
    "Dropout2d of a row": lambda: nn.Dropout2d()(tg.ones(4)),
    "Conv1d of four axes": lambda: nn.Conv1d(2, 4, 3)(tg.ones(1, 2, 5, 5)),
    "Conv2d of other channels": lambda: nn.Conv2d(3, 4, 3)(tg.ones(1, 2, 5, 5)),
    "Conv2d of three axes": lambda: nn.Conv2d(2, 4, 3)(tg.ones(2, 5, 5)),
    "Conv2d of a small image": lambda: nn.Conv2d(2, 4, 6)(tg.ones(1, 2, 5, 5)),
    "Conv2d without a stride": lambda: nn.Conv2d(2, 4, 3, stride=0)(tg.ones(1, 2, 5, 5)),
    "ConvTranspose2d of other channels": lambda: nn.ConvTranspose2d(2, 4, 3)(tg.ones(1, 4, 5, 5)),
    "MaxPool2d of a small image": lambda: nn.MaxPool2d(6)(tg.ones(1, 2, 5, 5)),
    "AvgPool2d padded too much": lambda: nn.AvgPool2d(2, padding=2)(tg.ones(1, 2, 5, 5)),
    "AdaptiveAvgPool2d to nothing": lambda: nn.AdaptiveAvgPool2d(0)(tg.ones(1, 2, 5, 5)),
    "LayerNorm of no size": lambda: nn.LayerNorm((3, 0)),
    "LayerNorm of another shape": lambda: nn.LayerNorm(4)(tg.ones(2, 3)),
    "LayerNorm with a negative eps": lambda: nn.LayerNorm(2, -0.5),
    "BatchNorm1d of a word": lambda: nn.BatchNorm1d("4"),
    "BatchNorm1d of other features": lambda: nn.BatchNorm1d(4)(tg.ones(2, 3)),
    "BatchNorm1d of four axes": lambda: nn.BatchNorm1d(3)(tg.ones(4, 3, 5, 5)),
    "BatchNorm1d of one example": lambda: nn.BatchNorm1d(3)(tg.ones(1, 3)),
    "BatchNorm1d with a momentum of nan": lambda: nn.BatchNorm1d(2, momentum=math.nan),
    "BatchNorm2d of none": lambda: nn.BatchNorm2d(0),
    "BatchNorm2d of other channels": lambda: nn.BatchNorm2d(3)(tg.ones(4, 2, 5, 5)),
    "BatchNorm2d of two axes": lambda: nn.BatchNorm2d(3)(tg.ones(4, 3)),
    "GroupNorm of groups that do not divide": lambda: nn.GroupNorm(3, 4),
    "GroupNorm of no group": lambda: nn.GroupNorm(0, 4),
    "GroupNorm of other channels": lambda: nn.GroupNorm(2, 4)(tg.ones(2, 6, 3)),
    "GELU by another way": lambda: nn.GELU("erf")(tg.ones(1)),
    "the layer of a model": lambda: nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))(tg.ones(1, 2)),
    "the layer of a layer": lambda: nn.Sequential(nn.Sequential(nn.Linear(2, 3)), nn.Tanh())(tg.ones(1, 5)),
    # Modules.
    "Sequential of a function": lambda: nn.Sequential(nn.Linear(1, 1), tg.relu),
    "Sequential of a class": lambda: nn.Sequential(nn.Linear(1, 1), nn.ReLU),
    "Sequential of a list": lambda: nn.Sequential([nn.Linear(1, 1)]),
    "ModuleList out of range": lambda: nn.ModuleList([nn.ReLU()])[4],
    "ModuleList with a word": lambda: nn.ModuleList([nn.ReLU()]).append("relu"),
    "Sequential with None": lambda: replaced(0, None),
    "Sequential assigned out of range": lambda: replaced(5, nn.ReLU()),
    "Module without forward": lambda: Pair()(1),
    "Module without super().__init__()": Forgot,
    "a Tensor in place of a Parameter": lambda: assigned(tg.ones(2)),
    "a number in place of a Parameter": lambda: assigned(3),
    "deleting what is not there": deleted,
    "register_module of a function": lambda: Pair().register_module("f", len),
    "register_buffer of an array": lambda: Pair().register_buffer("mask", np.ones(2)),
    "to integers": lambda: Pair().to(np.int64),
    "to float16": lambda: Pair().to(np.float16),
    "to an unknown word": lambda: Pair().to("no such"),
    "summary of other features": lambda: nn.Sequential(nn.Linear(3, 2)).summary(tg.ones(5, 4)),
    # Initial weights.
    "xavier_uniform_ of one axis": lambda: init.xavier_uniform_(tg.zeros(3)),
    "orthogonal_ of one axis": lambda: init.orthogonal_(tg.zeros(3)),
    "kaiming_normal_ in an unknown mode": lambda: init.kaiming_normal_(tg.zeros(3, 3), mode="fanin"),
    "calculate_gain of an unknown name": lambda: init.calculate_gain("leakyrelu"),
    "trunc_normal_ far out": lambda: init.trunc_normal_(tg.zeros(2), low=8.0, high=9.0),
    # States.
    "a state without a name": lambda: Pair().load_state_dict({"a": np.ones(2)}),
    "a state with another name": lambda: loaded(c=np.ones(1)),
    "a state of another shape": lambda: loaded(a=np.ones(3)),
    "a state of words": lambda: loaded(a=np.array(["1", "2"])),
    "a state of complex numbers": lambda: loaded(a=np.ones(2, complex)),
    "a state of large numbers": lambda: loaded(a=np.array([1e300, 0.0])),
    "a state that is a list": lambda: Pair().load_state_dict([]),
    "a state of several misfits": lambda: Pair().load_state_dict({"a": np.ones(3), "c": np.ones(1)}),
    "a part of a state of another shape": lambda: Pair().load_state_dict({"a": np.ones(3)}, strict=False),
}  # fmt: skip
