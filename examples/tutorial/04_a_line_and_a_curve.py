"""
4. A line and a curve
=====================

Now we have data. We fit a line to points, where the right answer is known in closed form, and look at the
choices that every training involves: mean or sum, how many points at a time, and how long the steps are.
"""

import matplotlib.pyplot as plt
import numpy as np

import tinygrad_adam as tg
from tinygrad_adam import nn, optim

BLUE, ORANGE, GREEN, PINK = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
rng = np.random.default_rng(0)

# %%
# Least squares
# -------------
# Two hundred points near the line ``y = 2 * x - 1``. The loss is the mean of the squared errors. It is a
# bowl over the plane of slope and intercept, and linear algebra finds its lowest point at once.

n = 200
x = rng.uniform(-1, 1, n)
y = 2 * x - 1 + 0.5 * rng.standard_normal(n)
A = np.stack([x, np.ones(n)], axis=1)  # a row for each point: x and 1
best = np.linalg.lstsq(A, y)[0]
print(f"the best line: slope {best[0]:.4f}, intercept {best[1]:.4f}")


def gradient(w, rows=slice(None)):
    error = A[rows] @ w - y[rows]
    return 2 * A[rows].T @ error / len(error)


# %%
# Gradient descent reaches the same point. Each step uses all the data:


def train(lr, steps, batch=None, seed=0):
    order = np.random.default_rng(seed)
    w = np.zeros(2)
    path = [w]
    for t in range(steps):
        rows = slice(None) if batch is None else order.integers(n, size=batch)
        w = w - (lr(t) if callable(lr) else lr) * gradient(w, rows)
        path.append(w)
    return np.array(path)


full = train(lr=0.4, steps=60)
print(f"after 60 steps: slope {full[-1, 0]:.4f}, intercept {full[-1, 1]:.4f}")
assert np.allclose(full[-1], best, atol=1e-6)

# %%
# Mean or sum
# -----------
# With the sum of the squares instead of their mean, the lowest point is the same, but every gradient is
# ``n`` times as large. So the learning rate must be ``n`` times smaller for the same path. With the mean, you
# can change the number of points and keep ``lr``; that is why losses are means by default.

w = np.zeros(2)
for _ in range(60):
    w = w - (0.4 / n) * (2 * A.T @ (A @ w - y))
print(f"the sum, with lr / {n}: {w.round(4)}")
assert np.allclose(w, full[-1])

# %%
# A few points at a time
# ----------------------
# A gradient needs a pass over all points. But the mean over a few of them, sampled at random, is nearly the
# same, and far cheaper. That is *stochastic* gradient descent, SGD, and the sample is a *batch*. Each
# gradient is right on average. How far off is a single one? As with every mean of random samples, the error
# falls with the square root of the sample size.

sizes = np.array([1, 4, 16, 64, 256])
start = np.zeros(2)
spread = [
    np.std([gradient(start, rng.integers(n, size=size)) for _ in range(500)], axis=0)[0] for size in sizes
]
for size, std in zip(sizes, spread, strict=True):
    print(f"batch {size:3}: standard deviation {std:.3f}, times the root of the size {std * size**0.5:.2f}")
products = spread * np.sqrt(sizes)
assert products.max() < 1.2 * products.min()

# %%
# Four times the points, half the noise: extra work helps less and less. This is why batches are small.
#
# Noise, and what to do about it
# ------------------------------
# Here are three descents on the bowl: with all points; with batches of four; and with batches of four and a
# learning rate that falls like ``1 / t``.

noisy = train(lr=0.4, steps=400, batch=4)
calmed = train(lr=lambda t: 0.4 / (1 + t / 10), steps=400, batch=4)
everywhere = np.concatenate([full, noisy, calmed])
low, high = everywhere.min(axis=0) - 0.3, everywhere.max(axis=0) + 0.3  # so that each path stays inside
slopes, intercepts = np.meshgrid(np.linspace(low[0], high[0], 80), np.linspace(low[1], high[1], 80))
bowl = ((slopes[..., None] * x + intercepts[..., None] - y) ** 2).mean(axis=-1)
fig, axes = plt.subplots(1, 3, figsize=(9.5, 3.4), layout="constrained", sharey=True)
runs = (
    ("all 200 points", full, BLUE),
    ("batches of 4", noisy, ORANGE),
    ("batches of 4, lr falls", calmed, GREEN),
)
for ax, (title, path, color) in zip(axes, runs, strict=True):
    ax.contour(slopes, intercepts, bowl, levels=12, colors="0.8")
    ax.plot(*path.T, "o-", color=color, ms=2.5, lw=0.8)
    ax.plot(*best, "k*", ms=12, label="best line")
    ax.set(title=title, xlabel="slope")
axes[0].set_ylabel("intercept")
axes[0].legend()
plt.show()

distance = {title: np.linalg.norm(path[-200:] - best, axis=1).mean() for title, path, _ in runs[1:]}
for title, mean in distance.items():
    print(f"{title}: on average {mean:.3f} from the best line over the last 200 steps")
assert distance["batches of 4, lr falls"] < distance["batches of 4"] / 3

# %%
# With a constant learning rate, SGD gets close but never settles: the noise of each step is as large at
# the end as it was at the beginning, while the slope has vanished. A falling learning rate averages the noise
# away. We come back to *schedules* in chapter 9.
#
# A curve is a line, too
# ----------------------
# Give the "line" the inputs ``x, x**2, x**3, ...`` and it bends. The package takes over from here: a layer,
# a loss, an optimizer, and the four lines of every training loop.

x = np.sort(rng.uniform(-1, 1, 40))
y = np.sin(3 * x) + 0.15 * rng.standard_normal(40)


def fit(degree, steps=3000, lr=0.3):
    powers = tg.tensor(np.stack([x**k for k in range(1, degree + 1)], axis=1))
    target = tg.tensor(y[:, None])
    model = nn.Linear(degree, 1).to("float64")
    for parameter in model.parameters():
        nn.init.constant_(parameter, 0.0)
    opt = optim.SGD(model.parameters(), lr=lr)
    losses = []
    for _ in range(steps):
        loss = nn.functional.mse_loss(model(powers), target)  # forward
        opt.zero_grad()  # clear the gradients of the previous step
        loss.backward()  # backward
        opt.step()  # downhill
        losses.append(loss.item())
    return model, losses


fig, (left, right) = plt.subplots(1, 2, figsize=(9.5, 3.4), layout="constrained")
left.plot(x, y, ".", color="0.5", label="data")
fine = np.linspace(-1, 1, 100)
final = {}
for degree, color, style in ((1, BLUE, "-"), (3, ORANGE, "--"), (7, GREEN, ":")):
    model, losses = fit(degree)
    final[degree] = losses[-1]
    with tg.no_grad():
        curve = model(tg.tensor(np.stack([fine**k for k in range(1, degree + 1)], axis=1))).numpy()
    left.plot(fine, curve, style, color=color, label=f"degree {degree}")
    least = np.linalg.lstsq(np.stack([x**k for k in range(degree + 1)], axis=1), y)[1][0] / len(x)
    right.loglog(np.array(losses) - least, style, color=color, label=f"degree {degree}")
    print(f"degree {degree}: loss {losses[-1]:.4f} after 3000 steps, minimum {least:.4f}")
left.set(xlabel="x", ylabel="y", title="Polynomials by gradient descent")
right.set(
    xlabel="step", ylabel="loss above the minimum", title="More directions, slower ones", ylim=(1e-7, 10)
)
left.legend()
right.legend()
plt.show()

assert final[7] < final[3] < final[1] / 5

# %%
# The line has converged after a few dozen steps; degree 7 has not after three thousand. Its powers of ``x``
# resemble each other, so the bowl is a long, narrow valley: steep across, almost flat along. The steep
# direction limits ``lr``, and progress in the flat direction suffers. The next chapter is about that valley.
#
# Exercises
# ---------
# 1. Derive the gradient of ``mean((w * x + b - y)**2)`` with respect to ``w`` and ``b`` by hand, write it as
#    ``slopes_by_hand(w, b, x, y)``, and compare with ``loss.backward()``.
# 2. Memory holds only 10 points at a time, but you want the step for all 40. Add up the gradients of four
#    batches and take one step. What must ``opt.step`` divide by? Write it as a function
#    ``accumulated_step(x, y, batches, lr)``, which begins with both weights of the line at zero and returns
#    them after one step. Show that they equal the weights after a step with the whole batch.

# %%
# Solutions
# ---------
# **1.** The square contributes ``2 * error``, the inner function ``x`` or 1, and the mean stays a mean:


def slopes_by_hand(w, b, x, y):
    error = w * x + b - y
    return 2 * (error * x).mean(), 2 * error.mean()


# %%
# The tape agrees:

w, b = (tg.tensor(value, dtype="float64", requires_grad=True) for value in (0.5, -0.2))
((w * x + b - y) ** 2).mean().backward()
by_hand = slopes_by_hand(0.5, -0.2, x, y)
print(f"by hand {by_hand[0]:.6f}, {by_hand[1]:.6f}; tape {w.grad.item():.6f}, {b.grad.item():.6f}")
assert np.allclose(by_hand, (w.grad.item(), b.grad.item()))

# %%
# **2.** ``backward`` adds to the existing gradients, so four calls give the sum of four means. Divide
# by four: ``opt.step(grad_scale=4)``.


def accumulated_step(x, y, batches, lr):
    w = nn.Parameter(np.zeros(2))
    opt = optim.SGD([w], lr=lr)
    for rows in np.split(np.arange(len(x)), batches):
        ((w[0] * x[rows] + w[1] - y[rows]) ** 2).mean().backward()
    opt.step(grad_scale=batches)
    return w.detach().numpy()


# %%
# Four batches, or one, and the weights are the same:

whole, parts = accumulated_step(x, y, 1, lr=0.3), accumulated_step(x, y, 4, lr=0.3)
print(f"one batch of 40: {whole.round(6)}   four of 10: {parts.round(6)}")
assert np.allclose(whole, parts)
