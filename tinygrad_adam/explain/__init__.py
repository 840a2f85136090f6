"""Training made visible: films, pictures and findings."""

from .landscape import around, filter_normalized, of_run, plane, random_direction, through
from .layer_picture import plot_layer
from .next_step import NextStep, take_next_step
from .race import Race, race
from .race_files import save_race
from .surfaces import SURFACES, Surface, get_surface
from .trajectories import Trajectory, descend, tune_lr
