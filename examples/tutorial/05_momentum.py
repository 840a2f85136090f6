"""
5. Momentum, and ravines
========================

In a long, narrow valley, gradient descent bounces from wall to wall and hardly moves along the floor. A ball
does better: it gathers speed where the slope stays the same, and pushes in opposite directions cancel. That
idea costs one more array, and it is the first half of Adam.
"""

import matplotlib.pyplot as plt
import numpy as np

import tinygrad_adam as tg
from tinygrad_adam import nn, optim

BLUE, ORANGE, GREEN, SKY = "#0072B2", "#D55E00", "#009E73", "#56B4E9"

# %%
# A ravine
# --------
# Here is one that is fifty times as steep across as along: ``f(x, y) = (x**2 + 50 * y**2) / 2``. The second
# derivatives are 1 and 50, and their ratio is the *condition number*. By chapter 1, the steep direction
# allows ``lr < 2 / 50``, so each step multiplies the distance in the flat direction by ``1 - lr``, which
# reduces it by at most 4 %.

CURVATURE = np.array([1.0, 50.0])
START = np.array([-10.0, 1.0])


def descend(steps, **settings):
    w = nn.Parameter(START)
    opt = optim.SGD([w], **settings)
    path = [START]
    for _ in range(steps):
        loss = (0.5 * CURVATURE * w**2).sum()
        opt.zero_grad()
        loss.backward()
        opt.step()
        path.append(w.detach().numpy().copy())
    return np.array(path)


runs = {
    "lr = 0.02": (descend(40, lr=0.02), ORANGE),
    "lr = 0.039": (descend(40, lr=0.039), ORANGE),
    "lr = 0.02, momentum 0.8": (descend(40, lr=0.02, momentum=0.8), GREEN),
    "the same, Nesterov": (descend(40, lr=0.02, momentum=0.8, nesterov=True), SKY),
}
xs, ys = np.meshgrid(np.linspace(-11, 4, 100), np.linspace(-1.6, 1.6, 80))
heights = 0.5 * (xs**2 + 50 * ys**2)
fig, axes = plt.subplots(2, 2, figsize=(9.5, 5), layout="constrained", sharex=True, sharey=True)
for ax, (title, (path, color)) in zip(axes.flat, runs.items(), strict=True):
    ax.contour(xs, ys, heights, levels=[0.5, 2, 5, 10, 20, 35, 55], colors="0.8")
    ax.plot(*path.T, "o-", color=color, ms=3, lw=1)
    ax.plot(0, 0, "k*", ms=10)
    end = np.linalg.norm(path[-1])
    ax.set(title=f"{title}: {end:.2f} to go")
    print(f"{title:24} after 40 steps {end:.3f} from the bottom")
fig.supxlabel("x, the flat direction")
fig.supylabel("y, the steep direction")
fig.suptitle("Forty steps in a ravine")
plt.show()

ends = [np.linalg.norm(path[-1]) for path, _ in runs.values()]
assert max(ends[2:]) < ends[1] / 2 < ends[0] / 2

# %%
# The velocity
# ------------
# *Momentum* moves along a velocity instead of the gradient. The velocity keeps a fraction ``beta`` of itself
# and adds the new gradient:
#
#     ``v = beta * v + g``
#
#     ``w = w - lr * v``
#
# So it is a sum of all gradients so far, in which older ones fade:
# ``g_t + beta * g_(t-1) + beta**2 * g_(t-2) + ...``. If the gradients agree, they add up to
# ``1 + beta + beta**2 + ... = 1 / (1 - beta)`` times a single one. If they change sign at each step, they
# nearly cancel, to ``1 / (1 + beta)``.

beta = 0.9
for what, sign in (("the same gradient", 1), ("alternating signs", -1)):
    v, shown = 0.0, []
    for t in range(50):
        v = beta * v + sign**t
        shown.append(f"{abs(v):.2f}")
    print(f"{what}: |v| = {' '.join(shown[:5])} ... {shown[-1]}")
    assert abs(abs(v) - 1 / (1 - sign * beta)) < 0.1

# %%
# Along the ravine, this is ten times as fast; across it, half as fast. *Nesterov's* variant evaluates the
# gradient at the point where the velocity is about to carry the weight, and so brakes a little earlier.
#
# How much does it buy?
# ---------------------
# On a bowl, both methods multiply the distance by a factor at each step, and the best possible factors are
# known. With condition number ``k``, the best factor is ``(k - 1) / (k + 1)`` for gradient descent and
# ``(sqrt(k) - 1) / (sqrt(k) + 1)`` for momentum (Polyak, 1964). For ``k = 50``:

k = 50.0
plain, heavy = (k - 1) / (k + 1), (k**0.5 - 1) / (k**0.5 + 1)
print(f"a step leaves {plain:.3f} of the distance without momentum, {heavy:.3f} with it")
print(f"steps to a thousandth: {np.log(1e-3) / np.log(plain):.0f} and {np.log(1e-3) / np.log(heavy):.0f}")

best_plain = descend(150, lr=2 / (1 + k))
best_heavy = descend(150, lr=(2 / (1 + k**0.5)) ** 2, momentum=heavy**2)
fig, ax = plt.subplots(figsize=(6.5, 3.6), layout="constrained")
steps = np.arange(151)
for path, factor, color, name in (
    (best_plain, plain, ORANGE, "best lr"),
    (best_heavy, heavy, GREEN, "with momentum"),
):
    ax.semilogy(np.linalg.norm(path, axis=1), color=color, label=name)
    ax.semilogy(10 * factor**steps, ":", color=color, label=f"10 × {factor:.3f}^t")
ax.set(xlabel="step t", ylabel="distance from the bottom", title="As fast as theory says", ylim=(1e-12, 1e3))
ax.legend()
plt.show()

measured = [(np.linalg.norm(p[140]) / np.linalg.norm(p[60])) ** (1 / 80) for p in (best_plain, best_heavy)]
print(f"measured between steps 60 and 140: {measured[0]:.3f} and {measured[1]:.3f}")
assert abs(measured[0] - plain) < 0.002
assert abs(measured[1] - heavy) < 0.03

# %%
# (Momentum needs some steps to get up to speed; then its line has the predicted slope.) The square root
# is the whole gain, and it is a big one: for ``k = 10,000``, hundreds of steps instead of tens of
# thousands. The price is a second number to choose. With too much momentum, the ball rolls through the
# valley and up the other side:

fig, ax = plt.subplots(figsize=(6.5, 3.2), layout="constrained")
for beta, color, style in ((0.0, BLUE, "-"), (0.8, GREEN, "--"), (0.98, ORANGE, ":")):
    path = descend(120, lr=0.02, momentum=beta)
    ax.plot(path[:, 0], style, color=color, label=f"momentum {beta}")
ax.axhline(0, color="0.7", lw=0.8)
ax.set(xlabel="step", ylabel="x, the flat direction", title="Too little, about right, too much")
ax.legend()
plt.show()

assert path[:, 0].max() > 5  # from -10 through the bottom and up the other side

# %%
# Note what momentum does *not* do. There is still one learning rate, bounded by the steepest direction. In
# a network, the steep and the flat directions are often whole layers, or single weights, and their gradients
# show which is which. That is the other half of Adam, and the subject of the next chapter.
#
# Exercises
# ---------
# 1. Write momentum as ``update(p, g, state, lr, momentum)``; keep the velocity in the dict ``state``, which
#    is empty at first. Let ``tg.testing.grade(update, reference="sgd")`` check it.
# 2. Adam averages instead of summing: ``m = beta * m + (1 - beta) * g``, then ``w = w - lr * m``. With
#    which learning rate is the path the same as with a sum and ``lr``? Write it as ``same_lr(lr, beta)``. And
#    how long is the very first step, compared with plain gradient descent at that learning rate? Write the
#    ratio as ``first_step(beta)``.
# 3. On the bowl ``c * w**2 / 2``, plain descent needs ``lr < 2 / c``. Find the largest ``lr`` for which
#    momentum converges, by experiment, for several ``c`` and ``beta``. Is there a rule? Write it as
#    ``largest_lr(c, beta)``.

# %%
# Solutions
# ---------
# **1.** Mind the first step, when there is no velocity yet:


def update(p, g, state, lr, momentum):
    v = state["v"] = momentum * state.get("v", 0) + g
    return p - lr * v


answer = tg.testing.grade(update, reference="sgd")
print(answer)
assert answer.passed

# %%
# **2.** The average is ``1 - beta`` times the sum, at every step. So ``lr / (1 - beta)`` gives the same
# path. But relative to that learning rate, the first step is only ``1 - beta`` times a plain one, because the
# average starts at zero and has hardly seen anything. Adam divides this factor out; chapter 7 calls it *bias
# correction*.


def same_lr(lr, beta):
    return lr / (1 - beta)


def first_step(beta):
    return 1 - beta


# %%
# On the ravine, both hold:


def averaged(steps, lr, beta):
    w, m, path = START.copy(), np.zeros(2), [START]
    for _ in range(steps):
        m = beta * m + (1 - beta) * CURVATURE * w
        w = w - lr * m
        path.append(w)
    return np.array(path)


same = averaged(40, lr=same_lr(0.02, 0.8), beta=0.8)
print(f"largest difference between the paths: {np.abs(same - runs['lr = 0.02, momentum 0.8'][0]).max():.0e}")
assert np.allclose(same, runs["lr = 0.02, momentum 0.8"][0])
plain = START - same_lr(0.02, 0.8) * CURVATURE * START
assert np.allclose(same[1] - START, first_step(0.8) * (plain - START))

# %%
# **3.** Up to ``2 * (1 + beta) / c``, nearly twice as far, because momentum damps oscillations. (Write two
# steps as a matrix that maps ``(w_t, w_(t-1))`` to ``(w_(t+1), w_t)``, and compute its eigenvalues.)


def largest_lr(c, beta):
    return 2 * (1 + beta) / c


for lr in (1.9, 2.1, 3.7, 3.9):
    size = max(abs(np.linalg.eigvals([[1 + 0.9 - lr, -0.9], [1, 0]])))
    w = before = 1.0
    for _ in range(300):
        w, before = w - lr * w + 0.9 * (w - before), w
    print(f"lr * c = {lr}: eigenvalue {size:.3f}, after 300 steps |w| = {abs(w):.1e}")
    assert (abs(w) < 1) == (lr < largest_lr(1.0, 0.9))
