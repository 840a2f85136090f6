"""The style of everything that a notebook shows, readable on any theme.

No front end tells a cell's output whether its theme is dark: JupyterLab ignores the system's preference, VS Code
and Colab have names of their own. All of them set the color of text, though. So nothing here sets a background
or a color of its own: text inherits its color, rules and shades are the text's color made faint, and an accent is
mixed half from the text's color, which makes it dark on a light page and light on a dark one.
"""

from __future__ import annotations

ACCENTS = {"good": "#22a559", "bad": "#e5484d", "blue": "#3b82f6", "orange": "#e08600", "violet": "#a259d9"}
"""The hues that are mixed with the text's color."""

TEXT_SHARE = 45
"""The share of the text's color in an accent, in percent."""

FAINT = {"soft": 72, "rule": 22, "shade": 6}
"""The opacity of minor text, of rules and of shades, in percent."""


def mixed(hue: str) -> str:
    """Return an accent as CSS."""
    return f"color-mix(in srgb, currentColor {TEXT_SHARE}%, {ACCENTS[hue]})"


def faint(kind: str) -> str:
    """Return the text's color made faint, as CSS."""
    return f"color-mix(in srgb, currentColor {FAINT[kind]}%, transparent)"


STYLE = f"""
div.tga {{ font-size: 13px; line-height: 1.45; max-width: 100%; overflow-x: auto; font-family: inherit }}
div.tga p {{ margin: 0 0 .5em }}
div.tga .tga-title {{ font-weight: 600 }}
div.tga .tga-soft {{ color: {faint("soft")} }}
div.tga code, div.tga pre {{ background: none; color: inherit; font-size: 12px; padding: 0;
 font-family: var(--jp-code-font-family, ui-monospace, Menlo, Consolas, monospace) }}
div.tga table.tga-t {{ border-collapse: collapse; border: 0; margin: 0 0 .6em; width: auto; font-size: inherit;
 table-layout: auto; color: inherit }}
div.tga table.tga-t tr:nth-child(n) {{ background: none; border: 0 }}
div.tga table.tga-t tbody tr:hover {{ background: {faint("shade")} }}
div.tga table.tga-t tr > th, div.tga table.tga-t tr > td {{ border: 0; padding: .2em .9em .2em 0; text-align: left;
 vertical-align: top; white-space: normal; color: inherit; background: none; max-width: 44em }}
div.tga table.tga-t thead tr > th {{ font-weight: 600; border-bottom: 1px solid {faint("rule")} }}
div.tga table.tga-t tr > .tga-n {{ text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }}
div.tga table.tga-t tr > .tga-w {{ white-space: nowrap }}
{"".join(f"div.tga .tga-{hue} {{ color: {mixed(hue)} }}" + chr(10) for hue in ACCENTS)}
""".strip()
"""Small, since each output carries it: a cell may be copied, cleared or exported alone."""
