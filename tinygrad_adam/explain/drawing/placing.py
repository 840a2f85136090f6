"""Coordinates of a layout: each box moves to the weighted mean of its neighbors, as far as its row allows.

This depends on the unfolded modules. The script in the picture places again after a click, so `place` exists
twice: here and in unfold.js.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from .layout import Box, Edge, Level, Link

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


def place(level: Level, around: Box | None = None) -> None:
    """Give every box its size and coordinates, and every edge its path, those inside modules first.

    Parameters
    ----------
    level : Level
        A level with rows.
    around : Box, optional
        The module that it is the inside of; it gets the size of its frame, if it is unfolded.
    """
    for box in level.boxes:
        box.w, box.h = box.width, box.height
        if box.level is not None:
            place(box.level, box)
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
    if around is not None:
        _frame(level, around)
    span = {box: spans[number] for number, row in enumerate(level.rows) for box in row}
    entries = _entries(level.edges)
    for edge in level.edges:
        edge.path = _path(edge, entries[edge], span, level)


def _frame(level: Level, box: Box) -> None:
    """Set the size of a module's frame, and where its inside begins."""
    across, along = (HEAD, PAD) if level.right else (PAD, HEAD)
    width = max(level.width + across + PAD, box.width)
    height = max(level.height + along + PAD, box.height)
    level.inset = across + (width - across - PAD - level.width) / 2
    level.lead = along + (height - along - PAD - level.height) / 2
    level.trail = height - level.lead - level.height
    if box.opened:
        box.w, box.h = width, height


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


def _path(edge: Edge, entry: float, span: dict[Box, tuple[float, float]], level: Level) -> str:
    """Draw a curve from the source down to the target, straight down where it passes a row."""
    source, target = edge.source, edge.target
    straight = "H" if level.right else "V"

    def point(x: float, y: float) -> str:
        return f"{y:.1f} {x:.1f}" if level.right else f"{x:.1f} {y:.1f}"

    x, y = source.x + source.at(edge.leaving), source.y + source.h
    if source.where == "top":  # the edge begins at the frame
        y = -level.lead
    path = [f"M{point(x, y)}{straight}{span[source][1]:.1f}"]
    bottom = span[source][1]
    for stop in (*edge.via, target):
        to = entry if stop is target else stop.x
        top = span[stop][0]
        middle = (bottom + top) / 2
        path.append(f"C{point(x, middle)} {point(to, middle)} {point(to, top)}")
        x, bottom = to, span[stop][1]
        if stop is not target:
            path.append(f"{straight}{bottom:.1f}")
    if target.where == "bottom":
        path.append(f"{straight}{level.height + level.trail:.1f}")
    else:
        path.append(f"{straight}{target.y:.1f}")
        if not (target.opened and edge.entering is not None):  # else the arrow is inside
            path.append("m-7 -3.5l7 3.5l-7 3.5" if level.right else "m-3.5 -7l3.5 7l3.5 -7")
    return "".join(path)
