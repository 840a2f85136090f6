"""Backpropagation and Adam that a person can read, on NumPy or CuPy."""

import importlib
import sys
from typing import TYPE_CHECKING, Any

from . import errors, nn, optim, words
from ._version import __version__
from .backend.convert import default_dtype, get_default_dtype
from .backend.device import device
from .backend.overrides import use_kernels
from .backend.threads import get_num_threads, set_num_threads
from .engine import viewers as _viewers
from .engine.backward import grad
from .engine.graph import Primitive, primitive
from .engine.modes import enable_grad, is_grad_enabled, no_grad
from .engine.rowsparse import RowSparse
from .files import moved as _moved
from .ops import *  # noqa: F403
from .tensor import random
from .tensor.creation import arange, eye, full, ones, rand, randn, tensor, zeros
from .tensor.random import fork_rng, manual_seed
from .tensor.tensor import Tensor

if TYPE_CHECKING:
    from . import course, cuda, data, explain, testing, training
    from .explain.chain_rule.traces import tracing
    from .explain.doctor.doctor import Doctor as doctor  # noqa: N813
    from .explain.drawing.drawing import draw
    from .explain.film.film import film
    from .recording.replay import recorded
    from .testing.gradcheck import gradcheck, gradgradcheck

_moved.find_moved_modules()

# A program that only computes does not wait for the modules that only training, or looking at it, needs.
_MODULES = ("course", "cuda", "data", "explain", "testing", "training")


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f".{name}", __name__)
    if f"tg.{name}" in _viewers.VIEWERS:
        return _viewers.view(f"tg.{name}")
    raise words.missing(__name__, sys.modules[__name__], name)
