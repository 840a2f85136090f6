"""Numba loops that pass over memory once."""
