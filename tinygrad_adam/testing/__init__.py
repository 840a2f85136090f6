"""Checks of what learners write: a grader that tells in sentences what is wrong."""

from .grading.grading import grade
from .grading.report import Finding, Grade
