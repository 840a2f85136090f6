"""The doctor: it watches training steps and reports faults, each with its place and its remedy."""
