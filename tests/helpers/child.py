"""Python in a process of its own, without settings of threads."""

from __future__ import annotations

import os
import subprocess
import sys

import tinygrad_adam as tg

LONG = 300


def python(code):
    root = os.path.dirname(os.path.dirname(tg.__file__))
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    environment["PYTHONPATH"] = root
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=LONG,
        env=environment,
        check=False,
    )
