"""
9. Digits
=========

Real data: 5,620 handwritten digits of 8 by 8 pixels, which ship with the package. From here on the
question is no longer whether the loss falls, but whether the network generalizes to digits it has never seen.
"""

import matplotlib.pyplot as plt
import numpy as np

import tinygrad_adam as tg
import tinygrad_adam.nn.functional as F
from tinygrad_adam import data, nn, optim

BLUE, ORANGE, GREEN, PINK = "#0072B2", "#D55E00", "#009E73", "#CC79A7"

# %%
# Three sets
# ----------
# Gradients are computed on the *training* set. The *validation* set is kept apart for making choices: how
# long to train, which learning rate to use. The *test* set is used once, at the end, because choosing by it
# amounts to training on it. Here the test digits were even written by different people, which makes them
# harder.

digits = data.load_digits()
images, labels = digits.arrays("train")
learn = images[:3000], labels[:3000]
validate = images[3000:], labels[3000:]
test = digits.arrays("test")

fig, axes = plt.subplots(2, 10, figsize=(8, 2.1), layout="constrained")
for ax, image, label in zip(axes.flat, images, labels, strict=False):
    ax.imshow(image.reshape(8, 8), cmap="gray_r")
    ax.set_title(str(label), fontsize=9)
    ax.set_axis_off()
fig.suptitle("Digits, with their labels")
plt.show()


def evaluate(model, images, labels):
    with tg.no_grad():
        logits = model(tg.tensor(images))
    right = (logits.numpy().argmax(axis=1) == labels).mean()
    return F.cross_entropy(logits, tg.tensor(labels)).item(), right


# %%
# The loop
# --------
# A ``DataLoader`` shuffles the data and yields batches of 64. One pass over all of them is an *epoch*.
# The rest is the same as in chapter 4.


def train(n, epochs, make=optim.Adam, schedule=None, seed=0, look_every=1, **settings):
    tg.manual_seed(seed)
    model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 10))
    opt = make(model.parameters(), **settings)
    batches = data.DataLoader(
        data.TensorDataset(learn[0][:n], learn[1][:n]), batch_size=64, shuffle=True, seed=seed
    )
    plan = schedule(opt, epochs * len(batches)) if schedule else None
    history = []
    for epoch in range(1, epochs + 1):
        for x, y in batches:
            loss = F.cross_entropy(model(x), y)
            opt.zero_grad()
            loss.backward()
            opt.step()
            if plan:
                plan.step()
        if epoch % look_every == 0:
            seen = evaluate(model, learn[0][:n], learn[1][:n])
            history.append((epoch, *seen, *evaluate(model, *validate)))
    return model, np.array(history)


model, history = train(3000, epochs=8, lr=0.002)
for epoch, train_loss, _, loss, right in history[::2]:
    print(f"epoch {epoch:.0f}: training loss {train_loss:.3f}, validation loss {loss:.3f}, {right:.1%} right")
assert history[-1, 4] > 0.95

# %%
# Learning by heart
# -----------------
# Now remove most of the data: 200 digits remain, but 26,000 weights. The network can memorize the digits, and
# it does.

_, history = train(200, epochs=150, lr=0.002, look_every=2)
fig, ax = plt.subplots(figsize=(6.5, 3.4), layout="constrained")
ax.semilogy(history[:, 0], history[:, 1], "--", color=ORANGE, label="training loss")
ax.semilogy(history[:, 0], history[:, 3], color=BLUE, label="validation loss")
best = history[history[:, 3].argmin()]
ax.plot(best[0], best[3], "o", color=BLUE)
ax.annotate("lowest", best[[0, 3]], (best[0], best[3] * 1.8), ha="center", color=BLUE)
ax.set(xlabel="epoch", ylabel="loss", title="200 digits: learned by heart")
ax.legend()
plt.show()

print(f"lowest validation loss {best[3]:.3f} in epoch {best[0]:.0f}; at the end {history[-1, 3]:.3f}")
print(f"at the end {history[-1, 2]:.0%} of the training digits are right, {history[-1, 4]:.0%} of the others")
assert history[-1, 1] < 0.005 < 0.3 < history[-1, 3]
assert best[0] < 120
assert history[-1, 3] > best[3]

# %%
# The training loss goes to zero. The validation loss reaches a minimum and rises again: the network gets
# more and more certain, even where it is wrong. That is *overfitting*. There are three cures: more data,
# stopping early, or keeping the weights small.
#
# Weight decay, and why AdamW
# ---------------------------
# *Weight decay* pulls each weight a little toward zero in each step. With SGD it makes no difference
# whether you add ``decay * w`` to the gradient or shrink the weight directly:
# ``w - lr * (g + decay * w)`` is ``(1 - lr * decay) * w - lr * g``. With Adam it does. A term added to the
# gradient is divided by ``sqrt(v)`` like the rest, so a weight with large gradients hardly decays, and
# a weight with small gradients decays fast. AdamW (Loshchilov & Hutter, 2019) shrinks all weights directly,
# by the same factor. Here are two weights whose gradients are pure noise, one large, one small:

rng = np.random.default_rng(0)
noise = rng.standard_normal((1000, 2)) * [5.0, 0.05]
fig, axes = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained", sharey=True)
left = {}
for ax, make, title in (
    (axes[0], optim.Adam, "Adam: decay added to the gradient"),
    (axes[1], optim.AdamW, "AdamW"),
):
    w = nn.Parameter(np.ones(2))
    opt, path = make([w], lr=0.001, weight_decay=0.6), []
    for g in noise:
        w.grad = g
        opt.step()
        path.append(w.detach().numpy().copy())
    path = np.array(path)
    left[title] = path[-50:].mean(axis=0)
    ax.plot(path[:, 0], color=BLUE, label="gradients of size 5")
    ax.plot(path[:, 1], "--", color=ORANGE, label="gradients of size 0.05")
    ax.plot((1 - 0.001 * 0.6) ** np.arange(1000), ":", color="0.4", label="(1 - lr × decay)^t")
    ax.set(xlabel="step t", title=title)
axes[0].set_ylabel("weight")
axes[1].legend()
plt.show()

for title, (large, small) in left.items():
    print(f"{title}: {large:.2f} and {small:.2f} are left")
assert abs(np.subtract(*left["AdamW"])) < 0.2 < 0.6 < np.subtract(*left["Adam: decay added to the gradient"])

# %%
# On the 200 digits, as a mean over two random initializations:

found = {}
for name, make, decay in (
    ("none", optim.Adam, 0.0),
    ("Adam", optim.Adam, 0.001),
    ("AdamW", optim.AdamW, 0.6),
):
    runs = [train(200, 120, make, seed=s, lr=0.002, weight_decay=decay, look_every=120) for s in range(2)]
    loss, right = np.mean([history[-1, 3:] for _, history in runs], axis=0)
    size = np.mean(
        [np.sqrt(sum((p.detach().numpy() ** 2).sum() for p in net.parameters())) for net, _ in runs]
    )
    found[name] = size, loss
    print(f"{name:5} {decay:<5}: norm of weights {size:4.1f}, validation loss {loss:.3f}, {right:.1%} right")
for name in ("Adam", "AdamW"):
    assert found[name][0] < found["none"][0]
    assert found[name][1] < found["none"][1]

# %%
# Both keep the weights smaller and the validation loss lower: the network is less certain where it
# is wrong. The accuracy hardly changes; only more data would improve it. (Note how different
# the good values are: the two kinds of decay are not the same number in different units.)
#
# A learning rate that falls
# --------------------------
# Adam keeps taking steps of about ``lr`` as long as the gradients are noisy, so with a constant ``lr`` it
# never quite settles (chapter 6). Large steps get far, small steps settle. A *schedule* has both: here
# cosine annealing, from ``lr`` down to zero over the whole training.

fig, ax = plt.subplots(figsize=(6.5, 3.4), layout="constrained")
finals = {}
for lr, plan, color, style in (
    (0.002, None, GREEN, "-."),
    (0.02, None, ORANGE, "--"),
    (0.02, optim.CosineAnnealingLR, BLUE, "-"),
):
    name = f"lr {lr}{', cosine' if plan else ''}"
    model, history = train(3000, 12, schedule=plan, lr=lr)
    finals[name] = history[-3:, 4].mean(), model
    ax.plot(history[:, 0], 1 - history[:, 4], style, color=color, label=name)
    print(f"{name:16} {finals[name][0]:.1%} of the validation digits right, mean of the last three epochs")
ax.set(xlabel="epoch", ylabel="share of wrong answers", title="Validation digits", ylim=(0, 0.1))
ax.legend()
plt.show()

assert finals["lr 0.02, cosine"][0] == max(right for right, _ in finals.values())

# %%
# ``lr = 0.02`` alone is too restless; with a schedule it is the best of the three. So, does Adam need a
# schedule? Not to work, but to work best, as here. We have made our choice on the validation digits; now use
# the test set, once:

loss, right = evaluate(finals["lr 0.02, cosine"][1], *test)
print(f"test: {right:.2%} of {len(test[1])} digits right")
assert 0.95 < right < finals["lr 0.02, cosine"][0]

# %%
# This is less than on the validation digits. Those were written by the same people as the training digits;
# the test digits were not.
#
# Exercises
# ---------
# 1. Write AdamW as ``update(p, g, state, lr, beta1, beta2, eps, weight_decay)``. Check it with
#    ``tg.testing.grade(update, reference="adamw", settings={"weight_decay": 0.2})``.
# 2. Write the cosine schedule as ``cosine(t, T)``, a function of the step ``t`` and the total number of steps
#    ``T``, and compare it with ``optim.CosineAnnealingLR``.
# 3. Stop early: write ``stop_after(losses, patience)``, which finds from the validation losses of each epoch
#    the first epoch that was followed by ``patience`` epochs without a lower loss. If there is none, it
#    returns the epoch of the lowest loss. Epochs count from 0. Try it on
#    ``1.0, 0.6, 0.5, 0.55, 0.45, 0.5, 0.52, 0.6, 0.3`` with a patience of 2 and of 3.

# %%
# Solutions
# ---------
# **1.** Adam with one additional line before the step:


def update(p, g, state, lr, beta1, beta2, eps, weight_decay):
    t = state["t"] = state.get("t", 0) + 1
    m = state["m"] = beta1 * state.get("m", 0) + (1 - beta1) * g
    v = state["v"] = beta2 * state.get("v", 0) + (1 - beta2) * g**2
    p = p - lr * weight_decay * p
    return p - lr * (m / (1 - beta1**t)) / (np.sqrt(v / (1 - beta2**t)) + eps)


settings = {"weight_decay": 0.2, "betas": (0.9, 0.999), "eps": 1e-8}
answer = tg.testing.grade(update, reference="adamw", settings=settings)
print(answer)
assert answer.passed

# %%
# **2.** Half a wave of the cosine, lifted to run from 1 to 0:


def cosine(t, T):
    return (1 + np.cos(np.pi * t / T)) / 2


opt = optim.Adam([nn.Parameter([0.0])], lr=1.0)
plan, T = optim.CosineAnnealingLR(opt, 10), 10
rates = []
for _ in range(T + 1):
    rates.append(opt.param_groups[0]["lr"])
    plan.step()
print(" ".join(f"{rate:.3f}" for rate in rates))
assert np.allclose(rates, cosine(np.arange(T + 1), T))

# %%
# **3.** Too little patience misses later improvements, and more patience costs epochs:


def stop_after(losses, patience):
    best, waited = 0, 0
    for epoch, loss in enumerate(losses):
        best, waited = (epoch, 0) if loss < losses[best] or epoch == 0 else (best, waited + 1)
        if waited == patience:
            break
    return best


losses = [1.0, 0.6, 0.5, 0.55, 0.45, 0.5, 0.52, 0.6, 0.3]
for patience in (1, 2, 3, 4):
    best = stop_after(losses, patience)
    print(f"patience {patience}: keep the weights of epoch {best}, loss {losses[best]}")
assert [stop_after(losses, patience) for patience in (1, 2, 3, 4)] == [2, 4, 4, 8]
