"""The course: its chapters as notebooks, and graders of its exercises."""

from .exercises import grade, require

__all__ = ["grade", "require"]
