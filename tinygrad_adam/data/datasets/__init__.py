"""Data sets to learn from: the digits ship with the package, the others are downloaded and verified."""
