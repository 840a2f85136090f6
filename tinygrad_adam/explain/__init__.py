"""What a training step did, shown: for those who learn how it works, and those whose network does not."""

from .layer_picture import plot_layer
from .next_step import NextStep, take_next_step
