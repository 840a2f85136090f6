"""The doctor's report: its sentences, the moment of each, and its last line."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from doctor_cases import CASES, digits, learn, mlp

import tinygrad_adam as tg
from tinygrad_adam import data, nn, optim, training
from tinygrad_adam.engine import events as watching
from tinygrad_adam.explain.doctor.check import Check
from tinygrad_adam.nn import functional as F


def test_it_tells_each_finding_once_and_how_often_at_the_end():
    told = []
    with tg.doctor(tell=told.append) as doctor:
        learn(mlp(), loss=lambda z, y: F.cross_entropy(F.softmax(z), y), steps=22)
        assert len(told) == 1  # as soon as it is sure
    (finding,) = doctor.findings
    assert (finding.step, finding.times) == (1, 4)  # looks at steps 1, 8, 15 and 22
    assert told[0] == f"{finding}\n"
    assert told[1:] == ["doctor: watched 22 steps and found: softmax-twice (4x)"]


def test_a_symptom_counts_once_a_step():
    doctor = tg.doctor(tell=None)
    check = Check(doctor)
    assert [check.lasts("odd", True) for _ in range(5)] == [False] * 5
    doctor.step = 1
    assert not check.lasts("odd", True)
    doctor.step = 2
    assert check.lasts("odd", True)
    doctor.step = 3
    assert not check.lasts("odd", False)
    doctor.step = 4
    assert not check.lasts("odd", True)


def test_a_finding_counts_once_a_step():
    images, labels = digits(64)
    model = mlp()
    opt = optim.Adam(model.parameters())
    with tg.doctor(tell=None) as doctor:
        for _ in range(8):  # looks at steps 1 and 8
            opt.zero_grad()
            for half in (slice(0, 32), slice(32, 64)):
                F.cross_entropy(F.softmax(model(tg.tensor(images[half]))), labels[half]).backward()
            opt.step()
    assert [finding.times for finding in doctor.findings] == [2]


def test_without_an_optimizer_backward_passes_are_the_steps():
    images, labels = digits(64)
    model = mlp()
    with tg.doctor(tell=None) as doctor:
        for _ in range(10):
            model.zero_grad()
            F.cross_entropy(F.softmax(model(tg.tensor(images))), labels).backward()
    assert doctor.step == 9
    assert doctor.findings[0].times == 2


def test_it_gives_no_clean_bill_of_health(capsys):
    with tg.doctor():
        learn(mlp(), steps=8)
    assert capsys.readouterr().out == (
        "doctor: watched 8 steps and found none of the faults that it knows\n"
        "  loss      from 2.372 to 2.24, the first and the last\n"
        "  looked at loss, NaN and the calls in every step; layers, gradients and updates in 2,\n"
        "            too few for faults that must show 3 times\n"
        "  unknown   whether the labels are right, and how well the network does on data it has\n"
        "            not seen\n"
    )


@pytest.mark.parametrize(
    ("losses", "words"),
    [
        ([], "none was seen: no scalar's backward() was called"),
        ([3.0, 2.0], "from 3 to 2, the first and the last"),
        ([2.0] * 5 + [1.0] * 20, "from 2 to 1, medians of the first 3 and the last 10"),
        ([2.0] * 5 + [1.9] * 20, "it has hardly fallen: from 2 to 1.9, medians"),
        ([2.0] * 5 + [2.5] * 20, "it has risen: from 2 to 2.5, medians"),
    ],
)
def test_it_says_from_where_to_where_the_loss_went(losses, words):
    p = nn.Parameter(np.zeros(1))
    with tg.doctor(tell=None) as doctor:
        for loss in losses:
            p.grad = None
            (p.sum() * 0.0 + loss).backward()
    assert f"loss      {words}" in doctor.summary()


def test_it_does_not_judge_new_data_unless_it_has_seen_a_validation():
    doctor = tg.doctor(tell=None)
    CASES["few_examples"].run(False, doctor)
    assert "validation loss of each epoch" in doctor.summary()
    assert "data it has not seen" not in " ".join(doctor.summary().split())


@pytest.mark.parametrize("width", [60, 88, 120])
def test_a_finding_is_readable_at_any_width(width):
    doctor = tg.doctor(tell=None)
    CASES["relus_off"].run(True, doctor)
    lines = doctor.findings[0].to_text(width).splitlines()
    assert lines[0].startswith("doctor: dead-relu (step 29): 28 of the 32 units")
    assert max(map(len, lines)) <= width
    beginnings = [line[2:12].rstrip() for line in lines[1:]]
    assert [b for b in beginnings if b in ("where", "evidence", "remedy")] == ["where", "evidence", "remedy"]


def test_what_it_finds_is_told_when_training_fails():
    doctor = tg.doctor(tell=None)

    def loss(z, y):
        raise ZeroDivisionError if doctor.step == 3 else F.cross_entropy(F.softmax(z), y)

    with pytest.raises((ZeroDivisionError, TypeError)), doctor:
        learn(mlp(), loss=loss)
    assert not watching.watched()


def test_the_line_is_the_users_within_trainer_and_modules():
    x, y = digits(128)
    model = nn.Sequential(mlp(), nn.Softmax())
    trainer = training.Trainer(model, optim.Adam(model.named_parameters()), F.cross_entropy)
    with tg.doctor(tell=None) as doctor:
        trainer.fit(data.DataLoader(data.TensorDataset(x, y), 64), 1)
    assert "layer '1' (Softmax), tests/explain/test_doctor_report.py:" in doctor.findings[0].where
    assert "trainer.fit(data.DataLoader(" in doctor.findings[0].where


def test_a_checkpoint_of_a_watched_run_goes_on_without_the_doctor(tmp_path):
    x, y = digits(128)
    loader = data.DataLoader(data.TensorDataset(x, y), 64)
    model = mlp()

    def trainer(*callbacks):
        twin = copy.deepcopy(model)
        adam = optim.Adam(twin.named_parameters())
        return training.Trainer(twin, adam, F.cross_entropy, callbacks=callbacks)

    with tg.doctor(tell=None) as doctor:
        one = trainer(doctor)
        one.fit(loader, 1)
    one.save(tmp_path / "c.safetensors")
    other = trainer()
    other.load(tmp_path / "c.safetensors")
    assert other.step == 2
