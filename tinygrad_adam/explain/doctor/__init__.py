"""The doctor: watches training steps, and says what is wrong with them, where, and what to do."""

from .finding import Finding
from .watcher import Doctor

doctor = Doctor
