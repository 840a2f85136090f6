"""Wrong calls, a module a room, and the errors that refuse them, which are kept in JSON beside the module.

A room has `CALLS`: a name for each wrong call, and a function that makes it, without arguments or with an
empty folder. `python tests/test_refusals.py` writes the answers anew.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import inspect
import json
import math
import os
import re
import tempfile
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
NEEDS = {"commands": ("typer", "PIL"), "explaining": ("matplotlib",), "files": ("matplotlib",)}
"""What the rooms need to be installed."""
ROOMS = (
    "operations", "losses", "tensors", "engine", "layers", "optimizers", "schedules", "data", "training",
    "recording", "explaining", "files", "words", "commands",
)  # fmt: skip


def room(name):
    """Return the calls of a room."""
    return importlib.import_module(f"refusals.{name}").CALLS


def missing(name):
    """Return the packages that a room needs and that are not installed."""
    return [package for package in NEEDS.get(name, ()) if importlib.util.find_spec(package) is None]


def answers(name):
    """Return the kept answers of a room."""
    return json.loads((HERE / f"{name}.json").read_text("utf-8"))


def refusal(call):
    """Make a wrong call, and return the class of the error and its message; folders are "FOLDER" in it."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder), np.errstate(all="ignore"):
        try:
            call(Path(folder)) if takes_folder(call) else call()
        except Exception as error:
            kind = getattr(error, "kind", type(error).__name__)
            text = str(error).replace(os.path.realpath(folder), "FOLDER").replace(folder, "FOLDER")
            return kind, re.sub(r" at 0x\w+|[\w./\\-]+\.py(, line |:)\d+", "", text).replace("\\", "/")
    return "no error", "the call is not refused"


def takes_folder(call):
    """Tell whether a call is made with a folder: whether it has a parameter without a default."""
    return any(
        p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD
        for p in inspect.signature(call).parameters.values()
    )


_QUOTED = re.compile(r"(?<!\w)'([^'\n]+)'(?!\w)|\"([^\"\n]+)\"")
_NUMBER = re.compile(r"(?<![\w.])-?(?:\d+(?:\.\d+)?(?:e[+-]?\d+)?|nan|inf)(?![\w]|\.\d)")
_TUPLE = re.compile(r"(?<!\w)(?:[(\[][^()\[\]\n]*\d[^()\[\]\n]*[)\]]|\(\)|\[\])")
_COMPUTED = re.compile(r"-?\d+\.\d{5,}(?:e[+-]?\d+)?")
_DTYPE = re.compile(r"\b(?:u?int|float|complex)\d+\b")
_CODE = re.compile(r"[\w.]*\w_\w*|\w*_\b|[\w.]+(?=\()|\b\w+=[\w.'\"-]+")


def named(kind, text):
    """Return what a message names: operation, numbers, tuples, quoted words, dtypes, code, values."""
    first, *lines = text.splitlines() or [""]
    found = {first.partition(":")[0]} if kind.endswith("Error") and ": " in f"{first} " else set()
    for pattern in (_NUMBER, _TUPLE, _DTYPE, _CODE):
        found.update(pattern.findall(text))
    found.update(one or two for one, two in _QUOTED.findall(text))
    for line in lines:
        if match := re.match(r"  (\S+) +(\S.*)", line):
            found.update({match[1], *re.findall(r"-?\w+(?:[.-]\w+)*", match[2])})
    return sorted(item for item in found if item)


def is_named(item, text):
    """Tell whether a message names something: whether it is there as a word, a long fraction nearly."""
    if _COMPUTED.fullmatch(item):
        return any(math.isclose(float(item), float(n), rel_tol=1e-3) for n in _NUMBER.findall(text))
    begin, end = (r"\b" if edge.isalnum() or edge == "_" else "" for edge in (item[0], item[-1]))
    return re.search(f"{begin}{re.escape(item)}{end}", text) is not None


def write():
    """Write the answers of all rooms."""
    for name in ROOMS:
        lines = []
        for call, function in room(name).items():
            kind, text = refusal(function)
            answer = {"kind": kind, "names": named(kind, text), "text": text}
            lines.append(f"{json.dumps(call, ensure_ascii=False)}: {json.dumps(answer, ensure_ascii=False)}")
        (HERE / f"{name}.json").write_text("{\n" + ",\n".join(lines) + "\n}\n", "utf-8")
