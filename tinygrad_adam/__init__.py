"""Backpropagation and Adam that a person can read, on NumPy or CuPy."""

import importlib
import sys
from typing import TYPE_CHECKING, Any

from . import errors, nn, optim, words
from ._version import __version__
from .autograd import grad
from .backend.convert import default_dtype, get_default_dtype
from .backend.device import device
from .backend.kernels import use_kernels
from .backend.threads import get_num_threads, set_num_threads
from .creation import arange, eye, full, ones, rand, randn, tensor, zeros
from .gradcheck import gradcheck, gradgradcheck
from .ops import *  # noqa: F403
from .primitive import Primitive, enable_grad, is_grad_enabled, no_grad, primitive
from .random import fork_rng, manual_seed
from .rowsparse import RowSparse
from .tensor import Tensor

if TYPE_CHECKING:
    from . import cuda, data, explain, testing, training
    from .explain.doctor import doctor
    from .explain.drawing import draw
    from .explain.film import film
    from .replay import recorded
    from .traces import tracing

# Those who only compute need not wait for what only training, or looking at it, needs.
_MODULES = ("cuda", "data", "explain", "testing", "training")
_FUNCTIONS = {
    "doctor": ".explain.doctor",
    "draw": ".explain.drawing",
    "film": ".explain.film",
    "recorded": ".replay",
    "tracing": ".traces",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f".{name}", __name__)
    if name in _FUNCTIONS:
        return getattr(importlib.import_module(_FUNCTIONS[name], __name__), name)
    raise words.missing(__name__, sys.modules[__name__], name)
