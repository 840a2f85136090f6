"""A film as one page of HTML that needs nothing else: numbers, player and style are inside."""

from __future__ import annotations

import base64
import html
import json
from importlib import resources
from typing import Any

import numpy

from ...errors import OptionError
from .camera import Camera


def page(camera: Camera, title: str) -> str:
    """Return the page that plays the frames of a camera.

    Raises
    ------
    OptionError
        If the camera has seen no training step.
    """
    if camera.layout is None or not camera.frames:
        raise OptionError(
            "film",
            "no training step was seen: backward() on a loss and step() of an optimizer must be called "
            "inside the with block, and the modules called there",
        )
    words = {
        "title": html.escape(title),
        "film": _json(_described(camera, title)),
        "data": base64.b64encode(numpy.stack(camera.frames).astype("<f4").tobytes()).decode(),
        **{name: asset(name) for name in ("style.css", "player.js")},
    }
    text = asset("player.html")
    for name, value in words.items():
        text = text.replace("{{" + name + "}}", value)
    return text


def asset(name: str) -> str:
    """Return the text of a file beside this one."""
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _json(value: object) -> str:
    """Return JSON that may stand inside a script element; it refuses NaN and infinity."""
    return json.dumps(value, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def _described(camera: Camera, title: str) -> dict[str, Any]:
    """Return the whole film except its frames, for the player."""
    layout, optimizer = camera.layout, camera.optimizer
    assert layout is not None
    assert optimizer is not None
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
        "steps": camera.steps,
        "most": camera.most_frames,
        "every": camera.every,
        "rates": camera.rates,
        "losses": [[step, loss if numpy.isfinite(loss) else None] for step, loss in camera.losses],
        "other": camera.other,
        "folded": camera.folded,
        "hidden": camera.hidden,
        "size": int(camera.size),
        "stages": stages,
        "edges": edges,
        "params": params,
    }
