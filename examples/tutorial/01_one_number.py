"""
1. One number
=============

Training a network means making one number, the *loss*, small by changing other numbers, the *weights*.
We begin with a single weight. It already contains everything that comes later: a slope, and steps downhill.

You need Python, NumPy and what you remember of school calculus. Run this chapter as it is, as a script
or as a notebook, and change the numbers: you cannot break anything.
"""

import matplotlib.pyplot as plt
import numpy as np

import tinygrad_adam as tg

BLUE, ORANGE, GREEN, PINK = "#0072B2", "#D55E00", "#009E73", "#CC79A7"


def loss(w):
    return 0.1 * w**2 + tg.sin(w)


# %%
# A slope, by its definition
# --------------------------
# The derivative ``f'(w)`` says how much the loss changes, per unit of change, when ``w`` changes a little.
# Take the definition literally: move to the right by a small ``h``, see how far the loss went up,
# and divide. The derivative is the limit of ``(f(w + h) - f(w)) / h`` as ``h`` goes to zero.


def forward_difference(f, w, h):
    return (f(w + h) - f(w)) / h


def central_difference(f, w, h):
    return (f(w + h) - f(w - h)) / (2 * h)


w = 2.0
for h in (1.0, 0.1, 0.01, 0.001):
    forward, central = forward_difference(loss, w, h), central_difference(loss, w, h)
    print(f"h = {h:<6} forward {forward:.7f}   central {central:.7f}")

# %%
# Both approach about -0.0161. Going to both sides is better: the error shrinks like ``h**2`` instead of
# ``h``.
#
# A slope, by the rules
# ---------------------
# The rules of calculus give the limit itself: the derivative of ``w**2`` is ``2 * w``, the derivative of
# ``sin`` is ``cos``, and the derivative of a sum is the sum of the derivatives.


def slope(w):
    return 0.2 * w + np.cos(w)


print(f"by the rules: {slope(w):.12f}")

# %%
# Now we can see how accurate the differences were. Is a smaller ``h`` always better?

h = 10.0 ** np.arange(-13, 0.5, 0.5)
errors = {
    "forward": [abs(forward_difference(loss, w, each) - slope(w)) for each in h],
    "central": [abs(central_difference(loss, w, each) - slope(w)) for each in h],
}
fig, ax = plt.subplots(figsize=(6, 3.6), layout="constrained")
ax.loglog(h, errors["forward"], "o-", color=ORANGE, label="forward difference")
ax.loglog(h, errors["central"], "s-", color=BLUE, label="central difference")
ax.set(xlabel="h", ylabel="error of the slope", title="A smaller h helps, until rounding takes over")
ax.legend()
plt.show()

assert min(errors["central"]) < min(errors["forward"]) < 1e-7
assert errors["central"][0] > 1e-5  # h = 1e-13

# %%
# On the right, the formula is to blame: the curve bends within ``h``. On the left, it is the computer: it
# keeps 16 digits, and ``f(w + h) - f(w)`` loses most of them when the two are nearly equal. So differences
# are good for checking, but not for training: they are inexact, and a million weights mean a million times
# the work.
#
# A slope, from the tape
# ----------------------
# The package applies the rules for us. Mark ``w`` as requiring a gradient and compute the loss as
# usual: every operation is recorded, as on a tape. ``backward()`` reads the tape from its end.

w = tg.tensor(2.0, dtype="float64", requires_grad=True)
y = loss(w)
y.backward()
print(f"loss {y.item():.6f}, slope from the tape {w.grad.item():.12f}")
assert abs(w.grad.item() - slope(2.0)) < 1e-15

# %%
# The same number as by the rules, to the last digit or so: the tape involves no approximation. The next
# two chapters explain how it works. First we use it.
#
# Downhill
# --------
# Where the slope is positive, the loss falls to the left; where it is negative, to the right. So go against
# the slope, and farther where it is steeper. This is *gradient descent*, with the *learning rate* ``lr``:
#
#     ``w = w - lr * slope``


def descend(w, lr, steps):
    path = [w]
    for _ in range(steps):
        w = w - lr * slope(w)
        path.append(w)
    return np.array(path)


grid = np.linspace(-6, 7.5, 300)
fig, ax = plt.subplots(figsize=(6, 3.6), layout="constrained")
ax.plot(grid, 0.1 * grid**2 + np.sin(grid), color="0.6")
ends = {}
for start, color, marker in ((-5.5, BLUE, "o"), (2.0, ORANGE, "s"), (6.8, GREEN, "^")):
    path = descend(start, lr=0.5, steps=30)
    ends[start] = path[-1]
    ax.plot(path, 0.1 * path**2 + np.sin(path), color=color, marker=marker, ms=5, label=f"from {start}")
    print(f"from {start:4}: w = {path[-1]:.4f}, loss {loss(path[-1]):.4f}, slope {slope(path[-1]):.0e}")
ax.set(xlabel="w", ylabel="loss", title="Thirty steps of gradient descent")
ax.legend()
plt.show()

assert abs(ends[-5.5] + 1.3064) < 1e-3
assert abs(ends[2.0] - 3.8375) < 1e-3
assert abs(ends[6.8] - 3.8375) < 1e-3

# %%
# Steps are long on the slopes and short near the bottom, though ``lr`` stays the same. And descent finds
# *a* valley, not the deepest one: from 2.0, almost on the ridge, it went right, though the left valley is
# deeper. All it ever sees is the slope at its current position.
#
# How long may a step be?
# -----------------------
# On the bowl ``f(w) = w**2`` with slope ``2 * w``, a step gives ``w - lr * 2 * w = (1 - 2 * lr) * w``. So
# each step multiplies ``w`` by ``1 - 2 * lr``, and everything follows from this one factor.

for lr, what in ((0.1, "creeps"), (0.5, "there in one step"), (0.9, "oscillates"), (1.05, "explodes")):
    w = 1.0
    path = []
    for _ in range(4):
        w = w - lr * 2 * w
        path.append(f"{w:7.3f}")
    print(f"lr = {lr:<5} factor {1 - 2 * lr:5.2f}: {' '.join(path)}   {what}")
assert abs(w) > 1

# %%
# In a valley with second derivative ``c`` the factor is ``1 - lr * c``: descent converges as long as
# ``lr < 2 / c``, and ``1 / c`` is best. A loss of two weights has a narrow direction and a wide one, and
# only one ``lr`` for both. That is the problem that momentum (chapter 5) and Adam (chapter 7) address.
#
# Exercises
# ---------
# 1. What is the slope of ``g(w) = w * exp(-w)``? Find it by the rules, write it as a function
#    ``slope_of_g(w)``, and check it at ``w = 0.3``.
# 2. Write one step of gradient descent as a function ``update(p, g, state, lr)``, which takes a weight, its
#    slope and a dict that we do not need yet, and returns the new weight.
#    ``print(tg.testing.grade(update, reference="sgd"))`` tells you whether it is right.
# 3. Our curve has a ridge between its two valleys. From which starting points between -1.3 and 3.8 does
#    descent end in the left valley? Find ``ridge``, the largest of them, from the slope, to three decimals.
#    Then try.

# %%
# Solutions
# ---------
# **1.** By the product rule, ``exp(-w) - w * exp(-w) = (1 - w) * exp(-w)``. The tape and the difference
# agree:


def slope_of_g(w):
    return (1 - w) * np.exp(-w)


w = tg.tensor(0.3, dtype="float64", requires_grad=True)
(w * tg.exp(-w)).backward()
by_rule = slope_of_g(0.3)
by_difference = central_difference(lambda w: w * np.exp(-w), 0.3, 1e-5)
print(f"rule {by_rule:.9f}, tape {w.grad.item():.9f}, central difference {by_difference:.9f}")
assert abs(w.grad.item() - by_rule) < 1e-12
assert abs(by_difference - by_rule) < 1e-9

# %%
# **2.** One line. The grader takes eight steps with it and with the package's own optimizer, on gradients
# chosen to distinguish mistakes.


def update(p, g, state, lr):
    return p - lr * g


answer = tg.testing.grade(update, reference="sgd")
print("right" if answer.passed else answer, *answer.checked, sep=": ")
assert answer.passed

# %%
# A common slip is the sign. The grader says so:

uphill = tg.testing.grade(lambda p, g, state, lr: p + lr * g, reference="sgd")
print(uphill)
assert uphill.kinds == ("flipped sign",)

# %%
# **3.** Descent goes left where the slope is positive. At the ridge, the slope changes from positive
# to negative; halving the interval forty times finds it.

left, right = -1.0, 3.0
for _ in range(40):
    middle = (left + right) / 2
    left, right = (middle, right) if slope(middle) > 0 else (left, middle)
ridge = left
print(f"the ridge is at {ridge:.6f}")
for start in (ridge - 0.001, ridge + 0.001):
    print(f"from {start:.3f} to {descend(start, lr=0.5, steps=60)[-1]:.4f}")
assert descend(ridge - 0.001, 0.5, 60)[-1] < 0 < descend(ridge + 0.001, 0.5, 60)[-1]
