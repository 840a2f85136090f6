"""Faster versions of reference code, found by name; without this folder everything computes the same."""
