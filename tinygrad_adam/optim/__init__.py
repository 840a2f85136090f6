"""Optimizers, schedules and gradient clipping."""

from .adam import Adam, AdamW
from .clipping import clip_grad_norm_, clip_grad_value_
from .optimizer import Optimizer
from .registry import OPTIMIZERS, build_optimizer
from .schedules import CosineAnnealingLR, Schedule, StepLR
from .sgd import SGD
