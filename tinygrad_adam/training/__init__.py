"""Training: the loop, metrics, callbacks, checkpoints and the history of a run."""

from .callbacks import Callback, Checkpoints, EarlyStopping
from .checkpoint import load_checkpoint, save_checkpoint
from .display import PlainDisplay, RichDisplay, choose_display
from .history import History
from .loop import Trainer
from .metrics import Accuracy, MeanAbsoluteError, MeanSquaredError, Metric
from .models import build_model, cnn, mlp
from .run import Run, RunConfig
