"""The picture as text: one SVG file that needs no font, no network and no other program."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from ...files.text import counted
from . import placing
from .faces import Face, call_title, cells
from .layout import Box, Level
from .sections import Section, Sections

TITLE, LINE = 7.85, 6.65
"""The widths of a character of 13 and of 11 pixels, of fonts whose characters are all alike."""
MARGIN = 16.0

# Text stands on light boxes only and edges are of a middle gray, so the picture suits light and dark pages.
# The colors are tints of Okabe and Ito's; kinds differ in their outlines, too.
STYLE = """
.tg-graph{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;font-size:11px}
.tg-graph text{fill:#1a1a1a;white-space:pre}
.tg-graph .title{font-size:13px;font-weight:600}
.tg-graph path{fill:none;stroke:#808080;stroke-width:1.4;stroke-linejoin:round;stroke-linecap:round}
.tg-graph rect{stroke:#666;stroke-width:1.2;fill:#fff}
.tg-graph .result>rect{fill:#dff3ec;stroke:#006e50;stroke-width:3}
.tg-graph .leaf>rect{fill:#fdf1d8;stroke:#a66f00}
.tg-graph .constant>rect{fill:#f2f2f2;stroke-dasharray:4 3}
.tg-graph .module>rect{fill:#e4f2fb;stroke:#0072b2}
.tg-graph .rest>rect{fill:#f7e6f0;stroke:#9c4f7d;stroke-dasharray:1.5 3;stroke-width:2;stroke-linecap:round}
.tg-graph .frame{fill:#0072b2;fill-opacity:.06;stroke:#0072b2;stroke-opacity:.8}
.tg-graph .foot>rect{fill:#fff;stroke:none;fill-opacity:.9}
.tg-graph .toggle{cursor:pointer}
.tg-graph .toggle:focus-visible{outline:3px solid #d55e00;outline-offset:2px}
"""

OUTLINES = {
    "step": "operation",
    "result": "thick: the result L",
    "leaf": "square: leaf, which gets a gradient",
    "constant": "dashed: no gradient",
    "module": "double: module, + unfolds it",
    "rest": "dotted: not drawn",
}


TRACING = "For modules, data and all values compute inside `with tg.tracing():`."


def size_boxes(sections: Sections) -> None:
    """Give every box the size of its text."""
    for box, face in sections.faces.items():
        box.width, box.height = _turned(sections.whole.level, *_size(face))


def _turned(level: Level, first: float, second: float) -> tuple[float, float]:
    """Exchange two sizes or coordinates where data flows to the right: the layout always flows down."""
    return (second, first) if level.right else (first, second)


def _size(face: Face) -> tuple[float, float]:
    sign = 24.0 if face.kind == "module" else 0.0
    widest = max([cells(face.title) * TITLE + sign, *(cells(line) * LINE for line in face.lines)])
    return round(widest + 22.0, 1), 28.0 + 15.0 * len(face.lines) - (0 if face.lines else 2)


def render(sections: Sections) -> str:
    """Write a picture whose boxes are placed."""
    kinds = dict.fromkeys(face.kind for face in sections.faces.values())
    operations = counted(len(sections.explanation.steps), "operation")
    whole = sections.whole.level
    ways = "data flows to the right, gradients back" if whole.right else "data flows down, gradients back up"
    legend = [f"{operations}, {ways}; g = dL/dy"]
    legend += [" · ".join(OUTLINES[kind] for kind in OUTLINES if kind in kinds)]
    legend += sections.explanation.notes
    if any(not step.traced and step.value is None for step in sections.explanation.steps):
        legend.append(TRACING)
    lines = [line for note in legend for line in _wrapped(note.splitlines()[0])]
    foot = (max(map(len, lines)) * LINE + 16.0, 15.0 * len(lines) + 12.0)
    across, down = _turned(whole, whole.width, whole.height)
    width = max(across, foot[0]) + 2 * MARGIN
    height = down + foot[1] + 3 * MARGIN
    shift = (width - across) / 2
    below = down + 2 * MARGIN
    by_level = {section.level: section for section in sections.drawn()}
    body = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="tg-graph" width="{width:.1f}" height="{height:.1f}"'
        f' viewBox="0 0 {width:.1f} {height:.1f}" role="img" aria-label="Graph of {operations}">',
        f"<style>{STYLE}</style>",
        f'<g data-level="whole" transform="translate({shift:.1f} {MARGIN:.1f})">',
        *_level(whole, by_level, sections.faces),
        "</g>",
        f'<g class="foot" data-foot="foot" transform="translate({MARGIN:.1f} {below:.1f})">',
        f'<rect width="{foot[0]:.1f}" height="{foot[1]:.1f}" rx="4"/>',
        *(f'<text x="8" y="{18 + 15 * i}">{_text(line)}</text>' for i, line in enumerate(lines)),
        "</g>",
    ]
    if len(by_level) > 1:
        body.append(f"<script><![CDATA[{_script(sections, by_level, foot)}]]></script>")
    return "\n".join([*body, "</svg>\n"])


def _level(level: Level, by_level: dict[Level, Section], faces: dict[Box, Face]) -> Iterator[str]:
    for edge in level.edges:
        yield f'<path data-edge="{edge.key}" d="{edge.path}"/>'
    for box in level.boxes:
        if box in faces:
            x, y = _turned(level, box.x - box.w / 2, box.y)
            yield f'<g data-box="{box.key}" class="{faces[box].kind}" transform="translate({x:.1f} {y:.1f})">'
            if box.level is None:
                yield from _face(faces[box])
            else:
                yield from _module(box, box.level, by_level, faces)
            yield "</g>"


def _module(box: Box, level: Level, by_level: dict[Level, Section], faces: dict[Box, Face]) -> Iterator[str]:
    """Write a module twice, folded and from within; one of them is shown."""
    call = by_level[level].call
    assert call is not None
    shown = {True: "inline", False: "none"}
    button = f'class="toggle module" data-handle="{box.key}" tabindex="0" role="button"'
    yield f'<g data-face="{box.key}" display="{shown[not box.opened]}"><g {button} aria-expanded="false">'
    yield from _face(faces[box])
    yield f'</g></g><g data-inside="{box.key}" display="{shown[box.opened]}">'
    width, height = _turned(level, box.w, box.h)
    yield f'<rect class="frame" data-frame="{box.key}" width="{width:.1f}" height="{height:.1f}" rx="8"/>'
    x, y = _turned(level, level.inset, level.lead)
    yield f'<g data-level="{level.key}" transform="translate({x:.1f} {y:.1f})">'
    yield from _level(level, by_level, faces)
    title = call_title(call)
    yield f'</g><g {button} aria-expanded="true"><title>{_text(title)}: click to fold</title>'
    yield f'<rect width="{cells(title) * TITLE + 40:.1f}" height="24" rx="8"/>'
    yield f'<text class="title" x="10" y="17">\u2212 {_text(title)}</text></g></g>'


def _face(face: Face) -> Iterator[str]:
    width, height = _size(face)
    size = f'width="{width:.1f}" height="{height:.1f}"'
    corner = 0 if face.kind == "leaf" else 8
    if face.tip:
        yield f"<title>{_text(face.tip)}</title>"
    if face.kind == "module":
        yield f'<rect x="4" y="4" {size} rx="{corner}"/>'
    yield f'<rect {size} rx="{corner}"/>'
    sign = "+ " if face.kind == "module" else ""
    yield f'<text class="title" x="11" y="19">{_text(sign + face.title)}</text>'
    for i, line in enumerate(face.lines):
        yield f'<text x="11" y="{35 + 15 * i}">{_text(line)}</text>'


def _text(text: str) -> str:
    """Escape the characters that XML reserves and omit those that it forbids."""
    return escape(re.sub(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "", text))


def _wrapped(text: str) -> Iterator[str]:
    line = ""
    for word in text.split(" "):
        if len(line) + len(word) > 88:
            yield line
            line = ""
        line = f"{line} {word}".strip()
    yield line


def _key(end: Box | None) -> str | None:
    return None if end is None else end.key


def _script(sections: Sections, by_level: dict[Level, Section], foot: tuple[float, float]) -> str:
    """Return the script, with the data that it needs to place the boxes again."""
    boxes: dict[str, Any] = {}
    levels: dict[str, Any] = {}
    for level in by_level:
        for box in (box for row in level.rows for box in row):
            boxes[box.key] = {
                "width": box.width, "height": box.height, "where": box.where, "open": box.opened,
            }  # fmt: skip
            if box.level is not None:
                boxes[box.key]["level"] = box.level.key
        links = [link for row in level.rows for box in row for link in box.below]
        number = {link: i for i, link in enumerate(links)}
        levels[level.key] = {
            "rows": [[box.key for box in row] for row in level.rows],
            "links": [
                [link.upper.key, link.lower.key, link.pull, _key(link.leaving), _key(link.entering)]
                for link in links
            ],
            "chains": [[number[link] for link in chain] for chain in level.chains],
            "edges": [
                {
                    "key": edge.key, "source": edge.source.key, "target": edge.target.key,
                    "leaving": _key(edge.leaving), "entering": _key(edge.entering),
                    "via": [box.key for box in edge.via],
                }
                for edge in level.edges
            ],
        }  # fmt: skip
    constants = {
        name: getattr(placing, name)
        for name in ("GAP_X", "GAP_Y", "GAP_END", "PAD", "HEAD", "ROUNDS", "FIXED", "STEP")
    }
    data = {
        "levels": levels, "boxes": boxes, "constants": {**constants, "MARGIN": MARGIN}, "foot": foot,
        "right": sections.whole.level.right,
    }  # fmt: skip
    source = (Path(__file__).parent / "unfold.js").read_text("utf-8")
    return source.replace("DATA;", json.dumps(data, separators=(",", ":")) + ";", 1)
