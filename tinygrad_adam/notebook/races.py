"""A race: the table of its results, and its picture."""

from __future__ import annotations

from ..errors import OptionError
from ..explain.races.pictures import RacePicture
from ..explain.races.race import Race
from .html import Html, heading, join, paragraphs, shown, table
from .pictures import figure_image


def _race(race: Race) -> Html:
    columns, rows = race.table()
    notes = [(t.entry.label, race.note(t)) for t in race.trajectories]
    return join([
        heading(f"Race on {race.surface.name}", race.surface.formula, f"{race.steps:,} steps"),
        table(columns, rows, numbers=(2, 3, 4)),
        paragraphs(*[f"{label}: {note}" for label, note in notes if note]),
        _picture(race),
    ])  # fmt: skip


def _picture(race: Race) -> Html:
    """Return the picture of the whole race; nothing where matplotlib is not installed."""
    try:
        picture = RacePicture(race)
    except OptionError:
        return Html("")
    picture.show(race.steps, moment=race.steps // 20)
    picture.label()
    return figure_image(picture.figure, f"the paths on {race.surface.name}")


race_html = shown(_race)
