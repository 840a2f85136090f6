"""Learning rates that change from epoch to epoch, or from step to step."""

from .base import Schedule
from .combined import ChainedScheduler, LambdaLR, SequentialLR
from .cosine import CosineAnnealingLR, CosineAnnealingWarmRestarts, OneCycleLR
from .decay import (
    ConstantLR,
    ExponentialLR,
    InverseSquareRootLR,
    InverseTimeLR,
    LinearLR,
    MultiStepLR,
    PolynomialLR,
    StepLR,
)
from .plateau import ReduceLROnPlateau
from .registry import SCHEDULES, build_schedule
