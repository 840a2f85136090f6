"""Optimizers, schedules and gradient clipping."""

from .adam import Adam, AdamW
from .clipping import clip_grad_norm_, clip_grad_value_
from .optimizer import Optimizer
from .registry import OPTIMIZERS, build_optimizer
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
