"""Training made visible: explanations, ledgers, drawings, films, races and the doctor's findings."""

import importlib
import sys
from typing import TYPE_CHECKING, Any

from .. import words

if TYPE_CHECKING:
    from .ledger.layer_picture import plot_layer
    from .ledger.next_step import NextStep, take_next_step
    from .races.landscape import around, filter_normalized, of_run, plane, random_direction, through
    from .races.race import Race, race
    from .races.saving import save_race
    from .races.surfaces import SURFACES, Surface, get_surface
    from .races.trajectories import Trajectory, descend, tune_lr

# A ledger or an explanation waits neither for training nor for races.
_NAMES = {
    "ledger.layer_picture": "plot_layer",
    "ledger.next_step": "NextStep take_next_step",
    "races.landscape": "around filter_normalized of_run plane random_direction through",
    "races.race": "Race race",
    "races.saving": "save_race",
    "races.surfaces": "SURFACES Surface get_surface",
    "races.trajectories": "Trajectory descend tune_lr",
}
_PLACES = {name: module for module, names in _NAMES.items() for name in names.split()}
__all__ = list(_PLACES)


def __getattr__(name: str) -> Any:
    if name in _PLACES:
        return getattr(importlib.import_module(f".{_PLACES[name]}", __name__), name)
    raise words.missing("explain", sys.modules[__name__], name)


def __dir__() -> list[str]:
    return __all__
