"""Optimizers, schedules, averages of weights, and changes of gradients before a step."""

import sys
from typing import Any

from .. import words
from .adabelief import AdaBelief
from .adabound import AdaBound, AMSBound
from .adadelta import Adadelta
from .adagrad import Adagrad
from .adam import Adam, AdamW
from .adamax import Adamax
from .averaging import ExponentialMovingAverage, PolyakAverage, WeightAverage
from .clipping import clip_grad_adaptive_, clip_grad_norm_, clip_grad_value_
from .comparison import DialectComparison, compare_dialects
from .dialects import DIALECTS
from .lion import Lion
from .nadam import NAdam
from .noise import add_grad_noise_
from .optimizer import Optimizer
from .radam import RAdam
from .registry import OPTIMIZERS, build_optimizer
from .rmsprop import RMSprop
from .rprop import Rprop
from .schedules import (
    SCHEDULES,
    ChainedScheduler,
    ConstantLR,
    CosineAnnealingLR,
    CosineAnnealingWarmRestarts,
    ExponentialLR,
    InverseSquareRootLR,
    InverseTimeLR,
    LambdaLR,
    LinearLR,
    MultiStepLR,
    OneCycleLR,
    PolynomialLR,
    ReduceLROnPlateau,
    Schedule,
    SequentialLR,
    StepLR,
    build_schedule,
)
from .sgd import SGD
from .sparse_adam import SparseAdam

OPTIMIZERS.update(
    (name.lower(), kind)
    for name, kind in list(vars().items())
    if isinstance(kind, type) and issubclass(kind, Optimizer) and kind not in (Optimizer, SparseAdam)
)
words.answer_calls(sys.modules[__name__], Optimizer)
words.answer_attributes("Optimizer", Optimizer)


def __getattr__(name: str) -> Any:
    raise words.missing("optim", sys.modules[__name__], name)
