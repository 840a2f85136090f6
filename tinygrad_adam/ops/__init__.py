"""The differentiable operations, a family a file.

Together they are also the namespace that gradient rules compute with when the gradient itself
needs a graph, which is why they carry NumPy's names and signatures.
"""

# ruff: noqa: F403

import sys

from ..engine.graph import provided
from ..words import answer_calls
from . import (
    activation,
    arithmetic,
    classification,
    convolution,
    diagonals,
    einstein,
    indexing,
    likelihood,
    linalg,
    loss,
    normalization,
    pooling,
    promotion,
    reduction,
    resizing,
    shaping,
    special,
)
from .activation import *
from .arithmetic import *
from .classification import *
from .convolution import *
from .diagonals import *
from .einstein import *
from .indexing import *
from .likelihood import *
from .linalg import *
from .loss import *
from .normalization import *
from .pooling import *
from .reduction import *
from .resizing import *
from .shaping import *
from .special import *

__all__ = [
    *activation.__all__,
    *arithmetic.__all__,
    *classification.__all__,
    *convolution.__all__,
    *diagonals.__all__,
    *einstein.__all__,
    *indexing.__all__,
    *likelihood.__all__,
    *linalg.__all__,
    *loss.__all__,
    *normalization.__all__,
    *pooling.__all__,
    *reduction.__all__,
    *resizing.__all__,
    *shaping.__all__,
    *special.__all__,
]

answer_calls(sys.modules[__name__])
provided.ops = sys.modules[__name__]
