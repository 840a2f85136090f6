"""The command that explains one step of the optimizer of a run."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import OptionError
from . import options
from .shared import say, say_table

if TYPE_CHECKING:
    from ..explain import NextStep


def explain(
    run: options.RunFolder,
    parameter: Annotated[
        str | None, typer.Argument(help="A parameter's name; without one, all are listed.")
    ] = None,
    index: Annotated[str | None, typer.Option(help="One entry of it, such as 3,7.")] = None,
    picture: Annotated[
        Path | None, typer.Option(help="Draw the step of the whole parameter: a .png, .svg or .pdf file.")
    ] = None,
) -> None:
    """Take the step after a run's last checkpoint, and show the optimizer's work, line by line.

    The run itself stays as it is.
    """
    if parameter is None and (index is not None or picture is not None):
        raise OptionError("explain", "--index and --picture are of one parameter; name it")
    if index is not None and picture is not None:
        raise OptionError("explain", "a picture shows a whole parameter; leave out --index or --picture")
    entry = None if index is None else _read_index(index)
    from ..explain import plot_layer, take_next_step

    taken = take_next_step(run)
    if parameter is None:
        say(str(taken))
        _list(taken)
        name = taken.parameters[0]
        zeros = ",".join("0" for _ in taken.optimizer.explain(name).shape)
        say(f"\nNext, try:\n  tinygrad-adam explain {shlex.quote(str(run))} {name} --index {zeros}")
        return
    layer = taken.optimizer.explain(parameter)
    ledger = layer if entry is None else taken.optimizer.explain(parameter, entry)
    if picture is not None:
        plot_layer(layer, picture)
    say(f"{taken}\n")
    title, _, rest = str(ledger).partition("\n")
    say(title, "bold")
    say(rest)
    if picture is not None:
        say(f"\n{picture} shows it.")


def _read_index(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise OptionError(
            "--index", "write a whole number for each axis, with commas, as in 3,7", got=text
        ) from error


def _list(taken: NextStep) -> None:
    """Print a line for each parameter."""
    columns = (
        "parameter", "shape", "effective lr", "signal to noise", "norm of update", "of weights", "ratio"
    )  # fmt: skip
    rows = []
    for name in taken.parameters:
        layer = taken.optimizer.explain(name)
        medians = [
            f"{layer.distribution(each)['median']:.3g}" if each in layer.lines else ""
            for each in ("effective_lr", "snr")
        ]
        norms = [f"{norm:.3g}" for norm in (layer.update_norm, layer.value_norm, layer.norm_ratio)]
        rows.append([name, "x".join(map(str, layer.shape)), *medians, *norms])
    say_table(columns, rows)
    say("Effective learning rates and signal-to-noise ratios are medians over the entries.")
