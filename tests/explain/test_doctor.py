"""The doctor finds each planted fault, nothing in its healthy twin or the examples, and changes no number."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import runpy
import sys
import types
from pathlib import Path

import doctor_cases
import doctor_lessons
import doctor_networks
import doctor_structures
import numpy as np
import pytest
import strict_cupy
from doctor_cases import digits, learn, mlp

import tinygrad_adam as tg
from tinygrad_adam import data, explain, nn, optim, training
from tinygrad_adam.backend.device import to_device
from tinygrad_adam.engine import events as watching
from tinygrad_adam.nn import functional as F

CASES = doctor_cases.CASES | doctor_lessons.CASES
PLANTED = doctor_networks.PLANTED | doctor_structures.PLANTED
KIND = r'kind="([a-z-]+)"(?: if \w+ else "([a-z-]+)")?'
needs_mnist = pytest.mark.skipif(
    not os.environ.get("TINYGRAD_ADAM_DATA"), reason="needs a folder with MNIST in TINYGRAD_ADAM_DATA"
)
EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize("name", CASES)
def test_a_planted_fault_is_found(name):
    case = CASES[name]
    doctor = tg.doctor(tell=None)
    case.run(True, doctor)
    found = [finding for finding in doctor.findings if finding.kind == case.kind]
    assert found, [finding.kind for finding in doctor.findings]
    texts = [" ".join(finding.to_text().split()) for finding in found]
    for words in case.words:
        assert any(words in text for text in texts), (words, texts)
    assert not watching.watched()


@pytest.mark.parametrize("name", CASES)
def test_its_healthy_twin_is_not(name):
    doctor = tg.doctor(tell=None)
    CASES[name].run(False, doctor)
    assert [str(finding) for finding in doctor.findings] == []


def test_each_kind_of_finding_has_its_planted_fault_and_its_row():
    folder = Path(tg.__file__).parent / "explain" / "doctor"
    source = "".join(file.read_text() for file in folder.glob("*.py"))
    kinds = {kind for pair in re.findall(KIND, source) for kind in pair if kind}
    assert len(kinds) >= 55
    planted = {case.kind for case in (*CASES.values(), *PLANTED.values())}
    assert kinds == planted | {"wrong-device"}  # which has a test of its own
    page = (EXAMPLES.parent / "docs" / "explain.md").read_text()
    assert kinds <= set(re.findall(r"`([a-z-]+)`", page))


def test_the_package_lists_each_of_its_files_once():
    listed = re.findall(r"`(\w+)`", explain.doctor.__doc__)
    files = {file.stem for file in Path(explain.doctor.__file__).parent.glob("*.py")}
    assert sorted(listed) == sorted(files - {"__init__"})


def test_the_example_is_diagnosed_and_mended(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["07_doctor.py"])
    runpy.run_path(str(EXAMPLES / "07_doctor.py"), run_name="__main__")
    broken, mended = capsys.readouterr().out.split("As the doctor ordered")
    assert "examples/07_doctor.py:44: loss.backward()" in broken
    assert (
        "doctor: watched 300 steps and found none of the faults that it knows\n  loss      from 2.293 to 0.1"
        in mended
    )


# --- No false alarm ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "arguments"),
    [
        ("01_backprop_by_hand.py", []),
        pytest.param("02_mlp_digits.py", [], marks=pytest.mark.slow),
        pytest.param("03_mlp_mnist.py", ["--epochs", "1"], marks=[needs_mnist, pytest.mark.slow]),
        pytest.param("04_cnn_mnist.py", ["--epochs", "1"], marks=[needs_mnist, pytest.mark.slow]),
        pytest.param("05_see_the_graph.py", [], marks=pytest.mark.slow),
        pytest.param("06_race.py", [], marks=pytest.mark.slow),
    ],
)
def test_the_examples_are_healthy(script, arguments, monkeypatch, tmp_path):
    out = ["--out", str(tmp_path)] if "--out" in (EXAMPLES / script).read_text(encoding="utf-8") else []
    monkeypatch.setattr(sys, "argv", [script, *arguments, *out])
    if script.startswith("04"):
        load = data.load_mnist
        monkeypatch.setattr(data, "load_mnist", lambda: first_images(load(), 5000))
    doctor = tg.doctor(tell=None)
    learns_less = contextlib.suppress(*[AssertionError] * bool(arguments))
    with learns_less, doctor:
        runpy.run_path(str(EXAMPLES / script), run_name="__main__")
    assert [str(finding) for finding in doctor.findings] == []


def first_images(whole, count):
    arrays = vars(whole).items()
    return dataclasses.replace(
        whole, **{name: a[:count] for name, a in arrays if isinstance(a, np.ndarray) and len(a) > count}
    )


@pytest.mark.parametrize(
    "optimizer",
    [
        pytest.param(name, marks=() if name in ("sgd", "adam") else pytest.mark.slow)
        for name in ("sgd", "adagrad", "rmsprop", "adam", "adamw", "nadam", "adamax", "lion")
    ],
)
def test_a_usual_run_is_healthy(optimizer):
    rates = {"sgd": 0.1, "adagrad": 0.02, "lion": 3e-4}
    config = training.RunConfig(
        model="mlp:64", epochs=5, optimizer=optimizer, settings={"lr": rates.get(optimizer, 2e-3)}
    )
    with tg.doctor(tell=None) as doctor:
        experiment = training.Experiment(config, [doctor])
        experiment.fit()
    assert doctor.step == experiment.trainer.step > 100
    assert [str(finding) for finding in doctor.findings] == []


@pytest.mark.slow
def test_a_convolutional_run_is_healthy():
    with tg.doctor(tell=None) as doctor:
        training.Experiment(training.RunConfig(model="cnn", epochs=1, settings={"lr": 1e-3})).fit()
    assert [str(finding) for finding in doctor.findings] == []


def test_row_sparse_gradients_are_healthy():
    tg.manual_seed(0)
    table, last = nn.Embedding(500, 8, sparse=True), nn.Linear(8, 2)
    words = np.random.default_rng(0).integers(0, 500, (320, 6))
    labels = (words < 250).sum(axis=1) > 3
    opts = optim.SparseAdam(table.parameters(), lr=0.01), optim.Adam(last.parameters(), lr=0.01)
    with tg.doctor(tell=None) as doctor:
        for _ in range(5):
            for x, y in data.DataLoader(data.TensorDataset(words, labels.astype(int)), 32):
                loss = F.cross_entropy(last(table(x).mean(axis=1)), y)
                for opt in opts:
                    opt.zero_grad()
                loss.backward()
                for opt in opts:
                    opt.step()
    assert doctor.step == 100
    assert [str(finding) for finding in doctor.findings] == []


def test_optimizers_that_step_in_turn_are_healthy():
    """As in a GAN: the generator's backward pass leaves gradients in the critic, which clears them later."""
    tg.manual_seed(0)
    images, _ = digits()
    critic, generator = mlp(outputs=1), nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 64))
    critics = optim.Adam(critic.named_parameters(), lr=1e-3, betas=(0.5, 0.9))
    generators = optim.Adam(generator.named_parameters(), lr=1e-3, betas=(0.5, 0.9))
    with tg.doctor(tell=None) as doctor:
        for step in range(30):
            real = tg.tensor(images[np.arange(32) + step % 8 * 16])
            critics.zero_grad()
            fake = generator(tg.randn(32, 8)).detach()
            loss = F.softplus(-critic(real)).mean() + F.softplus(critic(fake)).mean()
            loss.backward()
            critics.step()
            generators.zero_grad()
            F.softplus(-critic(generator(tg.randn(32, 8)))).mean().backward()
            generators.step()
    assert doctor.step == 60
    assert [str(finding) for finding in doctor.findings] == []


def test_masks_of_infinity_and_validation_are_healthy():
    x = tg.randn(4, 5, requires_grad=True)
    mask = np.array([0, 0, 0, -np.inf, -np.inf], np.float32)
    model = mlp().eval()
    with tg.doctor(tell=None) as doctor:
        F.softmax(x + mask).sum().backward()
        F.softmax(tg.where(mask < 0, -np.inf, x)).sum().backward()
        with tg.no_grad():
            for _ in range(5):
                F.cross_entropy(model(tg.tensor(digits()[0])), digits()[1])
    assert [str(finding) for finding in doctor.findings] == []


def test_gradients_that_are_assigned_are_healthy():
    images, labels = digits()
    model = mlp()
    params = list(model.parameters())
    opt = optim.SGD(params, lr=0.1)
    with tg.doctor(tell=None) as doctor:
        for step in range(12):
            rows = np.arange(64) + step % 4 * 64
            gradients = tg.grad(F.cross_entropy(model(tg.tensor(images[rows])), labels[rows]), params)
            for p, g in zip(params, gradients, strict=True):
                p.grad = g
            opt.step()
    assert [str(finding) for finding in doctor.findings] == []


@pytest.mark.parametrize("renewed", [True, False])
def test_an_equal_gradient_that_is_assigned_is_no_old_one(renewed):
    p = nn.Parameter(np.zeros(3))
    opt = optim.Adam([p])
    p.grad = np.ones(3)
    with tg.doctor(tell=None) as doctor:
        for _ in range(5):
            if renewed:
                p.grad = np.ones(3)
            opt.step()
    assert [finding.kind for finding in doctor.findings] == ["no-backward"] * (not renewed)


def test_a_gradient_that_is_assigned_clears_no_other():
    images, labels = digits(64)
    model = mlp()
    opt = optim.SGD(model.parameters(), lr=0.01)
    with tg.doctor(tell=None) as doctor:
        for _ in range(8):
            first = next(model.parameters())
            if first.grad is not None:
                first.grad = first.grad.numpy() * 1
            F.cross_entropy(model(tg.tensor(images)), labels).backward()
            opt.step()
    assert [finding.kind for finding in doctor.findings] == ["gradients-not-cleared"]


def test_looking_for_a_learning_rate_is_healthy():
    tg.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 2))
    trainer = training.Trainer(model, optim.SGD(model.named_parameters(), lr=0.1), F.cross_entropy)
    loader = data.DataLoader(data.TensorDataset(*data.moons(300)), shuffle=True)
    with tg.doctor(tell=None) as doctor:
        assert training.lr_find(trainer, loader, high=1e4).diverged
        trainer.fit(loader, 3)
    assert 0 < doctor.step < 100
    assert [str(finding) for finding in doctor.findings] == []


def test_gradients_that_are_set_to_zero_or_summed_are_healthy():
    images, labels = digits(64)
    model = mlp()
    opt = optim.SGD(model.parameters(), lr=0.1)
    with tg.doctor(tell=None) as doctor:
        for _ in range(8):
            for p in model.parameters():
                if p.grad is not None:
                    p.grad.data[...] = 0
            for half in (slice(0, 32), slice(32, 64)):
                F.cross_entropy(model(tg.tensor(images[half])), labels[half]).backward()
            opt.step(grad_scale=2)
    assert [str(finding) for finding in doctor.findings] == []


def kinds_of(doctor):
    return {finding.kind for finding in doctor.findings}


def test_units_that_wake_for_some_batches_are_not_dead():
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    model[0].weight.data = np.eye(64)
    model[0].bias.data = np.full(64, -0.05)
    images = np.zeros((4, 64, 64), np.float32)
    for kind in range(4):  # a quarter of the units each; looks at steps 0, 7, 14 and 21 see all four
        images[kind, :, kind * 16 : kind * 16 + 16] = digits(64)[0][:, 16:32] + 0.1
    opt = optim.SGD(model.parameters(), lr=1e-3)
    with tg.doctor(tell=None) as doctor:
        for step in range(40):
            loss = F.cross_entropy(model(tg.tensor(images[step % 4])), digits(64)[1])
            opt.zero_grad()
            loss.backward()
            opt.step()
    assert "dead-relu" not in kinds_of(doctor)


def test_an_output_may_be_sure():
    model = nn.Sequential(nn.Linear(64, 10), nn.Sigmoid())
    model[0].weight.data *= 100
    with tg.doctor(tell=None) as doctor:
        learn(model, loss=lambda z, y: F.mse_loss(z, np.eye(10, dtype=np.float32)[y]))
    assert "saturated" not in kinds_of(doctor)


def test_a_layer_without_gradient_is_not_said_to_learn_slowly():
    doctor = tg.doctor(tell=None)
    CASES["output_constant"].run(True, doctor)
    assert "small-updates" not in kinds_of(doctor)


def test_a_warm_up_is_healthy():
    model = mlp()
    opt = optim.SGD(model.parameters(), lr=0.1)
    schedule = optim.LinearLR(opt, 1e-7, 1e-6, 200)

    def loss(z, y):
        schedule.step()
        return F.cross_entropy(z, y)

    with tg.doctor(tell=None) as doctor:
        learn(model, opt, loss, steps=150)
    assert [str(finding) for finding in doctor.findings] == []


def test_labels_that_cannot_be_learned_are_not_a_low_rate():
    rng = np.random.default_rng(0)
    model = mlp()
    opt = optim.Adam(model.parameters(), lr=1e-3)
    with tg.doctor(tell=None) as doctor:
        for _ in range(130):
            x = rng.standard_normal((64, 64)).astype(np.float32)
            loss = F.cross_entropy(model(tg.tensor(x)), rng.integers(0, 10, 64))
            opt.zero_grad()
            loss.backward()
            opt.step()
    assert "learning-rate-low" not in kinds_of(doctor)


def test_a_class_that_is_yet_to_come_is_no_shift():
    images, labels = digits()
    rows = np.argsort(labels == 0, kind="stable")[:192]  # of the others there are enough, of each batch few
    model = mlp()
    opt = optim.Adam(model.parameters(), lr=3e-3)
    with tg.doctor(tell=None) as doctor:
        for step in range(24):
            batch = rows[step * 8 : step * 8 + 8]
            loss = F.cross_entropy(model(tg.tensor(images[batch])), labels[batch])
            opt.zero_grad()
            loss.backward()
            opt.step()
    assert "labels-shifted" not in kinds_of(doctor)


def test_a_training_that_diverges_is_not_overfitting():
    rows = [{"epoch": i + 1, "loss": 1.0 + i, "val_loss": 1.0 + i} for i in range(6)]
    doctor = tg.doctor(tell=None)
    doctor.on_epoch_end(types.SimpleNamespace(history=training.History(rows)))
    assert doctor.findings == []


@pytest.mark.parametrize(("above", "kinds"), [(0.02, []), (0.2, ["overfitting"])])
def test_a_loss_that_hovers_near_nothing_is_not_overfitting(above, kinds):
    """The validation loss rises above its best, but overfitted examples would be known better."""
    rows = [{"epoch": i + 1, "loss": 1.0 - i / 10, "val_loss": 0.9 - i / 10} for i in range(8)]
    rows += [{"epoch": i + 1, "loss": 0.21, "val_loss": 0.21 + above} for i in range(8, 12)]
    doctor = tg.doctor(tell=None)
    doctor.on_epoch_end(types.SimpleNamespace(history=training.History(rows)))
    assert [finding.kind for finding in doctor.findings] == kinds


@pytest.mark.parametrize("inputs", [1, 2])
def test_a_single_input_before_a_normalization_has_no_gradient_by_design(inputs):
    tg.manual_seed(0)
    x = np.random.default_rng(1).uniform(-2, 2, (64, inputs)).astype(np.float32)
    model = nn.Sequential(nn.Linear(inputs, 16), nn.BatchNorm1d(16, eps=1e-12), nn.GELU(), nn.Linear(16, 1))
    opt = optim.Adam(model.named_parameters())
    with tg.doctor(tell=None) as doctor:
        for _ in range(30):
            opt.zero_grad()
            F.mse_loss(model(tg.tensor(x)), np.sin(x[:, :1])).backward()
            opt.step()
    assert "vanishing-gradient" not in kinds_of(doctor)


@pytest.mark.parametrize("count", [2, 20_000])
def test_large_numbers_are_finite(count):
    x = tg.tensor(np.full(count, 1e35, np.float32), requires_grad=True)
    with tg.doctor(tell=None) as doctor:  # their sum and squares are not
        (x * 10).max().backward()
    assert doctor.findings == []


@pytest.mark.parametrize("count", [2, 20_000])
def test_one_nan_among_many_is_found(count):
    x = np.ones(count, np.float32)
    x[-1] = -1
    with np.errstate(all="ignore"), tg.doctor(tell=None) as doctor:
        tg.sqrt(tg.tensor(x))
    (finding,) = doctor.findings
    assert f"sqrt made the first NaN: 1 of the {count:,} elements" in finding.what


def test_a_teacher_that_is_asked_without_recording_needs_no_gradient():
    images, labels = digits()
    model, teacher = mlp(), mlp(16)
    opt = optim.Adam(model.parameters(), lr=3e-3)
    with tg.doctor(tell=None) as doctor:
        for step in range(30):
            rows = np.arange(64) + step % 4 * 64
            x = tg.tensor(images[rows])
            with tg.no_grad():
                told = F.softmax(teacher(x))
            loss = F.cross_entropy(model(x), labels[rows]) + F.cross_entropy(model(x), told)
            opt.zero_grad()
            loss.backward()
            opt.step()
    assert [str(finding) for finding in doctor.findings] == []


def test_one_odd_batch_is_no_finding():
    images, labels = digits(64)
    model = mlp()
    opt = optim.Adam(model.parameters(), lr=3e-3)
    with tg.doctor(tell=None) as doctor:
        for step in range(30):
            x = images * 0 if step == 7 else images  # a step that is looked at closely
            loss = F.cross_entropy(model(tg.tensor(x)), labels)
            opt.zero_grad()
            loss.backward()
            opt.step()
    assert [str(finding) for finding in doctor.findings] == []


# --- It changes nothing ------------------------------------------------------------------


def test_it_changes_no_number():
    def weights(context):
        model = mlp(depth=2)
        with context:
            learn(model, steps=20)
        return [p.detach().numpy() for p in model.parameters()]

    pairs = zip(weights(tg.doctor(tell=None)), weights(contextlib.nullcontext()), strict=True)
    for watched, alone in pairs:
        np.testing.assert_array_equal(watched, alone)


@pytest.mark.parametrize("name", ["words_hardly_kept", "convolutions_with_a_norm_only", "layers_in_a_list"])
def test_it_changes_no_number_of_a_network_that_it_looks_into(name):
    def losses(context):
        tg.manual_seed(0)
        model, x, y, loss_of = PLANTED[name].learn(True)
        opt = optim.Adam(model.parameters(), lr=3e-3)
        seen = []
        with context:
            for _ in range(16):
                opt.zero_grad()
                loss = loss_of(model(tg.tensor(x[:25])), y[:25])
                loss.backward()
                opt.step()
                seen.append(loss.item())
        return seen

    assert losses(tg.doctor(tell=None)) == losses(contextlib.nullcontext())


# --- Devices, with a second one made of NumPy --------------------------------------------


def test_parameters_on_another_device_than_the_input():
    model = mlp()
    with strict_cupy.installed():
        model[2].weight._data = to_device(model[2].weight._data, "cuda:0")
        with tg.doctor(tell=None) as doctor, pytest.raises(tg.errors.DeviceError):
            model(tg.tensor(digits(64)[0]))
    (finding,) = doctor.findings
    assert finding.kind == "wrong-device"
    assert "1 of the 4 parameters of Sequential" in finding.what
    assert "(64, 64)" in finding.what
    assert "'2.weight' (10, 32) is on 'cuda:0', the input on 'cpu'" in finding.what
    assert "model.to('cpu')" in finding.remedy
    assert "model(tg.tensor(digits(64)[0]))" in finding.where
