"""Races of optimizers over surfaces."""
