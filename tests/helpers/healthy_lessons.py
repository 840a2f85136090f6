"""Trainings that look odd and are healthy: each is what a check could take for a fault."""

from __future__ import annotations

import copy
import itertools

import numpy as np
from doctor_cases import digits, mlp

import tinygrad_adam as tg
from tinygrad_adam import data, nn, optim
from tinygrad_adam.nn import functional as F
from tinygrad_adam.training import Trainer

HEALTHY = {}


def healthy(run):
    """Register a function ``run(doctor)`` in the table under its name."""
    HEALTHY[run.__name__] = run
    return run


def network(*widths, activation=nn.Tanh):
    tg.manual_seed(1)
    pairs = list(itertools.pairwise(widths))
    layers = [layer for a, b in pairs for layer in (nn.Linear(a, b), activation())]
    return nn.Sequential(*layers[:-1])


def follow(doctor, model, loss, batches, opt=None, after=lambda: None):
    """Train on batches; `loss` takes the model and a batch."""
    opt = optim.Adam(model.parameters(), lr=5e-3) if opt is None else opt
    with doctor:
        for batch in batches:
            value = loss(model, *batch)
            opt.zero_grad()
            value.backward()
            opt.step()
            after()


def shuffled(*arrays, epochs=10, batch=32, seed=0):
    rng = np.random.default_rng(seed)
    for _ in range(epochs):
        rows = rng.permutation(len(arrays[0]))
        for start in range(0, len(rows), batch):
            yield tuple(array[rows[start : start + batch]] for array in arrays)


def in_order(*arrays, epochs=10, batch=32):
    for _ in range(epochs):
        for start in range(0, len(arrays[0]), batch):
            yield tuple(array[start : start + batch] for array in arrays)


def cross_entropy(model, x, y):
    return F.cross_entropy(model(tg.tensor(x)), y)


def squared_error(model, x, y):
    return F.mse_loss(model(tg.tensor(x)), y)


def sine(count=256, seed=0):
    x = np.random.default_rng(seed).uniform(-2, 2, (count, 1)).astype(np.float32)
    return x, np.sin(2 * x)


# --- Losses that are negative, or whose terms are ----------------------------------------


@healthy
def likelihood_of_a_density(doctor):
    """With a small deviation the density is above 1, and its negative logarithm below 0."""
    x, y = sine()

    def loss(model, x, y):
        out = model(tg.tensor(x))
        mean, log_deviation = out[:, :1], out[:, 1:]
        return (log_deviation + 0.5 * ((y * 0.1 - mean) / tg.exp(log_deviation)) ** 2).mean()

    follow(doctor, network(1, 32, 2), loss, shuffled(x, y, epochs=20))


def policy_gradient(doctor, rewards_of):
    rng = np.random.default_rng(0)

    def episodes():
        for _ in range(100):
            yield (rng.standard_normal((16, 4)).astype(np.float32),)

    def loss(model, x):
        log_p = F.log_softmax(model(tg.tensor(x)))
        actions = (rng.random(len(x)) < np.exp(log_p.detach().numpy()[:, 1])).astype(int)
        rewards = rewards_of(actions == (x[:, 0] > 0)).astype(np.float32)
        return -(log_p[np.arange(len(x)), actions] * rewards).mean()

    follow(doctor, network(4, 16, 2), loss, episodes())


@healthy
def rewards_that_are_costs(doctor):
    policy_gradient(doctor, lambda right: right - 1.5)


@healthy
def rewards_that_are_positive(doctor):
    policy_gradient(doctor, lambda right: right + 0.5)


@healthy
def similarity_as_a_loss(doctor):
    x, _ = digits(128)
    target = x @ np.random.default_rng(0).standard_normal((64, 8)).astype(np.float32)

    def loss(model, x, t):
        y = model(tg.tensor(x))
        return -((y * t).sum(axis=1) / ((y**2).sum(axis=1) * (t**2).sum(axis=1) + 1e-6) ** 0.5).mean()

    follow(doctor, network(64, 16, 8), loss, shuffled(x, target))


def adversaries(doctor, critic_loss, generator_loss):
    rng = np.random.default_rng(0)
    critic, generator = network(2, 32, 1), network(4, 32, 2)
    critics = optim.Adam(critic.parameters(), lr=1e-3, betas=(0.5, 0.9))
    generators = optim.Adam(generator.parameters(), lr=1e-3, betas=(0.5, 0.9))
    with doctor:
        for _ in range(60):
            real = tg.tensor(rng.standard_normal((32, 2)).astype(np.float32) + 1)
            noise = tg.tensor(rng.standard_normal((32, 4)).astype(np.float32))
            critics.zero_grad()
            critic_loss(critic(real), critic(generator(noise).detach())).backward()
            critics.step()
            generators.zero_grad()
            generator_loss(critic(generator(noise))).backward()
            generators.step()


@healthy
def wasserstein_critic(doctor):
    adversaries(doctor, lambda real, fake: fake.mean() - real.mean(), lambda fake: -fake.mean())


@healthy
def generator_of_the_first_paper(doctor):
    """It minimizes the logarithm of the probability that it is found out."""
    adversaries(
        doctor,
        lambda real, fake: -(tg.log(F.sigmoid(real)) + tg.log(1 - F.sigmoid(fake))).mean(),
        lambda fake: tg.log(1 - F.sigmoid(fake)).mean(),
    )


@healthy
def attack_on_a_fixed_model(doctor):
    x, y = digits(64)
    model = mlp()
    change = nn.Parameter(np.zeros_like(x))
    opt = optim.Adam([change], lr=0.01)
    model.eval()
    with doctor:
        for _ in range(40):
            opt.zero_grad()
            model.zero_grad()
            (-F.cross_entropy(model(tg.tensor(x) + change), y)).backward()
            opt.step()


@healthy
def penalty_on_confidence(doctor):
    x, y = digits(200)

    def loss(model, x, y):
        z = model(tg.tensor(x))
        p = F.softmax(z)
        return F.cross_entropy(z, y) + 0.01 * (p * F.log_softmax(z)).sum(axis=1).mean()

    follow(doctor, network(64, 32, 10), loss, shuffled(x, y))


# --- Shapes ------------------------------------------------------------------------------


@healthy
def all_pairs_on_purpose(doctor):
    """The energy distance compares all samples with all targets."""
    rng = np.random.default_rng(0)
    target = rng.standard_normal(32).astype(np.float32)

    def loss(model, z):
        y = model(tg.tensor(z))[:, 0]
        return tg.abs(y[:, None] - target).mean() - 0.5 * tg.abs(y[:, None] - y).mean()

    batches = ((rng.standard_normal((32, 3)).astype(np.float32),) for _ in range(60))
    follow(doctor, network(3, 16, 1), loss, batches)


# --- Order -------------------------------------------------------------------------------


@healthy
def windows_of_a_series(doctor):
    series = np.sin(np.arange(600) / 25).astype(np.float32)
    x = np.lib.stride_tricks.sliding_window_view(series, 8)[:-1]
    follow(doctor, network(8, 16, 1), squared_error, in_order(x, series[8:, None], epochs=5, batch=16))


@healthy
def all_data_in_one_batch_sorted(doctor):
    x, y = data.moons(200)
    order = np.argsort(y, kind="stable")
    follow(doctor, network(2, 16, 2), cross_entropy, in_order(x[order], y[order], epochs=60, batch=200))


@healthy
def a_line_of_points_in_one_batch(doctor):
    x = np.linspace(-2, 2, 100, dtype=np.float32)[:, None]
    follow(doctor, network(1, 16, 1), squared_error, in_order(x, np.sin(2 * x), epochs=60, batch=100))


@healthy
def easy_examples_first(doctor):
    x, y = data.moons(400)
    easy = np.argsort(-np.abs(x[:, 1] - 0.25), kind="stable")
    follow(doctor, network(2, 16, 2), cross_entropy, in_order(x[easy], y[easy], epochs=8))


@healthy
def a_rare_class(doctor):
    rng = np.random.default_rng(0)
    y = (rng.random(600) < 0.1).astype(int)
    x = (rng.standard_normal((600, 4)) + 3 * y[:, None]).astype(np.float32)
    follow(doctor, network(4, 16, 2), cross_entropy, shuffled(x, y, epochs=12))


# --- Learning rates ----------------------------------------------------------------------


def scheduled(doctor, make, epochs=12, lr=5e-3, per_step=True):
    x, y = digits(256)
    model = network(64, 32, 10)
    opt = optim.Adam(model.parameters(), lr=lr)
    schedule = make(opt)
    batches = list(shuffled(x, y, epochs=1))

    steps = itertools.count(1)

    def stepped():
        if per_step or next(steps) % len(batches) == 0:
            schedule.step()

    follow(doctor, model, cross_entropy, batches * epochs, opt, stepped)


@healthy
def a_warm_up_from_zero(doctor):
    scheduled(doctor, lambda opt: optim.LambdaLR(opt, lambda step: min(step / 15, 1)))


@healthy
def one_cycle(doctor):
    scheduled(doctor, lambda opt: optim.OneCycleLR(opt, 1e-2, 96))


@healthy
def warm_restarts_after_epochs(doctor):
    scheduled(doctor, lambda opt: optim.CosineAnnealingWarmRestarts(opt, 16))


@healthy
def a_step_by_ten_per_epoch(doctor):
    scheduled(doctor, lambda opt: optim.MultiStepLR(opt, [6, 9], 0.1), per_step=False)


@healthy
def plateaus(doctor):
    x, y = digits(256)
    model = network(64, 32, 10)
    opt = optim.Adam(model.named_parameters(), lr=5e-3)
    trainer = Trainer(
        model, opt, F.cross_entropy, schedule=optim.ReduceLROnPlateau(opt, patience=2),
        schedule_monitor="loss", callbacks=[doctor],
    )  # fmt: skip
    with doctor:
        trainer.fit(data.DataLoader(data.TensorDataset(x, y), 32, shuffle=True), 12)


@healthy
def small_steps(doctor):
    x, y = data.blobs(300)
    model = network(2, 32, 3)
    follow(doctor, model, cross_entropy, shuffled(x, y, epochs=15), optim.SGD(model.parameters(), lr=0.02))


@healthy
def usual_decay(doctor):
    x, y = digits(256)
    model = network(64, 32, 10)
    opt = optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.1)
    follow(doctor, model, cross_entropy, shuffled(x, y, epochs=20), opt)


@healthy
def strong_decay_before_a_normalization(doctor):
    x, y = digits(256)
    tg.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 10))
    opt = optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-3)
    follow(doctor, model, cross_entropy, shuffled(x, y, epochs=20), opt)


@healthy
def an_optimizer_for_each_task(doctor):
    """Reptile: a few steps from the same weights on each task, each with an optimizer of its own."""
    model = network(1, 16, 1)
    with doctor:
        for seed in range(12):
            x, y = sine(64, seed)
            before = copy.deepcopy(model.state_dict())
            opt = optim.Adam(model.parameters(), lr=5e-3)
            for bx, by in shuffled(x, y, epochs=3):
                opt.zero_grad()
                squared_error(model, bx, by).backward()
                opt.step()
            after = model.state_dict()
            model.load_state_dict({k: before[k] + 0.5 * (after[k] - before[k]) for k in before})


# --- Scales ------------------------------------------------------------------------------


@healthy
def sums_with_adam(doctor):
    x, y = digits(256)

    def loss(model, x, y):
        return F.cross_entropy(model(tg.tensor(x)), y, reduction="sum")

    follow(doctor, network(64, 32, 10), loss, shuffled(x, y))


@healthy
def pixels_before_a_normalization(doctor):
    x, y = digits(256)
    tg.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(288, 10))
    images = (x * 255 / x.max()).reshape(-1, 1, 8, 8)
    follow(doctor, model, cross_entropy, shuffled(images, y, epochs=6))


@healthy
def pixels_that_the_model_scales(doctor):
    x, y = digits(256)

    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = network(64, 32, 10)

        def forward(self, x):
            return self.body(x / 255)

    follow(doctor, Scaled(), cross_entropy, shuffled(x * 255 / x.max(), y))


@healthy
def large_targets_that_are_reached(doctor):
    x, y = sine()
    model = network(1, 32, 1)
    model[-1].bias.data[...] = 50
    follow(doctor, model, squared_error, shuffled(x, 50 + 10 * y))


@healthy
def sparse_words(doctor):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 300)
    x = (rng.random((300, 200)) < np.where(y[:, None], 0.02, 0.04)).astype(np.float32)
    follow(doctor, network(200, 16, 2), cross_entropy, shuffled(x, y))


# --- Targets -----------------------------------------------------------------------------


@healthy
def autoencoder_of_pixels(doctor):
    x = digits(256)[0]
    x = x / x.max()
    tg.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 64), nn.Sigmoid())
    follow(doctor, model, squared_error, shuffled(x, x, epochs=20))


@healthy
def mixed_and_smoothed_labels(doctor):
    x, y = digits(256)
    rng = np.random.default_rng(0)
    one_hot = np.eye(10, dtype=np.float32)[y]

    def loss(model, x, q):
        share, other = 0.8, rng.permutation(len(x))
        z = model(tg.tensor(share * x + (1 - share) * x[other]))
        return F.cross_entropy(z, share * q + (1 - share) * q[other])

    follow(doctor, network(64, 32, 10), loss, shuffled(x, one_hot))


@healthy
def weighted_classes(doctor):
    x, y = digits(256)
    weight = np.linspace(0.5, 2, 10).astype(np.float32)

    def loss(model, x, q):
        return F.cross_entropy(model(tg.tensor(x)), q, weight=weight)

    follow(doctor, network(64, 32, 10), loss, shuffled(x, np.eye(10, dtype=np.float32)[y]))


@healthy
def mostly_noise(doctor):
    """A tenth of the variance of the targets can be explained."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1200, 6)).astype(np.float32)
    y = (x[:, :1] + 2.5 * rng.standard_normal((1200, 1))).astype(np.float32)
    follow(doctor, network(6, 16, 1), squared_error, shuffled(x, y, epochs=3))


@healthy
def the_quarters_of_a_plane(doctor):
    """No linear function tells the classes, and the network takes its time."""
    x = np.random.default_rng(0).uniform(-1, 1, (400, 2)).astype(np.float32)
    y = (x[:, 0] * x[:, 1] > 0).astype(int)
    model = network(2, 16, 2)
    follow(doctor, model, cross_entropy, shuffled(x, y, epochs=8), optim.SGD(model.parameters(), lr=0.05))


@healthy
def a_deep_network_that_starts_late(doctor):
    x, y = digits(600)
    follow(
        doctor, network(64, 32, 32, 32, 32, 10, activation=nn.ReLU), cross_entropy, shuffled(x, y, epochs=5)
    )


@healthy
def noise_that_is_predicted(doctor):
    """As a diffusion model learns."""
    x = digits(256)[0] / 8 - 1
    rng = np.random.default_rng(0)

    def loss(model, x):
        noise = rng.standard_normal(x.shape).astype(np.float32)
        return F.mse_loss(model(tg.tensor(0.6 * x + 0.8 * noise)), noise)

    follow(doctor, network(64, 64, 64), loss, shuffled(x, epochs=15))


@healthy
def bootstrapped_values(doctor):
    """Targets come from the network itself, as in Q-learning."""
    rng = np.random.default_rng(0)

    def loss(model, state):
        after = (0.9 * state + 0.1 * rng.standard_normal(state.shape)).astype(np.float32)
        with tg.no_grad():
            target = state[:, :1] + 0.9 * model(tg.tensor(after)).numpy()
        return F.mse_loss(model(tg.tensor(state)), target)

    states = rng.standard_normal((256, 3)).astype(np.float32)
    follow(doctor, network(3, 32, 1), loss, shuffled(states))


# --- Modes, and what is measured ---------------------------------------------------------


@healthy
def a_frozen_normalization(doctor):
    x, y = digits(256)
    tg.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 10))
    model[1].eval()
    follow(doctor, model, cross_entropy, shuffled(x, y))


@healthy
def a_new_head_on_a_frozen_body(doctor):
    x, y = digits(256)
    tg.manual_seed(0)
    body = nn.Sequential(nn.Linear(64, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.1))
    for p in body.parameters():
        p.requires_grad_(False)
    model = nn.Sequential(body, nn.Linear(32, 10)).eval()
    follow(doctor, model, cross_entropy, shuffled(x, y), optim.Adam(model[1].parameters(), lr=5e-3))


@healthy
def training_and_test_accuracy(doctor):
    x, y = digits(256)
    model = network(64, 32, 10)
    parts = {"train": (x[:180], y[:180]), "test": (x[180:], y[180:])}

    def accuracy(images, labels):
        with tg.no_grad():
            return float((model(tg.tensor(images)).numpy().argmax(axis=1) == labels).mean())

    count = itertools.count()

    def after():
        if next(count) % 6 == 5:
            for images, labels in parts.values():
                accuracy(images, labels)

    follow(doctor, model, cross_entropy, shuffled(*parts["train"]), after=after)


@healthy
def a_part_of_the_training_examples_is_measured(doctor):
    x, y = digits(256)
    model = network(64, 32, 10)
    count = itertools.count()

    def after():
        if next(count) % 6 == 5:
            with tg.no_grad():
                model(tg.tensor(x[:80]))
                model(tg.tensor(x[180:]))

    follow(doctor, model, cross_entropy, shuffled(x[:180], y[:180]), after=after)


@healthy
def cross_validation(doctor):
    x, y = digits(240)
    parts = np.arange(len(x)) % 3
    with doctor:
        for part in range(3):
            model = network(64, 32, 10)
            opt = optim.Adam(model.parameters(), lr=5e-3)
            for bx, by in shuffled(x[parts != part], y[parts != part], epochs=4):
                opt.zero_grad()
                cross_entropy(model, bx, by).backward()
                opt.step()
            with tg.no_grad():
                model(tg.tensor(x[parts == part]))


@healthy
def measured_before_it_is_learned(doctor):
    """Learning from a stream: each batch is a test first."""
    x, y = digits(600)
    model = network(64, 32, 10)

    def loss(model, x, y):
        with tg.no_grad():
            model(tg.tensor(x))
        return cross_entropy(model, x, y)

    follow(doctor, model, loss, in_order(x, y, epochs=1, batch=16))


@healthy
def data_of_few_values(doctor):
    """Rows are equal by chance in a table of a few categories."""
    rng = np.random.default_rng(0)
    table = np.eye(5, dtype=np.float32)
    values = rng.integers(0, 5, (500, 3))
    x = table[values].reshape(500, 15)
    y = (values.sum(axis=1) > 6).astype(int)
    model = network(15, 16, 2)
    count = itertools.count()

    def after():
        if next(count) % 10 == 9:
            with tg.no_grad():
                model(tg.tensor(x[350:]))

    follow(doctor, model, cross_entropy, shuffled(x[:350], y[:350]), after=after)


@healthy
def loss_of_several_batches(doctor):
    """Losses are added as Tensors until one backward pass takes them all."""
    x, y = digits(256)
    model = network(64, 32, 10)
    opt = optim.Adam(model.parameters(), lr=5e-3)
    with doctor:
        for _ in range(30):
            total = 0.0
            for bx, by in in_order(x, y, epochs=1, batch=64):
                total = total + cross_entropy(model, bx, by) / 4
            opt.zero_grad()
            total.backward()
            opt.step()
