"""Layers and losses as functions, under PyTorch's names.

import tinygrad_adam.nn.functional as F
"""

# ruff: noqa: F401, F403
from __future__ import annotations

import sys
from typing import NoReturn

from .. import ops, words
from ..ops import linear, tanh
from ..ops.activation import *
from ..ops.classification import *
from ..ops.convolution import *
from ..ops.likelihood import *
from ..ops.loss import *
from ..ops.normalization import *
from ..ops.pooling import *
from ..ops.resizing import *
from .dropout import dropout, dropout2d  # type: ignore[assignment]
from .lookup import embedding, sparse_linear

# In `ops` the functions answer other packages' keywords, in their own files not yet.
globals().update({name: getattr(ops, name) for name in globals().keys() & {*ops.__all__} - {"dropout"}})


def __getattr__(name: str) -> NoReturn:
    raise words.missing("nn.functional", sys.modules[__name__], name)
