"""Layers, losses and initial weights."""

# ruff: noqa: F403
import sys
from typing import NoReturn

from .. import words
from . import functional, init
from .activation import *
from .containers import *
from .convolution import *
from .dropout import *
from .embedding import *
from .linear import *
from .losses import *
from .module import Module
from .normalization import *
from .parameter import Parameter
from .pooling import *

words.answer_calls(sys.modules[__name__], Module)
words.answer_attributes("Module", Module)


def __getattr__(name: str) -> NoReturn:
    raise words.missing("nn", sys.modules[__name__], name)
