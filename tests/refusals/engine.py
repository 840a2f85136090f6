"""Wrong calls of the engine: backward passes, changes, hooks, operations of one's own; checks."""

from __future__ import annotations

import numpy as np

import tinygrad_adam as tg
from tinygrad_adam import nn, optim
from tinygrad_adam.testing import grade


def leaf(*values):
    return tg.tensor(np.array(values), requires_grad=True)


def freed():
    x = leaf(1.0, 2.0)
    y = tg.exp(x)
    y.sum().backward()
    (y * x).sum().backward()


def freed_by_grad():
    x = leaf(1.0)
    y = tg.exp(x) * 2
    tg.grad(y, x)
    tg.grad(y, x)


def without_recording():
    x = leaf(1.0)
    with tg.no_grad():
        y = x * 2
    y.backward()


def changed_input():
    x = leaf(1.0, 2.0)
    y = (x * x).sum()
    with tg.no_grad():
        x += 1
    y.backward()


def changed_output():
    y = tg.exp(leaf(1.0, 2.0))
    z = (y + 1).sum()
    with tg.no_grad():
        y[0] = 1
    z.backward()


def changed_constant():
    c = tg.tensor(np.array([3.0, 4.0]))
    y = (leaf(1.0, 2.0) * c).sum()
    c += 1
    y.backward()


def changed_view():
    x = tg.tensor(np.arange(4.0))
    y = (leaf(1.0, 1.0) * x[1:3]).sum()
    x[1] = 50.0
    y.backward()


def changed_between_passes():
    x = leaf(1.0, 2.0)
    h = x * 2
    g = tg.grad((h**3).sum(), x, create_graph=True)
    with tg.no_grad():
        h += 1
    tg.grad(g.sum(), x)


def changed_by(change):
    p = nn.Parameter(np.ones((2, 2)))
    (p**3).sum().backward(create_graph=True)
    penalty = (p.grad**2).sum()
    change(p)
    penalty.backward()


def stepped():
    p = nn.Parameter([1.0])
    loss = (p**2).sum()
    loss.backward(retain_graph=True)
    optim.SGD([p], lr=1.0).step()
    loss.backward()


def loaded():
    layer = nn.Linear(2, 2)
    y = layer(tg.ones(1, 2, requires_grad=True)).sum()
    layer.load_state_dict(layer.state_dict())
    y.backward()


def frozen_and_changed():
    a, w = leaf(1.0), leaf(2.0)
    y = a * w
    a.requires_grad = False
    a += w
    tg.grad(y.sum(), w, create_graph=True)


def hooked(answer, of_leaf=True):
    x = leaf(1.0, 2.0)
    h = x * 2
    (x if of_leaf else h).register_hook(lambda g: answer)
    h.sum().backward()


def rule_that_returns(answer):
    odd = tg.primitive(a=lambda g: answer)(lambda xp, a: a * 1)
    odd(leaf(1.0, 2.0)).sum().backward()


def forward_that_returns(answer):
    tg.primitive(a=lambda g: g)(lambda xp, a: answer)(leaf(1.0, 2.0))


def rule_of_another_shape():
    @tg.primitive(a=lambda g: g, b=lambda xp, g: xp.concatenate([g, g]))
    def wrong(xp, a, b):
        return a + b

    wrong(1.0, leaf(1.0, 2.0, 3.0)).sum().backward()


def rule_that_asks_for_more():
    @tg.primitive(a=lambda g, factor: g * factor)
    def scale(xp, a):
        return a * 2


def rule_for_another_input():
    @tg.primitive(b=lambda g: g)
    def scale(xp, a):
        return a * 2


def input_named_g():
    @tg.primitive(g=lambda g: g)
    def named(xp, g):
        return g * 2


@tg.primitive(a=lambda xp, g, a: -g * xp.exp(a))
def wrong_exp(xp, a):
    return xp.exp(a)


@tg.primitive(a=lambda g, b: g * b, b=lambda g, b: g * b)
def wrong_product(xp, a, b):
    return a * b


def sgd(p, g, state, lr):
    return p - lr * g


def made_up(p, g, state):
    return p


X, W = leaf(1.0, 2.0), leaf(3.0, 4.0)

CALLS = {
    "backward of two": lambda: (X * 2).backward(),
    "backward along three": lambda: (X * 2).backward([1.0, 2.0, 3.0]),
    "backward of a constant": lambda: tg.tensor(1.0).backward(),
    "backward without recording": without_recording,
    "backward twice": freed,
    "backward after a change of an input": changed_input,
    "backward after a change of an output": changed_output,
    "backward after a change of a constant": changed_constant,
    "backward after a change through a view": changed_view,
    "backward after a step": stepped,
    "backward after loading": loaded,
    "backward after clipping a norm": lambda: changed_by(lambda p: optim.clip_grad_norm_([p], 0.1)),
    "backward after clipping by weights": lambda: changed_by(lambda p: optim.clip_grad_adaptive_([p])),
    "backward after noise": lambda: changed_by(lambda p: optim.add_grad_noise_([p], 0)),
    "grad twice": freed_by_grad,
    "grad after a change": changed_between_passes,
    "grad of a frozen leaf that was changed": frozen_and_changed,
    "grad of two": lambda: tg.grad(X * 2, X),
    "grad of what y does not depend on": lambda: tg.grad((X * X).sum(), [X, W]),
    "grad of a constant": lambda: tg.grad((X * X).sum(), tg.tensor([1.0])),
    "grad of a result made later": lambda: tg.grad(X.sum(), X * 2),
    "grad of a y without a graph": lambda: tg.grad(tg.tensor(1.0), X),
    "grad of an array": lambda: tg.grad((X * 2).sum(), np.ones(2)),
    "grad along another shape": lambda: tg.grad(X * 2, X, gradient=np.ones(3)),
    "a hook of a constant": lambda: tg.tensor([1.0]).register_hook(print),
    "retain_grad of a constant": lambda: tg.tensor([1.0]).retain_grad(),
    "a hook that returns another shape": lambda: hooked(tg.ones(5)),
    "a hook that returns a number": lambda: hooked(3.0),
    "a hook that returns a word": lambda: hooked("no", of_leaf=False),
    # Operations of one's own.
    "a rule that returns None": lambda: rule_that_returns(None),
    "a rule that returns a number": lambda: rule_that_returns(1.5),
    "a rule that returns a word": lambda: rule_that_returns("g"),
    "a rule that returns another shape": rule_of_another_shape,
    "a rule that asks for more": rule_that_asks_for_more,
    "a rule for another input": rule_for_another_input,
    "an input named g": input_named_g,
    "a forward rule that returns None": lambda: forward_that_returns(None),
    "a forward rule that returns objects": lambda: forward_that_returns(np.array([None])),
    "a forward rule that returns complex numbers": lambda: forward_that_returns(np.array([1j])),
    # Checks.
    "gradcheck of a wrong rule": lambda: tg.gradcheck(wrong_exp, leaf(0.5, 1.0)),
    "gradcheck of the wrong input of two": lambda: tg.gradcheck(wrong_product, [leaf(1.0), leaf(2.0)]),
    "gradcheck of a forgotten part": lambda: tg.gradcheck(lambda x: x * x.detach(), leaf(1.0, 2.0)),
    "gradgradcheck of a forgotten part": lambda: tg.gradgradcheck(lambda x: x * x.detach(), leaf(2.0)),
    "gradcheck of float32": lambda: tg.gradcheck(tg.exp, tg.tensor([1.0], requires_grad=True)),
    "gradcheck of nothing": lambda: tg.gradcheck(lambda: tg.tensor(1.0), []),
    "gradcheck of a constant": lambda: tg.gradcheck(tg.exp, tg.tensor(np.ones(2))),
    "grade of a number": lambda: grade(3),
    "grade of an optimizer without a reference": lambda: grade(made_up),
    "grade against an unknown reference": lambda: grade(made_up, "adm"),
    "grade of an operation against an unknown one": lambda: grade(wrong_exp, "mul"),
    "grade with other settings": lambda: grade(made_up, "sgd", settings={"nesterov": True}),
    "grade of a function of two": lambda: grade(lambda p, g: p, "sgd"),
    "grade of a function that asks for a step": lambda: grade(lambda p, g, state, t, lr: p, "sgd"),
    "grade of an optimizer with inputs": lambda: grade(sgd, "sgd", inputs=[(3,)]),
    "grade of an operation on other inputs": lambda: grade(wrong_product, inputs=[(2, 3), (4, 3)]),
}
