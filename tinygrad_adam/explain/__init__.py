"""Training made visible: films, pictures and findings."""

from .landscape import around, filter_normalized, of_run, plane, random_direction, through
from .race import Race, race
from .race_files import save_race
from .surfaces import SURFACES, Surface, get_surface
from .trajectories import Trajectory, descend, tune_lr
