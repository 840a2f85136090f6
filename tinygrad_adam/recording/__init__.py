"""Passes that are recorded once and replayed."""
