"""Layered layout of a graph: its boxes and edges, the rows, and the order within a row.

The method is that of Sugiyama, Tagawa and Toda (1981). A box stands in the row below all its
inputs. An edge that passes a row has a place in it. Rows are sorted by the mean place of their neighbors,
which takes crossings away. `placing.py` then gives coordinates.

Everything is laid out as if data flowed down. Where it flows to the right, boxes exchange width and height,
and the picture is mirrored at the diagonal.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise


@dataclass(eq=False)
class Box:
    """A thing with a place in a row: a drawn box, an end of an edge at a frame, or an edge passing by.

    Attributes
    ----------
    key : str
        Its name in the picture.
    width, height : float
        Its size across and along the flow; of a module, while it is folded.
    where : {"", "source", "top", "bottom", "passing"}
        A source stands right above its first user; ends stand in the first or the last row.
    level : Level or None
        The inside of a module.
    opened : bool
        Whether that is shown.
    above, below : list of Link
        The parts of edges that lead to the next rows.
    x, y, w, h : float
        The middle, the top and the size as placed.
    """

    key: str
    width: float = 0.0
    height: float = 0.0
    where: str = ""
    level: Level | None = None
    opened: bool = False
    above: list[Link] = field(default_factory=list, repr=False)
    below: list[Link] = field(default_factory=list, repr=False)
    x: float = 0.0
    y: float = 0.0
    w: float = 0.0
    h: float = 0.0

    def at(self, end: Box | None) -> float:
        """Return how far right of the middle an edge leaves or enters, given its end inside."""
        if end is None or self.level is None or not self.opened:
            return 0.0
        return self.level.inset + end.x - self.w / 2


@dataclass(eq=False)
class Link:
    """A part of an edge that joins two rows.

    Attributes
    ----------
    upper, lower : Box
        Its two ends.
    pull : float
        How much they draw each other to one column.
    leaving, entering : Box or None
        If they are modules, the edge's ends inside.
    """

    upper: Box
    lower: Box
    pull: float
    leaving: Box | None
    entering: Box | None


@dataclass(eq=False)
class Edge:
    """A value on its way from one box to another.

    Attributes
    ----------
    source, target : Box
        From where to where.
    leaving, entering : Box or None
        If that is a module, its end of the edge inside.
    via : list of Box
        The edge's places in the rows between.
    path : str
        The curve, as SVG writes it.
    """

    key: str
    source: Box
    target: Box
    leaving: Box | None = None
    entering: Box | None = None
    via: list[Box] = field(default_factory=list)
    path: str = ""


@dataclass(eq=False)
class Level:
    """The inside of a module, or of the whole picture.

    Attributes
    ----------
    boxes : list of Box
        So that each comes after those that it is computed from.
    edges : list of Edge
        Between them.
    rows : list of list of Box
        With the places of passing edges.
    chains : list of list of Link
        Boxes below one another that are to be in one column.
    right : bool
        Whether data flows to the right.
    width, height : float
        As placed, across and along the flow.
    inset, lead, trail : float
        The way from the frame to the inside: across, along where data enters, and along where it leaves.
    """

    key: str
    boxes: list[Box] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)
    rows: list[list[Box]] = field(default_factory=list)
    chains: list[list[Link]] = field(default_factory=list)
    right: bool = False
    width: float = 0.0
    height: float = 0.0
    inset: float = 0.0
    lead: float = 0.0
    trail: float = 0.0


# --- Rows and their order ----------------------------------------------------------------


def arrange(level: Level) -> None:
    """Give every box of a level its row and its place in the row."""
    row = _rows(level)
    rows: list[list[Box]] = [[] for _ in range(max(row.values(), default=-1) + 1)]
    for box in level.boxes:
        rows[row[box]].append(box)
    for edge in level.edges:
        chain = [edge.source]
        for number in range(row[edge.source] + 1, row[edge.target]):
            passing = Box(f"{edge.key}-{number}", width=4.0, where="passing")
            rows[number].append(passing)
            edge.via.append(passing)
            chain.append(passing)
        chain.append(edge.target)
        for upper, lower in pairwise(chain):
            passing_by = (upper.where, lower.where).count("passing")
            pull = (4.0, 1.0, 16.0)[passing_by] if upper.where != "source" else 1.0
            leaving = edge.leaving if upper is edge.source else None
            link = Link(upper, lower, pull, leaving, edge.entering if lower is edge.target else None)
            upper.below.append(link)
            lower.above.append(link)
    order = _reading_order(level)
    for boxes in rows:
        boxes.sort(key=lambda box: order.get(box, -1.0))
    level.rows = _sorted(rows)
    level.chains = list(_chains(level.rows))


def _chains(rows: Sequence[Sequence[Box]]) -> Iterator[list[Link]]:
    """Yield runs of links that are the strongest of both boxes that they join."""

    def strongest(links: Sequence[Link]) -> Link | None:
        return max(links, key=lambda link: link.pull, default=None)

    mutual = {}
    for box in (box for row in rows for box in row):
        link = strongest(box.below)
        if link is not None and link is strongest(link.lower.above):
            mutual[box] = link
    heads = mutual.keys() - {link.lower for link in mutual.values()}
    for box in (box for row in rows for box in row if box in heads):
        chain = [mutual[box]]
        while chain[-1].lower in mutual:
            chain.append(mutual[chain[-1].lower])
        yield chain


def _reading_order(level: Level) -> dict[Box, float]:
    """Number boxes as one meets them from the results back, the first input of each before the second.

    The places of passing edges come right after the box that they leave.
    """
    inputs: dict[Box, list[Edge]] = {box: [] for box in level.boxes}
    for edge in level.edges:
        inputs[edge.target].append(edge)
    order: dict[Box, float] = {}
    stack = list(level.boxes)
    while stack:
        box = stack.pop()
        if box not in order:
            order[box] = float(len(order))
            stack += [edge.source for edge in reversed(inputs[box])]
    for edge in level.edges:
        order.update((passing, order[edge.source] + 0.5) for passing in edge.via)
    return order


def _rows(level: Level) -> dict[Box, int]:
    row: dict[Box, int] = {}
    inputs: dict[Box, list[Box]] = {box: [] for box in level.boxes}
    outputs: dict[Box, list[Box]] = {box: [] for box in level.boxes}
    for edge in level.edges:
        inputs[edge.target].append(edge.source)
        outputs[edge.source].append(edge.target)
    for box in level.boxes:
        row[box] = max((row[i] + 1 for i in inputs[box] if i in row), default=0)
    last = max(row.values(), default=0)
    for box in level.boxes:
        if box.where == "bottom":
            row[box] = last
        elif box.where == "source" and outputs[box]:
            row[box] = max(min(row[o] for o in outputs[box]) - 1, 0)
    return row


def _sorted(rows: list[list[Box]]) -> list[list[Box]]:
    best, fewest = rows, _crossings(rows)
    for turn in range(8):
        rows = [list(row) for row in rows]
        downward = turn % 2 == 0
        for number in range(1, len(rows)) if downward else range(len(rows) - 2, -1, -1):
            place = {box: i for i, box in enumerate(rows[number - 1 if downward else number + 1])}
            wanted: dict[Box, float] = {}
            for i, box in enumerate(rows[number]):
                near = [link.upper for link in box.above] if downward else [link.lower for link in box.below]
                wanted[box] = sum(place[other] for other in near) / len(near) if near else i
            rows[number].sort(key=wanted.__getitem__)
        count = _crossings(rows)
        if count < fewest:
            best, fewest = rows, count
        if not fewest:
            break
    return best


def _crossings(rows: Sequence[Sequence[Box]]) -> int:
    count = 0
    for upper, lower in pairwise(rows):
        place = {box: i for i, box in enumerate(lower)}
        ends = [sorted(place[link.lower] for link in box.below) for box in upper]
        before: list[int] = []
        for mine in ends:
            count += sum(1 for a in mine for b in before if b > a)
            before += mine
    return count
