"""Optimizers, schedules, averages of weights, and what is done to gradients before a step."""

from .adam import Adam, AdamW
from .averaging import ExponentialMovingAverage, PolyakAverage, WeightAverage
from .clipping import clip_grad_adaptive_, clip_grad_norm_, clip_grad_value_
from .noise import add_grad_noise_
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
