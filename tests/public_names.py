"""List the public names of the package and their parameters; `python tests/public_names.py` writes the list.

A line is a dotted name, followed by the parameters of a callable in Python's notation, without types. A class
has a line for each public attribute and method that classes of the package define, except those that it
shares with a public base: a line "is" names that base. Attributes of instances are read from examples.
"""

from __future__ import annotations

import importlib
import inspect
import re
import types
from pathlib import Path

import numpy as np

import tinygrad_adam as tg
from tinygrad_adam import data, explain, nn, optim, training

ROOT = Path(__file__).parents[1]
LIST = Path(__file__).with_suffix(".txt")

MODULES = {
    "": "nn optim data training explain testing course cuda errors watching",
    "nn": "functional init",
    "optim": "ledger",
}
"""The public modules, by the module that has them as attributes."""

LATE = "doctor draw film gradcheck gradgradcheck recorded tracing"
"""Functions of the package that are imported on first access."""

OF_ITS_OWN = {
    "cuda": "Memory allow_tf32 device_count is_available memory synchronize",
    "errors": "CheckpointError DTypeError DataError DeviceError GradcheckError GraphError IndexingError "
    "NonFiniteError OptionError ShapeError StateError TinygradAdamError UnknownNameError",
    "nn.init": "calculate_gain constant_ fan_in_uniform_ kaiming_normal_ kaiming_uniform_ normal_ "
    "orthogonal_ trunc_normal_ uniform_ xavier_normal_ xavier_uniform_",
    "optim.ledger": "EntryLedger LayerLedger",
    "watching": "Watcher watch",
}
"""The public names of modules that also have internal ones, as listed in the reference."""

IMPORT = re.compile(r"from (tinygrad_adam\.[\w.]+) import (\w+(?:, \w+)*)")


def instances():
    """Yield the dotted name of each class that needs one, and an instance."""
    linear = nn.Linear(3, 2)
    layers = {
        "AdaptiveAvgPool2d": 1, "AvgPool2d": 2, "BatchNorm1d": 3, "BatchNorm2d": 3, "Conv1d": (1, 1, 1),
        "Conv2d": (1, 1, 1), "ConvTranspose2d": (1, 1, 1), "Dropout": (), "Dropout2d": (), "ELU": (),
        "Embedding": (3, 2), "Flatten": (), "GELU": (), "GroupNorm": (1, 2), "LayerNorm": 2, "LeakyReLU": (),
        "LogSoftmax": (), "MaxPool2d": 2, "Module": (), "ModuleList": (), "Parameter": 1.0, "ReLU": (),
        "Sequential": (), "SiLU": (), "Sigmoid": (), "Softmax": (), "Softplus": (), "SparseLinear": (2, 2),
        "Tanh": (), "BCEWithLogitsLoss": (), "CrossEntropyLoss": (), "HingeLoss": (), "HuberLoss": (),
        "KLDivLoss": (), "L1Loss": (), "MSELoss": (), "NLLLoss": (), "Linear": (1, 1),
    }  # fmt: skip
    for name, args in layers.items():
        yield f"nn.{name}", getattr(nn, name)(*(args if isinstance(args, tuple) else (args,)))
    for name in sorted({cls.__name__ for cls in optim.OPTIMIZERS.values()} | {"SparseAdam"}):
        yield f"optim.{name}", getattr(optim, name)(nn.Linear(1, 1).parameters(), lr=0.1)
    opt = optim.SGD(linear.parameters(), lr=0.1)
    schedules = {
        "ConstantLR": (), "CosineAnnealingLR": 2, "CosineAnnealingWarmRestarts": 2, "ExponentialLR": 0.5,
        "InverseSquareRootLR": (), "InverseTimeLR": 0.5, "LinearLR": (), "MultiStepLR": [[2]],
        "OneCycleLR": (0.1, 10), "PolynomialLR": 2, "ReduceLROnPlateau": (), "StepLR": 2,
    }  # fmt: skip
    for name, args in schedules.items():
        args = args if isinstance(args, tuple | list) else (args,)
        yield f"optim.{name}", getattr(optim, name)(optim.SGD(linear.parameters(), lr=0.1), *args)
    halves = [optim.StepLR(opt, 2), optim.StepLR(opt, 3)]
    yield "optim.ChainedScheduler", optim.ChainedScheduler(halves)
    yield "optim.SequentialLR", optim.SequentialLR(opt, halves, [2])
    yield "optim.LambdaLR", optim.LambdaLR(opt, lambda count: 1.0)
    yield "optim.ExponentialMovingAverage", optim.ExponentialMovingAverage(linear)
    yield "optim.PolyakAverage", optim.PolyakAverage(linear)
    dataset = data.TensorDataset(np.ones((4, 3)), np.zeros(4, int))
    loader = data.DataLoader(dataset, batch_size=2)
    yield "data.TensorDataset", dataset
    yield "data.DataLoader", loader
    yield "data.ImageDataset", data.ImageDataset(np.zeros((4, 1, 3, 3), np.uint8), np.zeros(4, int))
    trainer = training.Trainer(linear, opt, tg.cross_entropy)
    yield "training.Trainer", trainer
    yield "training.History", training.History()
    yield "training.Callback", training.Callback()
    yield "training.EarlyStopping", training.EarlyStopping()
    yield "training.Checkpoints", training.Checkpoints("folder")
    yield "training.Accuracy", training.Accuracy()
    yield "training.MeanSquaredError", training.MeanSquaredError()
    yield "training.MeanAbsoluteError", training.MeanAbsoluteError()
    yield "training.PlainDisplay", training.PlainDisplay()
    yield "training.RunConfig", training.RunConfig()
    config = training.RunConfig(model="mlp:4", epochs=1)
    yield "training.Experiment", training.Experiment(config)
    yield "training.Run", training.Run(Path("folder"), config)
    yield "training.Search", training.Search(config, {"lr": [0.1]})
    yield "training.Range", training.Range("lr", 0.1, 1.0)
    yield "explain.Surface", explain.get_surface("beale")
    yield "Tensor", tg.ones(2, 3)
    yield "Primitive", tg.relu
    yield "RowSparse", tg.RowSparse(np.array([0]), np.ones((1, 2)), (3, 2))


def imports():
    """Yield the dotted names that pages, examples and benchmarks import from the package."""
    for folder in ("README.md", "docs", "examples", "benchmarks"):
        found = [ROOT / folder] if folder.endswith(".md") else sorted((ROOT / folder).rglob("*"))
        for path in found:
            if path.suffix in (".md", ".rst", ".py") and "generated" not in path.parts:
                for module, names in IMPORT.findall(path.read_text("utf-8")):
                    yield from (f"{module}.{name}" for name in names.split(", "))


def names_of(module, dotted):
    """Return the public names of a module."""
    if dotted in OF_ITS_OWN:
        return OF_ITS_OWN[dotted].split()
    names = getattr(module, "__all__", None) or [*vars(module), *("" if dotted else LATE).split()]
    return sorted({name for name in names if name[0] != "_" and is_ours(getattr(module, name), name)})


def is_ours(thing, name):
    """Return whether an object belongs to the package, or is one of its tables, and is not a module."""
    if isinstance(thing, types.ModuleType):
        return False
    home = getattr(thing, "__module__", None) or type(thing).__module__
    return home.startswith("tinygrad_adam") or (name.isupper() and isinstance(thing, dict | tuple))


def lines():
    """Return the lines of the list."""
    found = {}
    for below, names in MODULES.items():
        for name in names.split():
            found[f"{below}.{name}".lstrip(".")] = "  module"
    classes = {}
    for dotted in ["", *found]:
        module = importlib.import_module(f"tinygrad_adam.{dotted}".rstrip("."))
        for name in names_of(module, dotted):
            path, thing = f"{dotted}.{name}".lstrip("."), getattr(module, name)
            found[path] = signature(thing) if callable(thing) else f"  {kind(thing)}"
            if inspect.isclass(thing):
                classes[path] = thing
    for dotted, cls in classes.items():
        found.update((f"{dotted}.{name}", rest) for name, rest in members(cls))
    for dotted, thing in instances():
        assert type(thing) is classes[dotted], dotted
        for name in dir(thing):
            if name[0] != "_" and is_ours_in(type(thing), name):
                found.setdefault(f"{dotted}.{name}", "  attribute")
    return sorted(name + rest for name, rest in without_inherited(found, classes).items())


def members(cls):
    """Yield the public attributes and methods of a class that classes of the package define."""
    fields = {name for base in cls.__mro__ if ours(base) for name in vars(base).get("__annotations__", ())}
    answered = {name for name in dir(cls) if not hasattr(cls, name)}  # names from other packages
    for name in sorted({*dir(cls), *fields} - answered):
        if name[0] == "_" or not is_ours_in(cls, name):
            continue
        member = inspect.getattr_static(cls, name, None)
        if isinstance(member, staticmethod | classmethod):
            yield name, signature(getattr(cls, name))
        elif callable(member):
            yield name, signature(member, bound=True)
        else:  # a property, a field, or a class attribute
            yield name, "  attribute"


def without_inherited(found, classes):
    """Replace the lines that a public base also has by a single "is" line."""
    names = {cls: dotted for dotted, cls in sorted(classes.items(), reverse=True)}
    shorter = dict(found)
    for dotted, cls in classes.items():
        for base in [names[base] for base in cls.__mro__[1:] if base in names]:
            shorter[f"{dotted} is {base}"] = ""
            for path, rest in found.items():
                owner, _, name = path.rpartition(".")
                if owner == dotted and found.get(f"{base}.{name}") == rest:
                    shorter.pop(path, None)
    return shorter


def ours(cls):
    return cls.__module__.startswith("tinygrad_adam")


def is_ours_in(cls, name):
    """Return whether an attribute comes from a class of the package, or only from the instance."""
    for base in cls.__mro__:
        if name in vars(base) or name in vars(base).get("__annotations__", ()):
            return ours(base)
    return True


def kind(thing):
    """Describe a table by its keys, another object by its class."""
    return f"keys {', '.join(sorted(map(str, thing)))}" if isinstance(thing, dict) else type(thing).__name__


def signature(function, bound=False):
    """Return the parameters of a function as text, without types and without a bound object."""
    if getattr(function, "_is_protocol", False):
        return "  protocol"
    try:
        found = inspect.signature(function)
    except TypeError:  # a class whose instances have their own signatures
        found, bound = inspect.signature(function.__init__), True
    parameters = [p.replace(annotation=p.empty) for p in found.parameters.values()]
    parameters = [p if p.default is p.empty else p.replace(default=Shown(p.default)) for p in parameters]
    return str(inspect.Signature(parameters[1:] if bound else parameters))


class Shown:
    """A default value whose text is the same in every process."""

    def __init__(self, value):
        self.value = value

    def __repr__(self):
        named = inspect.isfunction(self.value) or inspect.isclass(self.value) or callable(self.value)
        text = getattr(self.value, "__name__", None) if named else repr(self.value)
        return re.sub(r"<([\w.]+)[^>]*? at 0x\w+>", r"<\1>", text or repr(self.value))


def text():
    """Return the text of the file: the names, and the imports in pages, examples and benchmarks."""
    return "\n".join([*lines(), "", *sorted({f"import {name}" for name in imports()}), ""])


if __name__ == "__main__":
    LIST.write_text(text(), "utf-8")
