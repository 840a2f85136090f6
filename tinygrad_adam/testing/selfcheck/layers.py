"""Every layer and loss of `nn`, and the ways to make and call it that matter.

The tests know PyTorch's counterpart of each row; `selfcheck` compares devices with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ... import nn
from ...backend.convert import default_dtype
from ...tensor.creation import tensor
from ...tensor.random import fork_rng

Draw = Callable[[np.random.Generator], tuple[Any, ...]]


def nothing(rng: np.random.Generator) -> tuple[Any, ...]:
    """Draw no arrays."""
    return ()


@dataclass(frozen=True)
class Layer:
    """One way to make and call a layer.

    Attributes
    ----------
    name : str
        The class in `nn`.
    make : callable
        Takes the namespace ``nn`` or PyTorch's, and a function that turns an array into a tensor.
    inputs : callable
        Of a generator: the float64 arrays that get a gradient.
    constants : callable
        Of a generator: the arguments after them that get none, such as labels.
    label : str
        What is particular about this row.
    train : bool
        Whether gradients are checked in training mode.
    """

    name: str
    make: Callable[..., Any]
    inputs: Draw
    constants: Draw = nothing
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


def row(
    name: str,
    inputs: Draw,
    *args: object,
    constants: Draw = nothing,
    label: str = "",
    train: bool = True,
    **settings: object,
) -> Layer:
    """Make a row for a layer of these settings; arrays among them become tensors."""

    def make(lib: Any, as_tensor: Callable[..., Any]) -> Any:
        given = {k: as_tensor(v) if isinstance(v, np.ndarray) else v for k, v in settings.items()}
        return getattr(lib, name)(*args, **given)

    return Layer(name, make, inputs, constants, label, train)


def losses(name: str, inputs: Draw, constants: Draw, **variants: dict[str, Any]) -> Iterator[Layer]:
    """Yield a row for each reduction and each variant of the settings."""
    for variant, settings in {"": {}, **variants}.items():
        for reduction in ("mean", "sum", "none"):
            label = "-".join(filter(None, (variant, reduction)))
            yield row(name, inputs, constants=constants, label=label, reduction=reduction, **settings)


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


IMAGE_LAYERS = [
    row("Conv1d", normal((2, 3, 7)), 3, 4, 3),
    row("Conv1d", normal((2, 4, 9)), 4, 6, 3, 2, 2, 2, 2, label="all settings"),
    row("Conv1d", normal((1, 2, 5)), 2, 2, 3, padding="same", bias=False, label="same"),
    row("Conv2d", normal((2, 3, 5, 6)), 3, 4, 3),
    row("Conv2d", normal((2, 4, 7, 8)), 4, 6, (3, 2), (2, 1), (1, 2), (1, 2), 2, label="all settings"),
    row("Conv2d", normal((2, 3, 5, 4)), 3, 2, 3, padding="same", dilation=2, bias=False, label="same"),
    row("Conv2d", normal((2, 3, 5, 4)), 3, 6, 3, padding=1, groups=3, label="depthwise"),
    row("Conv2d", normal((3, 3, 4, 4)), 3, 5, 1, label="1x1"),
    row("ConvTranspose2d", normal((2, 3, 3, 4)), 3, 2, 3),
    row("ConvTranspose2d", normal((2, 4, 3, 2)), 4, 6, (3, 2), (2, 3), (1, 0), (1, 2), 2, True, (1, 2),
        label="all settings"),
    row("ConvTranspose2d", normal((1, 2, 3, 3)), 2, 3, 2, stride=2, bias=False, label="no bias"),
    row("MaxPool2d", normal((2, 3, 6, 5)), 2),
    row("MaxPool2d", normal((2, 2, 7, 8)), (3, 2), (2, 1), (1, 0), (1, 2),
        ceil_mode=True, label="all settings"),
    row("MaxPool2d", normal((1, 2, 5, 5)), 3, stride=1, padding=1, label="overlapping"),
    row("AvgPool2d", normal((2, 3, 6, 5)), 2),
    row("AvgPool2d", normal((2, 2, 7, 8)), (3, 2), (2, 3), (1, 1), True, False, label="all settings"),
    row("AvgPool2d", normal((1, 2, 6, 5)), 3, 2, 1, ceil_mode=True, label="padding counts"),
    row("AdaptiveAvgPool2d", normal((2, 3, 5, 4)), 1, label="global"),
    row("AdaptiveAvgPool2d", normal((2, 2, 7, 5)), (3, 2)),
    row("BatchNorm2d", normal((3, 2, 4, 3)), 2),
    row("BatchNorm2d", normal((2, 3, 2, 3)), 3, 0.1, 0.3, label="all settings"),
    row("BatchNorm2d", normal((2, 3, 2, 3)), 3, label="eval", train=False),
    row("GroupNorm", normal((2, 4, 3, 2)), 2, 4),
    row("GroupNorm", normal((3, 4)), 2, 4, 0.1, label="2 axes"),
    row("GroupNorm", normal((2, 3, 4)), 1, 3, label="one group"),
    row("GroupNorm", normal((2, 3, 2, 2)), 3, 3, label="instances"),
    row("Dropout2d", normal((2, 3, 4, 2)), label="eval", train=False),
    row("Dropout2d", normal((2, 3, 4, 2)), 0.0, label="p=0"),
    Layer("Sequential", small_cnn, normal((3, 2, 6, 4)), label="cnn"),
    Layer("Sequential", small_cnn, normal((3, 2, 6, 4)), label="cnn-eval", train=False),
    Layer("Sequential", residual, normal((2, 2, 4, 3)), label="residual"),
]  # fmt: skip

LAYERS = [
    *IMAGE_LAYERS,
    row("Linear", normal((5, 4)), 4, 3),
    row("Linear", normal((5, 4)), 4, 3, bias=False, label="no bias"),
    row("Linear", normal((2, 3, 4)), 4, 3, label="3 axes"),
    row("Linear", normal((4,)), 4, 3, label="1 axis"),
    row("Flatten", normal((2, 3, 4))),
    row("Dropout", normal((3, 4)), 0.5, train=False),
    row("Dropout", normal((3, 4)), 0.0, label="p=0"),
    row("Embedding", nothing, 7, 3, constants=labels(7, 4, 5)),
    row("Embedding", nothing, 7, 3, sparse=True, constants=labels(7, 4, 5), label="sparse"),
    row("SparseLinear", nothing, 6, 3, constants=sparse_matrix(4, 6)),
    row("LayerNorm", normal((5, 4)), 4),
    row("LayerNorm", normal((2, 3, 4)), (3, 4), eps=0.1, label="2 axes"),
    row("BatchNorm1d", normal((6, 4)), 4),
    row("BatchNorm1d", normal((6, 4)), 4, label="eval", train=False),
    row("BatchNorm1d", normal((4, 3, 5)), 3, eps=0.1, momentum=0.3, label="3 axes"),
    row("BatchNorm1d", normal((6, 4)), 4, momentum=None, label="means"),
    *(row(name, off_zero(3, 4)) for name in nn.activation.__all__),
    row("LeakyReLU", off_zero(3, 4), 0.3, label="slope"),
    row("ELU", off_zero(3, 4), 0.7, label="alpha"),
    row("GELU", normal((3, 4)), "tanh", label="tanh"),
    row("Softmax", normal((3, 4)), 0, label="axis 0"),
    row("LogSoftmax", normal((3, 4, 2)), 1, label="axis 1"),
    Layer("Sequential", mlp, normal((6, 4))),
    Layer("Sequential", mlp, normal((6, 4)), label="eval", train=False),
    row("Sequential", normal((2, 3)), label="empty"),
    Layer("ModuleList", lambda lib, _: lib.ModuleList([lib.Linear(4, 4), lib.Tanh(), lib.Linear(4, 2)])[1],
          normal((2, 4)), label="member"),
    *losses("MSELoss", normal((3, 4)), normal((3, 4))),
    *losses("L1Loss", normal((3, 4)), normal((3, 4))),
    *losses("HuberLoss", normal((3, 4)), normal((3, 4)), delta={"delta": 0.3}),
    *losses("KLDivLoss", log_probabilities, probabilities(6, 4)),
    row("KLDivLoss", log_probabilities, reduction="batchmean", constants=probabilities(6, 4),
        label="batchmean"),
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
    row("HingeLoss", normal((3, 4)), constants=lambda rng: (rng.choice([-1.0, 1.0], (3, 4)),)),
    row("HingeLoss", normal((3, 4)), 0.5, "sum", constants=lambda rng: (rng.choice([-1.0, 1.0], (3, 4)),),
        label="sum"),
]  # fmt: skip


def build(layer: Layer, seed: int = 0, dtype: Any = np.float64) -> nn.Module:
    """Make the layer, with parameters away from special values such as 0 and 1."""
    with default_dtype(dtype), fork_rng(seed) as rng:
        module: nn.Module = layer.make(nn, tensor)
        for p in module.parameters():
            p.data = p.data + 0.1 * rng.standard_normal(p.shape).astype(p.dtype)
    return module
