"""Backpropagation and Adam that a person can read, on NumPy or CuPy."""

from . import data, errors, nn, optim, training
from ._version import __version__
from .autograd import Primitive, enable_grad, grad, is_grad_enabled, no_grad, primitive
from .backend.kernels import use_kernels
from .gradcheck import gradcheck, gradgradcheck
from .ops import *  # noqa: F403
from .random import fork_rng, manual_seed
from .tensor import (
    Tensor,
    arange,
    default_dtype,
    eye,
    full,
    get_default_dtype,
    ones,
    rand,
    randn,
    tensor,
    zeros,
)
