"""The command line: parses, calls the library, prints."""

from __future__ import annotations

import os
import sys

try:
    import rich
    import typer
except ImportError:
    sys.exit('the command line needs some packages more: pip install "tinygrad-adam[cli]"')

from ..errors import TinygradAdamError
from .checking import selfcheck
from .comparing import compare
from .diagnosing import devices
from .explaining import explain
from .racing import race
from .runs import datasets, evaluate, predict, train
from .sweeping import lr_find
from .tuning import tune

app = typer.Typer(
    name="tinygrad-adam",
    help="Train small networks with backpropagation and Adam that you can read.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for command in (
    train, evaluate, predict, datasets, devices, selfcheck, compare, tune, lr_find, explain, race
):  # fmt: skip
    app.command()(command)


def main() -> None:
    """Run the command line; what a user can mend ends in a message, not in a traceback."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by the shell, with >&-
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
    try:
        app()
    except (TinygradAdamError, OSError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(1)
    except MemoryError as error:
        print(f"MemoryError: {error}; a smaller model or batch needs less", file=sys.stderr)
        sys.exit(1)
