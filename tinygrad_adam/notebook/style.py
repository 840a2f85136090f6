"""The style of everything that a notebook shows, readable in any theme.

A cell's output does not learn whether its theme is dark: JupyterLab's theme is not the system's preference,
and VS Code and Colab have their own names for theirs. All of them set the color of text, though. So nothing
here sets a background or a color of its own: text inherits its color, rules and shades are the text's color
made faint, and an accent is partly the text's color, which makes it dark on a light page and light on a
dark one.
"""

from __future__ import annotations

HUES = {"green": "#16a34a", "red": "#ef4444", "blue": "#3b82f6", "orange": "#f59e0b", "violet": "#a855f7"}
"""The hues of accents, which are mixed with the text's color."""

TEXT_SHARE = 50
"""The share of the text's color in an accent, in percent."""

OPACITY = {"soft": 78, "rule": 30, "shade": 7}
"""Of minor text, of rules, and of shades, in percent."""


def accent(hue: str) -> str:
    """Return the CSS of an accent.

    Examples
    --------
    >>> accent("red")
    'color-mix(in srgb, currentColor 50%, #ef4444)'
    """
    return f"color-mix(in srgb, currentColor {TEXT_SHARE}%, {HUES[hue]})"


def faint(kind: str) -> str:
    """Return the CSS of the text's color, made faint."""
    return f"color-mix(in srgb, currentColor {OPACITY[kind]}%, transparent)"


# Front ends style tables and code with selectors of up to two classes; these have three.
TABLE = "div.tga table.tga-table"
MONOSPACE = (
    "var(--jp-code-font-family, var(--vscode-editor-font-family, ui-monospace, Menlo, Consolas, monospace))"
)
STYLE = f"""<style>
div.tga {{ line-height: 1.45; max-width: 100%; overflow-x: auto; padding: .2em 0 }}
div.tga p {{ margin: 0 0 .4em }}
div.tga .tga-soft {{ color: {faint("soft")} }}
div.tga.tga code, div.tga.tga pre {{ background: none; color: inherit; border: 0; padding: 0;
 font-size: .93em; font-family: {MONOSPACE}; white-space: pre-wrap; overflow-wrap: anywhere }}
{TABLE} {{ border-collapse: collapse; border: 0; margin: 0 0 .6em; width: auto; table-layout: auto;
 font-size: inherit; color: inherit }}
{TABLE} tr:nth-child(n) {{ background: none; border: 0 }}
{TABLE} tbody tr:nth-child(n):hover {{ background: {faint("shade")} }}
{TABLE} tr > :is(th, td) {{ border: 0; padding: .15em 1.1em .15em 0; text-align: left; vertical-align: top;
 white-space: normal; color: inherit; background: none; max-width: 46em; font-weight: inherit }}
{TABLE} thead tr > th {{ border-bottom: 1px solid {faint("rule")}; color: {faint("soft")} }}
{TABLE} tr.tga-first > td {{ border-top: 1px solid {faint("rule")} }}
{TABLE} tr > .tga-number {{ text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }}
{TABLE} tr > .tga-line {{ white-space: nowrap }}
div.tga.tga .tga-line > code {{ white-space: pre }}
{TABLE} tr > .tga-soft {{ color: {faint("soft")} }}
div.tga figure.tga-example {{ display: inline-block; margin: 0 .8em .5em 0; text-align: center;
 vertical-align: top }}
div.tga.tga figure.tga-example > img {{ image-rendering: pixelated; display: block; max-width: none;
 outline: 1px solid {faint("rule")}; outline-offset: -1px }}
div.tga svg {{ display: block; max-width: 100%; height: auto; overflow: visible }}
div.tga svg text {{ fill: currentColor; font: 11px sans-serif }}
{"".join(f"div.tga .tga-{hue} {{ color: {accent(hue)} }}" + chr(10) for hue in HUES)}</style>"""
"""Short, since each output carries it: an output may be copied, exported or shown alone."""
