"""The command that runs a race of optimizers on a surface."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import OptionError, unknown_name
from . import options
from .shared import picture_file, say, say_table

PLANES = ("through", "around")


def _surfaces() -> str:
    from ..explain import SURFACES

    return ", ".join(sorted(SURFACES))


def _standard() -> str:
    from ..explain.races.race import STANDARD

    return ", ".join(STANDARD)


def race(
    context: typer.Context,
    surface: Annotated[str, typer.Option(help=f"{_surfaces()}.")] = "beale",
    run: Annotated[
        Path | None,
        typer.Option(help="In place of a surface: the loss of the network in this folder of a run."),
    ] = None,
    plane: Annotated[
        str,
        typer.Option(
            help="With --run: 'through' its first and its best weights, or 'around' the best in two random "
            "directions."
        ),
    ] = "through",
    optimizers: Annotated[
        str | None,
        typer.Option(
            help=f"With commas; each as momentum or adam:lr=0.1,beta1=0.8.  \\[default: {_standard()}]"
        ),
    ] = None,
    lr: Annotated[
        float | None,
        typer.Option(help="Learning rate of those that name none.  \\[default: the best for each]"),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(min=1, max=10**6, help="How many each takes.  \\[default: 200, on a network 60]"),
    ] = None,
    seed: Annotated[int, typer.Option(help="Fixes noise and random directions.")] = 0,
    out: Annotated[
        Path | None,
        typer.Option(
            help="A picture (.png), or an animation (.gif, .html, .mp4).  \\[default: a new one in runs/]"
        ),
    ] = None,
) -> None:
    """Run optimizers down a surface from one start; draw their paths and the parts of a step."""
    from ..explain import get_surface, save_race
    from ..explain.races.race import STANDARD, read_optimizers, split_names
    from ..explain.races.race import race as run_race
    from ..explain.races.saving import check_path

    others = options.given(context)
    if run is None and "--plane" in others:
        raise OptionError("race", "--plane cuts through a network; name its run with --run", plane=plane)
    if run is not None and "--surface" in others:
        raise OptionError("race", "choose a surface or a run, not both", surface=surface, run=run)
    if plane not in PLANES:
        raise unknown_name("race", "plane", plane, PLANES)
    names = STANDARD if optimizers is None else split_names(optimizers)
    read_optimizers(names, lr)  # refuses a wrong one before a folder is made
    if run is None:
        chosen = get_surface(surface)
    else:
        from ..explain.races.landscape import of_run
        from ..training import Run

        chosen = of_run(Run.open(run), plane, seed)
    if steps is None:
        steps = 200 if run is None else 60
    with picture_file("race", out, f"race-{'network' if run is not None else surface}") as file:
        check_path(file)
        say(f"{chosen.name}: {chosen.formula}; {steps} steps from {chosen.start}")
        if run is not None and lr is None:
            say("Each optimizer first looks for its learning rate; with --lr it need not.")
        result = run_race(chosen, names, steps, lr, seed)
        columns, rows = result.table()
        say_table(columns, rows, wrapped="settings")
        for t in result.trajectories:
            if result.note(t):
                say(f"{t.entry.label} {result.note(t)}")
        save_race(result, file)
    say(f"\n{file} shows the paths, and what each step is made of.")
