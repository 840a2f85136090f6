"""Training made visible: films, pictures and findings."""

from .ledger.layer_picture import plot_layer
from .ledger.next_step import NextStep, take_next_step
from .race.files import save_race
from .race.landscape import around, filter_normalized, of_run, plane, random_direction, through
from .race.race import Race, race
from .race.surfaces import SURFACES, Surface, get_surface
from .race.trajectories import Trajectory, descend, tune_lr
