"""Faults planted in a small training loop, one at a time, each with its healthy twin."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

import tinygrad_adam as tg
from tinygrad_adam import data, nn, optim
from tinygrad_adam.errors import GraphError
from tinygrad_adam.nn import functional as F
from tinygrad_adam.training import Trainer


class Case(NamedTuple):
    """A fault: how to plant it, and the finding that the doctor must report.

    Attributes
    ----------
    kind : str
        The kind of the finding.
    words : tuple of str
        Words that its text must contain.
    run : callable
        ``run(faulty, doctor)`` trains inside the doctor's block, with the fault or without it.
    """

    kind: str
    words: tuple[str, ...]
    run: Callable[[bool, tg.doctor], None]


class Cases(dict[str, Case]):
    """A table of faults by the names of the functions that plant them."""

    def fault(self, kind: str, *words: str):
        """Enter the decorated function into the table."""

        def enter(run):
            self[run.__name__] = Case(kind, words, run)
            return run

        return enter


CASES = Cases()
fault = CASES.fault


def digits(count=256):
    images, labels = data.load_digits().arrays("train")
    return images[:count], labels[:count]


def mlp(width=32, activation=nn.ReLU, depth=1, outputs=10):
    tg.manual_seed(0)
    layers = [nn.Linear(64, width), activation()]
    for _ in range(depth - 1):
        layers += [nn.Linear(width, width), activation()]
    return nn.Sequential(*layers, nn.Linear(width, outputs))


def learn(model, opt=None, loss=F.cross_entropy, steps=60, targets=None, batch=64):
    """Run a correct training loop on digits; its arguments may introduce a fault."""
    images, labels = digits()
    learn_in_batches(model, images, labels if targets is None else targets, loss, steps, batch, opt)


def learn_in_batches(model, x, y, loss=F.cross_entropy, steps=60, batch=16, opt=None):
    """Train with the rows in their order."""
    opt = optim.Adam(model.parameters(), lr=3e-3) if opt is None else opt
    for step in range(steps):
        rows = np.arange(step * batch, (step + 1) * batch) % len(x)
        value = loss(model(tg.tensor(x[rows])), y[rows])
        opt.zero_grad()
        value.backward()
        opt.step()


# --- The order of the calls --------------------------------------------------------------


@fault("gradients-not-cleared", "zero_grad()", "'0.weight' (32, 64) and 3 more", "loss.backward()")
def never_cleared(faulty, doctor):
    images, labels = digits(64)
    model = mlp()
    opt = optim.Adam(model.parameters(), lr=3e-3)
    with doctor:
        for _ in range(10):
            loss = F.cross_entropy(model(tg.tensor(images)), labels)
            if not faulty:
                opt.zero_grad()
            loss.backward()
            opt.step()


@fault("no-backward", "Adam.step() was called, but backward() never was", "opt.step()")
def step_alone(faulty, doctor):
    images, labels = digits(64)
    model = mlp()
    opt = optim.Adam(model.parameters(), lr=3e-3)
    with contextlib.suppress(GraphError), doctor:
        loss = F.cross_entropy(model(tg.tensor(images)), labels)
        if not faulty:
            loss.backward()
        opt.step()


@fault("no-backward", "the same gradient again and again", "SGD", "opt.step()")
def one_backward_for_all(faulty, doctor):
    images, labels = digits(64)
    model = mlp()
    opt = optim.SGD(model.parameters(), lr=0.01)
    with doctor:
        for step in range(10):
            loss = F.cross_entropy(model(tg.tensor(images)), labels)
            if step == 0 or not faulty:
                opt.zero_grad()
                loss.backward()
            opt.step()


@fault("no-backward", "5 scalars", "the last by softmax_cross_entropy", "loss.backward()", "no_grad")
def losses_for_nothing(faulty, doctor):
    images, labels = digits(64)
    model = mlp()
    with doctor:
        for _ in range(5):
            loss = F.cross_entropy(model(tg.tensor(images)), labels)
            if not faulty:
                model.zero_grad()
                loss.backward()


# --- Parameters --------------------------------------------------------------------------


@fault("not-in-optimizer", "'2.weight' (10, 32), '2.bias' (10,)", "model.parameters()")
def layer_replaced(faulty, doctor):
    model = mlp()
    opt = optim.Adam(model.parameters(), lr=3e-3) if faulty else None
    model.register_module("2", nn.Linear(32, 10))
    with doctor:
        learn(model, opt)


class Branches(nn.Module):
    def __init__(self, use, cut):
        super().__init__()
        tg.manual_seed(0)
        self.first, self.extra, self.last = nn.Linear(64, 32), nn.Linear(32, 32), nn.Linear(32, 10)
        self.use, self.cut = use, cut

    def forward(self, x):
        h = F.relu(self.first(x))
        if self.cut:
            h = tg.tensor(h.detach().numpy() * 2)
        return self.last(F.relu(self.extra(h)) + h if self.use else h)


@fault("no-gradient", "'extra.weight' (32, 32)", "no operation has used", "forward()")
def layer_unused(faulty, doctor):
    with doctor:
        learn(Branches(use=not faulty, cut=False))


@fault("no-gradient", "'first.weight' (32, 64)", "the graph is cut", ".detach()")
def graph_cut(faulty, doctor):
    with doctor:
        learn(Branches(use=True, cut=faulty))


# --- Memory ------------------------------------------------------------------------------


@fault("changed-in-place", "x (64, 64) of linear", "model(x)", "norm was", "copy")
def batch_filled_anew(faulty, doctor):
    images, labels = digits()
    model = mlp()
    opt = optim.Adam(model.parameters(), lr=3e-3)
    room = np.empty((64, 64), np.float32)
    with doctor:
        for step in range(20):
            rows = np.arange(64) + step % 4 * 64
            room[...] = images[rows]
            x = tg.Tensor(room)
            loss = F.cross_entropy(model(x), labels[rows])
            opt.zero_grad()
            if faulty:
                room[...] = images[rows - 64]
            loss.backward()
            opt.step()


@fault(
    "changed-in-place", "weight (10, 32) of linear", "refuses", "model(x), labels", "before optimizer.step()"
)
def step_before_backward(faulty, doctor):
    images, labels = digits(64)
    model = mlp()
    opt = optim.Adam(model.parameters(), lr=3e-3)
    x = tg.tensor(images)
    with contextlib.suppress(GraphError), doctor:
        for _ in range(2):
            one, other = F.cross_entropy(model(x), labels), F.cross_entropy(model(x), labels)
            opt.zero_grad()
            one.backward()
            if faulty:
                opt.step()
            other.backward()
            opt.step()


# --- Units -------------------------------------------------------------------------------


@fault("dead-relu", "of the 32 units of relu (64, 32) gave 0", "layer '1' (ReLU)", "reported above 60%")
def relus_off(faulty, doctor):
    model = mlp()
    if faulty:
        model[0].bias.data[:26] = -10
    with doctor:
        learn(model)


@fault("dead-relu", "of the 8 units of relu (32, 8, 6, 6) gave 0", "layer '1' (ReLU)")
def channels_off(faulty, doctor):
    tg.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 10))
    if faulty:
        model[0].bias.data[:7] = -10
    with doctor:
        _learn_images(model)


def _learn_images(model):
    images, labels = digits()
    opt = optim.Adam(model.parameters(), lr=3e-3)
    for step in range(60):
        rows = np.arange(step * 32, (step + 1) * 32) % len(images)
        loss = F.cross_entropy(model(tg.tensor(images[rows].reshape(-1, 1, 8, 8))), labels[rows])
        opt.zero_grad()
        loss.backward()
        opt.step()


@fault("saturated", "tanh (64, 32)", "layer '1' (Tanh)", "reported above 70%", "xavier")
def tanh_flat(faulty, doctor):
    model = mlp(activation=nn.Tanh)
    if faulty:
        model[0].weight.data *= 50
    with doctor:
        learn(model)


@fault("saturated", "sigmoid (64, 32)", "layer '1' (Sigmoid)")
def sigmoid_flat(faulty, doctor):
    model = mlp(activation=nn.Sigmoid)
    if faulty:
        model[0].weight.data *= 100
    with doctor:
        learn(model)


class Attention(nn.Module):
    def __init__(self, scale):
        super().__init__()
        tg.manual_seed(0)
        self.query, self.key, self.value = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 8)
        self.last, self.scale = nn.Linear(8, 10), scale

    def forward(self, x):
        x = x.reshape(-1, 8, 8)
        scores = self.query(x) @ self.key(x).transpose(0, 2, 1) * self.scale
        return self.last((F.softmax(scores) @ self.value(x)).mean(axis=1))


@fault("saturated", "softmax (64, 8, 8)", "F.softmax(scores)", "divide scores by the root of their dimension")
def attention_flat(faulty, doctor):
    with doctor:
        learn(Attention(1000.0 if faulty else 8**-0.5))


# --- Gradients ---------------------------------------------------------------------------


@fault("vanishing-gradient", "'0.weight' (32, 64)", "ReLU", "norms from the first layer to the last")
def eight_sigmoids(faulty, doctor):
    with doctor:
        learn(mlp(depth=8, activation=nn.Sigmoid if faulty else nn.GELU), steps=30)


@fault("vanishing-gradient", "'0.weight' (32, 64)")
def layers_in_another_order(faulty, doctor):
    """Layers are ordered by their position in the graph, not among the parameters."""
    model = mlp(depth=8, activation=nn.Sigmoid if faulty else nn.GELU)
    with doctor:
        learn(model, optim.Adam(reversed(list(model.named_parameters())), lr=3e-3), steps=30)


@fault("exploding-gradient", "is huge", "clip_grad_norm_", "reported above 1e+02")
def weights_too_large(faulty, doctor):
    model = mlp(depth=4, activation=nn.ReLU)
    for layer in model:
        if isinstance(layer, nn.Linear):
            nn.init.kaiming_normal_(layer.weight)
            layer.weight.data *= 10 if faulty else 1
    with doctor:
        learn(model, steps=30)


# --- Updates -----------------------------------------------------------------------------


@fault(
    "large-updates",
    "a step of Adam changes '0.weight' (32, 64), and 1 more, by",
    "lower the learning rate, 0.5 now",
    "usual is 1e-03",
)
def rate_huge(faulty, doctor):
    model = mlp()
    with doctor:
        learn(model, optim.Adam(model.parameters(), lr=0.5 if faulty else 3e-3))


@fault("large-updates", "Lion changes", "reported above 1, or above 0.3 in 3 looks")
def decay_huge(faulty, doctor):
    """Weights that decay by half in a step are never larger than two updates."""
    model = mlp()
    with doctor:
        settings = {"lr": 0.05, "weight_decay": 15.0} if faulty else {"lr": 3e-4}
        learn(model, optim.Lion(model.parameters(), **settings))


@fault("small-updates", "a step of SGD changes", "and 1 more, by", "raise the learning rate, 1e-07 now")
def rate_tiny(faulty, doctor):
    model = mlp()
    with doctor:
        learn(model, optim.SGD(model.parameters(), lr=1e-7 if faulty else 0.1))


@fault(
    "large-eps", "eps is larger than the root of the second moment", "lr / eps", "Adam", "'0.weight' (32, 64)"
)
def eps_large(faulty, doctor):
    model = mlp()
    with doctor:
        learn(model, optim.Adam(model.parameters(), lr=3e-3, eps=1.0 if faulty else 1e-8))


# --- What goes into the loss -------------------------------------------------------------


@fault("softmax-twice", "cross_entropy is given the output of softmax (64, 10)", "F.softmax(z)", "logits")
def softmax_and_cross_entropy(faulty, doctor):
    def loss(z, y):
        return F.cross_entropy(F.softmax(z) if faulty else z, y)

    with doctor:
        learn(mlp(), loss=loss)


@fault("softmax-twice", "cross_entropy is given the output of softmax (64, 10)")
def softmax_in_another_shape(faulty, doctor):
    def loss(z, y):
        z = z.reshape(8, 8, 10)
        z = F.softmax(z) if faulty else z
        return F.cross_entropy(z.reshape(-1, 10), y)

    with doctor:
        learn(mlp(), loss=loss)


@fault("softmax-twice", "output of log_softmax (64, 10)", "computes it twice", "nll_loss")
def log_softmax_and_cross_entropy(faulty, doctor):
    def loss(z, y):
        log_probs = F.log_softmax(z)
        return F.cross_entropy(log_probs, y) if faulty else F.nll_loss(log_probs, y)

    with doctor:
        learn(mlp(), loss=loss)


@fault("sigmoid-twice", "output of sigmoid (64, 1)", "negatives cannot be learned", "F.sigmoid(z)")
def sigmoid_and_logits(faulty, doctor):
    def loss(z, y):
        return F.binary_cross_entropy_with_logits(F.sigmoid(z) if faulty else z, (y > 4)[:, None])

    with doctor:
        learn(mlp(outputs=1), loss=loss)


@fault("not-log-probabilities", "nll_loss is given (64, 10)", "log_softmax")
def nll_of_logits(faulty, doctor):
    def loss(z, y):
        return F.nll_loss(z if faulty else F.log_softmax(z), y)

    with doctor:
        learn(mlp(), loss=loss)


@fault("labels-out-of-range", "(64, 1) of binary_cross_entropy_with_logits", "between 0 and 1", "-1 to 1")
def binary_labels_signed(faulty, doctor):
    def loss(z, y):
        target = (y > 4)[:, None]
        return F.binary_cross_entropy_with_logits(z, 2.0 * target - 1 if faulty else target)

    with doctor:
        learn(mlp(outputs=1), loss=loss)


@fault("labels-out-of-range", "hinge_loss", "must be -1 or 1", "2 * y - 1")
def hinge_labels_unsigned(faulty, doctor):
    def loss(z, y):
        target = (y > 4)[:, None].astype(np.float32)
        return F.hinge_loss(z, target if faulty else 2 * target - 1)

    with doctor:
        learn(mlp(outputs=1), loss=loss)


@fault("labels-shifted", "of 11 outputs the first is never the answer", "subtract 1", "10 wide")
def labels_from_one(faulty, doctor):
    with doctor:
        learn(mlp(outputs=11 if faulty else 10), targets=digits()[1] + faulty, steps=100)


@fault("constant-labels", "one class only", "shuffle=True")
def sorted_by_class(faulty, doctor):
    images, labels = data.load_digits().arrays("train")
    rows = np.argsort(labels, kind="stable") if faulty else np.arange(len(labels))
    model = mlp()
    opt = optim.Adam(model.parameters(), lr=3e-3)
    with doctor:
        for x, y in data.DataLoader(data.TensorDataset(images[rows], labels[rows]), batch_size=16):
            loss = F.cross_entropy(model(x), y)
            opt.zero_grad()
            loss.backward()
            opt.step()


@fault("constant-output", "gives the same output (64, 10) for every input", "Sequential")
def output_constant(faulty, doctor):
    model = mlp()
    if faulty:
        model[0].bias.data[...] = -10
    with doctor:
        learn(model)


# --- Curves ------------------------------------------------------------------------------


@fault(
    "learning-rate-high", "the loss rises instead of falling", "1.1 now", "reported when all 10 are above 2"
)
def loss_rises(faulty, doctor):
    """On a parabola of curvature 2, steps above 2 / 2 land higher on the other side."""
    x = np.random.default_rng(0).choice([-1.0, 1.0], (64, 4)).astype(np.float32)
    weight = nn.Parameter(np.zeros((1, 4)))
    opt = optim.SGD([weight], lr=1.1 if faulty else 0.4)
    with doctor:
        for _ in range(30):
            loss = F.mse_loss(F.linear(tg.tensor(x), weight), x.sum(axis=1, keepdims=True))
            opt.zero_grad()
            loss.backward()
            opt.step()


@fault("learning-rate-low", "hardly moved in", "1e-06 now", "reported below 5%")
def loss_stays(faulty, doctor):
    model = mlp()
    with doctor:
        learn(model, optim.Adam(model.parameters(), lr=1e-6 if faulty else 1e-3), steps=120)


def fit(doctor, images, labels, validation, epochs, width=64):
    model = mlp(width)
    trainer = Trainer(model, optim.Adam(model.parameters(), lr=3e-3), F.cross_entropy, callbacks=[doctor])
    loader = data.DataLoader(data.TensorDataset(images, labels), batch_size=32, shuffle=True)
    with doctor:
        trainer.fit(loader, epochs, data.DataLoader(data.TensorDataset(*validation), batch_size=200))


@fault("overfitting", "by heart", "EarlyStopping", "validation loss", "reported above 10%")
def few_examples(faulty, doctor):
    images, labels = data.load_digits().arrays("train")
    count = 100 if faulty else 600
    learned = labels[:count].copy()
    if faulty:  # some labels are wrong and can only be memorized
        learned[:25] = learned[24::-1]
    fit(doctor, images[:count], learned, (images[600:800], labels[600:800]), 60 if faulty else 10, 256)


@fault("underfitting", "does not even learn its own examples", "larger network", "reported above 80%")
def nothing_to_learn(faulty, doctor):
    images, labels = data.load_digits().arrays("train")
    images, labels = images[:200], labels[:200]
    if faulty:
        labels = np.random.default_rng(0).permutation(labels)
        images = images.mean(axis=1, keepdims=True) * np.ones((1, 64), np.float32)
    fit(doctor, images, labels, (images, labels), 6)


# --- NaN and infinity --------------------------------------------------------------------


@fault("not-finite", "log made the first infinity: 1 of the 64 elements of its output (64,)",
       "tg.log(x + 1e-8)", "a (64,) 0 to", "tg.log(picked)")  # fmt: skip
def log_of_zero(faulty, doctor):
    def loss(z, y):
        picked = F.softmax(z)[np.arange(len(y)), y]
        if faulty:
            picked = picked * (np.arange(len(y)) > 0)
        return -tg.log(picked).mean()

    with np.errstate(all="ignore"), doctor:
        learn(mlp(), loss=loss, steps=10)


@fault(
    "not-finite", "the rule of sqrt for a (64,) made the first", "Forward, all was finite", "tg.sqrt(total)"
)
def root_of_zero(faulty, doctor):
    def loss(z, y):
        total = (F.relu(z - 100 * faulty) ** 2).sum(axis=1)
        return tg.sqrt(total).mean()

    with np.errstate(all="ignore"), doctor:
        learn(mlp(), loss=loss, steps=4)


@fault("not-finite", "linear gives NaN, but did not make it", "x (64, 64)", "numpy.isnan(x)")
def data_missing(faulty, doctor):
    images, labels = digits(64)
    x = images.copy()
    if faulty:
        x[3, 5] = np.nan
    model = mlp()
    with np.errstate(all="ignore"), doctor:
        F.cross_entropy(model(tg.tensor(x)), labels).backward()


@fault("not-finite", "the weights '0.weight' (32, 64) hold it, since the last step", "on_nonfinite='raise'")
def weights_spoiled(faulty, doctor):
    model = mlp()
    opt = optim.Adam(model.parameters(), lr=3e-3)
    with np.errstate(all="ignore"), doctor:
        learn(model, opt, steps=2)
        if faulty:
            model[0].weight.data[0, 0] = np.nan
        learn(model, opt, steps=2)
