"""Gradients accumulated over batches."""

import math
import signal
import threading

import numpy as np
import pytest
from trainings import At, Losses, accumulating, bits, ctrl_c, examples, make, rows, validation

import tinygrad_adam as tg
from tinygrad_adam import nn, optim
from tinygrad_adam.data import DataLoader, TensorDataset
from tinygrad_adam.errors import NonFiniteError, OptionError, ShapeError
from tinygrad_adam.nn.functional import cross_entropy
from tinygrad_adam.training import Trainer

pytestmark = [pytest.mark.products, pytest.mark.versions]


@pytest.mark.parametrize(("n", "drop_last", "steps"), [(50, False, 5), (48, False, 4), (50, True, 4)])
def test_some_small_batches_are_as_one_large_one(n, drop_last, steps):
    """12 = 3 * 4; of 50 examples the last step of an epoch has 2, of 48 none is left over."""
    small, loader = accumulating(4, 3, n=n, drop_last=drop_last, max_grad_norm=0.5)
    large, whole = accumulating(12, 1, n=n, drop_last=drop_last, max_grad_norm=0.5)
    small.fit(loader, 3), large.fit(whole, 3)
    assert small.step == large.step == 3 * steps
    for name, value in small.model.state_dict().items():
        np.testing.assert_allclose(value, large.model.state_dict()[name], rtol=1e-8, atol=1e-12)
    for name in ("loss", "accuracy"):
        np.testing.assert_allclose(small.history[name], large.history[name], rtol=1e-8)


def test_a_step_of_batches_that_are_left_over():
    """13 batches of 4 and 2: steps of 5, 5 and 3 batches; the last one has 10 examples."""
    small, loader = accumulating(4, 5)
    losses = Losses()
    small.callbacks.append(losses)
    small.fit(loader, 1)
    assert [step for step, _, _ in losses.seen] == [1, 2, 3]
    large, _ = accumulating(20, 1)
    x, y = loader.dataset[np.random.default_rng([1, 0]).permutation(50)]
    for part in (slice(0, 20), slice(20, 40), slice(40, 50)):
        loss = cross_entropy(large.model(tg.tensor(x[part])), tg.tensor(y[part]))
        large.optimizer.zero_grad()
        loss.backward()
        large.optimizer.step()
    for name, value in small.model.state_dict().items():
        np.testing.assert_allclose(value, large.model.state_dict()[name], rtol=1e-9, atol=1e-12)


def test_ctrl_c_between_two_batches_of_a_step_waits_for_the_step(tmp_path):
    trainer, loader = accumulating(4, 5)
    trainer.fit(loader, 2)
    first, loader = accumulating(4, 5)
    take, seen = first._take_batch, []

    def interrupted(*batch):
        seen.append(first.step)
        if len(seen) == 7:
            ctrl_c()
        return take(*batch)

    first._take_batch = interrupted
    first.fit(loader, 2)
    assert (first.interrupted, first.step, first.batch) == (True, 2, 10)
    first.save(tmp_path / "c")
    second, loader = accumulating(4, 5)
    second.load(tmp_path / "c")
    second.fit(loader, 2)
    assert (bits(second), rows(second)) == (bits(trainer), rows(trainer))


def test_an_error_in_the_middle_of_a_step_leaves_nothing_behind():
    trainer, loader = accumulating(4, 5)
    take, bad = trainer._take_batch, [2]

    def failing(loader, x, y):
        bad[0] -= 1
        return take(loader, x * math.nan if bad[0] == 0 else x, y)

    trainer._take_batch = failing
    before = bits(trainer)
    with pytest.raises(NonFiniteError), np.errstate(invalid="ignore"):
        trainer.fit(loader, 1)
    assert bits(trainer) == before
    ends = []
    trainer.callbacks += [At(lambda trainer: ends.append(trainer.batch), step=step) for step in (1, 2, 3)]
    trainer.fit(loader, 1)
    assert ends == [5, 10, 13]  # the epoch begins anew


def test_max_grad_norm_scales_what_the_optimizer_trains():
    trainer, loader = make("plain", max_grad_norm=1e-3)
    norms = []

    def measure(trainer):
        norms.append(math.sqrt(sum((p.grad.numpy() ** 2).sum() for p in trainer.model.parameters())))

    trainer.callbacks.append(At(measure, step=1))
    trainer.fit(loader, 1)
    assert norms == [pytest.approx(1e-3, rel=1e-3)]


def test_max_grad_norm_ignores_parameters_that_are_not_trained():
    model = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 1, bias=False))
    head = model[1]
    before = head.weight.detach().numpy().copy()
    first = model[0].weight.detach().numpy().copy()
    trainer = Trainer(
        model, optim.SGD(head.parameters(), lr=1.0), lambda out, t: out.sum(), max_grad_norm=1e-4
    )
    x = np.ones((1, 2), np.float32)
    trainer.fit(DataLoader(TensorDataset(x, x), 1), 5)
    moved = np.linalg.norm(head.weight.detach().numpy() - before)
    assert moved == pytest.approx(5e-4, rel=0.05)
    assert (model[0].weight.detach().numpy() == first).all()


def test_evaluate_is_by_hand_and_leaves_no_trace():
    trainer, loader = make()
    trainer.fit(loader, 1)
    trainer.model.train()
    trainer.model[3].eval()
    trainer.metrics["accuracy"].load_state_dict({"total": 3.0, "count": 4})
    before = bits(trainer)
    results = trainer.evaluate(validation())
    assert [module.training for module in trainer.model] == [True, True, True, False, True]
    assert trainer.metrics["accuracy"].state_dict() == {"total": 3.0, "count": 4}
    assert bits(trainer) == before
    x, y = examples(30).arrays
    logits = trainer.predict([tg.tensor(x)])
    e = np.exp(logits - logits.max(1, keepdims=True))
    p = e / e.sum(1, keepdims=True)
    assert results["accuracy"] == pytest.approx((logits.argmax(1) == y).mean())
    assert results["loss"] == pytest.approx(-np.log(p[np.arange(30), y]).mean(), rel=1e-5)


def test_evaluate_restores_after_an_error():
    trainer, loader = make()
    trainer.fit(loader, 1)
    with pytest.raises(ShapeError):
        trainer.evaluate([(tg.tensor(np.ones((2, 5), np.float32)), tg.tensor([0, 1]))])
    assert trainer.model.training
    assert tg.is_grad_enabled()
    with pytest.raises(OptionError, match="no batches"):
        trainer.evaluate([])


def test_predict_joins_batches_in_evaluation_mode():
    trainer, _ = make()
    x, y = examples(10).arrays
    whole = trainer.predict([tg.tensor(x)])
    assert whole.shape == (10, 3)
    assert type(whole) is np.ndarray
    parts = trainer.predict(DataLoader(TensorDataset(x, y), 4))
    np.testing.assert_allclose(parts, whole, rtol=1e-5, atol=1e-6)
    with pytest.raises(OptionError, match="no batches"):
        trainer.predict([])


@pytest.mark.parametrize(
    "settings",
    [
        {"schedule_per": "week"},
        {"accumulate": 0},
        {"accumulate": 1.5},
        {"max_grad_norm": 0},
        {"max_grad_norm": -1.0},
        {"max_grad_norm": math.nan},
    ],
)
def test_trainer_refuses_bad_options(settings):
    model = nn.Linear(1, 1)
    with pytest.raises(OptionError, match=next(iter(settings))):
        Trainer(model, optim.SGD(model.parameters()), cross_entropy, **settings)


def test_fit_in_a_thread_leaves_signals_alone():
    before = signal.getsignal(signal.SIGINT)
    trainer, loader = make()
    thread = threading.Thread(target=trainer.fit, args=(loader, 1))
    thread.start()
    thread.join()
    assert trainer.epoch == 1
    assert signal.getsignal(signal.SIGINT) is before
