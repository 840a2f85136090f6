"""Layered layout of a graph: rows, the order within a row, and coordinates.

The method is that of Sugiyama, Tagawa and Toda (1981). A box stands in the row below all its
inputs. An edge that passes a row has a place in it. Rows are sorted by the mean place of their neighbors,
which takes crossings away. Then each box moves to the weighted mean of its neighbors, as far as its neighbors
in the row allow.

`arrange` does the part that depends on the graph alone, `place` the part that depends on the unfolded
modules. The script in the picture places again after a click, so `place` exists twice: here and in unfold.js.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

GAP_X = 16.0
GAP_Y = 30.0
GAP_END = 18.0
"""To a row that holds only ends of edges."""
PAD = 14.0
"""Between the frame of an unfolded module and its boxes."""
HEAD = 38.0
"""The same at the top, where its name stands."""
ROUNDS = 12
FIXED = 1e9
"""The pull of a box that must not move."""
STEP = 16.0
"""Between the ends of edges that enter one box."""


@dataclass(eq=False)
class Box:
    """A thing with a place in a row: a drawn box, an end of an edge at a frame, or an edge passing by.

    Attributes
    ----------
    key : str
        Its name in the picture.
    width, height : float
        Its size; of a module, while it is folded.
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

    @property
    def inset(self) -> float:
        """How far from the left of the frame its inside begins."""
        return (self.w - (self.level.width if self.level else 0.0)) / 2

    def at(self, end: Box | None) -> float:
        """Return how far right of the middle an edge leaves or enters, given its end inside."""
        return self.inset + end.x - self.w / 2 if end is not None and self.opened else 0.0


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
    width, height : float
        As placed.
    """

    key: str
    boxes: list[Box] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)
    rows: list[list[Box]] = field(default_factory=list)
    chains: list[list[Link]] = field(default_factory=list)
    width: float = 0.0
    height: float = 0.0


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


# --- Coordinates -------------------------------------------------------------------------


def place(level: Level) -> None:
    """Give every box its size and coordinates, and every edge its path, those inside modules first."""
    for box in level.boxes:
        if box.level is not None:
            place(box.level)
        if box.level is not None and box.opened:
            box.w = max(box.level.width + 2 * PAD, box.width)
            box.h = box.level.height + HEAD + PAD
        else:
            box.w, box.h = box.width, box.height
    for row in level.rows:
        x = 0.0
        for box in row:
            box.w = box.w if box.where != "passing" else box.width
            box.x = x + box.w / 2
            x += box.w + GAP_X
    for turn in range(ROUNDS):
        upward = turn % 2 == 1
        for row in reversed(level.rows) if upward else level.rows:
            _settle(row, above=turn >= ROUNDS - 2 or not upward, below=turn >= ROUNDS - 2 or upward)
    beside = {
        box: (row[i - 1] if i else None, row[i + 1] if i + 1 < len(row) else None)
        for row in level.rows
        for i, box in enumerate(row)
    }
    for chain in level.chains * 2:
        _straighten(chain, beside)
    for row in level.rows:
        _settle(row, above=False, below=True, sources_only=True)
    left = min((box.x - box.w / 2 for row in level.rows for box in row), default=0.0)
    y = 0.0
    spans: list[tuple[float, float]] = []
    for row in level.rows:
        height = max(box.h for box in row)
        y += GAP_Y if spans and height and spans[-1][0] < spans[-1][1] else GAP_END * bool(spans)
        for box in row:
            box.x -= left
            box.y = y + (height - box.h) * (1.0 if box.where == "source" else 0.5)
        spans.append((y, y + height))
        y += height
    level.width = max((box.x + box.w / 2 for row in level.rows for box in row), default=0.0)
    level.height = y
    span = {box: spans[number] for number, row in enumerate(level.rows) for box in row}
    entries = _entries(level.edges)
    for edge in level.edges:
        edge.path = _path(edge, entries[edge], span, level.height)


def _settle(row: list[Box], above: bool, below: bool, sources_only: bool = False) -> None:
    """Move the boxes of a row towards their neighbors without changing their order.

    The sum of the squared distances from where they want to be, weighted by how much they are pulled, is
    least: isotonic regression, by pooling adjacent violators.
    """
    pools: list[list[float]] = []  # [weight, mean, how many boxes]
    offsets = []
    offset = 0.0
    for i, box in enumerate(row):
        offset += (row[i - 1].w + box.w) / 2 + GAP_X if i else 0.0
        offsets.append(offset)
        near = []
        if above:
            near += [(i.pull, i.upper.x + i.upper.at(i.leaving) - box.at(i.entering)) for i in box.above]
        if below:
            near += [(i.pull, i.lower.x + i.lower.at(i.entering) - box.at(i.leaving)) for i in box.below]
        pull = sum(weight for weight, _ in near) or 0.1
        wanted = sum(weight * x for weight, x in near) / pull if near else box.x
        if sources_only and box.where != "source":
            pull, wanted = FIXED, box.x
        pools.append([pull, wanted - offset, 1.0])
        while len(pools) > 1 and pools[-2][1] > pools[-1][1]:
            b, a = pools.pop(), pools.pop()
            total = a[0] + b[0]
            pools.append([total, (a[0] * a[1] + b[0] * b[1]) / total, a[2] + b[2]])
    i = 0
    for _, mean, count in pools:
        for _ in range(int(count)):
            row[i].x = mean + offsets[i]
            i += 1


def _straighten(chain: list[Link], beside: dict[Box, tuple[Box | None, Box | None]]) -> None:
    """Put the boxes of a chain into one column, if their neighbors leave one free."""
    boxes = [chain[0].upper, *(link.lower for link in chain)]
    shifts = [0.0]  # of each box to the first, so that the edges between are straight
    for link in chain:
        shifts.append(shifts[-1] + link.upper.at(link.leaving) - link.lower.at(link.entering))
    low, high = -math.inf, math.inf
    for box, shift in zip(boxes, shifts, strict=True):
        left, right = beside[box]
        if left is not None:
            low = max(low, left.x + (left.w + box.w) / 2 + GAP_X - shift)
        if right is not None:
            high = min(high, right.x - (right.w + box.w) / 2 - GAP_X - shift)
    if low <= high:
        mean = sum(box.x - shift for box, shift in zip(boxes, shifts, strict=True)) / len(boxes)
        for box, shift in zip(boxes, shifts, strict=True):
            box.x = min(max(mean, low), high) + shift


def _entries(edges: Iterable[Edge]) -> dict[Edge, float]:
    """Say where each edge enters its target: side by side, from left to right as they come."""
    entering: dict[Box, list[Edge]] = {}
    for edge in edges:
        entering.setdefault(edge.target, []).append(edge)
    entries = {}
    for target, group in entering.items():
        group.sort(key=lambda edge: (edge.via[-1] if edge.via else edge.source).x)
        step = min(STEP, 0.8 * target.w / len(group))
        for i, edge in enumerate(group):
            if edge.entering is not None and target.opened:
                entries[edge] = target.x + target.at(edge.entering)
            else:
                entries[edge] = target.x + (i - (len(group) - 1) / 2) * step
    return entries


def _path(edge: Edge, entry: float, span: dict[Box, tuple[float, float]], height: float) -> str:
    """Draw a curve from the source down to the target, straight down where it passes a row."""
    source, target = edge.source, edge.target
    x, y = source.x + source.at(edge.leaving), source.y + source.h
    if source.where == "top":  # the edge begins at the frame
        y = -HEAD
    path = [f"M{x:.1f} {y:.1f}V{span[source][1]:.1f}"]
    bottom = span[source][1]
    for stop in (*edge.via, target):
        to = entry if stop is target else stop.x
        top = span[stop][0]
        middle = (bottom + top) / 2
        path.append(f"C{x:.1f} {middle:.1f} {to:.1f} {middle:.1f} {to:.1f} {top:.1f}")
        x, bottom = to, span[stop][1]
        if stop is not target:
            path.append(f"V{bottom:.1f}")
    if target.where == "bottom":
        path.append(f"V{height + PAD:.1f}")
    else:
        path.append(f"V{target.y:.1f}")
        if not (target.opened and edge.entering is not None):  # else the arrow is inside
            path.append("m-3.5 -7l3.5 7l3.5 -7")
    return "".join(path)
