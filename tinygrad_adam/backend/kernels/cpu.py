"""Kernels compiled by Numba: one pass over memory each."""
