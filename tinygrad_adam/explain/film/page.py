"""A film as one page of HTML that needs nothing else: numbers, player and style are inside."""

from __future__ import annotations

import base64
import html
import json
from importlib import resources
from typing import Any

import numpy

from ...errors import OptionError
from .camera import Recorder


def page(recorder: Recorder, title: str) -> str:
    """Return the page that plays what was recorded.

    Raises
    ------
    OptionError
        If no training step was seen.
    """
    if recorder.layout is None or not recorder.frames:
        raise OptionError(
            "film",
            "no training step was seen: backward() on a loss and step() of an optimizer must be called "
            "inside the with block, and the modules called there",
        )
    words = {"title": html.escape(title), "film": _json(_described(recorder, title))}
    words["data"] = base64.b64encode(numpy.stack(recorder.frames).astype("<f4").tobytes()).decode()
    for name in ("style.css", "player.js"):
        words[name] = _asset(name)
    text = _asset("player.html")
    for name, value in words.items():
        text = text.replace("{{" + name + "}}", value)
    return text


def _asset(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _json(value: Any) -> str:
    """Return JSON that may stand inside a script element; what is not finite becomes null."""
    return json.dumps(value, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def _described(recorder: Recorder, title: str) -> dict[str, Any]:
    """Return all of the film but its frames."""
    layout, optimizer = recorder.layout, recorder.optimizer
    assert layout is not None
    column = 0
    stages = []
    for stage in layout.stages:
        assert stage.view is not None
        rows, columns = stage.view.places.shape
        size = rows * columns
        stages.append(
            {
                "name": stage.name, "kind": stage.kind, "shape": list(stage.shape), "about": stage.view.about,
                "rows": rows, "columns": columns, "output": column, "gradient": column + size,
            }
        )  # fmt: skip
        column += 2 * size
    edges = [
        {"from": source, "to": kind, "target": target, "operation": operation, "norm": column + i}
        for i, (source, kind, target, operation, _) in enumerate(layout.edges)
    ]
    params = []
    for p in layout.params:
        rows, columns = p.view.places.shape
        params.append(
            {
                "name": p.name, "shape": list(p.tensor.shape), "about": p.view.about, "rows": rows,
                "columns": columns, "places": p.view.places.reshape(-1).tolist(), "kinds": p.kinds,
                "start": p.start,
            }
        )  # fmt: skip
    settings = {
        name: value
        for name, value in optimizer.param_groups[0].items()
        if isinstance(value, int | float | str | bool | tuple | list) and name != "params"
    }
    return {
        "title": title,
        "optimizer": type(optimizer).__name__,
        "settings": settings,
        "width": layout.width,
        "steps": recorder.steps,
        "rates": recorder.rates,
        "losses": [[step, loss if numpy.isfinite(loss) else None] for step, loss in recorder.losses],
        "other": recorder.other,
        "folded": recorder.folded,
        "hidden": recorder.hidden,
        "size": int(recorder.size),
        "stages": stages,
        "edges": edges,
        "params": params,
    }
