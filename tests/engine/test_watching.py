"""What watchers are told of a training step."""

from __future__ import annotations

import threading

import numpy as np
import pytest

import tinygrad_adam as tg
import tinygrad_adam.nn.functional as F
from tinygrad_adam import nn, optim
from tinygrad_adam.engine import events as watching
from tinygrad_adam.engine.events import Watcher, watch


class Log(Watcher):
    def __init__(self):
        self.events = []

    def operation(self, primitive, args, settings, output):
        self.events.append(("operation", primitive.name))
        output * 2  # what a watcher computes is not watched

    def module_begins(self, module, args):
        self.events.append(("begins", type(module).__name__))

    def module_ends(self, module, output):
        self.events.append(("ends", type(module).__name__, None if output is None else output.shape))

    def backward_begins(self, root):
        self.events.append(("backward begins", root.shape))

    def backward_ends(self, root):
        self.events.append(("backward ends", root.shape))

    def gradient(self, node, g):
        self.events.append(("gradient", node.primitive.name, g.shape))

    def share(self, node, position, parent, share):
        self.events.append(("share", node.primitive.name_of(position), share.shape))

    def step_begins(self, optimizer):
        self.before = [p.detach().numpy().copy() for p in optimizer.param_groups[0]["params"]]

    def step_ends(self, optimizer):
        after = [p.detach().numpy() for p in optimizer.param_groups[0]["params"]]
        self.events.append(("step", [bool((a != b).any()) for a, b in zip(self.before, after, strict=True)]))


def train(watcher):
    tg.manual_seed(0)
    net = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
    opt = optim.SGD(net.parameters(), lr=0.1)
    with watch(watcher):
        net(tg.ones(4, 2)).sum().backward()
        opt.step()
    return net


def test_a_watcher_is_told_of_all_in_order():
    log = Log()
    net = train(log)
    assert log.events == [
        ("begins", "Sequential"),
        ("begins", "Linear"),
        ("operation", "linear"),
        ("ends", "Linear", (4, 3)),
        ("begins", "ReLU"),
        ("operation", "relu"),
        ("ends", "ReLU", (4, 3)),
        ("ends", "Sequential", (4, 3)),
        ("operation", "sum"),
        ("backward begins", ()),
        ("gradient", "sum", ()),
        ("share", "a", (4, 3)),
        ("gradient", "relu", (4, 3)),
        ("share", "a", (4, 3)),
        ("gradient", "linear", (4, 3)),
        ("share", "weight", (3, 2)),
        ("share", "bias", (3,)),
        ("backward ends", ()),
        ("step", [True, True]),
    ]
    assert not watching.watched()
    count = len(log.events)
    net(tg.ones(1, 2))
    assert len(log.events) == count


def test_watching_changes_no_number():
    for watched, alone in zip(train(Log()).parameters(), train(Watcher()).parameters(), strict=True):
        np.testing.assert_array_equal(watched.detach().numpy(), alone.detach().numpy())


def test_a_module_that_fails_has_ended():
    log = Log()
    with pytest.raises(tg.errors.ShapeError), watch(log):
        nn.Linear(2, 3)(tg.ones(1, 5))
    assert log.events == [("begins", "Linear"), ("ends", "Linear", None)]
    assert not watching.watched()


def test_another_thread_is_not_watched():
    log = Log()
    with watch(log):
        thread = threading.Thread(target=lambda: tg.ones(2) + 1)
        thread.start()
        thread.join()
    assert log.events == []


def test_several_may_watch():
    inner, outer = Log(), Log()
    with watch(outer):
        F.relu(tg.ones(1))
        with watch(inner):
            F.tanh(tg.ones(1))
    assert inner.events == [("operation", "tanh")]
    assert outer.events == [("operation", "relu"), ("operation", "tanh")]
