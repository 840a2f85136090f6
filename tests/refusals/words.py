"""Words of other packages that are answered, keywords that are unknown, and names that are misspelled."""

from __future__ import annotations

import numpy as np

import tinygrad_adam as tg
import tinygrad_adam.nn.functional as F
from tinygrad_adam import data, nn, optim, training
from tinygrad_adam.words import TABLE

MODEL = nn.Linear(3, 2)
OPT = optim.Adam(MODEL.parameters())
X = tg.ones(2, 3)
OWNERS = {
    "Tensor": X, "tinygrad_adam": tg, "nn": nn, "nn.functional": F, "optim": optim, "data": data,
    "Module": MODEL, "Optimizer": OPT, "Trainer": training.Trainer(MODEL, OPT, F.cross_entropy),
}  # fmt: skip
MAY_COME = ("LBFGS", "Adan", "Rprop", "ASGD", "Adafactor", "Mish", "PReLU", "Hardtanh", "ReLU6", "SELU")
"""Words of things that are not here, and may come to be."""

CALLS = {
    **{
        f"{word.owner}.{word.word}": lambda word=word: getattr(OWNERS[word.owner], word.word)
        for word in TABLE
        if word.owner in OWNERS and word.word not in MAY_COME
    },
    **{
        f"{word.word}=": lambda word=word: tg.sum(X, **{word.word: 1})
        for word in TABLE
        if word.owner == "keyword"
    },
    "a method with dim=": lambda: X.sum(dim=0),
    "a method with too many": lambda: X.sum(1, 2, 3),
    "a method with an unknown keyword": lambda: X.mean(axes=1),
    "a composed operation with dim=": lambda: tg.squeeze(X, dim=0),
    "a loss with reduce=": lambda: F.cross_entropy(X, np.array([0, 1]), reduce=True),
    "creation with dim=": lambda: tg.zeros(2, dim=1),
    "a layer with rate=": lambda: nn.Dropout(rate=0.5),
    "a layer with inplace=": lambda: nn.ReLU(inplace=True),
    "an optimizer with learning_rate=": lambda: optim.Adam(MODEL.parameters(), learning_rate=1),
    "zero_grad with set_to_none=": lambda: OPT.zero_grad(set_to_none=True),
    "a schedule with T_max=": lambda: optim.CosineAnnealingLR(OPT, T_max=3),
    "a loader with num_workers=": lambda: data.DataLoader(data.TensorDataset(X), num_workers=2),
    "an unknown attribute of a Tensor": lambda: X.nothing_like_it,
    "an unknown attribute of a model": lambda: MODEL.wieght,
    "a misspelled optimizer": lambda: optim.Adma,
    "a misspelled layer": lambda: nn.Liner,
    "a misspelled operation": lambda: tg.softmx,
    "a misspelled loss": lambda: F.cross_entrpy,
    "a misspelled data set": lambda: data.load_digts,
}
