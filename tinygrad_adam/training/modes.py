"""Training and evaluation mode: what `fit` and `evaluate` set, and put back afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ..engine.modes import no_grad
from ..nn import Module


def train_what_trains(model: Module) -> None:
    """Put a model into training mode, except submodules in another mode than the module that holds them."""
    own = [
        (child, child.training)
        for module in model.modules()
        for child in module.children()
        if child.training != module.training
    ]
    model.train()
    for child, mode in own:
        child.train(mode)


@contextmanager
def modes_put_back(model: Module) -> Iterator[None]:
    """Put every module back into its mode at the end of the block, as it was and without asking it."""
    modes = [(module, module.training) for module in model.modules()]
    try:
        yield
    finally:
        for module, mode in modes:
            module.__dict__["training"] = mode


@contextmanager
def evaluating(model: Module) -> Iterator[None]:
    """Compute without gradients and in evaluation mode inside the block."""
    with modes_put_back(model), no_grad():
        model.eval()
        yield
