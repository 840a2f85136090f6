"""Layers and losses as functions, under PyTorch's names.

import tinygrad_adam.nn.functional as F
"""

# ruff: noqa: F401
from __future__ import annotations

import sys
from typing import NoReturn

from .. import words
from ..ops import (
    adaptive_avg_pool2d,
    avg_pool2d,
    batch_norm,
    binary_cross_entropy_with_logits,
    conv1d,
    conv2d,
    conv_transpose2d,
    cross_entropy,
    elu,
    gelu,
    global_avg_pool2d,
    group_norm,
    hinge_loss,
    huber_loss,
    interpolate,
    kl_div,
    l1_loss,
    layer_norm,
    leaky_relu,
    linear,
    log_softmax,
    max_pool2d,
    mse_loss,
    nll_loss,
    relu,
    sigmoid,
    silu,
    softmax,
    softplus,
    tanh,
    unfold,
)
from .dropout import dropout, dropout2d
from .lookup import embedding, sparse_linear


def __getattr__(name: str) -> NoReturn:
    raise words.missing("nn.functional", sys.modules[__name__], name)
