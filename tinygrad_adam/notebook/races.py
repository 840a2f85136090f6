"""A race: the table of its results, and its picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..explain.races.pictures import RacePicture
from ..explain.races.race import Race
from .html import Html, heading, join, paragraphs, shown, table
from .pictures import figure_image

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def _race(race: Race) -> Html:
    columns, rows = race.table()
    notes = [(t.entry.label, race.note(t)) for t in race.trajectories]
    return join([
        heading(f"Race on {race.surface.name}", race.surface.formula, f"{race.steps:,} steps"),
        table(columns, rows, numbers=(2, 3, 4)),
        paragraphs(*[f"{label}: {note}" for label, note in notes if note]),
        figure_image(lambda: _figure(race), f"the paths on {race.surface.name}"),
    ])  # fmt: skip


def _figure(race: Race) -> Figure:
    """Return the picture of the whole race."""
    picture = RacePicture(race)
    picture.show(race.steps, moment=race.steps // 20)
    picture.label()
    return picture.figure


race_html = shown(_race)
