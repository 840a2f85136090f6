"""Benchmarks against other frameworks: ``python -m benchmarks``."""
