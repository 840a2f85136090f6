"""The arguments of Trainer and DataLoader: arrays, NumPy's numbers, frozen layers, masks; and errors."""

import math
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from trainings import At, bits, examples, make, rows, stop
from trainings import validation as validating

import tinygrad_adam as tg
from tinygrad_adam import nn, optim
from tinygrad_adam.data import DataLoader, TensorDataset, moons, random_crop, split
from tinygrad_adam.errors import DTypeError, OptionError
from tinygrad_adam.explain.ledger.layer_picture import plot_layer
from tinygrad_adam.explain.races.pictures import RacePicture
from tinygrad_adam.nn.functional import cross_entropy, mse_loss
from tinygrad_adam.training import (
    Accuracy,
    Callback,
    Checkpoints,
    EarlyStopping,
    History,
    Trainer,
    lr_find,
)
from tinygrad_adam.training.many.heatmap import plot_search
from tinygrad_adam.training.pictures import plot_predictions

# --- Arrays ------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 6, 513])
def test_predict_takes_an_array_as_rows(n):
    trainer, _ = make()
    x = np.random.default_rng(0).normal(size=(n, 6)).astype(np.float32)
    trainer.model.eval()
    with tg.no_grad():
        wanted = trainer.model(tg.tensor(x)).numpy()
    for given in (
        x,
        tg.tensor(x),
        TensorDataset(x),
        DataLoader(TensorDataset(x), 5),
        [tg.tensor(x)],
        [x],
        [(x, 0)],
    ):
        found = trainer.predict(given)
        assert found.shape == (n, 3)
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


def test_rows_are_not_batches():
    model = nn.Sequential(nn.Linear(6, 3))
    trainer = Trainer(model, optim.SGD(model.parameters()), cross_entropy)
    with pytest.raises(
        OptionError, match=r"Trainer\.predict: .* a row for each input[\s\S]*\(6,\)[\s\S]*\(3,\)"
    ):
        trainer.predict(list(X))
    assert trainer.predict([X[:2], X[2:]]).shape == (4, 3)


@pytest.mark.parametrize("kind", [np.asarray, tg.tensor], ids=["arrays", "tensors"])
def test_fit_and_evaluate_take_a_pair_of_arrays(kind):
    x, y = examples().arrays
    trainer, _ = make("plain")
    trainer.fit((kind(x), kind(y)), 1, (kind(x), kind(y)))
    trainer.fit((kind(x), kind(y)), 3, TensorDataset(x, y))
    other, _ = make("plain")
    other.fit(DataLoader(TensorDataset(x, y), 32, shuffle=True), 3, DataLoader(TensorDataset(x, y), 512))
    assert (bits(trainer), rows(trainer)) == (bits(other), rows(other))
    assert trainer.evaluate((x, y)) == other.evaluate(TensorDataset(x, y))
    assert len(lr_find(trainer, (x, y), 1e-6, 1e-5, 40).lrs) == 40


X, Y = examples(4).arrays
PAIRS = [
    ("evaluate", X, r"an array has no targets; give a pair of arrays, \(x, y\)"),
    ("evaluate", (X, Y, Y), r"give a pair of arrays"),
    ("evaluate", [X, Y], r"a batch must be a pair[\s\S]*ndarray"),  # a list of batches that are none
    ("evaluate", {"x": X}, r"give a pair of arrays[\s\S]*dict"),
    ("evaluate", 3, r"give a pair of arrays[\s\S]*int"),
    ("evaluate", "data", r"give a pair of arrays[\s\S]*str"),
    ("evaluate", DataLoader(TensorDataset(X), 2), r"a batch must be a pair[\s\S]*tuple of 1"),
    ("evaluate", DataLoader(TensorDataset(X, Y, Y), 2), r"a batch must be a pair[\s\S]*tuple of 3"),
    ("evaluate", [{"x": X, "y": Y}], r"a batch must be a pair[\s\S]*dict"),
    ("evaluate", [tg.tensor(X[:2])], r"a batch must be a pair[\s\S]*Tensor"),  # two rows, no x and y
    ("predict", (X, X), r"give one array of inputs[\s\S]*ndarray \(4, 6\), ndarray \(4, 6\)"),
    ("predict", {"x": X}, r"give one array of inputs[\s\S]*dict"),
    ("predict", None, r"give one array of inputs[\s\S]*NoneType"),
]


@pytest.mark.parametrize(("method", "given", "saying"), PAIRS)
def test_what_holds_no_batches_is_refused_by_name(method, given, saying):
    trainer, _ = make()
    with pytest.raises(OptionError, match=rf"Trainer\.{method}: {saying}"):
        getattr(trainer, method)(given)
    if method == "evaluate":
        with pytest.raises(OptionError, match=r"Trainer\.(fit|evaluate): "):
            trainer.fit((X, Y), 1, given)
        for train in (lambda: trainer.fit(given, 1), lambda: lr_find(trainer, given)):
            with pytest.raises(OptionError, match=r"(Trainer\.fit|lr_find): "):
                train()


def test_fit_needs_a_loader_and_says_how_to_make_one():
    trainer, _ = make()
    for given in ([(X, Y)], iter([(X, Y)]), None):
        with pytest.raises(
            OptionError, match=r"DataLoader\(TensorDataset\(x, y\), batch_size=32, shuffle=True\)"
        ):
            trainer.fit(given, 1)


class Returning:
    def __init__(self, make, augment=None):
        self.make, self.augment = make, augment

    def __len__(self):
        return 4

    def __getitem__(self, rows):
        return self.make(rows)

    def batch(self, rows, generator):
        return self.make(rows)


@pytest.mark.parametrize("augment", [None, "some"])
@pytest.mark.parametrize("prefetch", [0, 2])
@pytest.mark.parametrize(("make", "kind"), [
    (lambda rows: X[rows], "ndarray"), (lambda rows: tg.tensor(X[rows]), "Tensor"),
    (lambda rows: {"x": X[rows], "y": Y[rows]}, "dict"), (lambda rows: None, "NoneType"),
])  # fmt: skip
def test_a_dataset_returns_a_tuple_of_arrays(make, kind, prefetch, augment):
    loader = DataLoader(Returning(make, augment), 2, prefetch=prefetch)
    with pytest.raises(DTypeError, match=rf"DataLoader: dataset\S+ must return a tuple[\s\S]*{kind}"):
        list(loader)
    as_list = DataLoader(Returning(lambda rows: [X[rows], Y[rows]], augment), 2, prefetch=prefetch)
    assert [tuple(map(len, batch)) for batch in as_list] == [(2, 2)] * 2


@pytest.mark.parametrize(
    "one", [lambda row: (X[row], int(Y[row])), lambda row: list(zip(X, Y, strict=True))[row]]
)
def test_a_dataset_of_single_rows_is_told_that_it_gets_many(one):
    with pytest.raises(TypeError) as caught:
        list(DataLoader(Returning(one), 2))
    assert "a batch at once: dataset[array of row numbers]" in caught.value.__notes__[0]


@pytest.mark.parametrize("dataset", [X, tg.tensor(X), (X, Y), [X, Y], {"x": X}, iter([X]), 3, None])
def test_arrays_are_no_dataset(dataset):
    with pytest.raises(
        OptionError, match=r"DataLoader: (put arrays into a dataset|a dataset gives its length)"
    ):
        DataLoader(dataset, 2)


# --- Arguments ---------------------------------------------------------------------------


def parts():
    model = nn.Linear(6, 3)
    return model, optim.SGD(model.parameters())


MODEL, OPTIMIZER = parts()
OTHER = parts()[1]
ARGUMENTS = [
    ({"model": lambda x: x}, "model must be a Module"),
    ({"optimizer": "adam"}, r"optim\.Adam\(model\.named_parameters\(\)\)[\s\S]*adam"),
    ({"optimizer": optim.Adam}, "optimizer must be one of optim"),
    ({"optimizer": OTHER}, "no parameter of this model"),
    ({"loss": "mse"}, r"loss must be callable[\s\S]*mse"),
    ({"loss": nn.MSELoss}, r"loss is a class; write MSELoss\(\)"),
    ({"metrics": ["accuracy"]}, r"\{'accuracy': Accuracy\(\)\}"),
    ({"metrics": Accuracy()}, r"\{'accuracy': Accuracy\(\)\}"),
    ({"metrics": {"accuracy": Accuracy}}, r"write Accuracy\(\)"),
    ({"metrics": {"accuracy": "accuracy"}}, "a metric must be a Metric"),
    ({"metrics": {"error": lambda output, target: 0.0}}, r"derive from Metric[\s\S]*error"),
    ({"metrics": {"loss": Accuracy()}}, "metric's name"),
    ({"metrics": {"val_loss": Accuracy()}}, "metric's name"),
    ({"metrics": {1: Accuracy()}}, "metric's name"),
    ({"schedule": "cosine"}, r"optim\.StepLR"),
    ({"schedule": optim.StepLR}, r"optim\.StepLR"),
    ({"schedule": optim.StepLR(OTHER, 2)}, "another optimizer"),
    ({"callbacks": EarlyStopping()}, r"\[EarlyStopping\(\)\]"),
    ({"callbacks": [EarlyStopping]}, "derived from Callback"),
    ({"callbacks": [print]}, "derived from Callback"),
    ({"accumulate": True}, "accumulate"),
    ({"max_grad_norm": "1"}, "max_grad_norm"),
    ({"max_grad_norm": True}, "max_grad_norm"),
]


@pytest.mark.parametrize(("given", "saying"), ARGUMENTS)
def test_a_trainer_refuses_what_would_fail_far_inside(given, saying):
    right = {"model": MODEL, "optimizer": OPTIMIZER, "loss": cross_entropy}
    with pytest.raises(OptionError, match=f"Trainer: .*{saying}"):
        Trainer(**{**right, **given})


@pytest.mark.parametrize("loss", [
    lambda o, t: cross_entropy(o, t, reduction="none"), lambda o, t: 1.0, lambda o, t: (o - t) ** 2,
    lambda o, t: o.detach().numpy().mean(), lambda o, t: None, lambda o, t: (cross_entropy(o, t), o),
])  # fmt: skip
def test_a_loss_is_a_scalar(loss):
    x, y = X[:, :3], X[:, 3:]
    target = np.arange(4) % 3 if "cross" in str(loss.__code__.co_names) else y
    model = nn.Linear(3, 3)
    trainer = Trainer(model, optim.SGD(model.parameters()), loss)
    for use in (
        lambda: trainer.fit((x, target), 1),
        lambda: trainer.evaluate((x, target)),
        lambda: lr_find(trainer, (x, target)),
    ):
        with pytest.raises(OptionError, match=r"loss\(output, target\) must return a scalar Tensor"):
            use()
    one = Trainer(model, optim.SGD(model.parameters()), lambda o, t: mse_loss(o, t).reshape(1))
    assert one.fit((x, y), 1)["loss"][0] > 0
    assert one.last_loss > 0


# --- NumPy's numbers, and what is saved ---------------------------------------------------


@pytest.mark.parametrize("integer", [np.int64, np.uint8, np.int32])
def test_numbers_of_numpy_are_numbers(integer):
    trainer, _ = make(accumulate=integer(2), max_grad_norm=np.float32(0.5))
    loader = DataLoader(examples(), integer(8), seed=integer(3), prefetch=integer(0))
    trainer.callbacks.append(EarlyStopping("loss", patience=integer(9), min_delta=np.float32(0.25)))
    trainer.fit(loader, epochs=integer(2))
    other, _ = make(accumulate=2, max_grad_norm=0.5)
    other.fit(DataLoader(examples(), 8, seed=3), epochs=2)
    assert bits(trainer) == bits(other)
    loader.load_state_dict({"epoch": integer(1), "batch": integer(2), "seed": integer(3)})
    assert all(type(value) is int for value in loader.state_dict().values())
    assert len(moons(integer(9), noise=np.float32(0.1), seed=integer(1))[0]) == 9
    assert len(split(examples(10), np.float32(0.5), integer(1))[0]) == 5
    assert len(lr_find(trainer, loader, np.float32(1e-6), np.float32(1e-5), integer(40)).lrs) == 40
    random_crop(integer(1))


@pytest.mark.parametrize("call", [
    lambda trainer, loader: trainer.fit(loader, True),
    lambda trainer, loader: trainer.fit(loader, 1.0),
    lambda trainer, loader: trainer.fit(loader, "1"),
    lambda trainer, loader: EarlyStopping(patience=True),
    lambda trainer, loader: EarlyStopping(min_delta="a"),
    lambda trainer, loader: EarlyStopping(min_delta=math.nan),
    lambda trainer, loader: lr_find(trainer, loader, steps=40.0),
    lambda trainer, loader: lr_find(trainer, loader, "1e-6"),
    lambda trainer, loader: lr_find(trainer, loader, high=math.nan),
    lambda trainer, loader: moons(9, noise=True),
    lambda trainer, loader: moons(9.0),
])  # fmt: skip
def test_what_is_no_number_is_refused(call):
    with pytest.raises(OptionError):
        call(*make())


def test_a_learning_rate_of_float32_is_saved_and_goes_on(tmp_path):
    def run(*callbacks):
        trainer, loader = make("plain", callbacks=callbacks)
        trainer.schedule = optim.LambdaLR(trainer.optimizer, lambda count: np.float32(0.9) ** count)
        trainer.schedule_per = "step"
        return trainer, loader

    whole, loader = run(Checkpoints(tmp_path))
    whole.fit(loader, 3, validating())
    assert type(whole.history["lr"][0]) is float
    assert (
        History([{"step": np.int64(0), "loss": np.float32(1.5)}]).to_jsonl() == '{"step": 0, "loss": 1.5}\n'
    )
    first, loader = run(At(stop, step=6))
    first.fit(loader, 3, validating())
    first.save(tmp_path / "c", {"mine": np.int64(3), "share": np.float32(0.5), "well": np.True_})
    second, loader = run()
    assert second.load(tmp_path / "c") == {"mine": 3, "share": 0.5, "well": True}
    second.fit(loader, 3, validating())
    assert (bits(second), rows(second)) == (bits(whole), rows(whole))


def test_a_buffer_may_be_infinite(tmp_path):
    class Masked(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(6, 3)
            self.frozen = nn.Parameter(tg.tensor([-math.inf]), requires_grad=False)
            self.register_buffer("mask", tg.tensor(np.triu(np.full((3, 3), -np.inf, np.float32), 1)))

        def forward(self, x):
            scores = self.linear(x)
            return (scores[:, None, :] + self.mask).logsumexp(axis=-1)

    def run():
        tg.manual_seed(0)
        model = Masked()
        opt = optim.Adam(model.linear.parameters(), lr=0.01)
        return Trainer(model, opt, cross_entropy, callbacks=[Checkpoints(tmp_path, monitor="loss")])

    x, y = examples().arrays
    whole = run()
    whole.fit((x, y), 4)
    first, second = run(), run()
    first.fit((x, y), 2)
    second.load(tmp_path / "last.safetensors")
    second.fit((x, y), 4)
    assert (bits(second), rows(second)) == (bits(whole), rows(whole))
    assert np.isneginf(second.model.mask.numpy()).sum() == 3


@pytest.mark.parametrize(
    ("mode", "best"), [("min", -math.inf), ("max", math.inf), ("min", math.inf), ("max", 3.0)]
)
def test_an_infinite_best_is_not_forgotten(tmp_path, mode, best):
    trainer, _ = make(callbacks=[EarlyStopping(mode=mode)])
    trainer.callbacks[0].best = best
    trainer.save(tmp_path / "c")
    other, _ = make(callbacks=[EarlyStopping(mode=mode)])
    other.load(tmp_path / "c")
    assert other.callbacks[0].best == best


# --- Modes -------------------------------------------------------------------------------


class Modes(Callback):
    def __init__(self):
        self.seen = []

    def on_step_end(self, trainer):
        self.seen.append([module.training for module in trainer.model.modules()])

    def on_epoch_end(self, trainer):
        trainer.evaluate([(X, Y)])


class Frozen(nn.BatchNorm1d):
    """The usual way to freeze a normalization for good."""

    def train(self, mode=True):
        return super().train(False)


class Always(nn.Dropout):
    def train(self, mode=True):
        return super().train(True)


def network():
    block = nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(6), nn.Dropout(0.1))
    return nn.Sequential(block, Frozen(6), Always(0.2), nn.Linear(6, 3))


#        root  block  Linear BatchNorm Dropout Frozen Always Linear
TRAINS = [True, True, True, True, True, False, True, True]
MODES = {
    "as made": (lambda m: m, TRAINS),
    "as a whole": (lambda m: m.eval(), TRAINS),
    "a layer": (lambda m: m[0][1].eval(), [True, True, True, False, True, False, True, True]),
    "a block": (lambda m: m[0].eval(), [True, False, False, False, False, False, True, True]),
    "all of a block but one": (
        lambda m: (m[0].eval(), m[0][2].train()), [True, False, False, False, True, False, True, True],
    ),
    "one way and back": (lambda m: (m.eval(), m.train()), TRAINS),
}  # fmt: skip


@pytest.mark.parametrize("case", MODES)
def test_layers_stay_frozen_and_modes_come_back(case):
    freeze, wanted = MODES[case]
    model, modes = network(), Modes()
    freeze(model)
    before = [module.training for module in model.modules()]
    still = {name: value for name, value in model.state_dict().items() if "running" in name}
    trainer = Trainer(model, optim.SGD(model.parameters(), lr=0.1), cross_entropy, callbacks=[modes])
    trainer.fit(DataLoader(examples(), 16), 2, validating())
    assert modes.seen == [wanted] * 8
    assert [module.training for module in model.modules()] == before
    for name, value in model.state_dict().items():
        if "running" in name:
            moved = (value != still[name]).any()
            assert moved == wanted[3 if name.startswith("0.1") else 5], name
    modes.seen.clear()
    lr_find(trainer, DataLoader(examples(), 16), 1e-9, 1e-8, 40)
    assert [module.training for module in model.modules()] == before


def test_evaluation_asks_the_layers():
    model = network()
    trainer = Trainer(model, optim.SGD(model.parameters()), cross_entropy)
    assert (trainer.predict(X) != trainer.predict(X)).any()  # Always drops
    model[2].p = 0.0
    assert (trainer.predict(X) == trainer.predict(X)).all()


# --- Pictures ----------------------------------------------------------------------------


def test_pictures_without_matplotlib_say_how_to_install_it(monkeypatch):
    trainer, loader = make()
    found = lr_find(trainer, loader, steps=40)
    for name in list(sys.modules):
        if name.partition(".")[0] == "matplotlib" or name == "tinygrad_adam.files.picture":
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    plots = {
        "History.plot": History().plot,
        "Sweep.plot": found.plot,
        "StepLR.plot": lambda: optim.StepLR(trainer.optimizer, 2).plot(4),
        "plot_predictions": lambda: plot_predictions(X, Y, X, (), "p.png"),
        "plot_layer": lambda: plot_layer(SimpleNamespace(lines={})),
        "plot_search": lambda: plot_search(None, [], "p.png"),
        "RacePicture": lambda: RacePicture(None),
    }
    for name, plot in plots.items():
        with pytest.raises(
            OptionError, match=rf'{name}: needs matplotlib: pip install "tinygrad-adam\[cli\]"'
        ):
            plot()
