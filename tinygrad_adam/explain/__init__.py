"""Training made visible: films, pictures and findings."""

from .layer_picture import plot_layer
from .next_step import NextStep, take_next_step
