"""Functions that `recorded` refuses to replay, and wrong calls of what it returns."""

from __future__ import annotations

import copy
import itertools
import pickle

import numpy as np

import tinygrad_adam as tg
import tinygrad_adam.nn.functional as F
from tinygrad_adam import nn, optim, training

WEIGHT = nn.Parameter([1.0, 2.0])
OUTSIDE = WEIGHT * 2.0
LINEAR = nn.Linear(2, 1)
STATE = LINEAR.state_dict()
TURNS = itertools.cycle([0, 1])


def thrice(function, *args):
    """Call a recorded function three times: to record it, to compare, and to replay it."""
    args = args or (tg.tensor([3.0, 4.0]),)
    training_pass = tg.recorded(function)
    for _ in range(3):
        training_pass(*args)


def replayed(function, first, then):
    """Replay a recorded function with another argument."""
    training_pass = tg.recorded(function)
    for _ in range(3):
        training_pass(*first)
    training_pass(*then)


def in_place(x):
    y = x * 1.0
    with tg.no_grad():
        y += 1.0
    return (y * WEIGHT).sum()


def hooked(x):
    y = x * WEIGHT
    y.register_hook(lambda g: g)
    return y.sum()


def retained(x):
    y = x * WEIGHT
    y.retain_grad()
    return y.sum()


def backward(x):
    (x * WEIGHT).sum().backward()
    return (x * WEIGHT).sum()


def other_kernels(x):
    with tg.use_kernels("reference"):
        return (x * WEIGHT).sum()


def scored(x):
    output = tg.stack([x, x * WEIGHT])
    training.Accuracy().update(output, tg.tensor([0, 1]))
    return output.sum()


def with_a_hook_later():
    net = nn.Sequential(nn.Linear(3, 4))
    training_pass = tg.recorded(lambda x: net(x).sum())
    for _ in range(3):
        training_pass(tg.ones(2, 3))
    net[0].register_forward_hook(lambda module, args, output: None)
    training_pass(tg.ones(2, 3))


def stepped():
    opt = optim.SGD([WEIGHT], lr=0.0)
    WEIGHT.grad = [0.0, 0.0]

    def function(x):
        opt.step()
        return (x * WEIGHT).sum()

    thrice(function)


def without_a_graph():
    with tg.no_grad():
        thrice(lambda x: (x * WEIGHT).sum())


CALLS = {
    **{
        f"a function that {name}": lambda function=function: thrice(function)
        for name, function in {
            "reads item": lambda x: (x * WEIGHT).sum() * x.sum().item(),
            "asks for truth": lambda x: (x * WEIGHT).sum() if x.sum() > 0 else WEIGHT.sum(),
            "reads numpy": lambda x: (WEIGHT * x.numpy()).sum(),
            "reads data": lambda x: (WEIGHT * x.data).sum(),
            "makes an array": lambda x: (WEIGHT * np.asarray(x)).sum(),
            "makes a Tensor of one": lambda x: (WEIGHT * tg.tensor(x)).sum(),
            "reads tolist": lambda x: WEIGHT.sum() * sum(x.tolist()),
            "changes in place": in_place,
            "registers a hook": hooked,
            "retains a gradient": retained,
            "calls backward": backward,
            "calls grad": lambda x: (x * tg.grad((WEIGHT**2).sum(), WEIGHT)).sum(),
            "uses what was computed outside": lambda x: (x * OUTSIDE).sum(),
            "draws": lambda x: (x * WEIGHT).sum() + tg.rand(2).sum(),
            "sets requires_grad": lambda x: (x.requires_grad_() * WEIGHT).sum(),
            "copies deeply": lambda x: (x * copy.deepcopy(x) * WEIGHT).sum(),
            "pickles": lambda x: (x * pickle.loads(pickle.dumps(x)) * WEIGHT).sum(),
            "scores": scored,
            "reads a state": lambda x: (x * LINEAR.state_dict()["weight"][0] * WEIGHT).sum(),
            "forgets gradients": lambda x: LINEAR.zero_grad() or (x * WEIGHT).sum(),
            "sets a gradient": lambda x: setattr(WEIGHT, "grad", None) or (x * WEIGHT).sum(),
            "sets data": lambda x: setattr(WEIGHT, "data", [1.0, 2.0]) or (x * WEIGHT).sum(),
            "loads a state": lambda x: LINEAR.load_state_dict(STATE) or (x * WEIGHT).sum(),
            "changes the mode": lambda x: (LINEAR.train(not LINEAR.training), (x * WEIGHT).sum())[1],
            "returns a constant, too": lambda x: ((x * WEIGHT).sum(), tg.ones(2)),
            "takes other operations in turn": lambda x: (
                (x * WEIGHT).sum() + (x.exp() if next(TURNS) else x.tanh()).sum()
            ),
            "chooses kernels": other_kernels,
            "makes a Parameter": lambda x: (x * nn.Parameter([1.0, 2.0])).sum(),
            "returns a number": lambda x: 3.0,
            "returns None": lambda x: None,
            "returns a Parameter": lambda x: WEIGHT,
            "needs no gradient": lambda x: x.sum(),
            "returns no scalar": lambda x: x * WEIGHT,
        }.items()
    },
    "a step inside": stepped,
    "a pass without a graph": without_a_graph,
    "a hook that comes later": with_a_hook_later,
    "a number for an argument": lambda: thrice(lambda x: (WEIGHT * x).sum(), 3.0),
    "an array for an argument": lambda: thrice(lambda x: (WEIGHT * x).sum(), np.ones(2)),
    "a Parameter for an argument": lambda: thrice(lambda x: (WEIGHT * x).sum(), WEIGHT),
    "an index out of range in a replay": lambda: replayed(
        lambda i: (WEIGHT[i] * 2.0).sum(), [tg.tensor([0, 1])], [tg.tensor([0, 7])]
    ),
    "a label out of range in a replay": lambda: replayed(
        lambda x, y: F.cross_entropy(x * WEIGHT, y),
        [tg.ones(2, 2), tg.tensor([0, 1])], [tg.ones(2, 2), tg.tensor([0, 2])],
    ),
    "a mask of another count in a replay": lambda: replayed(
        lambda x, mask: (x * WEIGHT)[mask].sum(),
        [tg.ones(2), tg.tensor([True, False])], [tg.ones(2), tg.tensor([True, True])],
    ),
}  # fmt: skip
