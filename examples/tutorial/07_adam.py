"""
7. Adam
=======

Adam (Kingma & Ba, 2015) combines the last two chapters: a decaying mean of the gradients, as in momentum,
divided by the root of a decaying mean of their squares, as in RMSProp, with both corrected for starting at
zero. It takes fifteen lines. We write them, check them against the package, and look at each part.
"""

import matplotlib.pyplot as plt
import numpy as np

import tinygrad_adam as tg
from tinygrad_adam import nn, optim

BLUE, ORANGE, GREEN, PINK, AMBER = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00"

# %%
# Algorithm 1, line by line
# -------------------------
# As in the paper, with ``alpha`` for the learning rate. All arrays have the shape of the weights, and
# every operation acts on each weight separately:
#
# ====  ===============================================  ====================================
# line  code                                             meaning
# ====  ===============================================  ====================================
# 5     ``t = t + 1``                                    the number of the step, from 1
# 6     ``g = gradient at w``                            from ``backward()``
# 7     ``m = beta1 * m + (1 - beta1) * g``              first moment: mean of the gradients
# 8     ``v = beta2 * v + (1 - beta2) * g**2``           second moment: mean of their squares
# 9     ``m_hat = m / (1 - beta1**t)``                   the first moment, bias-corrected
# 10    ``v_hat = v / (1 - beta2**t)``                   the second moment, bias-corrected
# 11    ``w = w - alpha * m_hat / (sqrt(v_hat) + eps)``  the step
# ====  ===============================================  ====================================
#
# The paper's defaults are ``alpha = 0.001``, ``beta1 = 0.9``, ``beta2 = 0.999`` and ``eps = 1e-8``. Here is
# the whole optimizer. Like the package's, it works on one flat array that holds all weights of a model side
# by side:


class FlatAdam:
    def __init__(self, w, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
        self.w, self.lr, self.beta1, self.beta2, self.eps = w, lr, beta1, beta2, eps
        self.m, self.v, self.t = np.zeros_like(w), np.zeros_like(w), 0

    def step(self, g):
        self.t += 1
        self.m = self.beta1 * self.m + (1 - self.beta1) * g
        self.v = self.beta2 * self.v + (1 - self.beta2) * g * g
        m_hat = self.m / (1 - self.beta1**self.t)
        v_hat = self.v / (1 - self.beta2**self.t)
        self.w -= self.lr * m_hat / (np.sqrt(v_hat) + self.eps)


# %%
# Against the package
# -------------------
# A thousand random gradients of very different sizes, for a matrix and a vector, in double precision:

rng = np.random.default_rng(0)
values = rng.standard_normal((20, 3)), rng.standard_normal(40)
flat = np.concatenate([value.ravel() for value in values])
mine = FlatAdam(flat.copy(), lr=0.01)
params = [nn.Parameter(value) for value in values]
theirs = optim.Adam(params, lr=0.01)
sizes = 10.0 ** rng.uniform(-6, 3, flat.size)  # each weight has its own
for _ in range(1000):
    g = sizes * (rng.standard_normal(flat.size) + 0.3)
    mine.step(g)
    params[0].grad, params[1].grad = g[:60].reshape(20, 3), g[60:]
    theirs.step()
result = np.concatenate([p.detach().numpy().ravel() for p in params])
print(f"largest difference after 1000 steps: {np.abs(mine.w - result).max():.0e}")
assert np.abs(mine.w - result).max() < 1e-12
print(f"the weights moved by {np.abs(result - flat).min():.2f} to {np.abs(result - flat).max():.2f}")

# %%
# They are equal up to rounding. And although the gradients differ by nine orders of magnitude, all weights
# moved about equally far.
#
# One step under the magnifying glass
# -----------------------------------
# The package can keep a ledger: take steps inside ``with opt.ledger()``, and ``explain`` shows every quantity
# of the last one, with its line in the paper and the numbers substituted. A single weight, two steps:

w = nn.Parameter(np.array([1.0]))
opt = optim.Adam([("w", w)], lr=0.1)
with opt.ledger():
    for g in (3.0, 1.0):
        w.grad = np.array([g])
        opt.step()
print(opt.explain("w", index=0))

# %%
# Bias correction
# ---------------
# ``m`` and ``v`` start at zero and are therefore too small at first: after ``t`` steps with a constant
# gradient ``g``, ``m`` is only ``(1 - beta1**t) * g``. Lines 9 and 10 divide by exactly that factor. What
# happens without them? Many texts say that the first steps would be too *short*. Look:


def step_lengths(gradients, **settings):
    w = nn.Parameter(np.zeros(1))
    opt = optim.Adam([w], lr=1.0, **settings)
    lengths = []
    for g in gradients:
        before = w.item()
        w.grad = np.array([g])
        opt.step()
        lengths.append(before - w.item())
    return np.array(lengths)


steady = np.full(2000, 0.01)
with_it, without = step_lengths(steady), step_lengths(steady, bias_correction=False)
fig, ax = plt.subplots(figsize=(6.5, 3.4), layout="constrained")
t = np.arange(1, 2001)
ax.semilogx(t, without, "--", color=ORANGE, label="without bias correction")
ax.semilogx(t, with_it, color=BLUE, label="Adam")
ax.set(xlabel="step t", ylabel="length of the step / lr", title="A constant gradient", ylim=(0, 7))
ax.legend()
plt.show()

print(
    f"without: first step {without[0]:.2f} × lr; longest {without.max():.2f} × lr, step {t[without.argmax()]}"
)
assert np.allclose(with_it, 1, atol=1e-4)
assert np.allclose(without, (1 - 0.9**t) / np.sqrt(1 - 0.999**t), rtol=1e-3)
assert without.max() > 6

# %%
# They would be too *long*, up to six times: ``v`` has a longer memory than ``m``, so it is farther from its
# true value, and it is in the denominator. With both corrections the very first step is exactly ``lr``, for
# every weight.
#
# Signal and noise
# ----------------
# The ratio ``m_hat / sqrt(v_hat)`` compares a mean with a typical size. If the gradients agree, it is 1 and
# the step is ``lr``. If they are noise around zero, the mean is small and so are the steps. The paper calls
# this ratio the *signal-to-noise ratio*: short steps where the direction is in doubt.

noises = np.array([0.0, 0.5, 1, 2, 5, 10, 100])
ratios = []
for noise in noises:
    lengths = step_lengths(1 + noise * rng.standard_normal(4000))
    ratios.append(np.abs(lengths[1000:]).mean())
    print(f"gradient 1, noise {noise:5}: mean step {ratios[-1]:.2f} × lr")
assert abs(ratios[0] - 1) < 1e-6
assert ratios[-1] < 0.3

# %%
# It does not fall to zero: a mean over about ten gradients is itself noisy. For pure noise the mean step is
# ``sqrt((1 - beta1) / (1 + beta1) * 2 / pi)`` times ``lr``, which is 0.18.
#
# What eps is for
# ---------------
# ``eps`` prevents dividing zero by zero for a weight without gradients. It also determines which gradients
# count as zero: those far below ``eps`` give steps far below ``lr``.

gradients = 10.0 ** np.arange(-12, 1.0)
fig, ax = plt.subplots(figsize=(6.5, 3.4), layout="constrained")
for eps, color, style in ((1e-8, BLUE, "o-"), (1e-4, GREEN, "s--")):
    lengths = [step_lengths([g], eps=eps)[0] for g in gradients]
    assert np.allclose(lengths, gradients / (gradients + eps))
    ax.loglog(gradients, lengths, style, color=color, label=f"eps = {eps:g}")
inside = [step_lengths([g], eps=1e-8, eps_at="inside")[0] for g in gradients]
ax.loglog(gradients, inside, "^:", color=ORANGE, label="eps = 1e-8 inside the root")
ax.set(xlabel="size of the gradient", ylabel="length of the step / lr", title="Where eps takes over")
ax.legend()
plt.show()

# %%
# ``sqrt(v + eps)``, which many pages use, is something else: the root of 1e-8 is 1e-4, so it behaves like
# an ``eps`` ten thousand times as large.
#
# In the ravine
# -------------
# Here is Adam next to its two parents. Watch where each goes first, and how it gets to the bottom.

CURVATURE, START = np.array([1.0, 50.0]), np.array([-10.0, 1.0])


def descend(make, steps=80):
    w = nn.Parameter(START)
    opt = make([w])
    path = [START]
    for _ in range(steps):
        opt.zero_grad()
        (0.5 * CURVATURE * w**2).sum().backward()
        opt.step()
        path.append(w.detach().numpy().copy())
    return np.array(path)


fig, ax = plt.subplots(figsize=(8, 3), layout="constrained")
xs, ys = np.meshgrid(np.linspace(-11, 3, 120), np.linspace(-2.2, 1.5, 80))
ax.contour(xs, ys, 0.5 * (xs**2 + 50 * ys**2), levels=[0.5, 2, 5, 10, 20, 35, 55, 90], colors="0.85")
for name, make, color, style in (
    ("momentum", lambda p: optim.SGD(p, lr=0.02, momentum=0.8), GREEN, "^-"),
    ("RMSProp", lambda p: optim.RMSprop(p, lr=0.3), AMBER, "s-"),
    ("Adam", lambda p: optim.Adam(p, lr=0.3), BLUE, "o-"),
):
    path = descend(make)
    ax.plot(*path.T, style, color=color, ms=3, lw=1, label=name)
    first, left = np.abs(path[1] - path[0]).round(2), np.linalg.norm(path[-1])
    print(f"{name:9} first step {first}, at the end {left:.3f} to go")
ax.plot(0, 0, "k*", ms=10)
ax.set(xlabel="x, the flat direction", ylabel="y, the steep direction", title="Adam and its parents")
ax.legend()
plt.show()

# %%
# Momentum first falls down the steep side. RMSProp's first step is ten times ``lr``, because it lacks a bias
# correction. Adam starts with a step of ``lr`` in each direction, and rolls in like a ball. It is not the
# fastest on every surface: this ravine lies along the axes, which suits RMSProp. Adam is the usual
# first choice because ``lr = 0.001`` to ``0.01`` works for so many networks: you choose the length of the
# steps directly.
#
# Exercises
# ---------
# 1. Write Adam from memory, as ``update(p, g, state, lr=0.001, beta1=0.9, beta2=0.999, eps=1e-8)``, and let
#    ``tg.testing.grade(update, reference="adam")`` check it. Then break one line at a time. Does the
#    grader find the mistake?
# 2. A weight has had gradient zero for a long time. Then it gets a single large gradient. How long is the
#    step, in multiples of ``lr``? Write it as ``spike(beta1, beta2)``.
# 3. Multiply the loss by 1000, or by ``s``. Show from lines 7 to 11 that Adam's path stays the same except
#    for the effect of ``eps``, and try it. Write ``factors(s)``, which returns the factors of ``m``, of ``v``
#    and of the step without ``eps``, and ``same_eps(eps, s)``, with which the path stays exactly the same.

# %%
# Solutions
# ---------
# **1.** As in the paper:


def update(p, g, state, lr=0.001, beta1=0.9, beta2=0.999, eps=1e-8):
    t = state["t"] = state.get("t", 0) + 1
    m = state["m"] = beta1 * state.get("m", 0) + (1 - beta1) * g
    v = state["v"] = beta2 * state.get("v", 0) + (1 - beta2) * g**2
    m_hat, v_hat = m / (1 - beta1**t), v / (1 - beta2**t)
    return p - lr * m_hat / (np.sqrt(v_hat) + eps)


print(tg.testing.grade(update, reference="adam"))
assert tg.testing.grade(update, reference="adam").passed

# %%
# Three mistakes that are common on the web, all of them in lines 9 to 11:


def with_step(step):
    def update(p, g, state, lr=0.001, beta1=0.9, beta2=0.999, eps=1e-8):
        t = state["t"] = state.get("t", 0) + 1
        m = state["m"] = beta1 * state.get("m", 0) + (1 - beta1) * g
        v = state["v"] = beta2 * state.get("v", 0) + (1 - beta2) * g**2
        return p - lr * step(t, m, v, beta1, beta2, eps)

    return update


slips = {
    "no power of t": lambda t, m, v, b1, b2, eps: m / (1 - b1) / (np.sqrt(v / (1 - b2)) + eps),
    "no bias correction": lambda t, m, v, b1, b2, eps: m / (np.sqrt(v) + eps),
    "eps inside": lambda t, m, v, b1, b2, eps: m / (1 - b1**t) / np.sqrt(v / (1 - b2**t) + eps),
}
for slip, step in slips.items():
    answer = tg.testing.grade(with_step(step), reference="adam")
    print(f"\n{slip}:", *(finding.sentence for finding in answer.findings))
    assert not answer.passed

# %%
# **2.** Then ``m = (1 - beta1) * g`` and ``v = (1 - beta2) * g**2``, with corrections near 1. The size of
# ``g`` cancels, and the step is ``(1 - beta1) / sqrt(1 - beta2)``, or 3.16, times ``lr``. A single gradient
# cannot do more; several growing ones can, up to 7.3 times by the Cauchy-Schwarz inequality.


def spike(beta1, beta2):
    return (1 - beta1) / (1 - beta2) ** 0.5


# %%
# Twenty thousand zeros, and then 1000:

length = step_lengths(np.r_[np.zeros(20_000), 1000.0])[-1]
print(f"{length:.3f} × lr; by the formula {spike(0.9, 0.999):.3f}")
assert abs(length - spike(0.9, 0.999)) < 1e-3

# %%
# **3.** With ``1000 * g``, line 7 gives ``1000 * m`` and line 8 ``1000**2 * v``. The root in line 11 turns
# this into 1000, which cancels. So the scale of the loss, mean or sum, hardly matters to Adam. ``eps`` stands
# beside the root; if it grows by the same factor, the path is exactly the same.


def factors(s):
    return s, s**2, 1


def same_eps(eps, s):
    return eps * s


# %%
# A thousand times the gradients, with the same ``eps`` and with the one that belongs to them:

gradients = rng.standard_normal(500)
lengths = step_lengths(gradients)
difference = np.abs(lengths - step_lengths(1000 * gradients)).max()
exact = np.abs(lengths - step_lengths(1000 * gradients, eps=same_eps(1e-8, 1000))).max()
print(f"largest difference of steps: {difference:.0e} × lr; with {same_eps(1e-8, 1000):g}: {exact:.0e} × lr")
assert exact < 1e-12 < difference < 1e-6
