"""The command line: parses, calls the library, prints. Each command stands in the file of its name."""

from __future__ import annotations

import os
import sys
from typing import Any

try:
    import rich
    import typer
except ImportError:
    sys.exit('the command line needs more packages: pip install "tinygrad-adam[cli]"')

from ..errors import TinygradAdamError
from .compare import compare
from .course import course
from .datasets import datasets
from .devices import devices
from .evaluate import evaluate
from .explain import explain
from .lr_find import lr_find
from .options import build
from .predict import predict
from .race import race
from .selfcheck import selfcheck
from .train import train
from .tune import tune

COMMANDS = {
    command.__name__.replace("_", "-"): command
    for command in (
        train, evaluate, predict, datasets, devices, selfcheck, compare, tune, lr_find, explain, race, course
    )
}  # fmt: skip


class Commands(typer.core.TyperGroup):
    """The commands by name. The one that runs is built then, as its options take time to import."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Return the name of the command that was called, the command and its words."""
        name, _, rest = super().resolve_command(ctx, args)
        return name, build(COMMANDS[name or ""]), rest


app = typer.Typer(
    cls=Commands,
    name="tinygrad-adam",
    help="Train small networks with backpropagation and Adam that you can read.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for name, command in COMMANDS.items():
    app.command(name, help=command.__doc__)(lambda: None)  # for the list of the commands


def main() -> None:
    """Run the command line; an error that a user can mend ends it with a message, not with a traceback."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by the shell, with >&-
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
    try:
        app()
    except (TinygradAdamError, OSError, MemoryError) as error:
        remedy = "; a smaller model or batch needs less" if isinstance(error, MemoryError) else ""
        print(f"{type(error).__name__}: {error}{remedy}", file=sys.stderr)
        sys.exit(1)
