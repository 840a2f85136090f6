"""
3. Arrays
=========

A network has millions of numbers, and a graph with a node for each would be slow. So let a node hold a whole
array. What is the slope of one array with respect to another? It is a table, the *Jacobian*, and
backpropagation never builds it.
"""

import itertools

import matplotlib.pyplot as plt
import numpy as np

import tinygrad_adam as tg

rng = np.random.default_rng(0)

# %%
# The table of all slopes
# -----------------------
# Let ``y = f(x)`` with 4 numbers in and 3 out. Entry ``(i, j)`` of the Jacobian says how ``y[i]`` changes
# with ``x[j]``. A row belongs to one output, and one backward pass from that output gives the row.


def jacobian(f, x):
    x = tg.tensor(x, requires_grad=True)
    outputs = f(x).reshape(-1)
    return np.stack([tg.grad(f(x).reshape(-1)[i], x).numpy().ravel() for i in range(outputs.size)])


W, b = rng.standard_normal((3, 4)), rng.standard_normal(4)
x = rng.standard_normal(4)
tables = {
    "y = W @ x": jacobian(lambda x: tg.tensor(W) @ x, x),
    "y = tanh(x)": jacobian(tg.tanh, x),
    "y = sum(x)": jacobian(tg.sum, x),
    "y = x + zeros((3, 4))": jacobian(lambda x: x + np.zeros((3, 4)), x),
}
fig, axes = plt.subplots(1, 4, figsize=(9, 3.4), layout="constrained")
for ax, (title, J) in zip(axes, tables.items(), strict=True):
    picture = ax.imshow(J, cmap="PuOr", vmin=-1.5, vmax=1.5)
    ax.set(
        title=title,
        xlabel="entry of x",
        ylabel="entry of y",
        xticks=range(J.shape[1]),
        yticks=range(J.shape[0]),
    )
fig.colorbar(picture, ax=axes, label="slope", shrink=0.8)
fig.suptitle("Four Jacobians")
plt.show()

assert np.allclose(tables["y = W @ x"], W)
assert np.allclose(tables["y = tanh(x)"], np.diag(1 - np.tanh(x) ** 2))
assert (tables["y = sum(x)"] == 1).all()

# %%
# Each kind of operation has its pattern. The Jacobian of a matrix product is the matrix itself. An
# elementwise function gives a diagonal: ``y[i]`` depends on ``x[i]`` alone. A sum gives a row of ones.
# Broadcasting ``x`` over three rows gives three identity matrices, one below the other.
#
# A vector times the table
# ------------------------
# The loss is a single number. So a node receives ``g``, the gradient of the loss with respect to its
# output, which has the output's shape, and must pass on ``g @ J``, which has the input's. That is a
# *vector-Jacobian product*, and the pattern makes it cheap:
#
# =========================  ===============================  =====================
# operation                  ``g @ J``                        multiplications
# =========================  ===============================  =====================
# ``y = W @ x``              ``W.T @ g``                      as many as forward
# ``y = tanh(x)``            ``g * (1 - y**2)``               2 for each entry
# ``y = sum(x)``             ``g``, broadcast over ``x``      none
# ``y = x`` broadcast        ``g``, summed over the copies    none
# =========================  ===============================  =====================

g = rng.standard_normal(3)
assert np.allclose(g @ tables["y = W @ x"], W.T @ g)
G = rng.standard_normal((3, 4))
assert np.allclose(G.ravel() @ tables["y = x + zeros((3, 4))"], G.sum(axis=0))
g = rng.standard_normal(4)
print("g @ J      ", (g @ tables["y = tanh(x)"]).round(4))
print("g * (1-y²) ", (g * (1 - np.tanh(x) ** 2)).round(4))

# %%
# For a thousand entries, the diagonal Jacobian has a million numbers, all but a thousand of them zero. There
# is no need to build it.
#
# Why backward?
# -------------
# A network is a chain of operations, and its Jacobian is the product of theirs: ``J3 @ J2 @ J1``. The result
# is the same whichever product is computed first. The amount of work is not. Count the multiplications for
# layers of 1000 numbers and a scalar loss:

sizes = [1000, 1000, 1000, 1]  # x, two hidden layers, the loss


def product_cost(rows, inner, columns):
    return rows * inner * columns


backward = sum(product_cost(1, n_out, n_in) for n_in, n_out in itertools.pairwise(sizes))
forward = sum(product_cost(n_out, n_in, sizes[0]) for n_in, n_out in itertools.pairwise(sizes[1:]))
print(f"from the loss back:     {backward:>13,} multiplications")
print(f"from the input forward: {forward:>13,}")
assert forward > 400 * backward

# %%
# From the loss back, there is always a single row on the left: vector times matrix. From the input forward,
# there is a whole matrix, with a column for each weight. With one loss and many weights *reverse mode* wins,
# and the more weights, the larger its advantage. (With one weight and many outputs it is the other way
# round.)
#
# Spreading, undone
# -----------------
# NumPy *broadcasts* small arrays: it adds a bias of shape ``(4,)`` to every row of a batch. Each copy of the
# bias affects the loss, so its gradient is the *sum* over the copies. The two shapes show which axes
# were broadcast:


def unbroadcast(g, shape):
    g = g.sum(axis=tuple(range(g.ndim - len(shape))))  # axes that were prepended
    stretched = tuple(i for i, n in enumerate(shape) if n == 1 and g.shape[i] != 1)
    return g.sum(axis=stretched, keepdims=True)


for shape in ((4,), (3, 1), (1, 4), (1, 1), (), (3, 4)):
    small = tg.tensor(rng.standard_normal(shape), requires_grad=True)
    ((small + np.zeros((3, 4))) * G).sum().backward()
    assert np.allclose(unbroadcast(G, shape), small.grad.numpy())
    print(f"{shape!s:>7} broadcast to (3, 4): the gradients agree")

# %%
# The package does this in a single place, ``fit`` in ``engine/backward.py``; no rule needs to mention it.
#
# An operation of our own
# -----------------------
# In the package, an operation is one definition: the forward function, and for each input a rule that
# receives ``g`` and any other values that it names. Here is *softplus*, a smooth ReLU. In terms of the output
# ``y``, its slope is ``1 - exp(-y)``.


@tg.primitive(x=lambda g, y, xp: g * (1 - xp.exp(-y)))
def softplus(xp, x):
    return xp.log1p(xp.exp(x))


x = tg.tensor(np.linspace(-3, 3, 7), requires_grad=True)
print(tg.gradcheck(softplus, x))
grid = tg.tensor(np.linspace(-4, 4, 200), requires_grad=True)
curve = softplus(grid)
curve.sum().backward()
fig, ax = plt.subplots(figsize=(6, 3.2), layout="constrained")
ax.plot(grid.detach().numpy(), curve.detach().numpy(), color="#0072B2", label="softplus")
ax.plot(grid.detach().numpy(), grid.grad.numpy(), "--", color="#D55E00", label="its slope, from the tape")
ax.set(xlabel="x", ylabel="y", title="An operation of our own")
ax.legend()
plt.show()

# %%
# ``gradcheck`` compares the gradient with central differences along random directions. ``tg.testing.grade``
# does the same, tries more shapes, and explains what is wrong. Suppose we had forgotten the chain rule's
# ``g``:


@tg.primitive(x=lambda y, xp: 1 - xp.exp(-y))
def forgetful(xp, x):
    return xp.log1p(xp.exp(x))


print(tg.testing.grade(forgetful))
assert tg.testing.grade(softplus).passed
assert not tg.testing.grade(forgetful).passed

# %%
# Exercises
# ---------
# 1. A layer computes ``x @ W.T + b`` for a batch ``x`` of shape ``(n, in)``, ``W`` of shape ``(out, in)``.
#    Write it as a primitive ``layer`` with three rules. (Shapes leave you little choice.) Let
#    ``tg.testing.grade`` check it with ``inputs=[(5, 4), (3, 4), (3,)]``.
# 2. ``logsumexp(x) = log(sum(exp(x)))`` is a smooth maximum. What is its gradient? Write ``logsumexp`` as a
#    primitive, with the rule in terms of ``x`` and ``y``, without a division. Which number is
#    ``sum_of_gradient``, the sum of all entries of the gradient?

# %%
# Solutions
# ---------
# **1.** Each weight multiplied one entry of ``x`` in every row of the batch, hence the sum over rows in
# ``g.T @ x``. The bias was broadcast over the rows; the package undoes that.


@tg.primitive(
    x=lambda g, W: g @ W,
    W=lambda g, x: g.T @ x,
    b=lambda g: g,
)
def layer(xp, x, W, b):
    return x @ W.T + b


answer = tg.testing.grade(layer, inputs=[(5, 4), (3, 4), (3,)])
print(answer)
assert answer.passed

# %%
# **2.** By the chain rule, it is ``exp(x) / sum(exp(x))``, which is ``exp(x - y)``: the softmax. Its entries
# sum to 1: when all entries of ``x`` grow by the same amount, so does their smooth maximum.


@tg.primitive(x=lambda g, x, y, xp: g * xp.exp(x - y))
def logsumexp(xp, x):
    return xp.log(xp.sum(xp.exp(x)))


sum_of_gradient = 1
x = tg.tensor(np.array([1.0, 3.0, 2.0]), requires_grad=True)
logsumexp(x).backward()
print(f"gradient {x.grad.numpy().round(4)}, sum {x.grad.numpy().sum():.4f}")
assert tg.testing.grade(logsumexp).passed
assert abs(x.grad.numpy().sum() - sum_of_gradient) < 1e-12
