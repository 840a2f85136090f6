"""
6. A step size for each weight
==============================

One learning rate for all weights is a compromise. AdaGrad and RMSProp give each weight its own, derived from
the gradients that it has seen. We look at what dividing by ``sqrt(v)`` does, when it helps, and when it
cannot.
"""

import matplotlib.pyplot as plt
import numpy as np

import tinygrad_adam as tg
from tinygrad_adam import nn, optim

BLUE, ORANGE, GREEN, PINK, AMBER = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00"

# %%
# Units
# -----
# Suppose you measure one input of a model in millimeters instead of meters. Its weight must become a
# thousand times smaller, yet its gradient becomes a thousand times *larger*. Gradient descent thus takes a
# step in the wrong unit: a million times too long, compared with the weight. We want a step that
# does not depend on the gradient's unit. So divide the gradient by its own typical size.
#
# The typical size is the root of a mean of squares. There are two answers to "mean over what?":
#
# ==============  ====================================  ============================
# rule            code                                  meaning
# ==============  ====================================  ============================
# AdaGrad (2011)  ``v = v + g**2``                      the sum over the whole past
# RMSProp (2012)  ``v = beta * v + (1 - beta) * g**2``  the average of recent steps
# both            ``w = w - lr * g / (sqrt(v) + eps)``  for each weight separately
# ==============  ====================================  ============================
#
# Multiply all gradients of a weight by 1000: ``sqrt(v)`` also grows by 1000, and the step stays the same.
# The tiny number ``eps`` only prevents division by zero for a weight whose gradient is zero.

CURVATURE = np.array([1.0, 50.0])
START = np.array([-10.0, 1.0])


def descend(make, steps, scale=1.0, rotation=None):
    w = nn.Parameter(START)
    opt = make([w])
    path = [START]
    for _ in range(steps):
        z = w if rotation is None else tg.tensor(rotation) @ w
        loss = (0.5 * CURVATURE * z**2).sum() * scale
        opt.zero_grad()
        loss.backward()
        opt.step()
        path.append(w.detach().numpy().copy())
    return np.array(path)


for scale in (1.0, 1000.0):
    sgd = descend(lambda p: optim.SGD(p, lr=0.02), 40, scale)[-1]
    rms = descend(lambda p: optim.RMSprop(p, lr=0.3), 40, scale)[-1]
    print(f"loss × {scale:<6}: SGD ends at {np.linalg.norm(sgd):.1e}, RMSProp at {np.linalg.norm(rms):.4f}")
assert np.linalg.norm(sgd) > 1e10
assert np.linalg.norm(rms) < 1

# %%
# Into the ravine
# ---------------
# The ravine of chapter 5 again. On the left is SGD with the longest steps that it tolerates; then AdaGrad and
# RMSProp, which scale the two directions separately. On the right is RMSProp again, but with the ravine
# turned by 45 degrees.

TURN = np.array([[1.0, 1.0], [-1.0, 1.0]]) / 2**0.5
runs = {
    "SGD": (descend(lambda p: optim.SGD(p, lr=0.039), 40), ORANGE),
    "AdaGrad": (descend(lambda p: optim.Adagrad(p, lr=2.0), 40), PINK),
    "RMSProp": (descend(lambda p: optim.RMSprop(p, lr=0.3), 40), AMBER),
    "RMSProp, ravine turned": (descend(lambda p: optim.RMSprop(p, lr=0.3), 40, rotation=TURN), AMBER),
}
xs, ys = np.meshgrid(np.linspace(-11, 3, 120), np.linspace(-5, 10, 120))
fig, axes = plt.subplots(1, 4, figsize=(10, 3.2), layout="constrained", sharey=True)
for ax, (title, (path, color)) in zip(axes, runs.items(), strict=True):
    u, v = np.tensordot(TURN, np.stack([xs, ys]), 1) if "turned" in title else (xs, ys)
    ax.contour(xs, ys, 0.5 * (u**2 + 50 * v**2), levels=[2, 15, 50, 150, 400, 1000], colors="0.8")
    ax.plot(*path.T, "o-", color=color, ms=3, lw=1)
    ax.plot(0, 0, "k*", ms=10)
    ax.set(title=title, xlabel="first weight")
    print(f"{title:22} after 40 steps {np.linalg.norm(path[-1]):.3f} from the bottom")
axes[0].set_ylabel("second weight")
plt.show()

ends = {title: np.linalg.norm(path[-1]) for title, (path, _) in runs.items()}
assert max(ends["AdaGrad"], ends["RMSProp"]) < ends["SGD"] / 4

# %%
# AdaGrad and RMSProp start at 45 degrees: the same step along both axes, whatever the steepness. In the
# turned ravine, each weight's gradient mixes both directions, so both get about the same ``sqrt(v)``,
# and nothing is gained. A step size *for each weight* can straighten a ravine along the axes, and no other.
# Networks have such ravines: weights whose gradients differ a hundredfold in size (chapter 10 measures it).
#
# Which weights get larger steps?
# -------------------------------
# Not "the weights with small gradients" as such, because all get steps of about ``lr``: only ``g / sqrt(v)``
# counts. Compared with SGD, the steps are larger for weights whose gradients are usually
# small or *rare*. Say one feature occurs in every example and another in one of fifty; both weights should
# become 1.

rng = np.random.default_rng(0)
seen = np.stack([np.ones(1000), rng.uniform(size=1000) < 0.02], axis=1)


def learn(make):
    w = nn.Parameter(np.zeros(2))
    opt = make([w])
    path = []
    for features in seen:
        loss = (0.5 * features * (w - 1) ** 2).sum()
        opt.zero_grad()
        loss.backward()
        opt.step()
        path.append(w.detach().numpy().copy())
    return np.array(path)


fig, axes = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained", sharey=True)
rare = {}
makers = {"SGD": lambda p: optim.SGD(p, lr=0.05), "AdaGrad": lambda p: optim.Adagrad(p, lr=0.3)}
for ax, (name, make) in zip(axes, makers.items(), strict=True):
    path = learn(make)
    rare[name] = path[-1, 1]
    ax.plot(path[:, 0], color=BLUE, label="feature in every example")
    ax.plot(path[:, 1], "--", color=ORANGE, label="feature in 1 of 50")
    ax.set(title=name, xlabel="step")
    print(f"{name}: after 1000 steps {path[-1].round(3)}")
axes[0].set_ylabel("weight, should be 1")
axes[1].legend()
plt.show()

assert rare["SGD"] < 0.8 < 0.95 < rare["AdaGrad"]

# %%
# AdaGrad was designed for this: words in a text. The rare word's ``v`` is small, because few gradients were
# added to it.
#
# A memory that fades
# -------------------
# AdaGrad's sum only ever grows. With a constant gradient ``g`` it is ``t * g**2`` after ``t`` steps, and the
# step is ``lr / sqrt(t)``: it slows down forever. RMSProp's average forgets, and the step stays near
# ``lr``. Here the gradient is 1 for a hundred steps, then 0.01:

gradients = np.r_[np.ones(100), np.full(400, 0.01)]
fig, ax = plt.subplots(figsize=(6.5, 3.4), layout="constrained")
lengths = {}
for name, make, color, style in (
    ("AdaGrad", lambda p: optim.Adagrad(p, lr=1.0), PINK, "--"),
    ("RMSProp, beta 0.95", lambda p: optim.RMSprop(p, lr=1.0, alpha=0.95), AMBER, "-"),
):
    w = nn.Parameter(np.zeros(1))
    opt, path = make([w]), [0.0]
    for g in gradients:
        w.grad = np.array([g])
        opt.step()
        path.append(w.item())
    lengths[name] = np.abs(np.diff(path))
    ax.semilogy(lengths[name], style, color=color, label=name)
ax.axvline(100, color="0.8")
ax.set(xlabel="step", ylabel="length of the step / lr", title="The gradient falls from 1 to 0.01 at step 100")
ax.legend()
plt.show()

assert np.allclose(lengths["AdaGrad"][:100], 1 / np.sqrt(np.arange(1, 101)))
assert abs(lengths["RMSProp, beta 0.95"][-1] - 1) < 0.01 > lengths["AdaGrad"][-1]

# %%
# RMSProp's steps shrink with the gradient at first, and return to full length once the large gradients
# are forgotten. That is good on a plateau, but bad at the end, where steps *should* get short:

late = descend(lambda p: optim.RMSprop(p, lr=0.3), 2000)
print(f"RMSProp in the ravine, last three steps, second weight: {late[-3:, 1].round(3)}")
assert abs(np.abs(late[-1] - late[-2]).max() - 0.3) < 0.02

# %%
# It jumps back and forth across the bottom, by ``lr`` each time, forever. And look at the first step in the
# picture: 4.5 times ``lr``, because ``v`` starts at zero and has seen too little. Adam fixes the second
# problem; the first is the reason for decaying learning rates (chapter 9).
#
# Exercises
# ---------
# 1. Write AdaGrad as ``adagrad(p, g, state, lr, eps)`` and let ``tg.testing.grade(adagrad)`` check it.
# 2. The same for RMSProp, ``rmsprop(p, g, state, lr, alpha, eps)``, with ``alpha`` for beta. Many pages
#    write ``sqrt(v + eps)``. What does the grader say about that?
# 3. What does RMSProp become with ``alpha = 0``? How long are its steps? Write the change of a weight whose
#    gradient is the number ``g`` as ``move(g, lr)``, without ``eps``, and mind ``g = 0``.

# %%
# Solutions
# ---------
# **1.** The only state is the sum so far:


def adagrad(p, g, state, lr, eps):
    v = state["v"] = state.get("v", 0) + g**2
    return p - lr * g / (np.sqrt(v) + eps)


answer = tg.testing.grade(adagrad)
print(answer)
assert answer.passed

# %%
# **2.** First the version found on many pages:


def inside(p, g, state, lr, alpha, eps):
    v = state["v"] = alpha * state.get("v", 0) + (1 - alpha) * g**2
    return p - lr * g / np.sqrt(v + eps)


def rmsprop(p, g, state, lr, alpha, eps):
    v = state["v"] = alpha * state.get("v", 0) + (1 - alpha) * g**2
    return p - lr * g / (np.sqrt(v) + eps)


print(tg.testing.grade(inside, reference="rmsprop"))
assert not tg.testing.grade(inside, reference="rmsprop").passed
assert tg.testing.grade(rmsprop).passed

# %%
# **3.** Then ``v = g**2``, and ``g / sqrt(v)`` is the sign of the gradient: every weight moves by ``lr``,
# no matter how steep it is. Averaging ``v`` over time makes steps short where gradients disagree in
# size.


def move(g, lr):
    return -lr * np.sign(g)


w = nn.Parameter(np.zeros(3))
opt = optim.RMSprop([w], lr=0.1, alpha=0.0)
w.grad = np.array([5.0, -0.001, 300.0])
opt.step()
print(w.detach().numpy().round(6))
assert np.allclose(w.detach().numpy(), [move(g, 0.1) for g in (5.0, -0.001, 300.0)], rtol=1e-4)
