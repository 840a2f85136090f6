"""The ledgers that `Optimizer.explain` returns: of one entry, and of a whole parameter."""

from __future__ import annotations

from dataclasses import dataclass

import numpy

from ...engine.viewers import view
from ...errors import unknown_name
from ...files.text import aligned
from ...optim.lines import Line
from ...optim.quantity import shown
from ...typing import Array

QUANTILES = {"least": 0.0, "5 %": 0.05, "median": 0.5, "95 %": 0.95, "greatest": 1.0}
"""The columns of a distribution."""

DISTRIBUTED = {
    "effective_lr": "effective learning rate",
    "snr": "signal-to-noise ratio, absolute",
    "update": "update, absolute",
    "ratio": "ratio of update to value",
}
"""The quantities shown of a whole parameter, by line; SGD, say, has no signal-to-noise ratio."""


@dataclass(frozen=True)
class _Ledger:
    """The facts in both kinds of ledger.

    Attributes
    ----------
    optimizer : str
        The optimizer's class.
    algorithm : str
        The source of the algorithm.
    parameter : str
        The parameter's name.
    step : int
        Which step of the parameter it was, from 1.
    later : int
        The number of steps that the parameter has taken since, unrecorded.
    """

    optimizer: str
    algorithm: str
    parameter: str
    step: int
    later: int

    def heading(self, subject: str) -> list[str]:
        """Return the title of the ledger, the source of the algorithm, and later steps."""
        source = self.algorithm
        if "Kingma" in source:
            source += "; lines are counted from m_0 = 0"
        lines = [f"{self.optimizer}, step {self.step}: {subject}", source]
        if self.later > 0:
            lines.append(f"Steps since then, not recorded: {self.later}")
        return lines


@dataclass(frozen=True, repr=False)
class EntryLedger(_Ledger):
    """Every quantity of a step of one entry; ``ledger["m_hat"]`` is one of them as a number.

    Attributes
    ----------
    index : tuple of int
        Which entry.
    lines : tuple of Line
        In the order of their computation.
    """

    index: tuple[int, ...]
    lines: tuple[Line, ...]

    def __getitem__(self, name: str) -> float:
        for line in self.lines:
            if line.name == name:
                return float(line.value)
        raise unknown_name("ledger", "quantity", name, [line.name for line in self.lines])

    @property
    def title(self) -> str:
        """The entry as it is written in Python."""
        return self.parameter + (f"[{', '.join(map(str, self.index))}]" if self.index else "")

    def __str__(self) -> str:
        width = max(len(line.source) for line in self.lines)
        texts = self.heading(self.title)
        for line in self.lines:
            texts += ["", f"{line.source:>{width}}  {line.meaning}"]
            steps = [text for text in (line.formula, line.numbers, shown(line.value)) if text]
            margin = " " * (width + 2)
            texts.append(f"{margin}{line.symbol} = {steps[0]}")
            texts += [f"{margin}{' ' * len(line.symbol)} = {text}" for text in steps[1:]]
        return "\n".join(texts)

    __repr__ = __str__

    def _repr_html_(self) -> str | None:
        return view("EntryLedger._repr_html_")(self)


@dataclass(frozen=True)
class Mover:
    """An entry that moved, and its update."""

    index: tuple[int, ...]
    value: float
    update: float
    effective_lr: float | None


@dataclass(frozen=True, repr=False)
class LayerLedger(_Ledger):
    """Every quantity of a step of a whole parameter; ``ledger["m_hat"]`` is one of them as an array.

    Attributes
    ----------
    shape : tuple of int
        The parameter's.
    rows : int array or None
        The rows that the step changed, if the gradient was row-sparse; the arrays have only those.
    lines : dict of str to Line
        By name; the value of a line is an array over the entries, or a number that they share.
    """

    shape: tuple[int, ...]
    rows: Array | None
    lines: dict[str, Line]

    def __getitem__(self, name: str) -> Array:
        if name not in self.lines:
            raise unknown_name("ledger", "quantity", name, self.lines)
        return self.lines[name].value

    def distribution(self, name: str) -> dict[str, float]:
        """Return least, median, greatest and two more quantiles of the absolute values of a quantity."""
        values = numpy.abs(numpy.asarray(self[name], numpy.float64)).reshape(-1)
        there = values[~numpy.isnan(values)]  # 0 / 0 has no ratio
        if not there.size:
            return dict.fromkeys(QUANTILES, float("nan"))
        found = numpy.quantile(there, list(QUANTILES.values()), method="nearest")
        return dict(zip(QUANTILES, map(float, found), strict=True))

    @property
    def update_norm(self) -> float:
        """The Euclidean norm of the update."""
        return self._norm("update")

    @property
    def value_norm(self) -> float:
        """The Euclidean norm of the values before the step."""
        return self._norm("value")

    def _norm(self, name: str) -> float:
        return float(numpy.linalg.norm(numpy.asarray(self[name], numpy.float64)))

    @property
    def norm_ratio(self) -> float:
        """The norm of the update over the norm of the values; infinite if they are all zero."""
        return self.update_norm / self.value_norm if self.value_norm else float("inf")

    @property
    def subject(self) -> str:
        """The parameter with its shape and the number of entries that moved."""
        entries = f"{numpy.size(self['update']):,} entries"
        if self.rows is not None:
            entries += f", in {len(self.rows):,} of {self.shape[0]:,} rows"
        return f"{self.parameter} {self.shape}, {entries}"

    @property
    def norms(self) -> str:
        """The norms of the update and of the values, as a sentence."""
        return (
            f"norm of the update {self.update_norm:.4g}, of the values {self.value_norm:.4g}: "
            f"ratio {self.norm_ratio:.3g}"
        )

    def movers(self, count: int = 5) -> list[Mover]:
        """Return the entries with the largest updates, the largest first."""
        update, value = self["update"], numpy.reshape(self["value"], -1)
        shape, update = numpy.shape(update), numpy.reshape(update, -1)
        rates = None
        if "effective_lr" in self.lines:
            rates = numpy.broadcast_to(self["effective_lr"], shape).reshape(-1)
        found = []
        for place in numpy.argsort(-numpy.abs(update), kind="stable")[:count]:
            index = tuple(map(int, numpy.unravel_index(place, shape))) if shape else ()
            if self.rows is not None:
                index = (int(self.rows[index[0]]), *index[1:])
            rate = None if rates is None else float(rates[place])
            found.append(Mover(index, float(value[place]), float(update[place]), rate))
        return found

    def __str__(self) -> str:
        texts = [*self.heading(self.subject), ""]
        table = [["", *QUANTILES]]
        for name, meaning in DISTRIBUTED.items():
            if name in self.lines:
                table.append([meaning, *(f"{value:.3g}" for value in self.distribution(name).values())])
        texts += aligned(table)
        texts += [
            "",
            self.norms,
            "",
            "The entries that moved most:",
        ]
        table = [["entry", "value before", "update", "effective learning rate"]]
        for mover in self.movers():
            rate = "" if mover.effective_lr is None else f"{mover.effective_lr:.4g}"
            table.append([str(list(mover.index)), f"{mover.value:.4g}", f"{mover.update:.4g}", rate])
        return "\n".join([*texts, *aligned(table)])

    __repr__ = __str__

    def _repr_html_(self) -> str | None:
        return view("LayerLedger._repr_html_")(self)
