"""Faults of data, losses and schedules, planted as in `doctor_cases`."""

from __future__ import annotations

import numpy as np
from doctor_cases import Cases, digits, learn, learn_in_batches, mlp

import tinygrad_adam as tg
from tinygrad_adam import nn, optim
from tinygrad_adam.nn import functional as F

CASES = Cases()
fault = CASES.fault

ONE_HOT = np.eye(10, dtype=np.float32)


# --- The sign of the loss ----------------------------------------------------------------


@fault("sign-turned", "negative of softmax_cross_entropy", "remove the minus", "-1 if faulty")
def loss_negated(faulty, doctor):
    def loss(z, y):
        return F.cross_entropy(z, y) * (-1 if faulty else 1)

    with doctor:
        learn(mlp(), loss=loss, steps=30)


@fault("sign-turned", "logarithm of a probability", "put a minus", "axis=1")
def minus_forgotten(faulty, doctor):
    def loss(z, y):
        picked = (F.log_softmax(z) * ONE_HOT[y]).sum(axis=1)
        return picked.mean() if faulty else -picked.mean()

    with doctor:
        learn(mlp(), loss=loss, steps=30)


@fault("sign-turned", "along the gradient", "p.data -= lr * p.grad", "loss.backward()")
def ascent(faulty, doctor):
    images, labels = digits(64)
    model = mlp()
    with doctor:
        for _ in range(30):
            model.zero_grad()
            loss = F.cross_entropy(model(tg.tensor(images)), labels)
            loss.backward()
            for p in model.parameters():
                p.data[...] += (0.05 if faulty else -0.05) * p.grad.numpy()


@fault("loss-broadcast", "(64, 1) and the target (64,)", "(64, 64)", "y.reshape(-1, 1)", "z - target")
def column_against_row(faulty, doctor):
    def loss(z, y):
        target = (y > 4).astype(np.float32)
        target = target if faulty else target[:, None]
        return ((z - target) ** 2).mean()

    with doctor:
        learn(mlp(outputs=1), loss=loss)


# --- Data --------------------------------------------------------------------------------


@fault(
    "labels-unrelated", "the labels do not seem to belong", "neither the nearest neighbor", "x[rows], y[rows]"
)
def labels_shuffled(faulty, doctor):
    x, y = digits(1000)
    y = np.random.default_rng(0).permutation(y) if faulty else y
    with doctor:
        learn_in_batches(mlp(), x, y, steps=100, batch=32)


@fault("labels-unrelated", "the targets do not seem to belong")
def targets_shuffled(faulty, doctor):
    targets = digits()[0][:, 20:22].sum(axis=1, keepdims=True)
    targets = np.random.default_rng(0).permutation(targets) if faulty else targets
    with doctor:
        learn(mlp(outputs=1), loss=F.mse_loss, targets=targets)


@fault("sorted-data", "come class by class", "rng.permutation", "runs of equal labels")
def sorted_by_label(faulty, doctor):
    x, y = digits()
    order = np.argsort(y, kind="stable") if faulty else np.arange(len(y))
    with doctor:
        learn_in_batches(mlp(), x[order], y[order], batch=48)


@fault("sorted-data", "the inputs of each batch only rise or only fall", "shuffle=True")
def sorted_by_input(faulty, doctor):
    x = np.linspace(-3, 3, 256, dtype=np.float32)[:, None]
    x = x if faulty else np.random.default_rng(0).permutation(x)
    tg.manual_seed(0)
    model = nn.Sequential(nn.Linear(1, 32), nn.Tanh(), nn.Linear(32, 1))
    with doctor:
        learn_in_batches(model, x, np.sin(x), F.mse_loss)


@fault("input-scale", "of linear are large: root mean square", "pixels / 255", "reported above 20")
def pixels_as_they_are(faulty, doctor):
    x, y = digits()
    with doctor:
        learn_in_batches(mlp(), x * (255 / x.max() if faulty else 1), y)


@fault("input-scale", "are large: root mean square", "pixels / 255")
def signals_as_they_are(faulty, doctor):
    x, y = digits()
    tg.manual_seed(0)
    filters = nn.Conv1d(1, 4, 5, padding=2)  # its weight is seen through a view
    model = nn.Sequential(filters, nn.ReLU(), nn.Flatten(), nn.Linear(4 * 64, 10))
    with doctor:
        learn_in_batches(model, x[:, None] * (255 / x.max() if faulty else 1), y)


@fault("input-scale", "tiny: none is beyond 0.0039", "scaled twice")
def pixels_scaled_twice(faulty, doctor):
    x, y = digits()
    with doctor:
        learn_in_batches(mlp(), x / x.max() / (255 if faulty else 1), y)


@fault("input-scale", "very different scales: column 0 varies by", "of each column")
def columns_unlike(faulty, doctor):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((256, 4)).astype(np.float32)
    y = x[:, 1:2] * 2 - x[:, :1]
    x[:, 1] /= 1000 if faulty else 1
    tg.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 32), nn.Tanh(), nn.Linear(32, 1))
    with doctor:
        learn_in_batches(model, x, y, F.mse_loss)


@fault(
    "target-scale", "the targets have a size of about", "standardize the targets", "prediction * std + mean"
)
def prices(faulty, doctor):
    x = digits()[0]
    y = x[:, 20:22].sum(axis=1, keepdims=True) * 100
    y = y if faulty else (y - y.mean()) / y.std()
    with doctor:
        learn_in_batches(mlp(outputs=1), x, y, F.mse_loss, steps=90)


@fault("targets-out-of-reach", "ends with sigmoid", "from 0 to 1", "without sigmoid")
def sigmoid_for_standardized_targets(faulty, doctor):
    x = digits()[0]
    y = x[:, 20:22].sum(axis=1, keepdims=True)
    y = (y - y.mean()) / y.std()
    model = mlp(outputs=1)
    with doctor:
        learn_in_batches(nn.Sequential(*model, *[nn.Sigmoid()] * faulty), x, y, F.mse_loss)


@fault(
    "test-in-training",
    "of 100 examples that Sequential is measured with",
    "rng.permutation(len(x))",
    "model(",
)
def test_set_learned(faulty, doctor):
    x, y = digits()
    model = mlp()
    train, test = (x, x[156:]) if faulty else (x[:156], x[156:])
    with doctor:
        for _ in range(3):
            learn_in_batches(model, train, y[: len(train)], steps=len(train) // 16 + 1)
            with tg.no_grad():
                model(tg.tensor(test))


@fault("several-labels", "several classes at once", "binary_cross_entropy_with_logits")
def properties_for_softmax(faulty, doctor):
    x, y = digits()
    many = np.stack([y % 2, y > 4, y % 3 == 0], axis=1).astype(np.float32)
    one = np.eye(3, dtype=np.float32)[y % 3]
    with doctor:
        learn_in_batches(mlp(outputs=3), x, many if faulty else one)


@fault("target-in-inputs", "column 64 of the inputs (16, 65)", "remove that column")
def target_among_the_inputs(faulty, doctor):
    x, y = digits()
    extra = y if faulty else np.zeros(len(y))
    x = np.concatenate([x, extra[:, None].astype(np.float32)], axis=1)
    tg.manual_seed(0)
    with doctor:
        learn_in_batches(nn.Sequential(nn.Linear(65, 32), nn.ReLU(), nn.Linear(32, 10)), x, y)


@fault("majority-only", "class 0 for every one", "weight=w", "nothing is learned")
def rare_class_ignored(faulty, doctor):
    rng = np.random.default_rng(0)
    y = (rng.random(512) < 0.12).astype(int)
    x = (rng.standard_normal((512, 8)) + 0.4 * y[:, None]).astype(np.float32)
    weight = None if faulty else np.array([0.14, 1.0], np.float32)
    tg.manual_seed(0)
    model = nn.Linear(8, 2)
    with doctor:
        learn_in_batches(model, x, y, lambda z, t: F.cross_entropy(z, t, weight=weight), steps=200, batch=32)


# --- Schedules and steps -----------------------------------------------------------------


def learn_in_epochs(model, opt, epochs=8, per_step=None, per_epoch=None, batch=32):
    x, y = digits()
    for _ in range(epochs):
        for start in range(0, len(x), batch):
            loss = F.cross_entropy(model(tg.tensor(x[start : start + batch])), y[start : start + batch])
            opt.zero_grad()
            loss.backward()
            opt.step()
            if per_step is not None:
                per_step.step()
        if per_epoch is not None:
            per_epoch.step()


@fault("schedule-per-batch", "a tenth of it in", "once an epoch", "opt.step()")
def schedule_stepped_per_batch(faulty, doctor):
    model = mlp()
    opt = optim.Adam(model.parameters(), lr=3e-3)
    schedule = optim.CosineAnnealingLR(opt, 6)
    with doctor:
        learn_in_epochs(model, opt, 6, **{"per_step" if faulty else "per_epoch": schedule})


@fault("schedule-per-batch", "fell and rose again")
def waves_in_an_epoch(faulty, doctor):
    model = mlp()
    opt = optim.Adam(model.parameters(), lr=3e-3)
    schedule = optim.CosineAnnealingWarmRestarts(opt, 2 if faulty else 16)
    with doctor:
        learn_in_epochs(model, opt, 6, per_step=schedule)


@fault("learning-rate-zero", "has come from 0.003 to 0", "epochs * len(loader)")
def schedule_too_short(faulty, doctor):
    model = mlp()
    opt = optim.Adam(model.parameters(), lr=3e-3)
    with doctor:
        learn_in_epochs(model, opt, 8, per_step=optim.CosineAnnealingLR(opt, 30 if faulty else 64))


@fault("learning-rate-zero", "is 0 from the first step on", "1e-3 for Adam")
def rate_zero(faulty, doctor):
    model = mlp()
    with doctor:
        learn_in_epochs(model, optim.Adam(model.parameters(), lr=0.0 if faulty else 3e-3), 4)


@fault("weight-decay", "wins against the gradient", "lower weight_decay, 1 now")
def decay_wins(faulty, doctor):
    model = mlp()
    opt = optim.SGD(model.parameters(), lr=0.1, weight_decay=1.0 if faulty else 1e-4)
    with doctor:
        learn(model, opt, steps=120)


@fault("weight-decay", "AdamW", "0.01 to 0.1")
def decoupled_decay_wins(faulty, doctor):
    model = mlp()
    opt = optim.AdamW(model.parameters(), lr=1e-3, weight_decay=100.0 if faulty else 0.1)
    with doctor:
        learn(model, opt, steps=120)


@fault("evaluation-mode", "'1' (BatchNorm1d) and 1 more", "model.train()", "opt.step()")
def trained_in_evaluation_mode(faulty, doctor):
    tg.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(64, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, 10)
    )
    with doctor:
        learn(model.eval() if faulty else model)


@fault("loss-summed", "sum of 64 losses", "loss.mean()", "divide the learning rate")
def loss_summed(faulty, doctor):
    def loss(z, y):
        return F.cross_entropy(z, y, reduction="sum" if faulty else "mean")

    model = mlp()
    with np.errstate(all="ignore"), doctor:
        learn(model, optim.SGD(model.parameters(), lr=0.1), loss=loss, steps=20)


@fault("optimizer-anew", "each step has a new Adam", "once, before the loop", "opt.step()")
def optimizer_in_the_loop(faulty, doctor):
    images, labels = digits(64)
    model = mlp()
    opt = optim.Adam(model.parameters(), lr=3e-3)
    with doctor:
        for _ in range(10):
            if faulty:
                opt = optim.Adam(model.parameters(), lr=3e-3)
            loss = F.cross_entropy(model(tg.tensor(images)), labels)
            opt.zero_grad()
            loss.backward()
            opt.step()


@fault("history-kept", "keeps the graph of every step", "loss.item()", "total = total +")
def losses_summed_as_tensors(faulty, doctor):
    images, labels = digits(64)
    model = mlp()
    opt = optim.Adam(model.parameters(), lr=3e-3)
    total = 0.0
    with doctor:
        for _ in range(30):
            loss = F.cross_entropy(model(tg.tensor(images)), labels)
            opt.zero_grad()
            loss.backward()
            opt.step()
            total = total + (loss if faulty else loss.item())
