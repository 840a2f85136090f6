"""Training: the loop, metrics, callbacks, checkpoints, runs; comparing optimizers and tuning them."""

import sys

from .. import words
from .callbacks import Checkpoints, EarlyStopping
from .checkpoint import load_checkpoint, save_checkpoint
from .config import RunConfig
from .display import PlainDisplay, RichDisplay, choose_display
from .history import History
from .loop import Callback, Trainer
from .many.comparison import Comparison, Entry, Result, compare
from .many.curves import plot_comparison
from .many.heatmap import plot_search
from .many.lr_finder import Sweep, lr_find
from .many.parallel import process_pool
from .many.search import Search, Trial, Trials, rank_trials
from .many.space import Range, parse_space
from .many.trial import Outcome, run_trial
from .metrics import Accuracy, MeanAbsoluteError, MeanSquaredError, Metric
from .models import build_model, cnn, mlp
from .run import Experiment, Run

words.answer_calls(sys.modules[__name__], Trainer)
words.answer_attributes("Trainer", Trainer)
