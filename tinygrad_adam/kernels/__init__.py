"""Faster versions of reference code, found by name; without this folder all results are the same."""
