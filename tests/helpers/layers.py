"""The package's table of layers, with PyTorch's counterpart of each; the tests of layers read it.

A row of `tinygrad_adam.testing.selfcheck.layers` builds the layer and supplies its inputs. A test fails if a
layer exported by `nn` is missing.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

from tinygrad_adam import nn
from tinygrad_adam.testing.selfcheck import layers
from tinygrad_adam.testing.selfcheck.layers import CSR, build, residual, small_cnn

__all__ = ["CSR", "IMAGE_LAYERS", "LAYERS", "build", "exported_layers", "residual", "small_cnn"]


@dataclass(frozen=True)
class Layer(layers.Layer):
    """A row of the package's table.

    Attributes
    ----------
    torch : str or callable
        The counterpart of `make` for PyTorch if it differs, or the reason why there is none.
    """

    torch: Any = None


TORCH = {
    "Softmax": lambda lib, _: lib.Softmax(-1),  # PyTorch has no default axis
    "LogSoftmax": lambda lib, _: lib.LogSoftmax(-1),
    "Embedding-sparse": "gradients of another class; test_sparse.py compares them",
    "SparseLinear": "PyTorch has no such layer; test_sparse.py compares with a product",
    "GELU-tanh": lambda lib, _: lib.GELU(approximate="tanh"),
    "HingeLoss": "PyTorch has no plain hinge loss; test_layers.py has the closed form",
    "HingeLoss-sum": "PyTorch has no plain hinge loss; test_layers.py has the closed form",
}
LAYERS = [Layer(**vars(layer), torch=TORCH.get(str(layer))) for layer in layers.LAYERS]
IMAGE_LAYERS = LAYERS[: len(layers.IMAGE_LAYERS)]


def exported_layers():
    return {
        name
        for name, value in vars(nn).items()
        if inspect.isclass(value) and issubclass(value, nn.Module) and value is not nn.Module
    }
