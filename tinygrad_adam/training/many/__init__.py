"""Many trainings: comparisons, searches, learning rate tests."""
