"""
10. A convolutional network
===========================

A convolution looks at a picture through a small window and does the same everywhere. We build it with both
of its gradients, which turn out to be convolutions again. Then a small network learns the digits in
seconds, better than any before, and we look at what Adam did in each of its layers.
"""

import matplotlib.pyplot as plt
import numpy as np

import tinygrad_adam as tg
import tinygrad_adam.nn.functional as F
from tinygrad_adam import data, nn, optim

BLUE, ORANGE, GREEN, PINK = "#0072B2", "#D55E00", "#009E73", "#CC79A7"

# %%
# A window that slides
# --------------------
# Lay a small array ``w``, the *kernel*, over a corner of the picture, multiply the overlapping numbers, and
# add them up: this gives one number of the output. Move the kernel by one pixel for the next. As a formula,
# ``y[i, j] = sum over a, b of w[a, b] * x[i + a, j + b]``.


def convolve(x, w):
    windows = np.lib.stride_tricks.sliding_window_view(x, w.shape)  # (rows, columns, *w.shape)
    return (windows * w).sum(axis=(-2, -1))


digits = data.load_digits()
images, labels = digits.arrays("train")
x = images[0].reshape(8, 8).astype("float64")
w = np.array([[1.0, 0.0, -1.0], [2.0, 0.0, -2.0], [1.0, 0.0, -1.0]])  # bright left of dark: a vertical edge
y = convolve(x, w)
print(f"picture {x.shape}, kernel {w.shape}, output {y.shape}")

# %%
# Two gradients, one function
# ---------------------------
# The backward pass receives ``g``, which has the shape of ``y``. Which entries of ``y`` depend on ``w[a,
# b]``? All of them, each with the factor ``x[i + a, j + b]``. So its gradient is
# ``sum over i, j of g[i, j] * x[i + a, j + b]``: the formula above, with ``g`` as the kernel.
#
# And ``x``? A pixel was seen through several windows, once through each position in the kernel. Going from
# the pixel back to the windows traverses the kernel in the opposite direction: it is a convolution of ``g``,
# padded with a frame of zeros, with the kernel turned by 180 degrees.


def weight_gradient(g, x):
    return convolve(x, g)


def input_gradient(g, w):
    frame = w.shape[0] - 1
    return convolve(np.pad(g, frame), w[::-1, ::-1])


rng = np.random.default_rng(0)
g = rng.standard_normal(y.shape)
X = tg.tensor(x[None, None], requires_grad=True)  # (pictures, channels, height, width)
W = tg.tensor(w[None, None], requires_grad=True)  # (channels out, channels in, height, width)
Y = tg.conv2d(X, W)
Y.backward(g[None, None])
for name, mine, theirs in (
    ("output", y, Y.detach().numpy()[0, 0]),
    ("gradient of the kernel", weight_gradient(g, x), W.grad.numpy()[0, 0]),
    ("gradient of the picture", input_gradient(g, w), X.grad.numpy()[0, 0]),
):
    assert np.allclose(mine, theirs)
    print(f"{name}: {mine.shape}, as in the package")

fig, axes = plt.subplots(1, 6, figsize=(10, 2.2), layout="constrained")
pictures = {
    "picture x": x,
    "kernel w": w,
    "y = convolve(x, w)": y,
    "received: g": g,
    "for w: convolve(x, g)": weight_gradient(g, x),
    "for x: padded g,\nturned w": input_gradient(g, w),
}
for ax, (title, picture) in zip(axes, pictures.items(), strict=True):
    limit = np.abs(picture).max()
    ax.imshow(picture, cmap="PuOr", vmin=-limit, vmax=limit)
    ax.set_title(f"{title}\n{picture.shape[0]} × {picture.shape[1]}", fontsize=9)
    ax.set_axis_off()
fig.suptitle("A convolution and its two gradients (violet positive, orange negative)", fontsize=10)
plt.show()

# %%
# With several channels, the products are also summed over the input channels, and each output channel
# has its own kernels. Nothing else is new.
#
# *Max pooling* keeps the largest of each 2 by 2 pixels. Its gradient goes to the winner, because the others
# had no influence.

block = tg.tensor(np.array([[1.0, 5.0], [2.0, 3.0]])[None, None], requires_grad=True)
tg.max_pool2d(block, 2).sum().backward()
print(block.grad.numpy()[0, 0])
assert block.grad.numpy()[0, 0].tolist() == [[0, 1], [0, 0]]

# %%
# The network
# -----------
# The network has two convolutions, a pool and one linear layer, and is trained for ten epochs with Adam and a
# cosine schedule. After the second epoch we open the ledger for one step, which we inspect below.

tg.manual_seed(0)
model = nn.Sequential(
    nn.Conv2d(1, 16, kernel_size=3, padding=1),
    nn.ReLU(),
    nn.Conv2d(16, 32, kernel_size=3, padding=1),
    nn.ReLU(),
    nn.MaxPool2d(2),
    nn.Flatten(),
    nn.Linear(32 * 4 * 4, 10),
)
opt = optim.Adam(model.named_parameters(), lr=0.01)
dataset = data.TensorDataset(images.reshape(-1, 1, 8, 8), labels)
batches = data.DataLoader(dataset, batch_size=64, shuffle=True, seed=0)
epochs = 10
schedule = optim.CosineAnnealingLR(opt, epochs * len(batches))
ledgers, losses = {}, []


def learn(x, y):
    loss = F.cross_entropy(model(x), y)
    opt.zero_grad()
    loss.backward()
    opt.step()
    schedule.step()
    losses.append(loss.item())


for epoch in range(1, epochs + 1):
    for x, y in batches:
        learn(x, y)
    if epoch == 2:
        with opt.ledger():
            learn(x, y)
        ledgers = {name: opt.explain(name) for name, _ in model.named_parameters()}
        gradients = {name: np.sqrt((p.grad.numpy() ** 2).mean()) for name, p in model.named_parameters()}

test_images, test_labels = digits.arrays("test")
with tg.no_grad():
    answers = model(tg.tensor(test_images.reshape(-1, 1, 8, 8))).numpy().argmax(axis=1)
accuracy = (answers == test_labels).mean()
print(f"{sum(p.size for p in model.parameters()):,} weights, test accuracy {accuracy:.1%}")
assert accuracy > 0.97

# %%
# The network of chapter 9 had 26,122 weights and made more mistakes. (It also had 800 fewer digits to learn
# from.) A convolution knows something about pictures: an edge here is also an edge there. Could you have
# read these?

wrong = np.flatnonzero(answers != test_labels)
fig, axes = plt.subplots(2, 10, figsize=(9, 2.6), layout="constrained")
for ax in axes.flat:
    ax.set_axis_off()
for ax, i in zip(axes.flat, wrong, strict=False):
    ax.imshow(test_images[i].reshape(8, 8), cmap="gray_r")
    ax.set_title(f"{answers[i]}, is {test_labels[i]}", fontsize=8)
fig.suptitle(f"The first of {len(wrong)} mistakes among {len(answers):,} digits", fontsize=10)
plt.show()

# %%
# What Adam does in each layer
# ----------------------------
# Here is the ledger of one step, for whole layers. The *effective learning rate* of a weight is
# ``lr / (sqrt(v_hat) + eps)``, the factor that multiplies the mean of its gradients.

print("               gradient   effective lr   signal/noise   update/value")
for name, ledger in ledgers.items():
    rate, snr = ledger.distribution("effective_lr")["median"], ledger.distribution("snr")["median"]
    print(f"{name:10} {gradients[name]:12.5f} {rate:14.2f} {snr:14.2f} {ledger.norm_ratio:14.4f}")

weights = [name for name in ledgers if name.endswith("weight")]
rates = [ledgers[name]["effective_lr"].ravel() for name in weights]
fig, ax = plt.subplots(figsize=(6.5, 3.6), layout="constrained")
ax.boxplot(rates, whis=(5, 95), showfliers=False, medianprops={"color": ORANGE, "lw": 2})
ax.set_yscale("log")
ax.set_xticks(
    range(1, 4), [f"{name}\n{rate.size:,} weights" for name, rate in zip(weights, rates, strict=True)]
)
ax.set(xlabel="layer", ylabel="effective learning rate")
ax.set_title("Adam after two epochs: boxes 25 to 75 %, whiskers 5 to 95 %")
plt.show()

medians = [np.median(rate) for rate in rates]
low, high = np.quantile(rates[2], [0.05, 0.95])
print(f"medians of the layers {', '.join(f'{m:.1f}' for m in medians)}")
print(f"in the last layer 5 % are below {low:.1f}, 5 % above {high:.0f}")
print(f"weights without any gradient so far: {', '.join(f'{(rate > 1e5).mean():.0%}' for rate in rates)}")
assert max(medians) > 2 * min(medians)
assert high > 20 * low
assert all(0.001 < ledgers[name].norm_ratio < 0.1 for name in weights)
assert all(ledgers[name].distribution("snr")["median"] < 0.18 for name in weights)

# %%
# There it is, a learning rate for each weight. The medians of the layers differ by a factor of a few, and
# the rates within one layer by a factor of a hundred or more: this is the axis-aligned ravine that Adam
# straightens. The ratio of update to value is near 0.01 in all layers. Whiskers at a million are ``lr /
# eps``, from weights without any gradient yet, such as those of dead units: a million times zero is zero.
#
# The signal-to-noise ratio is a few hundredths to a tenth. Pure noise would give 0.18 (chapter 7), so
# most of each gradient is now the noise of its batch. It is lower still because ``v`` remembers the larger
# gradients of the first steps, so steps automatically get shorter once the easy things are learned.
#
# Where to go from here
# ---------------------
# You have built all of it: tape, rules, Adam, layers, convolution. The package's own files are now easy
# to read: ``engine/backward.py`` for chapters 2 and 3, ``optim/adam.py`` for chapter 7,
# ``ops/convolution.py`` for this one.
#
# Exercises
# ---------
# 1. Average pooling takes the mean of each 2 by 2 pixels. Write it as a primitive ``average_pool`` for
#    pictures of shape ``(n, height, width)`` and let ``tg.testing.grade`` check it with
#    ``inputs=[(2, 4, 6)]``.
# 2. How many weights does ``nn.Conv2d(1, 16, kernel_size=3)`` have, biases included? How many would a linear
#    layer need from the same 8 by 8 pixels to the same number of outputs? Predict both, ``conv_weights`` and
#    ``linear_weights``, then count.
# 3. Shift a picture by one pixel and convolve, or convolve and shift. Show that, away from the edges, it
#    makes no difference: write ``moves_along(layer, picture)``, which tells whether a function ``layer`` from
#    pictures to pictures has this property. Does a linear layer have it?

# %%
# Solutions
# ---------
# **1.** Each of the four pixels contributes a quarter. ``reshape`` gives the blocks their own axes:


@tg.primitive(x=lambda g, xp, x_shape: xp.kron(g, xp.full((1, 2, 2), 0.25)).reshape(x_shape))
def average_pool(xp, x):
    n, height, width = x.shape
    return x.reshape(n, height // 2, 2, width // 2, 2).mean(axis=(2, 4))


answer = tg.testing.grade(average_pool, inputs=[(2, 4, 6)])
print(answer)
assert answer.passed

# %%
# **2.** 16 kernels of 9 weights and 16 biases. The linear layer has a weight for each pair of pixel and
# output:

outputs = 16 * 6 * 6
conv_weights = 16 * 9 + 16
linear_weights = 64 * outputs + outputs
print(f"{conv_weights} weights for {outputs} outputs; a linear layer would have {linear_weights:,}")
assert conv_weights == sum(p.size for p in nn.Conv2d(1, 16, kernel_size=3).parameters())
assert linear_weights == sum(p.size for p in nn.Linear(64, outputs).parameters())

# %%
# **3.** The kernel is the same everywhere, so its output moves along with the picture. Each output of a
# linear layer has its own weights, independent of the others.


def moves_along(layer, picture):
    shifted = np.roll(picture, 1, axis=1)
    return np.allclose(layer(shifted)[:, 1:], layer(picture)[:, :-1])


# %%
# A digit, and random weights for the linear layer:

x = images[0].reshape(8, 8).astype("float64")
matrix = rng.standard_normal((36, 64))
convolution = moves_along(lambda picture: convolve(picture, w), x)
linear = moves_along(lambda picture: (matrix @ picture.ravel()).reshape(6, 6), x)
print(f"a convolution moves along: {convolution}, a linear layer: {linear}")
assert convolution
assert not linear
