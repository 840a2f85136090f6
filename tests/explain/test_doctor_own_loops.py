"""The doctor in loops of one's own: gradients from tg.grad, accumulated ones, raw arrays, schedules."""

import weakref

import numpy as np
import pytest

import tinygrad_adam as tg
from tinygrad_adam import nn, optim
from tinygrad_adam.nn import functional as F


def cloud(n=320, classes=4, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, classes, n)
    x = rng.normal(size=(n, 6)) + 2 * np.eye(6)[y]
    return x.astype(np.float32), y


def network(*, activation=True, outputs=4):
    tg.manual_seed(0)
    between = [nn.ReLU()] if activation else []
    return nn.Sequential(nn.Linear(6, 16), *between, nn.Linear(16, outputs))


def rows(n, size=32, epochs=8, shuffle=True):
    rng = np.random.default_rng(1)
    for _ in range(epochs):
        order = rng.permutation(n) if shuffle else np.arange(n)
        yield from (order[i : i + size] for i in range(0, n, size))


def kinds(doctor):
    return [finding.kind for finding in doctor.findings]


def with_grad(model, loss, x, y, shuffle=True, opt=None):
    """Train by ``p.grad = tg.grad(...)``, with inputs that are raw arrays; return doctor and losses."""
    parameters = list(model.parameters())
    opt = opt or optim.Adam(parameters, lr=5e-3)
    losses = []
    with tg.doctor(tell=None) as doctor:
        for i in rows(len(x), shuffle=shuffle):
            value = loss(model(x[i]), y[i])
            for p, g in zip(parameters, tg.grad(value, parameters), strict=True):
                p.grad = g
            opt.step()
            losses.append(value.item())
    return doctor, losses


def turned(z, y):
    return -F.cross_entropy(z, y)


def wide(z, y):
    return ((z - y) ** 2).mean()


@pytest.mark.parametrize(
    "kind", ["sign-turned", "loss-broadcast", "no-activation", "sorted-data", "input-scale"]
)
def test_a_mistake_shows_though_gradients_come_from_grad(kind):
    x, y = cloud()
    model, loss, shuffle = network(), F.cross_entropy, True
    if kind == "sign-turned":
        loss = turned
    elif kind == "loss-broadcast":
        model, loss, y = network(outputs=1), wide, y.astype(np.float32)
    elif kind == "no-activation":
        model = network(activation=False)
    elif kind == "sorted-data":
        x, y, shuffle = x[np.argsort(y, kind="stable")], np.sort(y), False
        x, y = (a.reshape(4, 10, 8, *a.shape[1:]).swapaxes(0, 1).reshape(a.shape) for a in (x, y))
    else:
        x = x * 200
    doctor, _ = with_grad(model, loss, x, y, shuffle)
    assert kind in kinds(doctor)


def test_a_healthy_loop_with_grad_raises_no_alarm_and_its_losses_are_known():
    doctor, losses = with_grad(network(), F.cross_entropy, *cloud())
    assert losses[-1] < 0.5 * losses[0]
    assert kinds(doctor) == []
    assert f"from {np.median(losses[:3]):.4g}" in doctor.summary()


def test_a_loop_of_ones_own_with_grad_and_no_optimizer_is_watched():
    x, y = cloud()
    for activation, expected in ((True, []), (False, ["no-activation"])):
        model = network(activation=activation)
        parameters = list(model.parameters())
        with tg.doctor(tell=None) as doctor:
            for i in rows(len(x)):
                value = F.cross_entropy(model(x[i]), y[i])
                for p, g in zip(parameters, tg.grad(value, parameters), strict=True):
                    p.data = p.data - 0.1 * g.numpy()
        assert kinds(doctor) == expected
        assert doctor.step == 79  # the 80th has only begun


def test_gradients_one_by_one_are_one_pass():
    x, y = cloud()
    model = network()
    parameters = list(model.parameters())
    opt = optim.SGD(parameters, lr=0.1)
    with tg.doctor(tell=None) as doctor:
        for i in rows(len(x), epochs=3):
            value = F.cross_entropy(model(x[i]), y[i])
            for p in parameters:
                p.grad = tg.grad(value, p, retain_graph=True)
            opt.step()
    assert kinds(doctor) == []
    assert doctor.step == 30


def test_gradients_of_inputs_and_those_differentiated_again_are_no_training():
    """Adversarial examples and a gradient penalty: their losses are not the loss that is minimized."""
    x, y = cloud()
    model = network()
    opt = optim.Adam(model.parameters(), lr=5e-3)
    with tg.doctor(tell=None) as doctor:
        for i in rows(len(x)):
            given = tg.tensor(x[i], requires_grad=True)
            attacked = turned(model(given), y[i])
            tg.grad(attacked, given)
            error = F.cross_entropy(model(given), y[i])
            slope = tg.grad(error, given, create_graph=True)
            opt.zero_grad()
            (error + 0.1 * tg.square(slope).sum(axis=1).mean()).backward()
            opt.step()
    assert kinds(doctor) == []


def accumulate(model, x, y, schedule=None, epochs=8):
    """Train on halves of batches; return the doctor."""
    opt = optim.Adam(model.parameters(), lr=5e-3)
    plan = schedule and schedule(opt)
    with tg.doctor(tell=None) as doctor:
        for number, i in enumerate(rows(len(x), epochs=epochs), 1):
            opt.zero_grad()
            for half in (i[:16], i[16:]):
                (F.cross_entropy(model(tg.tensor(x[half])), y[half]) / 2).backward()
            opt.step()
            if plan and number % 10 == 0:
                plan.step()
    return doctor


def test_a_loop_that_accumulates_has_each_pair_of_layers_once():
    doctor = accumulate(network(activation=False), *cloud())
    assert kinds(doctor) == ["no-activation"]


def test_a_rate_that_falls_to_nothing_epoch_by_epoch_is_not_stepped_per_batch():
    doctor = accumulate(network(), *cloud(), lambda opt: optim.StepLR(opt, 1, 0.05), epochs=12)
    assert kinds(doctor) == ["learning-rate-zero"]
    assert "opt.step()" in doctor.findings[0].where


def test_a_slow_decay_in_each_batch_counts_batches_for_epochs():
    x, y = cloud(n=640)
    model = network()
    for gamma, expected in ((0.9, ["schedule-per-batch"]), (0.99, [])):
        opt = optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
        plan = optim.ExponentialLR(opt, gamma)
        with tg.doctor(tell=None) as doctor:
            for i in rows(len(x)):
                loss = F.cross_entropy(model(x[i]), y[i])
                opt.zero_grad()
                loss.backward()
                opt.step()
                plan.step()
        assert kinds(doctor) == expected


def test_a_rate_of_nothing_is_reported_with_the_line_of_a_step_where_epochs_are_unknown():
    model = network()
    opt = optim.Adam(model.parameters(), lr=1e-2)
    plan = optim.ExponentialLR(opt, 0.7)
    rng = np.random.default_rng(0)
    with tg.doctor(tell=None) as doctor:
        for _ in range(60):  # a stream: no row comes again
            y = rng.integers(0, 4, 32)
            x = (rng.normal(size=(32, 6)) + 2 * np.eye(6)[y]).astype(np.float32)
            opt.zero_grad()
            F.cross_entropy(model(x), y).backward()
            opt.step()
            plan.step()
    found = next(f for f in doctor.findings if f.kind == "learning-rate-zero")
    assert "opt.step()" in found.where


@pytest.mark.parametrize("value", [1.0, 0.05])
def test_weights_that_all_begin_with_one_number_are_alike_though_biases_differ(value):
    model = network()
    model[0].weight.data[...] = value
    doctor, _ = with_grad(model, F.cross_entropy, *cloud())
    found = next(f for f in doctor.findings if f.kind == "equal-units")
    assert f"begin with the same number, {value:g}" in found.what
    assert found.step == 1


def test_decay_that_wins_shows_beside_an_embedding_that_shrinks_slowly():
    rng = np.random.default_rng(0)
    tokens = rng.integers(0, 20, (320, 8))
    y = (tokens < 5).sum(axis=1).clip(0, 3)

    class Words(nn.Module):
        def __init__(self):
            super().__init__()
            tg.manual_seed(0)
            self.embedding, self.a, self.b = nn.Embedding(20, 12), nn.Linear(12, 16), nn.Linear(16, 4)

        def forward(self, t):
            return self.b(F.relu(self.a(self.embedding(t).mean(axis=1))))

    for decay, there in ((1.0, True), (1e-3, False)):
        model = Words()
        opt = optim.Adam(model.parameters(), lr=5e-3, weight_decay=decay)
        doctor, _ = with_grad(model, F.cross_entropy, tokens, y, opt=opt)
        assert ("weight-decay" in kinds(doctor)) == there


def test_training_in_evaluation_mode_is_not_taken_for_a_measurement():
    x, y = cloud()
    tg.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 4))
    model(tg.tensor(x[:32]))
    opt = optim.Adam(model.parameters(), lr=5e-3)
    with tg.doctor(tell=None) as doctor:
        for number, i in enumerate(rows(len(x))):
            if number == 4:
                model.eval()
            opt.zero_grad()
            F.cross_entropy(model(tg.tensor(x[i])), y[i]).backward()
            opt.step()
    assert kinds(doctor) == ["evaluation-mode"]


def test_labels_that_do_not_belong_to_sequences_of_tokens_are_seen():
    rng = np.random.default_rng(0)
    tokens = rng.integers(4, 20, (1200, 10))
    y = rng.integers(0, 4, 1200)
    tokens[np.arange(1200), rng.integers(0, 10, 1200)] = y
    for labels, there in ((y, False), (rng.permutation(y), True)):
        tg.manual_seed(0)
        model = nn.Sequential(nn.Embedding(20, 8), nn.Flatten(), nn.Linear(80, 4))
        doctor, _ = with_grad(model, F.cross_entropy, tokens, labels)
        assert ("labels-unrelated" in kinds(doctor)) == there


def test_a_single_weight_that_begins_near_zero_is_no_huge_update():
    rng = np.random.default_rng(0)
    x = rng.normal(0, 5, (300, 1)).astype(np.float32)
    tg.manual_seed(0)
    model = nn.Linear(1, 1)
    model.weight.data[...] = 0.05
    opt = optim.SGD(model.parameters(), lr=0.01)
    with tg.doctor(tell=None) as doctor:
        for i in rows(300):
            opt.zero_grad()
            F.mse_loss(model(tg.tensor(x[i])), 2 * x[i] + 1).backward()
            opt.step()
    assert kinds(doctor) == []


def test_test_examples_show_though_the_model_is_given_raw_arrays():
    x, y = cloud()
    model = network()
    opt = optim.Adam(model.parameters())
    with tg.doctor(tell=None) as doctor:
        for _ in range(3):
            for i in rows(len(x), epochs=1, shuffle=False):
                opt.zero_grad()
                F.cross_entropy(model(x[i]), y[i]).backward()
                opt.step()
            with tg.no_grad():
                model(x[:100])
    assert kinds(doctor) == ["test-in-training"]


@pytest.mark.parametrize("training", [True, False])
def test_outputs_that_nothing_differentiates_are_not_kept(training):
    x, y = cloud()
    model = network()
    nodes = []
    with tg.doctor(tell=None):  # its first step is one that it looks at closely
        F.cross_entropy(model(x), y).backward()
        model.train(training)
        for _ in range(10):  # measured without no_grad, as many do
            output = model(x)
            nodes += [weakref.ref(output.node), weakref.ref(F.cross_entropy(output, y).node)]
            del output
        model(x)
        assert [node for node in nodes if node() is not None] == []


def test_the_first_step_is_looked_at_though_it_takes_several_passes():
    x, y = cloud()
    model = network()
    for layer in (model[0], model[2]):
        nn.init.constant_(layer.weight, 0.1)
    opt = optim.Adam(model.parameters())
    with tg.doctor(tell=None) as doctor:
        for i in rows(len(x), epochs=1):
            for half in (i[:16], i[16:]):
                F.cross_entropy(model(tg.tensor(x[half])), y[half]).backward()
            opt.step()
            opt.zero_grad()
    assert doctor.step == 10
    assert [(finding.kind, finding.step) for finding in doctor.findings] == [("equal-units", 1)]


def test_steps_by_hand_before_the_first_optimizer_count():
    x, y = cloud()
    model = network()
    with tg.doctor(tell=None) as doctor:
        for _ in range(3):
            F.cross_entropy(model(tg.tensor(x)), y).backward()
            with tg.no_grad():
                for p in model.parameters():
                    p -= 0.01 * p.grad
                    p.grad = None
        opt = optim.Adam(model.parameters())
        for _ in range(2):
            opt.zero_grad()
            F.cross_entropy(model(tg.tensor(x)), y).backward()
            opt.step()
    assert doctor.step == 5
