"""Wrong calls of losses and metrics."""

from __future__ import annotations

import math

import numpy as np

import tinygrad_adam as tg
import tinygrad_adam.nn.functional as F
from tinygrad_adam import nn, training

X = tg.ones(2, 3)
PAIRED = ["binary_cross_entropy_with_logits", "hinge_loss", "huber_loss", "kl_div", "l1_loss", "mse_loss"]

CALLS = {
    "cross_entropy of another count": lambda: F.cross_entropy(tg.ones(4, 3), [0, 1, 2]),
    "cross_entropy of other probabilities": lambda: F.cross_entropy(tg.ones(4, 3), np.ones((4, 2))),
    "cross_entropy of labels of floats": lambda: F.cross_entropy(tg.ones(4, 3), np.ones(4)),
    "cross_entropy of truth values": lambda: F.cross_entropy(X, [True, False]),
    "cross_entropy with another weight": lambda: F.cross_entropy(X, [0, 1], weight=np.ones(2)),
    "cross_entropy of a large label": lambda: F.cross_entropy(X, [0, 3]),
    "cross_entropy of a negative label": lambda: F.cross_entropy(X, [0, -1]),
    "cross_entropy of logits of integers": lambda: F.cross_entropy(tg.tensor([[1, 2]]), [0]),
    "cross_entropy smoothed too much": lambda: F.cross_entropy(X, [0, 1], label_smoothing=1.5),
    "cross_entropy of another reduction": lambda: F.cross_entropy(X, [0, 1], reduction="maen"),
    "cross_entropy without labels": lambda: F.cross_entropy(X),
    "cross_entropy of a list": lambda: F.cross_entropy([[1.0, 2.0]], [1]),
    "cross_entropy of words": lambda: F.cross_entropy(X, ["a", "b"]),
    "nll_loss of another count": lambda: F.nll_loss(X, [0]),
    "nll_loss of a large label": lambda: F.nll_loss(X, [0, 3]),
    "nll_loss with another weight": lambda: F.nll_loss(X, [0, 1], weight=[1.0]),
    "nll_loss of integers": lambda: F.nll_loss(tg.tensor([[1, 2]]), [0]),
    "hinge_loss of zeros and ones": lambda: F.hinge_loss(tg.tensor([1.0, 2.0]), [True, False]),
    "huber_loss without a delta": lambda: F.huber_loss(X, X, delta=0),
    "kl_div of a number": lambda: F.kl_div(tg.tensor(0.0), 1.0, reduction="batchmean"),
    "mse_loss of a mean of batches": lambda: F.mse_loss(X, X, reduction="batchmean"),
    "binary_cross_entropy with another weight": lambda: F.binary_cross_entropy_with_logits(
        X, np.ones((2, 3)), weight=np.ones(4)
    ),
    "MSELoss of another reduction": lambda: nn.MSELoss("average")(X, X),
    "HuberLoss without a delta": lambda: nn.HuberLoss(0.0)(X, X),
    "CrossEntropyLoss of a large label": lambda: nn.CrossEntropyLoss()(X, [0, 3]),
    "NLLLoss of one axis": lambda: nn.NLLLoss()(tg.ones(3), [0]),
    **{
        f"{name} of other shapes": lambda name=name: getattr(F, name)(tg.ones(2), tg.ones(2, 1))
        for name in PAIRED
    },
    **{f"{name} of None": lambda name=name: getattr(F, name)(None, [1]) for name in PAIRED},
    **{
        f"{name} of a ragged list": lambda name=name: getattr(F, name)(X, [[1.0], [1.0, 2.0]])
        for name in PAIRED
    },
    "Accuracy of none": lambda: training.Accuracy(0),
    "Accuracy of a fraction": lambda: training.Accuracy(1.5),
    "Accuracy of True": lambda: training.Accuracy(True),
    "Accuracy of more than there are": lambda: training.Accuracy(4).update(X, [0, 1]),
    "Accuracy of one column": lambda: training.Accuracy().update(tg.ones(3, 1), [0, 1, 1]),
    "Accuracy of other shapes": lambda: training.Accuracy().update(tg.zeros(3, 2), tg.zeros(1, 2)),
    "MeanSquaredError of other shapes": lambda: training.MeanSquaredError().update(
        tg.zeros(3, 2), tg.zeros(1, 2)
    ),
    "MeanAbsoluteError of other shapes": lambda: training.MeanAbsoluteError().update(X, tg.ones(3)),
    "Dropout of nan": lambda: nn.Dropout(math.nan),
}
