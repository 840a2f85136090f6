"""Optimizers, schedules and gradient clipping."""

from .adabelief import AdaBelief
from .adabound import AdaBound, AMSBound
from .adadelta import Adadelta
from .adagrad import Adagrad
from .adam import Adam, AdamW
from .adamax import Adamax
from .clipping import clip_grad_norm_, clip_grad_value_
from .comparison import DialectComparison, compare_dialects
from .dialects import DIALECTS
from .lion import Lion
from .nadam import NAdam
from .optimizer import Optimizer
from .radam import RAdam
from .registry import OPTIMIZERS, build_optimizer
from .rmsprop import RMSprop
from .schedules import CosineAnnealingLR, Schedule, StepLR
from .sgd import SGD
