"""Wrong calls of the Trainer, callbacks, runs, comparisons and searches."""

from __future__ import annotations

import json
import math

import numpy as np

import tinygrad_adam as tg
import tinygrad_adam.nn.functional as F
from tinygrad_adam import data, nn, optim, training

X, Y = np.linspace(-1, 1, 24, dtype=np.float32).reshape(8, 3), np.arange(8) % 3
TINY = training.RunConfig(model="mlp:3", epochs=1, batch_size=1024)


def loader(batch_size=4):
    return data.DataLoader(data.TensorDataset(X, Y), batch_size)


def trainer(loss=F.cross_entropy, schedule=None, model=None, **settings):
    tg.manual_seed(0)
    model = model or nn.Linear(3, 3)
    opt = optim.SGD(model.named_parameters(), lr=0.1)
    return training.Trainer(model, opt, loss, schedule=schedule and schedule(opt), **settings)


def fitted(*args, **settings):
    trainer(**settings).fit(*(args or (loader(), 1)))


def made_of(**parts):
    model = nn.Linear(3, 3)
    right = {"model": model, "optimizer": optim.SGD(model.parameters(), lr=0.1), "loss": F.cross_entropy}
    return training.Trainer(**{**right, **parts})


def other_metrics(folder):
    trainer().save(folder / "c")
    trainer(metrics={"accuracy": training.Accuracy()}).load(folder / "c")


def other_schedule(folder):
    trainer().save(folder / "c")
    trainer(schedule=lambda opt: optim.StepLR(opt, 2)).load(folder / "c")


def other_batches(folder):
    class Stop(training.Callback):
        def on_step_end(self, trainer):
            trainer.stop("enough")

    first = trainer(callbacks=[Stop()])
    first.fit(loader(), 1)
    first.save(folder / "c")
    second = trainer()
    second.load(folder / "c")
    second.fit(loader(2), 1)


def begun(folder, **changes):
    training.Run.start(TINY, folder / "run")
    path = folder / "run" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    return training.Run.open(folder / "run")


def foreign_file(folder):
    training.Run.start(TINY, folder / "run")
    (folder / "run" / "mine.txt").touch()
    training.Run.start(TINY, folder / "run", overwrite=True)


def started_again(folder):
    training.Run.start(TINY, folder / "run")
    training.Run.start(TINY, folder / "run")


class Inline:
    """Ends each training at once."""

    def submit(self, function, *args, **kwargs):
        from concurrent.futures import Future

        future = Future()
        row = {"epoch": 1, "loss": 1.0, "val_loss": 1.0, "val_accuracy": 0.5, "seconds": 0.1}
        future.set_result(training.Outcome("ok", [row], {"loss": 1.0, "accuracy": 0.5}))
        return future


def compared(*labels, seeds=(0,), path=None, config=TINY):
    entries = [training.Entry.parse(label) for label in labels]
    return training.compare(config, entries, seeds, Inline(), path=path)


def other_seeds(folder):
    compared("adam", path=folder / "results.jsonl")
    compared("adam", seeds=(0, 1), path=folder / "results.jsonl")


def search(**settings):
    return training.Search(TINY, settings or {"lr": [0.1]})


def other_search(folder):
    search().run(folder / "trials.jsonl", Inline())
    search(lr=[0.2]).run(folder / "trials.jsonl", Inline())


def damaged_results(folder):
    (folder / "trials.jsonl").write_text("these are notes\n")
    training.Search.open(folder / "trials.jsonl")


def more_trials_of_a_grid(folder):
    search().run(folder / "trials.jsonl", Inline())
    training.Search.open(folder / "trials.jsonl", trials=9)


CALLS = {
    **{
        f"Trainer with {name}={value!r}": lambda name=name, value=value: trainer(**{name: value})
        for name, value in [
            ("schedule_per", "week"), ("accumulate", 0), ("accumulate", 1.5), ("max_grad_norm", 0),
            ("max_grad_norm", -1.0), ("max_grad_norm", math.nan),
        ]
    },
    "Trainer of a class": lambda: made_of(model=nn.Linear),
    "Trainer of a function": lambda: made_of(model=len),
    "Trainer with a name for an optimizer": lambda: made_of(optimizer="adam"),
    "Trainer with a name for a loss": lambda: made_of(loss="mse"),
    "Trainer with a class for a loss": lambda: made_of(loss=nn.MSELoss),
    "Trainer with a list of metrics": lambda: made_of(metrics=[training.Accuracy()]),
    "Trainer with a class for a metric": lambda: made_of(metrics={"accuracy": training.Accuracy}),
    "Trainer with a class for a callback": lambda: made_of(callbacks=[training.EarlyStopping]),
    "Trainer with one callback": lambda: made_of(callbacks=training.EarlyStopping()),
    "Trainer with a name for a schedule": lambda: made_of(schedule="cosine"),
    "Trainer with a plateau for each step": lambda: trainer(
        schedule=optim.ReduceLROnPlateau, schedule_per="step"
    ),
    "fit for a negative number of epochs": lambda: fitted(loader(), -1),
    "fit for a fraction of epochs": lambda: fitted(loader(), 1.5),
    "fit for True epochs": lambda: fitted(loader(), True),
    "fit to a list of batches": lambda: fitted([(X, Y)], 1),
    "fit to None": lambda: fitted(None, 1),
    "fit to an array": lambda: fitted(X, 1),
    "fit with a validation that is used up": lambda: fitted(loader(), 2, iter(loader())),
    "fit to examples of other features": lambda: fitted((X[:, :2], Y), 1),
    "fit to labels out of range": lambda: fitted((X, Y + 1), 1),
    "fit with a loss for each example": lambda: fitted(loss=nn.CrossEntropyLoss(reduction="none")),
    "fit with a loss that is a number": lambda: fitted(loss=lambda o, y: 1.0),
    "fit with a loss that is None": lambda: fitted(loss=lambda o, y: None),
    "fit with a loss of nan": lambda: fitted(loss=lambda o, y: F.cross_entropy(o, y) * math.nan),
    "fit with a plateau that watches nothing": lambda: fitted(schedule=optim.ReduceLROnPlateau),
    "fit with an early stopping that watches nothing": lambda: fitted(callbacks=[training.EarlyStopping()]),
    "fit without a label that counts": lambda: fitted((X, Y * 0 - 100), 1),
    "evaluate of no batches": lambda: trainer().evaluate([]),
    "evaluate of an array": lambda: trainer().evaluate(X),
    "predict of no batches": lambda: trainer().predict([]),
    "predict of rows": lambda: trainer(model=nn.Sequential(nn.Linear(3, 2))).predict(list(X)),
    "predict of a word": lambda: trainer().predict("all"),
    "saving what JSON cannot hold": lambda folder: trainer().save(folder / "c", {"note": object()}),
    "saving to another format": lambda folder: trainer().save(folder / "c.pt"),
    "loading what is not there": lambda folder: trainer().load(folder / "gone"),
    "loading with other metrics": other_metrics,
    "loading with another schedule": other_schedule,
    "going on with other batches": other_batches,
    **{
        f"EarlyStopping with {name}={value!r}": lambda name=name, value=value: training.EarlyStopping(
            **{name: value}
        )
        for name, value in [
            ("patience", 0), ("patience", 1.5), ("min_delta", -1), ("min_delta", "a"), ("mode", "least"),
        ]
    },
    "lr_find from zero": lambda: training.lr_find(trainer(), loader(), low=0.0),
    "lr_find to infinity": lambda: training.lr_find(trainer(), loader(), high=math.inf),
    "lr_find in few steps": lambda: training.lr_find(trainer(), loader(), steps=32),
    "lr_find with a word": lambda: training.lr_find(trainer(), loader(), "1e-6"),
    "lr_find of a list": lambda: training.lr_find(trainer(), [(X, Y)]),
    # Runs.
    **{
        f"RunConfig with {name}={value!r}": lambda name=name, value=value: training.RunConfig(**{name: value})
        for name, value in [
            ("epochs", 1.5), ("epochs", True), ("epochs", 0), ("batch_size", 0), ("batch_size", None),
            ("seed", -1), ("patience", "3"), ("dropout", math.nan), ("dropout", None), ("dropout", 1.0),
            ("max_grad_norm", math.inf), ("validation", True), ("settings", []), ("model", 3),
            ("data", "mnits"), ("schedule", "cosin"),
            ("device", "gpu"), ("augment", 1),
        ]
    },
    "Experiment with an unknown optimizer": lambda: training.Experiment(
        training.RunConfig(optimizer="adamww")
    ),
    "Experiment with an unknown setting": lambda: training.Experiment(
        training.RunConfig(settings={"beta": 0.9})
    ),
    "Experiment with a schedule that lacks a setting": lambda: training.Experiment(
        training.RunConfig(schedule="step", epochs=1)
    ),
    "Run in a folder that is there": started_again,
    "Run in a folder of other files": foreign_file,
    "Run of a model of no units": lambda folder: training.Run.start(
        training.RunConfig(model="mlp:0"), folder / "run"
    ),
    "opening what is not there": lambda folder: training.Run.open(folder / "gone"),
    "opening what is no run": lambda folder: training.Run.open(folder),
    "opening a damaged configuration": lambda folder: begun(folder, epochs="many"),
    "opening an unknown configuration": lambda folder: begun(folder, nonsense=1),
    "resuming before a checkpoint": lambda folder: begun(folder).resume(),
    "loading the best before there is one": lambda folder: begun(folder).load_best(),
    "build_model of an unknown name": lambda: training.build_model("mpl", (6,), 4),
    "build_model of no units": lambda: training.build_model("mlp:3,0", (6,), 4),
    "build_model of a word": lambda: training.build_model("mlp:a", (6,), 4),
    "build_model of an unknown cnn": lambda: training.build_model("cnn:papr", (1, 8, 8), 10),
    "build_model of a cnn of rows": lambda: training.build_model("cnn", (64,), 10),
    "build_model of a file that is not there": lambda: training.build_model("gone.py:net", (6,), 4),
    # Comparing and searching.
    "compare of nothing": lambda: compared(),
    "compare of one twice": lambda: compared("adam", "adam"),
    "compare of no seed": lambda: compared("adam", seeds=()),
    "compare of a negative seed": lambda: compared("adam", seeds=(-1,)),
    "compare of a seed of a fraction": lambda: compared("adam", seeds=(1.0,)),
    "compare of other seeds than the file": other_seeds,
    "Entry of an unknown optimizer": lambda: training.Entry.parse("adm"),
    "Entry of an unknown setting": lambda: training.Entry.parse("adam:rate=1"),
    "Entry without a value": lambda: training.Entry.parse("adam:lr"),
    "Search of nothing": lambda: training.Search(TINY, {}),
    "Search of no value": lambda: search(lr=[]),
    "Search of an unknown setting": lambda: search(rate=[0.1]),
    "Search of a negative lr": lambda: search(lr=[-0.1]),
    "Search with a fraction of points": lambda: training.Search(TINY, {"lr": [0.1]}, points=2.0),
    "Search with a word for trials": lambda: training.Search(TINY, {"lr": [0.1]}, trials="3"),
    "a search with the file of another": other_search,
    "opening a search that is not there": lambda folder: training.Search.open(folder / "gone"),
    "opening a search of notes": damaged_results,
    "more trials of a grid": more_trials_of_a_grid,
    "rank_trials of none": lambda: training.rank_trials([]),
    "parse_space without a value": lambda: training.parse_space(["lr"]),
    "parse_space of a falling range": lambda: training.parse_space(["lr=1..0.1"]),
    "parse_space of a name twice": lambda: training.parse_space(["lr=1,2", "lr=3"]),
    "parse_space of a range of words": lambda: training.parse_space(["lr=a..b"]),
    "process_pool of none": lambda: training.process_pool(0).__enter__(),
    "process_pool of no thread": lambda: training.process_pool(1, threads=0).__enter__(),
}  # fmt: skip
