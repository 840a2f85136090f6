"""
2. A graph of numbers
=====================

A loss is made of thousands of small operations. Each is easy to differentiate on its own. The *chain rule*
combines the small slopes, and *backpropagation* is the chain rule applied in a clever order. In this
chapter we do it by hand once, and then write an engine of forty lines that does it for us.
"""

import itertools
import math
import random

import matplotlib.pyplot as plt

import tinygrad_adam as tg

BLUE, ORANGE, GREEN = "#0072B2", "#D55E00", "#009E73"

# %%
# One neuron, by hand
# -------------------
# A neuron with one input computes ``w * x + b``. It should output ``t``, and the loss is the squared
# error. Take it apart, so that each line is a single operation:

w, x, b, t = 2.0, 3.0, 1.0, 5.0
p = w * x
q = p + b
r = q - t
loss = r**2
print(f"p = {p}, q = {q}, r = {r}, loss = {loss}")

# %%
# Now back, from the last line to the first. Write ``dr`` for the slope of the loss with respect to ``r``,
# and so on: how much the loss changes when this number changes a little. Each line multiplies the slope it
# receives by its own slope, and passes the product on.

dloss = 1.0  # the slope of the loss with respect to itself
dr = dloss * 2 * r  # loss = r**2
dq = dr * 1  # r = q - t
dt = dr * -1
dp = dq * 1  # q = p + b
db = dq * 1
dw = dp * x  # p = w * x: w was multiplied by x, so its changes were too
dx = dp * w
print(f"dw = {dw}, db = {db}, dx = {dx}, dt = {dt}")

# %%
# Check one of them by a difference: if ``w`` grows by 0.001, the loss should grow by about 12 times
# as much.

print(f"{((2.001 * x + b - t) ** 2 - loss) / 0.001:.3f}")
assert (dw, db, dx, dt) == (12.0, 4.0, 8.0, -4.0)

# %%
# Two things to notice. Every line was needed *twice*: forward for its value, backward for its slope, which
# uses the values again (``r``, ``x``, ``w``). So they have to be kept. And one backward pass gave the slopes
# of *all* four numbers. With differences we would have needed a forward pass for each.
#
# A number used more than once
# ----------------------------
# In ``y = a * a + a`` the number ``a`` is used three times. When it changes, ``y`` changes through each of
# these uses, and the changes add up: ``a + a + 1``. So a number *adds up* the slopes from all its uses, and
# may pass the sum on only when it is complete. The walk must visit the uses first.
#
# An order that always works costs nothing: number the values as they are created. A result is created after
# its inputs, so walk from the highest number to the lowest.
#
# An engine of forty lines
# ------------------------
# A ``Value`` is a number that remembers its inputs and the slopes with respect to them.


class Value:
    count = itertools.count()

    def __init__(self, data, parents=(), slopes=(), name=""):
        self.data, self.grad = data, 0.0
        self.parents, self.slopes = parents, slopes  # d(self)/d(parent), for each parent
        self.number, self.name = next(Value.count), name

    def __add__(self, other):
        other = as_value(other)
        return Value(self.data + other.data, (self, other), (1.0, 1.0), "+")

    def __mul__(self, other):
        other = as_value(other)
        return Value(self.data * other.data, (self, other), (other.data, self.data), "×")

    def __pow__(self, n):
        return Value(self.data**n, (self,), (n * self.data ** (n - 1),), f"^{n}")

    def tanh(self):
        y = math.tanh(self.data)
        return Value(y, (self,), (1 - y**2,), "tanh")

    def __sub__(self, other):
        return self + as_value(other) * -1.0

    def history(self):
        found, stack = {self}, [self]
        while stack:
            for parent in stack.pop().parents:
                if parent not in found:
                    found.add(parent)
                    stack.append(parent)
        return sorted(found, key=lambda value: value.number)

    def backward(self):
        self.grad = 1.0
        for value in reversed(self.history()):
            for parent, slope in zip(value.parents, value.slopes, strict=True):
                parent.grad += slope * value.grad  # the chain rule, and the sum over uses

    __radd__, __rmul__ = __add__, __mul__


def as_value(x):
    return x if isinstance(x, Value) else Value(x, name=f"{x:g}")


# %%
# That is all there is to backpropagation. The neuron again, and ``a * a + a``:

w, x, b = Value(2.0, name="w"), Value(3.0, name="x"), Value(1.0, name="b")
loss = (w * x + b + -5.0) ** 2
loss.backward()
print(f"dw = {w.grad}, db = {b.grad}, dx = {x.grad}")
a = Value(3.0, name="a")
(a * a + a).backward()
print(f"the slope of a * a + a at 3: {a.grad}")
assert (w.grad, b.grad, x.grad, a.grad) == (12.0, 4.0, 8.0, 7.0)

# %%
# Here is the graph stored in ``loss``. Each edge carries a slope. Follow ``grad`` from the right end
# back to ``w``: 1, times 4, times 1, times 1, times 3.


def draw(ax, root, places):
    for value in root.history():
        x, y = places[value.name]
        for parent, slope in zip(value.parents, value.slopes, strict=True):
            start = places[parent.name]
            edge = {"arrowstyle": "->", "color": "0.4"}
            ax.annotate("", (x - 0.27, y), (start[0] + 0.27, start[1]), arrowprops=edge)
            middle = (start[0] + x) / 2, (start[1] + y) / 2
            ax.text(*middle, f"× {slope:g}", ha="center", va="center", backgroundcolor="white", fontsize=9)
        ax.add_patch(plt.Rectangle((x - 0.27, y - 0.33), 0.54, 0.66, facecolor="0.96", edgecolor="0.4"))
        ax.text(x, y + 0.2, value.name, ha="center", va="center", weight="bold")
        ax.text(x, y, f"value {value.data:g}", ha="center", va="center", color=BLUE, fontsize=9)
        ax.text(x, y - 0.2, f"grad {value.grad:g}", ha="center", va="center", color=ORANGE, fontsize=9)


fig, ax = plt.subplots(figsize=(8.5, 3), layout="constrained")
places = {"w": (0, 2), "x": (0, 0), "×": (1, 1), "b": (1, 0), "+": (2, 1), "-5": (2, 0)}
places.update({"+ (-5)": (3, 1), "^2": (4, 1)})
loss.parents[0].name = "+ (-5)"
draw(ax, loss, places)
ax.set(
    xlim=(-0.4, 4.4),
    ylim=(-0.5, 2.5),
    title="Values flow right; gradients flow left, times the slope on each edge",
)
ax.set_axis_off()
plt.show()

# %%
# Against the package
# -------------------
# Now a tangle in which nearly everything is used more than once. The same function runs on our Values and
# on the package's Tensors, because both define ``+``, ``*`` and ``**``.


def tangle(a, b):
    c = a * b + a
    d = (c * c + b * -3.0).tanh()
    return (c * d + a * a * d + b) ** 2


ours = Value(0.4), Value(-0.3)
tangle(*ours).backward()
theirs = [tg.tensor(value.data, dtype="float64", requires_grad=True) for value in ours]
tangle(*theirs).backward()
for mine, other in zip(ours, theirs, strict=True):
    print(f"our engine {mine.grad:.15f}   the package {other.grad.item():.15f}")
    assert abs(mine.grad - other.grad.item()) < 1e-14

# %%
# And depth is no problem: there is no recursion in ``history``. The package's engine (``engine/backward.py``)
# walks its graph in the same way. It adds arrays, and it computes the slopes only during the backward
# pass.

deep = start = Value(1.0)
for _ in range(20_000):
    deep = deep + 0.0001
deep.backward()
print(f"after 20,000 additions the slope is {start.grad}")
assert start.grad == 1.0

# %%
# Forty lines learn XOR
# ---------------------
# Four points, and the answer is 1 if exactly one input is 1: no straight line separates them. Three neurons
# with ``tanh`` and one that adds them up can. Gradient descent on thirteen weights:

rng = random.Random(1)
weights = [Value(rng.uniform(-1, 1)) for _ in range(13)]
points = {(0, 0): 0, (0, 1): 1, (1, 0): 1, (1, 1): 0}


def network(x1, x2):
    hidden = [(weights[3 * i] * x1 + weights[3 * i + 1] * x2 + weights[3 * i + 2]).tanh() for i in range(3)]
    return weights[9] * hidden[0] + weights[10] * hidden[1] + weights[11] * hidden[2] + weights[12]


losses = []
for _ in range(150):
    loss = sum((network(*inputs) - target) ** 2 for inputs, target in points.items())
    for weight in weights:
        weight.grad = 0.0  # or the gradients of all steps would add up
    loss.backward()
    for weight in weights:
        weight.data -= 0.1 * weight.grad
    losses.append(loss.data)

for inputs, target in points.items():
    print(f"{inputs}: {network(*inputs).data:5.2f}, should be {target}")
assert losses[-1] < 0.01
fig, ax = plt.subplots(figsize=(6, 3), layout="constrained")
ax.semilogy(losses, color=GREEN)
ax.set(xlabel="step", ylabel="loss", title="Learning XOR with our own engine")
plt.show()

# %%
# Exercises
# ---------
# 1. Give the engine an exponential: a function ``exp(value)`` that returns a Value, which ``Value.exp = exp``
#    makes a method. Check ``exp(a * a)`` at 0.5 against the package.
# 2. In ``backward``, replace ``+=`` by ``=``. Which slope does the engine now return for ``a * a + a``, and
#    which for ``a * a * a``? Think first, and write your predictions as functions of the number ``a``,
#    ``overwritten(a)`` and ``overwritten_cube(a)``. Then try them at 3.

# %%
# Solutions
# ---------
# **1.** The slope of ``exp`` is its own output, so keep the output instead of the input:


def exp(value):
    y = math.exp(value.data)
    return Value(y, (value,), (y,), "exp")


Value.exp = exp
a, other = Value(0.5), tg.tensor(0.5, dtype="float64", requires_grad=True)
(a * a).exp().backward()
tg.exp(other * other).backward()
print(f"our engine {a.grad:.12f}, the package {other.grad.item():.12f}")
assert abs(a.grad - other.grad.item()) < 1e-14
assert abs(a.grad - 2 * 0.5 * math.exp(0.25)) < 1e-14

# %%
# **2.** Only the last assignment counts. In ``a * a + a`` the product is visited last, and the second of its
# two uses of ``a`` overwrites the first: 3, where 3 + 3 + 1 is right. In ``a * a * a`` the inner product is
# visited last. It has received the slope ``a`` and multiplies it by ``a``, once: 9, where 27 is right.


def overwritten(a):
    return a


def overwritten_cube(a):
    return a**2


class Forgetful(Value):
    def backward(self):
        self.grad = 1.0
        for value in reversed(self.history()):
            for parent, slope in zip(value.parents, value.slopes, strict=True):
                parent.grad = slope * value.grad


a, b = Value(3.0), Value(3.0)
Forgetful.backward(a * a + a)
Forgetful.backward(b * b * b)
print(f"with = in place of +=: {a.grad} and {b.grad}")
assert a.grad == overwritten(3.0) == 3.0
assert b.grad == overwritten_cube(3.0) == 9.0
