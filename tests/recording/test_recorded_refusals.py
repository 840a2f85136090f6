"""What `recorded` refuses, because a replay would be wrong without anybody noticing."""

from __future__ import annotations

import copy
import itertools
import pickle

import numpy as np
import pytest

import tinygrad_adam as tg
import tinygrad_adam.nn.functional as F
from tinygrad_adam import errors, nn, optim, training

WEIGHT = nn.Parameter([1.0, 2.0])
OUTSIDE = WEIGHT * 2.0
TURNS = itertools.cycle([0, 1])
LINEAR = nn.Linear(2, 1)
STATE = LINEAR.state_dict()
AVERAGE = optim.ExponentialMovingAverage(LINEAR)
DRAWN = np.random.default_rng(0)


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


def forked(x):
    with tg.fork_rng(3):
        return F.dropout(x * WEIGHT).sum()


def cut(x):
    h = (x * WEIGHT).detach()
    h.requires_grad = True
    return (h * WEIGHT).sum()


def sometimes_without(x):
    with tg.no_grad() if next(TURNS) else tg.enable_grad():
        h = x * WEIGHT
    return (h * WEIGHT).sum()


def crossed(x):
    first, second = x * WEIGHT, x + WEIGHT
    return (first * (first if next(TURNS) else second)).sum()


def scored(x):
    output = tg.stack([x, x * WEIGHT])
    training.Accuracy().update(output, tg.tensor([0, 1]))
    return output.sum()


def either(x):
    first, second = x * WEIGHT, x * WEIGHT
    return first.sum(), first if next(TURNS) else second


def other_kernels(x):
    with tg.use_kernels("reference"):
        return (x * WEIGHT).sum()


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: (x * WEIGHT).sum() * x.sum().item(), "item reads the value"),
        (lambda x: (x * WEIGHT).sum() if x.sum() > 0 else WEIGHT.sum(), "bool reads the value"),
        (lambda x: (WEIGHT * x.numpy()).sum(), "numpy reads the value"),
        (lambda x: (WEIGHT * x.data).sum(), "data reads the value"),
        (lambda x: (WEIGHT * np.asarray(x)).sum(), "numpy reads the value"),
        (lambda x: (WEIGHT * tg.tensor(x)).sum(), "tensor reads the value"),
        (lambda x: WEIGHT.sum() * sum(x.tolist()), "tolist reads the value"),
        (lambda x: (x * WEIGHT).sum() * WEIGHT.data[0], "data reads the value"),
        (in_place, "add changes a Tensor"),
        (hooked, "register_hook changes a Tensor"),
        (retained, "retain_grad changes a Tensor"),
        (backward, "must not call backward"),
        (lambda x: (x * OUTSIDE).sum(), "computed outside"),
        (lambda x: (x * WEIGHT).sum() + tg.rand(2).sum(), "draws random numbers"),
        (forked, "draws random numbers"),
        (lambda x: (x.requires_grad_() * WEIGHT).sum(), "requires_grad_ changes a Tensor"),
        (lambda x: (x * WEIGHT.detach().requires_grad_()).sum(), "requires_grad_ changes a Tensor"),
        (cut, "requires_grad_ changes a Tensor"),
        (lambda x: (x * tg.grad((WEIGHT**2).sum(), WEIGHT)).sum(), "grad reads the value"),
        (lambda x: (x * copy.deepcopy(x) * WEIGHT).sum(), "deepcopy reads the value"),
        (lambda x: (x * copy.copy(x) * WEIGHT).sum(), "copy reads the value"),
        (lambda x: (x * pickle.loads(pickle.dumps(x)) * WEIGHT).sum(), "copying reads the value"),
        (scored, r"Accuracy.update reads the value"),
        (lambda x: AVERAGE.update() or (LINEAR(x) * WEIGHT).sum(), "update reads the value"),
        (lambda x: (x * LINEAR.state_dict()["weight"][0] * WEIGHT).sum(), "state_dict reads the value"),
        (lambda x: LINEAR.zero_grad() or (x * WEIGHT).sum(), "grad changes a Tensor"),
        (lambda x: optim.SGD([WEIGHT]).zero_grad() or (x * WEIGHT).sum(), "zero_grad changes a Tensor"),
        (lambda x: setattr(WEIGHT, "grad", None) or (x * WEIGHT).sum(), "grad changes a Tensor"),
        (lambda x: setattr(WEIGHT, "data", [1.0, 2.0]) or (x * WEIGHT).sum(), "data changes a Tensor"),
        (lambda x: LINEAR.load_state_dict(STATE) or (x * WEIGHT).sum(), "load_state_dict changes a Tensor"),
        (lambda x: LINEAR.register_buffer("last", x) or (x * WEIGHT).sum(), "changes the mode, members"),
        (lambda x: (LINEAR.train(not LINEAR.training), (x * WEIGHT).sum())[1], "changes the mode, members"),
        (lambda x: ((x * WEIGHT).sum(), tg.ones(2)), "a Tensor that it returns, which none"),
        (lambda x: ((h := x * WEIGHT).sum(), h * 1.0 if next(TURNS) else h), "operations, then"),
        (either, "the results"),
        (crossed, "the inputs of multiply"),
        (lambda x: (x * WEIGHT).sum() + (x.exp() if next(TURNS) else x.tanh()).sum(), "tanh"),
        (sometimes_without, "the inputs of multiply"),
        (lambda x: (x * WEIGHT * tg.Tensor(x.data * 0 + 1, requires_grad=True)).sum(), "data reads"),
        (lambda x: (x * WEIGHT * tg.Tensor(np.ones(2), requires_grad=True)).sum(), "argument 1 of multiply"),
        (other_kernels, "use_kernels must stand around"),
        (lambda x: (x * WEIGHT * DRAWN.random()).sum(), "not the same from call to call"),
        (lambda x: (x * WEIGHT * tg.tensor(DRAWN.random(2))).sum(), "not the same from call to call"),
        (lambda x: F.leaky_relu(x * WEIGHT, negative_slope=DRAWN.random()).sum(), "settings of leaky_relu"),
        (lambda x: (x * nn.Parameter([1.0, 2.0])).sum(), "requires_grad_ changes a Tensor"),
    ],
)  # fmt: skip
def test_functions_that_cannot_be_replayed_are_refused(function, message):
    training_pass = tg.recorded(function)
    x = tg.tensor([3.0, 4.0])
    with pytest.raises(errors.GraphError, match=message):
        training_pass(x), training_pass(x), training_pass(x)


def test_modules_with_hooks_are_refused_also_when_they_come_later():
    net = nn.Sequential(nn.Linear(3, 4))
    training_pass = tg.recorded(lambda x: net(x).sum())
    for _ in range(3):
        training_pass(tg.ones(2, 3))
    net[0].register_forward_hook(lambda module, args, output: None)
    with pytest.raises(errors.GraphError, match="a hook of Linear"):
        training_pass(tg.ones(2, 3))


def test_a_step_inside_is_refused():
    net = nn.Linear(3, 4)
    opt = optim.SGD(net.parameters(), lr=0.1)
    net(tg.ones(2, 3)).sum().backward()

    def function(x):
        loss = net(x).sum()
        opt.step()
        return loss

    with pytest.raises(errors.GraphError, match="must not call step"):
        tg.recorded(function)(tg.ones(2, 3))


@pytest.mark.parametrize("argument", [3.0, np.ones(2), nn.Parameter([1.0, 2.0]), WEIGHT * 1.0])
def test_arguments_must_be_tensors_without_a_gradient(argument):
    with pytest.raises(errors.DTypeError, match=r"require no gradient.*\n  argument\[0\]"):
        tg.recorded(lambda x: (WEIGHT * x).sum())(argument)


@pytest.mark.parametrize("result", [3.0, None, np.ones(()), (tg.ones(1), 2)])
def test_results_must_be_tensors(result):
    training_pass = tg.recorded(lambda: result)
    with pytest.raises(errors.DTypeError, match=r"must return the loss"):
        training_pass()


def test_the_loss_must_come_from_an_operation():
    with pytest.raises(errors.GraphError, match="none of its operations made"):
        tg.recorded(lambda: WEIGHT)()


@pytest.mark.parametrize(
    ("function", "error"),
    [
        (lambda x: x.sum(), errors.GraphError),
        (lambda x: (x * WEIGHT).sum().detach(), errors.GraphError),
        (lambda x: x * WEIGHT, errors.ShapeError),
    ],
)
def test_what_backward_refuses_is_refused_each_time(function, error):
    training_pass = tg.recorded(function)
    for _ in range(4):
        with pytest.raises(error, match="backward: "):
            training_pass(tg.ones(2))


def test_a_pass_needs_a_graph():
    with tg.no_grad(), pytest.raises(errors.GraphError, match="backward: the Tensor was not computed"):
        tg.recorded(lambda x: (x * WEIGHT).sum())(tg.ones(2))


def test_a_shape_that_depends_on_numbers_is_refused():
    @tg.primitive(a=lambda g, a: np.where(a > 0, 1, 0) * g.sum())
    def positive(xp, a):
        return a[a > 0]

    training_pass = tg.recorded(lambda x: positive(x * WEIGHT).mean())
    for _ in range(3):
        training_pass(tg.tensor([1.0, -1.0]))
    with pytest.raises(errors.ShapeError, match="positive: the shape depends on numbers"):
        training_pass(tg.tensor([1.0, 1.0]))


def test_a_mask_whose_count_changes_is_refused():
    training_pass = tg.recorded(lambda x, mask: (x * WEIGHT)[mask].sum())
    for _ in range(3):
        training_pass(tg.ones(2), tg.tensor([True, False]))
    with pytest.raises(errors.ShapeError, match="gather"):
        training_pass(tg.ones(2), tg.tensor([True, True]))
