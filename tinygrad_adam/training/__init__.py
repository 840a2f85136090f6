"""Training: the loop, metrics, callbacks, checkpoints, runs; comparing optimizers and tuning them."""

import sys

from .. import words
from .callbacks import Callback, Checkpoints, EarlyStopping
from .checkpoint import load_checkpoint, save_checkpoint
from .comparison import Entry, Result, compare
from .curves import plot_comparison
from .display import PlainDisplay, RichDisplay, choose_display
from .heatmap import plot_search
from .history import History
from .loop import Trainer
from .lr_finder import Sweep, lr_find
from .metrics import Accuracy, MeanAbsoluteError, MeanSquaredError, Metric
from .models import build_model, cnn, mlp
from .run import Experiment, Run, RunConfig
from .search import Search, Trial, rank_trials
from .space import Range, parse_space
from .trial import Outcome, process_pool, run_trial

words.answer_calls(sys.modules[__name__], Trainer)
words.answer_attributes("Trainer", Trainer)
