"""A student's code from outside: whether a function is empty, and the line that raised an error."""

from __future__ import annotations

import dis
import sysconfig
import traceback
from types import FunctionType

from ..engine.graph import Primitive
from ..explain.chain_rule.source_lines import PACKAGE, SourceLine

LIBRARIES = (PACKAGE, *sysconfig.get_paths().values(), "<frozen", "<__array_function__")
"""Beginnings of the file names of code that is not the student's."""
IDLE = ("RESUME", "NOP", "COPY_FREE_VARS", "LOAD_CONST", "RETURN_CONST", "RETURN_VALUE")
"""Instructions of a function that does nothing."""


def blank(student: object) -> bool:
    """Tell whether a function, or a primitive's forward rule, does nothing but return None or ``...``."""
    if isinstance(student, Primitive):
        return blank(student.forward)
    if not isinstance(student, FunctionType):
        return False
    code = list(dis.get_instructions(student))
    loads = [each.argval for each in code if each.opname in ("LOAD_CONST", "RETURN_CONST")]
    return all(each.opname in IDLE for each in code) and all(each is None or each is ... for each in loads)


def line_of(error: BaseException) -> str:
    """Return the student's line in which an error arose, as ``file:line: text``, or an empty text."""
    for frame, number in reversed(list(traceback.walk_tb(error.__traceback__))):
        code = frame.f_code
        if not code.co_filename.startswith(LIBRARIES):
            return str(SourceLine(code.co_filename, number, code.co_name))
    return ""
