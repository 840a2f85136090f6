"""
8. A network
============

Everything is in place: arrays, gradients, Adam. Now we build a network that separates spirals. First we write
its layers by hand, including their backward passes; then the package does the same. We film the training, and
look at the two things that most often go wrong at the start: the initial weights, and units that die.
"""

import html
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import tinygrad_adam as tg
from tinygrad_adam import data, nn, optim

BLUE, ORANGE, GREEN, PINK = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
x, y = data.spirals(300, classes=3, noise=0.05, seed=0)  # points (300, 2), classes (300,)

# %%
# Layers by hand
# --------------
# A layer has two methods. ``forward`` computes the output and keeps the values that the backward pass needs.
# ``backward`` takes the gradient of its output, stores the gradients of its weights, and returns the gradient
# of its input. These are the vector-Jacobian products of chapter 3.


class Linear:
    def __init__(self, W, b):
        self.W, self.b = W, b

    def forward(self, x):
        self.x = x
        return x @ self.W.T + self.b

    def backward(self, g):
        self.dW, self.db = g.T @ self.x, g.sum(axis=0)
        return g @ self.W


class ReLU:
    def forward(self, x):
        self.y = np.maximum(x, 0)
        return self.y

    def backward(self, g):
        return g * (self.y > 0)


class SoftmaxCrossEntropy:
    def forward(self, logits, labels):
        e = np.exp(logits - logits.max(axis=1, keepdims=True))
        self.p, self.labels = e / e.sum(axis=1, keepdims=True), labels
        return -np.log(self.p[np.arange(len(labels)), labels]).mean()

    def backward(self):
        g = self.p.copy()
        g[np.arange(len(g)), self.labels] -= 1  # probability minus truth
        return g / len(g)


# %%
# The last class turns scores into probabilities and takes the logarithm of the right one. Its gradient is the
# nicest formula in the field: the network's answer minus the truth. Now we build the same network twice:

tg.manual_seed(0)
model = nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 3))
first, second, last = (
    Linear(layer.weight.detach().numpy(), layer.bias.detach().numpy())
    for layer in (model[0], model[2], model[4])
)
layers, ending = [first, ReLU(), second, ReLU(), last], SoftmaxCrossEntropy()

h = x
for layer in layers:
    h = layer.forward(h)
by_hand = ending.forward(h, y)
g = ending.backward()
for layer in reversed(layers):
    g = layer.backward(g)

loss = nn.functional.cross_entropy(model(tg.tensor(x)), y)
loss.backward()
print(f"loss by hand {by_hand:.6f}, by the package {loss.item():.6f}")
for name, mine, theirs in (
    ("first", first, model[0]),
    ("second", second, model[2]),
    ("last", last, model[4]),
):
    difference = np.abs(mine.dW - theirs.weight.grad.numpy()).max()
    assert difference < 1e-6
    print(f"{name:6} layer: gradient {mine.dW.shape}, agrees")

# %%
# Learning
# --------
# Take 400 steps of Adam, each with all points. The colors show the network's answer at each position.

inputs = tg.tensor(x)
spots = np.stack(np.meshgrid(np.linspace(-1.3, 1.3, 120), np.linspace(-1.3, 1.3, 120)), axis=-1).reshape(
    -1, 2
)
spots = tg.tensor(spots.astype("float32"))
opt = optim.Adam(model.parameters(), lr=0.01)
fig, axes = plt.subplots(1, 4, figsize=(10, 3), layout="constrained", sharey=True)
panels = dict(zip((0, 30, 100, 400), axes, strict=True))
colors = np.array([BLUE, ORANGE, GREEN])
for step in range(401):
    if step in panels:
        with tg.no_grad():
            answers = model(spots).argmax(axis=1).numpy().reshape(120, 120)
            right = (model(inputs).argmax(axis=1).numpy() == y).mean()
        ax = panels[step]
        ax.contourf(
            answers, levels=[-0.5, 0.5, 1.5, 2.5], colors=colors, alpha=0.25, extent=(-1.3, 1.3, -1.3, 1.3)
        )
        for label, marker in enumerate("osv"):
            ax.scatter(*x[y == label].T, s=7, c=colors[label], marker=marker)
        ax.set(title=f"step {step}: {right:.0%} right", xlabel="first input")
    loss = nn.functional.cross_entropy(model(inputs), y)
    opt.zero_grad()
    loss.backward()
    opt.step()
axes[0].set_ylabel("second input")
plt.show()
assert right > 0.97

# %%
# The film
# --------
# ``tg.film`` records the training inside a ``with`` block as a single HTML page: the forward pass, the
# backward pass edge by edge, and the update of every weight. Here are sixty steps of a smaller network. Move
# the slider, and click a weight.

tg.manual_seed(0)
small = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 3))
opt = optim.Adam(small.named_parameters(), lr=0.05)
with tg.film("spirals.html", title="Three spirals"):
    for _ in range(60):
        loss = nn.functional.cross_entropy(small(inputs), y)
        opt.zero_grad()
        loss.backward()
        opt.step()


class Page:
    """Shows a page inside a notebook, or inside this site."""

    def __init__(self, path):
        self.source = html.escape(Path(path).read_text(encoding="utf-8"))

    def _repr_html_(self):
        return f'<iframe srcdoc="{self.source}" width="100%" height="760"></iframe>'


size = Path("spirals.html").stat().st_size
print(f"spirals.html, {size / 1e6:.1f} MB; open it in a browser")
assert size < 2e6
Page("spirals.html")

# %%
# The first weights
# -----------------
# They must be random: two units with equal weights get equal gradients and stay identical forever. How large
# should they be? A unit sums ``fan_in`` products, so the variance of its output is ``fan_in`` times the
# variance of a weight. If that is off by a factor, each layer multiplies the error by the same factor again.
# Here are ten layers of 200 units with ReLU, whose input is standard normal:

rng = np.random.default_rng(0)


def sizes_of_activations(std, depth=10, width=200):
    h = rng.standard_normal((500, width))
    sizes = []
    for _ in range(depth):
        h = np.maximum(h @ (std * rng.standard_normal((width, width))).T, 0)
        sizes.append(np.sqrt((h**2).mean()))
    return np.array(sizes)


kaiming = (2 / 200) ** 0.5  # He et al. (2015): half of the units are off, hence the 2
fig, ax = plt.subplots(figsize=(6.5, 3.4), layout="constrained")
for std, name, color, style in (
    (2 * kaiming, "2 sqrt(2 / fan_in)", ORANGE, "^-"),
    (kaiming, "sqrt(2 / fan_in)", BLUE, "o-"),
    (kaiming / 2, "sqrt(2 / fan_in) / 2", GREEN, "s-"),
):
    sizes = sizes_of_activations(std)
    ax.semilogy(range(1, 11), sizes, style, color=color, label=name)
    factor = (sizes[-1] / sizes[0]) ** (1 / 9)
    print(f"{name:20} size of the tenth layer {sizes[-1]:.2g}, a factor of {factor:.2f} per layer")
    assert abs(np.log(sizes[-1] / sizes[0]) / 9 - np.log(std / kaiming)) < 0.1
ax.set(xlabel="layer", ylabel="size of activations (RMS)", title="A factor for each layer", ylim=(1e-4, 1e7))
ax.legend(title="standard deviation of weights")
plt.show()

# %%
# Gradients flow back through the same matrices, and grow or vanish in the same way. ``nn.init`` has the usual
# choices. Adam is forgiving here, because it divides out the size of the gradients, unless they are zero.
#
# Dead units
# ----------
# A ReLU unit that is off for every input has gradient zero: neither SGD nor Adam will ever bring it back. A
# step that is too long can push units into this state. Count the units of the first layer that are off for
# all points after 50 steps:

shares = {}
for lr in (0.01, 0.1, 1.0):
    tg.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 3))
    for layer in (model[0], model[2]):
        nn.init.kaiming_normal_(layer.weight)
        nn.init.constant_(layer.bias, 0.0)
    opt = optim.Adam(model.parameters(), lr=lr)
    for _ in range(50):
        loss = nn.functional.cross_entropy(model(inputs), y)
        opt.zero_grad()
        loss.backward()
        opt.step()
    with tg.no_grad():
        units = model[1](model[0](inputs)).numpy()
    shares[lr] = (units.max(axis=0) == 0).mean()
    print(f"lr = {lr:<5} dead units in the first layer: {shares[lr]:4.0%}   loss {loss.item():.2f}")
assert shares[0.01] < 0.1 < 0.5 < shares[1.0]

# %%
# Exercises
# ---------
# 1. The leaky ReLU multiplies negative inputs by a tenth, so its units cannot die. Write it as a
#    primitive ``leaky``, and let ``tg.testing.grade`` check it.
# 2. Write ``numerical_gradient(f, x)``, the slopes of a function ``f`` of an array ``x`` by central
#    differences, and check ``SoftmaxCrossEntropy.backward`` with it. Which number is ``row_sum``, the sum of
#    each row of the gradient, and why?
# 3. Without the 2 in ``sqrt(2 / fan_in)``, by which factor ``shrink_factor`` do activations shrink in each
#    layer? And which standard deviation, ``linear_std(fan_in)``, would be right for layers without any
#    activation function?

# %%
# Solutions
# ---------
# **1.** The slope is 1 or 0.1, depending on the sign of the input:


@tg.primitive(x=lambda g, x, xp: g * xp.where(x > 0, 1.0, 0.1))
def leaky(xp, x):
    return xp.where(x > 0, x, 0.1 * x)


answer = tg.testing.grade(leaky)
print(answer)
assert answer.passed

# %%
# **2.** The sum is zero: raising all scores of a point by the same amount changes no probability.

row_sum = 0


def numerical_gradient(f, x):
    slopes = np.zeros_like(x)
    for place in np.ndindex(x.shape):
        step = np.zeros_like(x)
        step[place] = 1e-6
        slopes[place] = (f(x + step) - f(x - step)) / 2e-6
    return slopes


# %%
# Five points with random scores:

logits, labels = rng.standard_normal((5, 3)), np.array([0, 2, 1, 1, 0])
ending.forward(logits, labels)
analytical = ending.backward()
numerical = numerical_gradient(lambda logits: ending.forward(logits, labels), logits)
print(f"largest difference {np.abs(analytical - numerical).max():.0e}")
print(f"sums of rows {analytical.sum(axis=1).round(12) + 0.0}")
assert np.allclose(analytical, numerical, atol=1e-8)
assert np.allclose(analytical.sum(axis=1), row_sum)

# %%
# **3.** By ``sqrt(1 / 2)``, or 0.71: each layer sets half of the squares to zero. Without ReLU,
# ``sqrt(1 / fan_in)`` is right.

shrink_factor = 0.5**0.5


def linear_std(fan_in):
    return (1 / fan_in) ** 0.5


# %%
# Measured:

sizes = sizes_of_activations((1 / 200) ** 0.5)
factor = (sizes[-1] / sizes[0]) ** (1 / 9)
h = rng.standard_normal((500, 200))
for _ in range(10):
    h = h @ (linear_std(200) * rng.standard_normal((200, 200)))
print(f"with ReLU: a factor of {factor:.2f} per layer; without: {h.std():.2f} after ten layers")
assert abs(factor - shrink_factor) < 0.05
assert 0.7 < h.std() < 1.4
