"""Mistakes in networks, each in three networks and two loops, with the network that lacks it."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

import tinygrad_adam as tg
from tinygrad_adam import data, nn, optim
from tinygrad_adam.nn import functional as F
from tinygrad_adam.training import Trainer


class Planted(NamedTuple):
    """A mistake in a network.

    Attributes
    ----------
    kind : str
        The kind of the finding.
    others : tuple of str
        Kinds that are true as well, and may be found or not, besides underfitting.
    words : tuple of str
        Words that the finding must contain.
    learn : callable
        ``learn(faulty)`` returns the network, the examples, their targets, the loss, and the batch size.
    """

    kind: str
    others: tuple[str, ...]
    words: tuple[str, ...]
    learn: Callable[[bool], tuple]


class Mistakes(dict[str, Planted]):
    """A table of mistakes by the names of the functions that make them."""

    def mistake(self, kind, *words, others=()):
        """Enter the decorated function into the table."""

        def enter(learn):
            self[learn.__name__] = Planted(kind, ("underfitting", *others), words, learn)
            return learn

        return enter


PLANTED = Mistakes()
mistake = PLANTED.mistake


# --- The two loops -----------------------------------------------------------------------


def epochs_of_ones_own(doctor, model, x, y, loss_of, size=25):
    """Train with momentum in the order of a shuffled list, and a schedule for each epoch."""
    opt = optim.SGD(list(model.parameters()), lr=0.05, momentum=0.9)
    schedule = optim.ExponentialLR(opt, 0.99)
    order, losses = np.random.default_rng(3), []
    with doctor:
        for _ in range(STEPS * size // len(x)):
            rows = order.permutation(len(x))
            for first in range(0, len(x) - size + 1, size):
                chosen = rows[first : first + size]
                opt.zero_grad()
                loss = loss_of(model(tg.tensor(x[chosen])), y[chosen])
                loss.backward()
                opt.step()
                losses.append(loss.item())
            schedule.step()
    return losses


def by_trainer(doctor, model, x, y, loss_of, size=25):
    losses = []

    def measured(output, target):
        losses.append((loss := loss_of(output, target)).item())
        return loss

    opt = optim.NAdam(list(model.parameters()), lr=4e-3)
    loader = data.DataLoader(data.TensorDataset(x, y), size, shuffle=True, seed=4, drop_last=True)
    with doctor:
        Trainer(model, opt, measured, callbacks=[doctor]).fit(loader, STEPS * size // len(x))
    return losses


STEPS = 240
LOOPS = {"own": epochs_of_ones_own, "Trainer": by_trainer}


# --- What is learned ---------------------------------------------------------------------


def rings(count=200):
    """Three rings around each other: points in the plane, in classes."""
    rng = np.random.default_rng(11)
    y = rng.integers(0, 3, count)
    angle, radius = rng.uniform(0, 2 * np.pi, count), 0.6 * y + 0.4 + rng.normal(0, 0.08, count)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1).astype(np.float32), y


def bars(count=200):
    """Images of 6 x 6 with a horizontal or a vertical bar, in noise."""
    rng = np.random.default_rng(12)
    x, y = rng.normal(0, 0.4, (count, 1, 6, 6)), rng.integers(0, 2, count)
    for image, kind, at in zip(x[:, 0], y, rng.integers(0, 6, count), strict=True):
        (image if kind else image.T)[at] += 1.5
    return x.astype(np.float32), y


def words(count=200):
    """Texts of 6 of 20 words, with the half of the dictionary that most words come from."""
    rng = np.random.default_rng(13)
    y = rng.integers(0, 2, count)
    x = np.where(rng.random((count, 6)) < 0.8, 10 * y[:, None], 10 - 10 * y[:, None])
    return x + rng.integers(0, 10, (count, 6)), y


def waves(count=200):
    """Values of a smooth function of three numbers."""
    x = np.random.default_rng(14).uniform(-1, 1, (count, 3)).astype(np.float32)
    return x, np.sin(3 * x[:, :1]) * x[:, 1:2] + x[:, 2:]


def columns(y):
    return np.asarray(y, np.float32).reshape(-1, 1)


def logistic(z, y):
    return F.binary_cross_entropy_with_logits(z, columns(y))


class Net(nn.Module):
    """A network of layers and a function: ``Net(forward, name=layer, ...)``."""

    def __init__(self, forward, **layers):
        super().__init__()
        for name, layer in layers.items():
            setattr(self, name, layer)
        self.way = forward

    def forward(self, x):
        return self.way(self, x)


def dense(*widths, activation=nn.SiLU, last=()):
    layers = []
    for before, width in itertools.pairwise(widths[:-1]):
        layers += [nn.Linear(before, width), activation()]
    return nn.Sequential(*layers, nn.Linear(widths[-2], widths[-1]), *last)


def pixels(*last, outputs=2, between=nn.ReLU):
    return nn.Sequential(
        nn.Conv2d(1, 6, 3), *([between()] if between else []), nn.Flatten(), nn.Linear(96, outputs), *last
    )


def reading(*last, outputs=2, width=12):
    def forward(net, x):
        return net.head(net.table(x).mean(axis=1))

    return Net(forward, table=nn.Embedding(20, width), head=dense(width, 16, outputs, last=last))


# --- (a) Activations on outputs ----------------------------------------------------------


@mistake(
    "squashed-output",
    "cross_entropy is given the output of relu",
    "remove the relu",
    others=["dead-relu", "constant-output"],
)
def relu_behind_rings(faulty):
    return dense(2, 24, 24, 3, last=[nn.ReLU()] * faulty), *rings(), F.cross_entropy


@mistake("squashed-output", "given the output of tanh", "e^2 = 7.4")
def tanh_behind_bars(faulty):
    return pixels(*[nn.Tanh()] * faulty), *bars(), F.cross_entropy


@mistake("squashed-output", "given the output of sigmoid", "e = 2.7 times")
def sigmoid_before_cross_entropy_of_words(faulty):
    return reading(*[nn.Sigmoid()] * faulty), *words(), F.cross_entropy


@mistake(
    "squashed-output", "sigmoid is given the output of relu", "probability below 0.5", others=["dead-relu"]
)
def relu_before_sigmoid(faulty):
    def loss(p, y):
        return F.mse_loss(F.sigmoid(p), columns(y))

    return dense(2, 24, 1, last=[nn.ReLU()] * faulty), rings()[0], rings()[1] > 1, loss


# --- (b) Dropout -------------------------------------------------------------------------


@mistake("heavy-dropout", "sets 90% of (25, 24) to 0", "share that is dropped, not the share that is kept")
def rings_hardly_kept(faulty):
    layers = [nn.Linear(2, 24), nn.SiLU(), nn.Dropout(0.9 if faulty else 0.1), nn.Linear(24, 3)]
    return nn.Sequential(*layers), *rings(), F.cross_entropy


@mistake("heavy-dropout", "sets 80% of", "0.2 if 0.8 was to be kept")
def channels_hardly_kept(faulty):
    p = 0.8 if faulty else 0.2
    model = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Dropout2d(p), nn.Flatten(), nn.Linear(128, 2))
    return model, *bars(), F.cross_entropy


@mistake("heavy-dropout", "F.dropout(h, 0.85", "sets 85% of")
def words_hardly_kept(faulty):
    def forward(net, x):
        h = net.table(x).mean(axis=1)
        h = F.dropout(h, 0.85, net.training) if faulty else F.dropout(h, 0.3, net.training)
        return net.head(h)

    return Net(forward, table=nn.Embedding(20, 32), head=dense(32, 16, 2)), *words(), F.cross_entropy


# --- (c) Twins ---------------------------------------------------------------------------

FLAT = ("dead-relu", "constant-output", "learning-rate-low", "vanishing-gradient", "large-updates")


@mistake("equal-units", "their weights are the same", "'0.weight' (24, 2)", "kaiming_uniform_", others=FLAT)
def constant_rings(faulty):
    model = dense(2, 24, 3)
    if faulty:
        for p in model.parameters():
            nn.init.constant_(p, 0.1)
    return model, *rings(), F.cross_entropy


@mistake("equal-units", "all weights are 0", "(6, 1, 3, 3)", others=FLAT)
def bars_of_nothing(faulty):
    model = pixels()
    if faulty:
        nn.init.constant_(model[0].weight, 0)
        nn.init.constant_(model[0].bias, 0)
        nn.init.constant_(model[3].weight, 0)
    return model, *bars(), F.cross_entropy


@mistake("equal-units", "their weights are the same", others=FLAT)
def waves_of_one_unit(faulty):
    """Weights of one's own, with the units on the second axis."""
    rng = np.random.default_rng(0)
    first = np.ones((3, 16)) if faulty else rng.normal(0, 0.6, (3, 16))
    last = np.full((16, 1), 0.3) if faulty else rng.normal(0, 0.3, (16, 1))

    def forward(net, x):
        return F.tanh(x @ net.first + net.shift) @ net.last

    parts = {"first": first, "shift": np.zeros(16), "last": last}
    parts = {name: nn.Parameter(value.astype(np.float32)) for name, value in parts.items()}
    return Net(forward, **parts), *waves(), F.mse_loss


# --- (d) Over the batch ------------------------------------------------------------------


@mistake("over-the-batch", "softmax (25, 3) runs over the examples", "axis=-1")
def softmax_down_the_rings(faulty):
    def loss(z, y):
        p = F.softmax(z, axis=0) if faulty else F.softmax(z, axis=1)
        return -tg.log(p[np.arange(len(y)), y] + 1e-7).mean()

    return dense(2, 24, 24, 3), *rings(), loss


@mistake("over-the-batch", "log_softmax (25, 2) runs over the examples")
def log_softmax_down_the_bars(faulty):
    def loss(z, y):
        return F.nll_loss(F.log_softmax(z, axis=0 if faulty else -1), y)

    return pixels(), *bars(), loss


@mistake("over-the-batch", "a division by the sum (25, 16) runs over the examples")
def words_divided_by_the_batch(faulty):
    def forward(net, x):
        h = net.table(x).mean(axis=1)
        h = h / tg.norm(h, axis=0 if faulty else 1, keepdims=True)
        return net.head(4 * h)

    return Net(forward, table=nn.Embedding(20, 16), head=dense(16, 16, 2)), *words(), F.cross_entropy


@mistake("over-the-batch", "a division by the sum (25, 3)")
def a_softmax_by_hand(faulty):
    def loss(z, y):
        e = tg.exp(z)
        p = e / (e.sum() if faulty else e.sum(axis=1, keepdims=True))
        return -tg.log(p[np.arange(len(y)), y]).mean()

    return dense(2, 24, 24, 3), *rings(), loss


@mistake("over-the-batch", "layer_norm (25, 24) runs over the examples")
def a_norm_of_the_whole_batch(faulty):
    model = nn.Sequential(
        nn.Linear(2, 24), nn.LayerNorm((25, 24) if faulty else 24), nn.SiLU(), nn.Linear(24, 3)
    )
    return model, *rings(), F.cross_entropy


# --- (e) Examples mixed ------------------------------------------------------------------


@mistake("examples-mixed", "reshape puts elements of different examples", "nn.Flatten()")
def bars_reshaped_to_columns(faulty):
    def forward(net, x):
        n = len(x)
        return net.body(x.reshape(36, n).T if faulty else x.reshape(n, 36))

    return Net(forward, body=dense(36, 24, 2)), *bars(), F.cross_entropy


@mistake("examples-mixed", "reshape puts elements of different examples", "h.transpose(1, 2, 3, 0)")
def channels_last_then_flat(faulty):
    def forward(net, x):
        h = F.relu(net.conv(x))
        h = (
            h.transpose(1, 2, 3, 0).reshape(len(x), -1)
            if faulty
            else h.transpose(0, 2, 3, 1).reshape(len(x), -1)
        )
        return net.head(h)

    return Net(forward, conv=nn.Conv2d(1, 6, 3), head=nn.Linear(96, 2)), *bars(), F.cross_entropy


@mistake("examples-mixed", "reshape puts elements of different examples")
def words_flat_the_wrong_way(faulty):
    def forward(net, x):
        h = net.table(x)
        h = h.transpose(1, 0, 2) if faulty else h
        return net.head(h.reshape(len(x), -1))

    return Net(forward, table=nn.Embedding(20, 8), head=dense(48, 16, 2)), *words(), F.cross_entropy


# --- (f) Nothing between -----------------------------------------------------------------


@mistake("no-activation", "linear (25, 24) and linear (25, 24), and 1 more", "nn.ReLU()")
def rings_by_lines(faulty):
    model = (
        nn.Sequential(nn.Linear(2, 24), nn.Linear(24, 24), nn.Linear(24, 3))
        if faulty
        else dense(2, 24, 24, 3)
    )
    return model, *rings(), F.cross_entropy


@mistake("no-activation", "conv2d (25, 6, 4, 4) and linear (25, 2)")
def bars_by_lines(faulty):
    return pixels(between=None if faulty else nn.ReLU), *bars(), F.cross_entropy


@mistake("no-activation", "conv2d (25, 6, 6, 6) and conv2d (25, 8, 6, 6)")
def convolutions_with_a_norm_only(faulty):
    model = nn.Sequential(
        nn.Conv2d(1, 6, 3, padding=1), nn.BatchNorm2d(6), *([] if faulty else [nn.ReLU()]),
        nn.Conv2d(6, 8, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2),
    )  # fmt: skip
    return model, *bars(), F.cross_entropy


@mistake("no-activation", "matmul (25, 16) and matmul (25, 1)")
def waves_by_a_plane(faulty):
    """Weights of one's own, and dropout between them."""
    rng = np.random.default_rng(0)

    def forward(net, x):
        h = x @ net.first + net.shift
        return F.dropout(h if faulty else F.tanh(h), 0.05, net.training) @ net.last

    parts = {"first": rng.normal(0, 0.6, (3, 16)), "shift": np.zeros(16), "last": rng.normal(0, 0.3, (16, 1))}
    parts = {name: nn.Parameter(value.astype(np.float32)) for name, value in parts.items()}
    return Net(forward, **parts), *waves(), F.mse_loss


# --- Too little network ------------------------------------------------------------------


@mistake("underfitting", "does not even learn its own examples", "reported above", "a larger network")
def rings_by_one_layer(faulty):
    return nn.Linear(2, 3) if faulty else dense(2, 24, 24, 3), *rings(), F.cross_entropy


@mistake("underfitting", "does not even learn its own examples")
def bars_by_their_brightness(faulty):
    seen = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1, 2))
    return seen if faulty else pixels(), *bars(), F.cross_entropy


@mistake("underfitting", "does not even learn its own examples")
def order_of_words_without_their_places(faulty):
    """Whether the first word comes before the last one in the dictionary."""

    def forward(net, x):
        return net.head(net.table(x).reshape(len(x), -1))

    x, _ = words()
    y = (x[:, 0] < x[:, -1]).astype(int)
    flat = Net(forward, table=nn.Embedding(20, 8), head=dense(48, 16, 2))
    return reading(width=2) if faulty else flat, x, y, F.cross_entropy
