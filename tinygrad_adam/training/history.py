"""The numbers of each epoch, and a picture of them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

from ..engine.viewers import view
from ..errors import OptionError
from ..files.figures import new_figure, save_figure, tidy
from ..files.text import counted
from ..values import plain_number


class History:
    """Rows of numbers, one an epoch.

    Names that begin with ``val_`` stand for the validation data, the same names without it for the training
    data.

    Parameters
    ----------
    rows : list of dict, optional
        The epochs so far.
    """

    def __init__(self, rows: list[dict[str, float]] | None = None) -> None:
        self.rows: list[dict[str, float]] = list(rows or [])

    def append(self, row: dict[str, float]) -> None:
        """Add an epoch."""
        self.rows.append(row)

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[dict[str, float]]:
        return iter(self.rows)

    def __getitem__(self, name: str) -> list[float]:
        """Return one quantity over the epochs."""
        return [row[name] for row in self.rows if name in row]

    def to_jsonl(self) -> str:
        """Return one line of JSON an epoch."""
        return "".join(json.dumps(row, default=plain_number) + "\n" for row in self.rows)

    def __repr__(self) -> str:
        last = self.rows[-1] if self.rows else {}
        values = ", ".join(
            f"{name} {value:.4g}" for name, value in last.items() if isinstance(value, int | float)
        )
        return f"History of {counted(len(self), 'epoch')}" + (f", at last {values}" if values else "")

    def _repr_html_(self) -> str | None:
        return view("History._repr_html_")(self)

    def plot(self, path: str | os.PathLike[str] | None = None) -> Any:
        """Draw every quantity over the epochs, training and validation side by side.

        Needs matplotlib.

        Parameters
        ----------
        path : path, optional
            Where to save the picture, as PNG, SVG or PDF by its ending.

        Returns
        -------
        matplotlib.figure.Figure
        """
        shown = {name.removeprefix("val_"): None for row in self.rows for name in row}
        for other in ("epoch", "step", "lr", "seconds"):
            shown.pop(other, None)
        figure = new_figure("History.plot", 4.6 * max(1, len(shown)), 3.4)
        from matplotlib.ticker import MaxNLocator

        panels = figure.subplots(1, max(1, len(shown)), squeeze=False)[0]
        for panel, name in zip(panels, shown, strict=False):
            for key, label, style in ((name, "training", "o-"), (f"val_{name}", "validation", "s--")):
                points = [(row["epoch"], row[key]) for row in self.rows if key in row]
                if points:
                    panel.plot(*zip(*points, strict=True), style, label=label, markersize=3.5, linewidth=1.6)
            values = self[name] + self[f"val_{name}"]
            if name == "loss" and values and min(values) > 0 and max(values) > 20 * min(values):
                panel.set_yscale("log")
            panel.set(xlabel="epoch", ylabel=name, title=name)
            panel.xaxis.set_major_locator(MaxNLocator(integer=True))
            tidy(panel)
            panel.legend(frameon=False)
        if path is not None:
            save_figure(figure, path)
        return figure


def monitored_value(where: str, row: dict[str, float], monitor: str) -> float:
    """Return a quantity of an epoch, or refuse a name that its row lacks."""
    if monitor not in row:
        raise OptionError(
            where, "no such quantity to monitor; those of validation data need validation= in fit",
            monitor=monitor, known=", ".join(row),
        )  # fmt: skip
    return row[monitor]
