"""Checks of what learners write: a grader that tells in sentences what is wrong."""

from .grading import grade
from .report import Finding, Grade
