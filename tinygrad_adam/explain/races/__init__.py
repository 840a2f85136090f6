"""Optimizers side by side on surfaces: functions of two numbers, and planes through a network."""
