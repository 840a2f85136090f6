"""Checks of an installation: a device against the reference on the CPU."""
