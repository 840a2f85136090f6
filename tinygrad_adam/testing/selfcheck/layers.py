"""Every layer and loss of `nn`, and the ways to make and call it that matter.

The tests know PyTorch's counterpart of each row; `selfcheck` compares devices with it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ... import nn
from ...backend.convert import default_dtype
from ...tensor.creation import tensor
from ...tensor.random import fork_rng

Draw = Callable[[np.random.Generator], tuple[Any, ...]]


@dataclass(frozen=True)
class Layer:
    """One way to make and call a layer.

    Attributes
    ----------
    name : str
        The class in `nn`.
    make : callable
        Takes the namespace ``nn`` (PyTorch's will do too) and what turns an array into a tensor.
    inputs : callable
        Of a generator: the float64 arrays that get a gradient.
    constants : callable
        Of a generator: what follows them and gets none, such as labels.
    label : str
        What is particular about this row.
    train : bool
        Whether gradients are checked in training mode.
    """

    name: str
    make: Callable[..., Any]
    inputs: Draw
    constants: Draw = lambda rng: ()
    label: str = ""
    train: bool = True

    def __str__(self) -> str:
        return f"{self.name}-{self.label}" if self.label else self.name


def normal(*shapes: tuple[int, ...]) -> Draw:
    """Draw arrays from the standard normal distribution."""
    return lambda rng: tuple(rng.standard_normal(shape) for shape in shapes)


def off_zero(*shape: int) -> Draw:
    """Values away from 0, where rectifiers have a kink that finite differences would straddle."""

    def draw(rng: np.random.Generator) -> tuple[Any, ...]:
        x = rng.standard_normal(shape)
        return (x + np.copysign(0.1, x),)

    return draw


def labels(classes: int, *shape: int) -> Draw:
    """Draw labels."""
    return lambda rng: (rng.integers(0, classes, shape),)


def sparse_matrix(rows: int, columns: int) -> Draw:
    """A matrix in compressed sparse rows of which about half is stored."""

    def draw(rng: np.random.Generator) -> tuple[Any, ...]:
        dense = rng.standard_normal((rows, columns)) * rng.integers(0, 2, (rows, columns))
        return (CSR(dense),)

    return draw


class CSR:
    """Compressed sparse rows, with the attributes of SciPy's `csr_array`."""

    format = "csr"

    def __init__(self, dense: Any) -> None:
        dense = np.asarray(dense)
        rows, self.indices = np.nonzero(dense)
        self.data = dense[rows, self.indices]
        self.indptr = np.searchsorted(rows, np.arange(len(dense) + 1))
        self.shape = dense.shape

    def put(self, put: Callable[[Any], Any]) -> CSR:
        """Return the same matrix with its arrays put elsewhere."""
        twin = object.__new__(CSR)
        twin.shape = self.shape
        twin.data, twin.indices, twin.indptr = map(put, (self.data, self.indices, self.indptr))
        return twin


def some_ignored(rng: np.random.Generator) -> tuple[Any, ...]:
    """Draw labels of which one does not count."""
    chosen = rng.integers(0, 4, 6)
    chosen[2] = -100
    return (chosen,)


def probabilities(*shape: int) -> Draw:
    """Draw rows that sum to one."""
    return lambda rng: (rng.dirichlet(np.ones(shape[-1]), shape[:-1]),)


def log_probabilities(rng: np.random.Generator) -> tuple[Any, ...]:
    """Draw the logarithms of rows that sum to one."""
    z = rng.standard_normal((6, 4))
    return (z - np.log(np.exp(z).sum(axis=1, keepdims=True)),)


WEIGHTS = np.array([0.5, 1.0, 2.0, 0.25])


def losses(name: str, inputs: Draw, constants: Draw, **variants: dict[str, Any]) -> list[Layer]:
    """Make a row for each reduction and each variant of the settings."""

    def row(label: str, settings: dict[str, Any], reduction: str) -> Layer:
        def make(lib: Any, as_tensor: Any) -> Any:
            given = {k: as_tensor(v) if isinstance(v, np.ndarray) else v for k, v in settings.items()}
            return getattr(lib, name)(reduction=reduction, **given)

        return Layer(name, make, inputs, constants, label="-".join(filter(None, (label, reduction))))

    every: dict[str, dict[str, Any]] = {"": {}, **variants}
    reductions = ("mean", "sum", "none")
    return [row(label, settings, each) for label, settings in every.items() for each in reductions]


def mlp(lib: Any, _: Any) -> Any:
    """Make a small network with a normalization."""
    return lib.Sequential(lib.Linear(4, 5), lib.BatchNorm1d(5), lib.Tanh(), lib.Linear(5, 3), lib.Softmax(-1))


def residual(lib: Any, _: Any) -> Any:
    """Make a block with a skip connection (He et al., 2016): its output is added to its input."""

    class Residual(lib.Module):  # type: ignore[misc]
        def __init__(self, channels: int) -> None:
            super().__init__()
            self.first = lib.Conv2d(channels, channels, 3, padding=1, bias=False)
            self.norm = lib.BatchNorm2d(channels)
            self.second = lib.Conv2d(channels, channels, 3, padding=1)

        def forward(self, x: Any) -> Any:
            return x + self.second(self.norm(self.first(x)).tanh())

    return lib.Sequential(Residual(2))


def small_cnn(lib: Any, _: Any) -> Any:
    """Make a network of one layer of each kind that images need."""
    return lib.Sequential(
        lib.Conv2d(2, 3, 3, padding=1), lib.BatchNorm2d(3), lib.Tanh(), lib.MaxPool2d(2),
        lib.Conv2d(3, 4, (2, 1)), lib.GroupNorm(2, 4), lib.AvgPool2d(2, 1), lib.Flatten(), lib.Linear(4, 3),
    )  # fmt: skip


def images(name: str, *shape: int, label: str = "", train: bool = True, **settings: Any) -> Layer:
    """Make a row for a layer of images; settings that begin with an underscore come by position."""
    positional = settings.pop("_", ())
    return Layer(
        name,
        lambda lib, _: getattr(lib, name)(*positional, **settings),
        normal(shape),
        label=label,
        train=train,
    )


def activation(name: str) -> Layer:
    """Make a row for an activation function with its default settings."""
    return Layer(name, lambda lib, _: getattr(lib, name)(), off_zero(3, 4))


IMAGE_LAYERS = [
    images("Conv1d", 2, 3, 7, _=(3, 4, 3)),
    images("Conv1d", 2, 4, 9, _=(4, 6, 3, 2, 2, 2, 2), label="all settings"),
    images("Conv1d", 1, 2, 5, _=(2, 2, 3), padding="same", bias=False, label="same"),
    images("Conv2d", 2, 3, 5, 6, _=(3, 4, 3)),
    images("Conv2d", 2, 4, 7, 8, _=(4, 6, (3, 2), (2, 1), (1, 2), (1, 2), 2), label="all settings"),
    images("Conv2d", 2, 3, 5, 4, _=(3, 2, 3), padding="same", dilation=2, bias=False, label="same"),
    images("Conv2d", 2, 3, 5, 4, _=(3, 6, 3), padding=1, groups=3, label="depthwise"),
    images("Conv2d", 3, 3, 4, 4, _=(3, 5, 1), label="1x1"),
    images("ConvTranspose2d", 2, 3, 3, 4, _=(3, 2, 3)),
    images("ConvTranspose2d", 2, 4, 3, 2, _=(4, 6, (3, 2), (2, 3), (1, 0), (1, 2), 2, True, (1, 2)),
           label="all settings"),
    images("ConvTranspose2d", 1, 2, 3, 3, _=(2, 3, 2), stride=2, bias=False, label="no bias"),
    images("MaxPool2d", 2, 3, 6, 5, _=(2,)),
    images("MaxPool2d", 2, 2, 7, 8, _=((3, 2), (2, 1), (1, 0), (1, 2)), ceil_mode=True, label="all settings"),
    images("MaxPool2d", 1, 2, 5, 5, _=(3,), stride=1, padding=1, label="overlapping"),
    images("AvgPool2d", 2, 3, 6, 5, _=(2,)),
    images("AvgPool2d", 2, 2, 7, 8, _=((3, 2), (2, 3), (1, 1), True, False), label="all settings"),
    images("AvgPool2d", 1, 2, 6, 5, _=(3, 2, 1), ceil_mode=True, label="padding counts"),
    images("AdaptiveAvgPool2d", 2, 3, 5, 4, _=(1,), label="global"),
    images("AdaptiveAvgPool2d", 2, 2, 7, 5, _=((3, 2),)),
    images("BatchNorm2d", 3, 2, 4, 3, _=(2,)),
    images("BatchNorm2d", 2, 3, 2, 3, _=(3, 0.1, 0.3), label="all settings"),
    images("BatchNorm2d", 2, 3, 2, 3, _=(3,), label="eval", train=False),
    images("GroupNorm", 2, 4, 3, 2, _=(2, 4)),
    images("GroupNorm", 3, 4, _=(2, 4, 0.1), label="2 axes"),
    images("GroupNorm", 2, 3, 4, _=(1, 3), label="one group"),
    images("GroupNorm", 2, 3, 2, 2, _=(3, 3), label="instances"),
    images("Dropout2d", 2, 3, 4, 2, label="eval", train=False),
    images("Dropout2d", 2, 3, 4, 2, _=(0.0,), label="p=0"),
    Layer("Sequential", small_cnn, normal((3, 2, 6, 4)), label="cnn"),
    Layer("Sequential", small_cnn, normal((3, 2, 6, 4)), label="cnn-eval", train=False),
    Layer("Sequential", residual, normal((2, 2, 4, 3)), label="residual"),
]  # fmt: skip

LAYERS = [
    *IMAGE_LAYERS,
    Layer("Linear", lambda lib, _: lib.Linear(4, 3), normal((5, 4))),
    Layer("Linear", lambda lib, _: lib.Linear(4, 3, bias=False), normal((5, 4)), label="no bias"),
    Layer("Linear", lambda lib, _: lib.Linear(4, 3), normal((2, 3, 4)), label="3 axes"),
    Layer("Linear", lambda lib, _: lib.Linear(4, 3), normal((4,)), label="1 axis"),
    Layer("Flatten", lambda lib, _: lib.Flatten(), normal((2, 3, 4))),
    Layer("Dropout", lambda lib, _: lib.Dropout(0.5), normal((3, 4)), train=False),
    Layer("Dropout", lambda lib, _: lib.Dropout(0.0), normal((3, 4)), label="p=0"),
    Layer("Embedding", lambda lib, _: lib.Embedding(7, 3), lambda rng: (), labels(7, 4, 5)),
    Layer("Embedding", lambda lib, _: lib.Embedding(7, 3, sparse=True), lambda rng: (), labels(7, 4, 5),
          label="sparse"),
    Layer("SparseLinear", lambda lib, _: lib.SparseLinear(6, 3), lambda rng: (), sparse_matrix(4, 6)),
    Layer("LayerNorm", lambda lib, _: lib.LayerNorm(4), normal((5, 4))),
    Layer("LayerNorm", lambda lib, _: lib.LayerNorm((3, 4), eps=0.1), normal((2, 3, 4)), label="2 axes"),
    Layer("BatchNorm1d", lambda lib, _: lib.BatchNorm1d(4), normal((6, 4))),
    Layer("BatchNorm1d", lambda lib, _: lib.BatchNorm1d(4), normal((6, 4)), label="eval", train=False),
    Layer(
        "BatchNorm1d",
        lambda lib, _: lib.BatchNorm1d(3, eps=0.1, momentum=0.3),
        normal((4, 3, 5)),
        label="3 axes",
    ),
    Layer(
        "BatchNorm1d", lambda lib, _: lib.BatchNorm1d(4, momentum=None), normal((6, 4)), label="means"
    ),
    *[activation(name) for name in nn.activation.__all__],
    Layer("LeakyReLU", lambda lib, _: lib.LeakyReLU(0.3), off_zero(3, 4), label="slope"),
    Layer("ELU", lambda lib, _: lib.ELU(0.7), off_zero(3, 4), label="alpha"),
    Layer("GELU", lambda lib, _: lib.GELU("tanh"), normal((3, 4)),
          label="tanh"),
    Layer("Softmax", lambda lib, _: lib.Softmax(0), normal((3, 4)), label="axis 0"),
    Layer("LogSoftmax", lambda lib, _: lib.LogSoftmax(1), normal((3, 4, 2)), label="axis 1"),
    Layer("Sequential", mlp, normal((6, 4))),
    Layer("Sequential", mlp, normal((6, 4)), label="eval", train=False),
    Layer("Sequential", lambda lib, _: lib.Sequential(), normal((2, 3)), label="empty"),
    Layer("ModuleList", lambda lib, _: lib.ModuleList([lib.Linear(4, 4), lib.Tanh(), lib.Linear(4, 2)])[1],
          normal((2, 4)), label="member"),
    *losses("MSELoss", normal((3, 4)), normal((3, 4))),
    *losses("L1Loss", normal((3, 4)), normal((3, 4))),
    *losses("HuberLoss", normal((3, 4)), normal((3, 4)), delta={"delta": 0.3}),
    *losses("KLDivLoss", log_probabilities, probabilities(6, 4)),
    Layer("KLDivLoss", lambda lib, _: lib.KLDivLoss(reduction="batchmean"), log_probabilities,
          probabilities(6, 4), label="batchmean"),
    *losses("NLLLoss", log_probabilities, labels(4, 6), weight={"weight": WEIGHTS}),
    *losses("NLLLoss", log_probabilities, some_ignored, ignored={"weight": WEIGHTS}),
    *losses("CrossEntropyLoss", normal((6, 4)), labels(4, 6), weight={"weight": WEIGHTS},
            smooth={"label_smoothing": 0.2}),
    *losses("CrossEntropyLoss", normal((6, 4)), some_ignored, ignored={"weight": WEIGHTS},
            ignored_smooth={"weight": WEIGHTS, "label_smoothing": 0.1}),
    *losses("CrossEntropyLoss", normal((2, 4, 3)), labels(4, 2, 3), axes={"weight": WEIGHTS}),
    *losses("CrossEntropyLoss", normal((6, 4)), probabilities(6, 4),
            soft={"weight": WEIGHTS, "label_smoothing": 0.1}),
    *losses("BCEWithLogitsLoss", normal((3, 4)), lambda rng: (rng.random((3, 4)),),
            weight={"weight": WEIGHTS}, pos_weight={"pos_weight": WEIGHTS}),
    Layer("HingeLoss", lambda lib, _: lib.HingeLoss(), normal((3, 4)),
          lambda rng: (rng.choice([-1.0, 1.0], (3, 4)),)),
    Layer("HingeLoss", lambda lib, _: lib.HingeLoss(0.5, "sum"), normal((3, 4)),
          lambda rng: (rng.choice([-1.0, 1.0], (3, 4)),), label="sum"),
]  # fmt: skip


def build(layer: Layer, seed: int = 0, dtype: Any = np.float64) -> nn.Module:
    """Make the layer, with parameters away from special values such as 0 and 1."""
    with default_dtype(dtype), fork_rng(seed) as rng:
        module: nn.Module = layer.make(nn, tensor)
        for p in module.parameters():
            p.data = p.data + 0.1 * rng.standard_normal(p.shape).astype(p.dtype)
    return module
