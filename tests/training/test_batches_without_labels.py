"""Batches of which no label counts: a Trainer leaves them out, and tells them from a model that diverged."""

import math

import numpy as np
import pytest
import strict_cupy
from trainings import At, bits, rows, stop

import tinygrad_adam as tg
from tinygrad_adam import nn, optim
from tinygrad_adam.data import DataLoader, TensorDataset
from tinygrad_adam.errors import NonFiniteError, OptionError
from tinygrad_adam.nn.functional import cross_entropy, log_softmax, nll_loss
from tinygrad_adam.training import Accuracy, Trainer, lr_find

IGNORED = -100


def by_hand(output, target):
    """NaN with a gradient of 0 where no label counts, from operations that have no say in it."""
    if (target.numpy() == IGNORED).all():
        return (output * 0.0).sum() + math.nan
    return cross_entropy(output, target)


LOSSES = {
    "by hand": by_hand,
    "cross-entropy": cross_entropy,
    "smoothed": lambda output, target: cross_entropy(output, target, label_smoothing=0.1),
    "likelihood": lambda output, target: nll_loss(log_softmax(output), target),
}


def data(*without, n=20, size=4):
    """Examples in batches of 4, with no label in some batches, and one label less in the first."""
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(n, 3)).astype(np.float32), rng.integers(0, 2, n)
    y[0] = IGNORED
    for batch in without:
        y[batch * size : (batch + 1) * size] = IGNORED
    return x, y


def make(loss=by_hand, device="cpu", **settings):
    tg.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Dropout(0.2), nn.Linear(5, 2)).to(device)
    opt = optim.Adam(model.named_parameters(), lr=0.05)
    schedule = optim.StepLR(opt, 1, gamma=0.9)
    return Trainer(
        model, opt, loss, {"accuracy": Accuracy()}, schedule, **{"schedule_per": "step", **settings}
    )


def loader(*without, **options):
    return DataLoader(TensorDataset(*data(*without)), 4, **options)


@pytest.mark.parametrize("name", LOSSES)
def test_no_step_no_loss_no_metric(name):
    """As a loop of one's own that passes over such batches."""
    trainer = make(LOSSES[name])
    trainer.fit(loader(1, 4), 2)
    found, other = bits(trainer), make(LOSSES[name])
    x, y = data(1, 4)
    other.model.train()
    for _ in range(2):
        total, right = 0.0, 0
        for batch in range(5):
            part = slice(4 * batch, 4 * batch + 4)
            output = other.model(tg.tensor(x[part]))  # draws its mask
            if batch in (1, 4):
                continue
            loss = LOSSES[name](output, tg.tensor(y[part]))
            other.optimizer.zero_grad()
            loss.backward()
            other.optimizer.step()
            other.schedule.step()
            total, right = (
                total + 4 * loss.item(),
                right + (output.detach().numpy().argmax(1) == y[part]).sum(),
            )
    assert found == bits(other)
    assert (
        trainer.step,
        trainer.schedule.count,
        trainer.optimizer.state_dict()["state"]["0.bias"]["step"],
    ) == (6,) * 3
    assert trainer.history["loss"][-1] == pytest.approx(total / 12)
    assert trainer.history["accuracy"][-1] == right / 12
    assert math.isfinite(trainer.last_loss)


@pytest.mark.parametrize("max_grad_norm", [None, 0.1])
def test_a_step_of_several_batches_is_that_of_those_that_count(max_grad_norm):
    settings = {"accumulate": 2, "max_grad_norm": max_grad_norm}
    trainer, other = make(**settings), make(accumulate=1, max_grad_norm=max_grad_norm)
    trainer.model[2].p = other.model[2].p = 0.0
    trainer.fit(loader(1, 2, 3), 1)  # steps of batches 0 and 1, of 2 and 3, of 4
    other.fit(loader(1, 2, 3), 1)
    assert trainer.step == 2
    for name, value in other.model.state_dict().items():
        np.testing.assert_allclose(trainer.model.state_dict()[name], value, rtol=1e-5, atol=1e-7)


def test_resuming_before_and_behind_such_a_batch(tmp_path):
    whole = make()
    whole.fit(loader(1, 2), 3)
    wanted = bits(whole), rows(whole)
    for step in (1, 2, 4):
        first = make(callbacks=[At(stop, step=step)])
        first.fit(loader(1, 2), 3)
        first.save(tmp_path / "c")
        second = make()
        second.load(tmp_path / "c")
        second.fit(loader(1, 2), 3)
        assert (bits(second), rows(second)) == wanted


def test_a_stop_in_such_a_batch_is_heard_there():
    trainer = make()
    trainer.loss = lambda output, target: trainer.stop("enough") or by_hand(output, target)
    trainer.fit(loader(0), 1)
    assert (trainer.batch, trainer.step) == (1, 0)


def diverging(output, target):
    return by_hand(output, target) if (target.numpy() == IGNORED).all() else (output * math.inf).sum() * 0.0


@pytest.mark.parametrize("loss", [
    diverging, lambda output, target: cross_entropy(output * math.nan, target * 0),
    lambda output, target: (output.sum() - math.inf).exp().log() * 0.0 + math.inf,
    lambda output, target: tg.tensor(math.nan) + 0.0 * tg.tensor(1.0, requires_grad=True),
])  # fmt: skip
def test_a_loss_that_diverged_is_no_lack_of_labels(loss):
    trainer = make(loss)
    with pytest.raises(NonFiniteError, match="the loss is not finite"), np.errstate(all="ignore"):
        trainer.fit(loader(0), 1)
    assert trainer.step == 0


def test_outputs_that_are_not_finite_are_no_lack_of_labels():
    trainer = make(lambda output, target: output.clip(0.0, 1.0).sum())  # whose gradient at NaN is 0
    trainer.model[3].bias.data = np.full(2, np.nan, np.float32)
    with pytest.raises(NonFiniteError):
        trainer.fit(loader(), 1)


def test_nothing_but_such_batches_is_an_error():
    trainer = make()
    for use in (
        lambda: trainer.fit(loader(*range(5)), 1),
        lambda: trainer.evaluate(loader(*range(5))),
        lambda: lr_find(trainer, loader(*range(5))),
    ):
        with pytest.raises(OptionError, match="none has a label that counts"):
            use()
    assert (trainer.step, len(trainer.history)) == (0, 0)


def test_evaluation_and_the_range_test_leave_them_out():
    trainer = make()
    x, y = data(1, 4)
    counted = np.r_[0:4, 8:16]
    found = trainer.evaluate(loader(1, 4))
    wanted = trainer.evaluate(DataLoader(TensorDataset(x[counted], y[counted]), 4))
    assert found == wanted
    assert math.isfinite(found["loss"])
    found = lr_find(trainer, loader(1, 4), 1e-6, 1e-4, 40)
    assert len(found.lrs) == 40
    assert np.isfinite(found.losses).all()


def test_on_a_gpu_their_losses_are_left_out_and_seldom_looked_for():
    """There such a batch is a step along a gradient of 0, for which no loss needs to be read."""
    x, y = data(1, 4)
    other, losses = make(), []
    other.model[2].p = 0.0
    for batch in range(5):
        part = slice(4 * batch, 4 * batch + 4)
        loss = by_hand(other.model(tg.tensor(x[part])), tg.tensor(y[part]))
        other.optimizer.zero_grad()
        loss.backward()
        other.optimizer.step()
        other.schedule.step()
        losses += [loss.item()] if batch in (0, 2, 3) else []
    with strict_cupy.installed():
        there = make(
            lambda o, t: by_hand(o, t.to("cpu")) if batch_is_empty(t) else cross_entropy(o, t), "cuda"
        )
        there.model[2].p = 0.0
        there.fit(loader(1, 4, device="cuda"), 1)
        for name, value in other.model.state_dict().items():
            np.testing.assert_allclose(there.model.state_dict()[name], value, rtol=1e-4, atol=1e-6)
    assert there.history["loss"] == [pytest.approx(np.mean(losses), rel=1e-5)]
    assert there.step == 5


def test_on_a_gpu_an_infinite_loss_is_found_whatever_its_gradient():
    with strict_cupy.installed():
        trainer = make(lambda output, target: output.sum() * 0.0 + math.inf, "cuda")
        with pytest.raises(NonFiniteError, match="go on from a checkpoint"):
            trainer.fit(loader(device="cuda"), 1)


def test_on_a_gpu_losses_that_were_not_read_yet_are_saved(tmp_path):
    with strict_cupy.installed():
        whole, first = make(device="cuda"), make(device="cuda", callbacks=[At(stop, step=3)])
        for trainer in (whole, first):
            trainer.loss = cross_entropy
            tg.manual_seed(0)
            trainer.fit(loader(device="cuda"), 1)
        first.save(tmp_path / "c")
        second = make(device="cuda")
        second.loss = cross_entropy
        second.load(tmp_path / "c")
        second.fit(loader(device="cuda"), 1)
    assert second.history["loss"] == whole.history["loss"]


def batch_is_empty(target):
    return bool((target.to("cpu").numpy() == IGNORED).all())


class Several(nn.Module):
    """Its outputs are several, as `pack` makes them, one of which the loss may leave out."""

    def __init__(self, pack):
        super().__init__()
        self.inside, self.pack = nn.Linear(3, 2), pack

    def forward(self, x):
        return self.pack(self.inside(x))


@pytest.mark.parametrize(
    ("pack", "of"),
    [
        (lambda h: (h, h.tanh()), lambda o, y: cross_entropy(o[0], y)),
        (lambda h: [h.tanh(), h], lambda o, y: cross_entropy(o[1], y) + 0.5 * cross_entropy(o[0], y)),
        (lambda h: {"logits": h, "argmax": h.argmax(axis=1)}, lambda o, y: cross_entropy(o["logits"], y)),
    ],
    ids=["tuple", "list", "dict"],
)
def test_models_of_several_outputs(pack, of):
    def trained(*without, lack=False):
        tg.manual_seed(0)
        model = Several(pack)
        x, y = data(*without)
        if lack:  # the batch is not there at all
            x, y = np.delete(x, range(4, 8), 0), np.delete(y, range(4, 8))
        trainer = Trainer(model, optim.Adam(model.named_parameters(), lr=0.05), of)
        history = trainer.fit(DataLoader(TensorDataset(x, y), 4), 2)
        return bits(trainer), history["loss"], trainer.step

    assert trained(1) == trained(lack=True)
    model = Several(pack)
    trainer = Trainer(model, optim.SGD(model.parameters(), lr=0.1), lambda o, y: of(o, y) * math.nan)
    with pytest.raises(NonFiniteError):
        trainer.fit(loader(), 1)
