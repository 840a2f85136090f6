"""Makes the files in this folder, with the version at hand: `python tests/old_files/make.py`.

`tests/test_old_files.py` loads them with later versions. They stand for the files of users, so they are
made once and kept: a later version must load these, not new ones. A format that is added gets new files.
"""

from __future__ import annotations

import gzip
import json
import math
import pickle
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

import tinygrad_adam as tg
import tinygrad_adam.nn.functional as F
from tinygrad_adam import data, errors, nn, optim, training

FOLDER = Path(__file__).parent

OPTIMIZERS = {
    "sgd": (optim.SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    "adam": (optim.Adam, {"lr": 0.05}),
    "amsgrad": (optim.Adam, {"lr": 0.05, "betas": (0.8, 0.99), "amsgrad": True}),
    "adam-inside": (optim.Adam, {"lr": 0.05, "eps_at": "inside", "lr_decay": 0.1, "weight_decay": 0.1}),
    "adamw": (optim.AdamW, {"lr": 0.05, "weight_decay": 0.1}),
    "adagrad": (optim.Adagrad, {"lr": 0.1, "lr_decay": 0.1}),
    "adadelta": (optim.Adadelta, {"lr": 1.0, "rho": 0.8}),
    "rmsprop": (optim.RMSprop, {"lr": 0.02, "momentum": 0.5, "centered": True}),
    "adamax": (optim.Adamax, {"lr": 0.05}),
    "nadam": (optim.NAdam, {"lr": 0.05}),
    "radam": (optim.RAdam, {"lr": 0.05, "betas": (0.6, 0.7)}),
    "adabound": (optim.AdaBound, {"lr": 0.05}),
    "amsbound": (optim.AMSBound, {"lr": 0.05}),
    "adabelief": (optim.AdaBelief, {"lr": 0.05}),
    "lion": (optim.Lion, {"lr": 0.01, "weight_decay": 0.1}),
    "sparse-adam": (optim.SparseAdam, {"lr": 0.05}),
}


def network():
    """Return a small model of float64, with random weights."""
    return nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.ReLU(), nn.Linear(3, 2)).to(np.float64)


def stepped(name, steps=3):
    """Return a model, and an optimizer of it in two groups that has taken steps."""
    cls, settings = OPTIMIZERS[name]
    model = network()
    params = list(model.named_parameters())
    half = {"params": params[3:], "lr": settings["lr"] / 2}
    opt = cls([{"params": params[:3]}, half], **settings)
    take_steps(model, opt, steps)
    return model, opt


def take_steps(model, opt, steps):
    """Take steps along gradients that depend on nothing but the number of the step."""
    for step in range(steps):
        for number, p in enumerate(model.parameters()):
            p.grad = np.sin(np.arange(p.size, dtype=np.float64) + step + number).reshape(p.shape)
        opt.step()


def layers():
    """Return layers of every kind, each with the shape of an input."""
    return {
        "Linear": (nn.Linear(3, 2), (2, 3)), "Flatten": (nn.Flatten(), (2, 3, 2)),
        "Conv1d": (nn.Conv1d(2, 3, 2), (1, 2, 4)), "Conv2d": (nn.Conv2d(2, 2, 3, padding=1), (1, 2, 4, 4)),
        "ConvTranspose2d": (nn.ConvTranspose2d(2, 1, 2, stride=2), (1, 2, 2, 2)),
        "BatchNorm1d": (nn.BatchNorm1d(3), (4, 3)), "BatchNorm2d": (nn.BatchNorm2d(2), (2, 2, 2, 2)),
        "GroupNorm": (nn.GroupNorm(2, 4), (2, 4, 2)), "LayerNorm": (nn.LayerNorm(4), (2, 4)),
        "Dropout": (nn.Dropout(0.3), (2, 3)), "Dropout2d": (nn.Dropout2d(0.3), (1, 2, 2, 2)),
        "MaxPool2d": (nn.MaxPool2d(2), (1, 1, 4, 4)), "AvgPool2d": (nn.AvgPool2d(2), (1, 1, 4, 4)),
        "AdaptiveAvgPool2d": (nn.AdaptiveAvgPool2d(1), (1, 2, 3, 3)), "ELU": (nn.ELU(0.5), (2, 3)),
        "GELU": (nn.GELU("tanh"), (2, 3)), "LeakyReLU": (nn.LeakyReLU(0.2), (2, 3)),
        "LogSoftmax": (nn.LogSoftmax(), (2, 3)), "ReLU": (nn.ReLU(), (2, 3)), "SiLU": (nn.SiLU(), (2, 3)),
        "Sigmoid": (nn.Sigmoid(), (2, 3)), "Softmax": (nn.Softmax(0), (2, 3)),
        "Softplus": (nn.Softplus(), (2, 3)), "Tanh": (nn.Tanh(), (2, 3)),
        "ModuleList": (nn.ModuleList([nn.Linear(3, 3), nn.ReLU()]), (2, 3)),
        "Sequential": (nn.Sequential(nn.Linear(3, 2), nn.ReLU()), (2, 3)),
    }  # fmt: skip


def losses():
    """Return a loss of every kind, with settings, and a layer that takes no arrays."""
    return {
        "CrossEntropyLoss": nn.CrossEntropyLoss(np.array([1.0, 2.0]), label_smoothing=0.1),
        "NLLLoss": nn.NLLLoss(ignore_index=1), "SparseLinear": nn.SparseLinear(3, 2),
        "BCEWithLogitsLoss": nn.BCEWithLogitsLoss(reduction="sum"), "HingeLoss": nn.HingeLoss(2.0),
        "HuberLoss": nn.HuberLoss(0.5), "KLDivLoss": nn.KLDivLoss("batchmean"), "L1Loss": nn.L1Loss("none"),
        "MSELoss": nn.MSELoss(),
    }  # fmt: skip


def wave(shape):
    """Return numbers between -2 and 2."""
    return (2 * np.sin(np.arange(math.prod(shape)) * 1.7 + 0.3)).reshape(shape)


def output_of(layer, shape):
    """Return the outputs of a layer in evaluation mode; a list of modules is called one after the other."""
    x = tg.tensor(wave(shape))
    for part in layer if type(layer) is nn.ModuleList else [layer]:
        x = part.to(np.float64).eval()(x)
    return x.tolist()


def schedules():
    """Return a schedule of every kind, each of an optimizer of its own."""

    def opt():
        return optim.SGD([nn.Parameter(np.ones(1))], lr=0.5, momentum=0.9)

    chained, joined = opt(), opt()
    return {
        "constant": optim.ConstantLR(opt(), 0.5, 4), "linear": optim.LinearLR(opt(), 0.1, 1.0, 6),
        "step": optim.StepLR(opt(), 2, 0.5), "multi-step": optim.MultiStepLR(opt(), [2, 5], 0.5),
        "exponential": optim.ExponentialLR(opt(), 0.9), "polynomial": optim.PolynomialLR(opt(), 8, 2.0),
        "inverse-sqrt": optim.InverseSquareRootLR(opt()), "inverse-time": optim.InverseTimeLR(opt(), 0.5),
        "cosine": optim.CosineAnnealingLR(opt(), 8), "one-cycle": optim.OneCycleLR(opt(), 1.0, 9),
        "cosine-restarts": optim.CosineAnnealingWarmRestarts(opt(), 2, 2),
        "plateau": optim.ReduceLROnPlateau(opt(), factor=0.5, patience=0),
        "lambda": optim.LambdaLR(opt(), math.sqrt),
        "chained": optim.ChainedScheduler([optim.StepLR(chained, 2), optim.ExponentialLR(chained, 0.5)]),
        "sequential": optim.SequentialLR(
            joined, [optim.ConstantLR(joined, 0.1, 2), optim.ExponentialLR(joined, 0.9)], [2]
        ),
    }  # fmt: skip


def follow(schedule, steps):
    """Take steps of a schedule, and return the learning rates and momenta after each."""
    found = []
    for step in range(steps):
        if isinstance(schedule, optim.ReduceLROnPlateau):
            schedule.step(1.0 + step % 2)
        else:
            schedule.step()
        group = schedule.optimizer.param_groups[0]
        found.append([group["lr"], group["momentum"]])
    return found


class StopAfter(training.Callback):
    """Ends a training in the middle of an epoch."""

    def __init__(self, step):
        self.last = step

    def on_step_end(self, trainer):
        if trainer.step == self.last:
            trainer.stop("enough")


def trainer(*callbacks):
    """Return a Trainer with everything that a checkpoint keeps, and its batches."""
    model = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Dropout(0.2), nn.Linear(4, 3))
    opt = optim.Adam(model.to(np.float64).named_parameters(), lr=0.05)
    x, y = wave((20, 2)), np.arange(20) % 3
    found = training.Trainer(
        model, opt, F.cross_entropy, {"accuracy": training.Accuracy()},
        optim.CosineAnnealingLR(opt, 30), schedule_per="step", max_grad_norm=1.0, accumulate=2,
        callbacks=[training.EarlyStopping("loss", patience=9), *callbacks],
    )  # fmt: skip
    return found, data.DataLoader(data.TensorDataset(x, y), batch_size=4, shuffle=True, seed=3)


def averaged(kind):
    """Return an average of weights that has been updated, and its model."""
    model, opt = stepped("adam")
    average = kind(model)
    for _ in range(3):
        take_steps(model, opt, 1)
        average.update()
    return average, model


def tensors():
    """Return Tensors of several kinds, and what is pickled along with them."""
    leaf = tg.tensor([[1.5, -2.0], [0.25, 4.0]], requires_grad=True)
    (leaf**2).sum().backward()
    double = tg.tensor(np.array([0.1, 0.2, 0.3]), requires_grad=True)
    double.sum().backward()
    table = nn.Embedding(4, 2, sparse=True)
    nn.init.constant_(table.weight, 0.5)
    table([1, 3, 1]).sum().backward()
    return {
        "leaf": leaf, "double": double, "integers": tg.tensor([3, -7, 2**40]), "plain": tg.ones(2, 1),
        "booleans": tg.tensor([True, False]), "scalar": tg.tensor(2.5), "empty": tg.zeros(0, 3),
        "parameter": nn.Parameter(np.array([1.0, 2.0], np.float32)), "frozen": nn.Parameter([1.0], False),
        "embedding": table, "rows": table.weight.grad,
        "operations": [tg.relu, tg.add, tg.exp, tg.sum, tg.softmax],
        "functions": [F.cross_entropy, F.conv2d, tg.matmul, tg.where, training.run_trial],
        "classes": [tg.Tensor, nn.Linear, optim.Adam, data.DataLoader, training.Trainer],
    }  # fmt: skip


def others():
    """Return other objects of the package that pickle takes, such as those given to other processes."""
    images = np.arange(2 * 9, dtype=np.uint8).reshape(2, 1, 3, 3)
    opt = optim.SGD([nn.Parameter(np.ones(1))], lr=0.5)
    stopping = training.EarlyStopping(patience=2)
    accuracy = training.Accuracy()
    accuracy.update(tg.tensor(np.eye(4)), np.array([0, 1, 2, 0]))
    return {
        "dataset": data.TensorDataset(np.eye(3), np.arange(3)),
        "images": data.ImageDataset(images, np.arange(2), augment=[data.random_crop(1), data.random_flip()]),
        "loader": data.DataLoader(data.TensorDataset(np.arange(6.0)), batch_size=4, shuffle=True, seed=1),
        "history": training.History([{"epoch": 1, "loss": 0.5}]),
        "config": training.RunConfig(model="mlp:3", epochs=2, settings={"lr": 0.1}),
        "entry": training.Entry.parse("adam:lr=0.1"), "range": training.Range("lr", 0.001, 0.1),
        "accuracy": accuracy, "stopping": stopping, "schedule": optim.StepLR(opt, 2),
        "outcome": training.Outcome("ok", [{"epoch": 1, "val_accuracy": 0.5}]),
        "error": errors.OptionError("Adam", "lr must be positive", lr=-1),
    }  # fmt: skip


def main():
    """Write all files."""
    expected = {"version": tg.__version__}
    tg.manual_seed(0)
    for protocol in (2, 5):
        write(f"tensors-protocol-{protocol}.pickle", tensors(), protocol)
    made = layers()
    write("layers.pickle", {**{name: layer for name, (layer, _) in made.items()}, **losses()})
    expected["layers"] = {name: output_of(layer, shape) for name, (layer, shape) in made.items()}
    write("others.pickle", others())

    model = network()
    for _ in range(3):
        model(tg.tensor(wave((5, 2))))  # moves the running statistics
    write("model.pickle", model)
    model.save(FOLDER / "model.safetensors")
    model.save(FOLDER / "model.npz")
    expected["state"] = {name: np.asarray(value).tolist() for name, value in model.state_dict().items()}
    expected["output"] = output_of(model, (3, 2))

    (FOLDER / "checkpoints").mkdir(exist_ok=True)
    together, states, expected["optimizers"] = {}, {}, {}
    for name in OPTIMIZERS:
        model, opt = stepped(name)
        together[name] = pickle.dumps((model, opt))
        states[name] = (model.state_dict(), opt.state_dict())
        training.save_checkpoint(FOLDER / f"checkpoints/{name}.safetensors", model, opt, {"name": name})
        drawn = tg.rand(2).tolist()
        moments = {key: value.tolist() for key, value in opt.moments(model[0].weight)[1].items()}
        take_steps(model, opt, 2)
        after = {key: p.tolist() for key, p in model.named_parameters()}
        expected["optimizers"][name] = {"moments": moments, "drawn": drawn, "after": after}
    (FOLDER / "optimizers.pickle.gz").write_bytes(gzip.compress(pickle.dumps(together, 4), mtime=0))
    write("optimizer-states.pickle", states)

    kept, expected["schedules"] = {}, {}
    for name, schedule in schedules().items():
        expected["schedules"][name] = {"before": follow(schedule, 3)}
        kept[name] = {"schedule": schedule.state_dict(), "optimizer": schedule.optimizer.state_dict()}
        expected["schedules"][name]["after"] = follow(schedule, 5)
    (FOLDER / "schedules.json").write_text(json.dumps(kept) + "\n", "utf-8")

    averages, expected["averages"] = {}, {}
    for kind in (optim.ExponentialMovingAverage, optim.PolyakAverage):
        average, model = averaged(kind)
        averages[kind.__name__] = {"state": average.state_dict(), "pair": (average, model)}
        with average.applied():
            expected["averages"][kind.__name__] = {key: p.tolist() for key, p in model.named_parameters()}
    write("averages.pickle", averages)

    tg.manual_seed(1)
    run, loader = trainer(StopAfter(4))
    run.fit(loader, 3)
    run.save(FOLDER / "trainer.safetensors", {"note": "in the middle of the second epoch"})
    expected["trainer"] = {
        "step": run.step,
        "epoch": run.epoch,
        "batch": run.batch,
        "rows": rows(run.history),
    }
    run.callbacks = [c for c in run.callbacks if not isinstance(c, StopAfter)]
    run.fit(loader, 3)
    expected["trainer"]["after"] = rows(run.history)
    expected["trainer"]["weights"] = {key: p.tolist() for key, p in run.model.named_parameters()}

    folder = FOLDER / "run"
    shutil.rmtree(folder, ignore_errors=True)
    config = training.RunConfig(model="mlp:2", epochs=2, batch_size=512, settings={"lr": 0.05}, patience=5)
    run = training.Run.start(config, folder)
    run.fit()
    run.load_best()
    first = run.data.arrays("test", flatten=False)[0][:4]
    expected["run"] = {"test": run.evaluate(), "probabilities": run.predict(first).tolist()}
    for name in ("comparison.jsonl", "search.jsonl"):
        (FOLDER / name).unlink(missing_ok=True)
    tiny = training.RunConfig(model="mlp:2", epochs=1, batch_size=1024)
    with ThreadPoolExecutor(1) as executor:
        entries = [training.Entry.parse(text) for text in ("adam:lr=0.1", "sgd")]
        results = training.compare(tiny, entries, [0], executor, path=FOLDER / "comparison.jsonl")
        search = training.Search(tiny, {"lr": training.Range("lr", 0.01, 0.1)}, points=2)
        trials = search.run(FOLDER / "search.jsonl", executor)
    expected["comparison"] = {result.entry.label: result.last("val_accuracy")[0] for result in results}
    expected["search"] = [[trial.settings["lr"], trial.val_accuracy] for trial in trials]
    (FOLDER / "expected.json").write_text(json.dumps(expected) + "\n", "utf-8")


def rows(history):
    """Return the epochs without their seconds."""
    return [{key: value for key, value in row.items() if key != "seconds"} for row in history]


def write(name, thing, protocol=4):
    """Pickle an object into a file."""
    (FOLDER / name).write_bytes(pickle.dumps(thing, protocol))


if __name__ == "__main__":
    main()
