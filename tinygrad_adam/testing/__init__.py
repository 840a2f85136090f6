"""Checks of learners' code: a grader that explains mistakes in sentences."""

from .grading.grading import grade
from .grading.report import Finding, Grade
