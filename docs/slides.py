"""Make the printed handout and the slides from ``docs/teach/handout.md``.

    python docs/slides.py

Each section of the page is a slide. Both results are one HTML file that loads nothing.
"""

from __future__ import annotations

import re
from pathlib import Path

from markdown_it import MarkdownIt

FOLDER = Path(__file__).resolve().parent / "teach"
SOURCE = FOLDER / "handout.md"
COLORS = """
:root {
  color-scheme: light dark;
  --ink: #1b1b1b; --paper: #ffffff; --faint: #5f6368; --line: #c9ccd1; --accent: #0b62a4;
}
@media (prefers-color-scheme: dark) {
  :root { --ink: #ececec; --paper: #16181c; --faint: #a7adb5; --line: #444a52; --accent: #6cb6ff; }
}
body { color: var(--ink); background: var(--paper); font-family: system-ui, "Segoe UI", Roboto, sans-serif; }
code, pre { font-family: ui-monospace, "Cascadia Code", Menlo, Consolas, monospace; }
h1, h2 { color: var(--accent); }
table { border-collapse: collapse; }
th { color: var(--faint); font-weight: 600; }
th, td { text-align: left; vertical-align: top; border-bottom: 1px solid var(--line); }
"""
HANDOUT = """
@page { margin: 9mm 16mm; }
body { max-width: 184mm; margin: 0 auto; font-size: 8.6pt; line-height: 1.22; }
h1 { font-size: 14pt; margin: 0; }
h2 { font-size: 10.2pt; margin: 1.6mm 0 0.5mm; break-after: avoid; }
p { margin: 0.8mm 0; }
pre { margin: 0.8mm 0; font-size: 7.6pt; line-height: 1.2; }
th, td { padding: 0.15mm 4mm 0.15mm 0; }
table { width: 100%; margin: 0.8mm 0; }
@media print { :root { --ink: #000; --paper: #fff; --faint: #444; --line: #bbb; --accent: #0b4f86; } }
"""
SLIDES = """
.live section:not(.shown) { display: none; }
body { margin: 0; font-size: max(12px, min(2.25vw, 3.3vh)); line-height: 1.35; }
section { box-sizing: border-box; min-height: 100vh; padding: 4vh 6vw; display: flex;
  flex-direction: column; justify-content: center; }
h1 { font-size: 2.4em; margin: 0; }
h2 { font-size: 1.55em; margin: 0 0 0.5em; }
p { margin: 0.5em 0; max-width: 46em; }
pre { font-size: 0.82em; line-height: 1.3; margin: 0.5em 0; overflow-x: auto; }
table { margin: 0.4em 0; align-self: flex-start; }
th, td { padding: 0.22em 1.6em 0.22em 0; }
footer { position: fixed; right: 2vw; bottom: 1.5vh; font-size: 0.6em; color: var(--faint); }
@media (min-width: 640px) { code { white-space: nowrap; } pre code { white-space: pre; } }
@media (max-width: 640px) { th, td { padding-right: 0.8em; } }
@media print { .live section { display: flex !important; break-after: page; } footer { display: none; } }
"""
HINT = "Arrow keys, space or a click: the next slide."
KEYS = """
const slides = [...document.querySelectorAll("section")];
let here = 0;
function show(next) {
  here = Math.max(0, Math.min(slides.length - 1, next));
  slides.forEach((slide, i) => slide.classList.toggle("shown", i === here));
  document.querySelector("footer").textContent = `${here + 1} / ${slides.length}`;
  history.replaceState(null, "", `#${here + 1}`);
}
addEventListener("keydown", event => {
  const forward = ["ArrowRight", "ArrowDown", "PageDown", " "].includes(event.key);
  const back = ["ArrowLeft", "ArrowUp", "PageUp"].includes(event.key);
  const place = { Home: 0, End: slides.length - 1 }[event.key];
  if (event.ctrlKey || event.metaKey || event.altKey || !(forward || back || place >= 0)) return;
  event.preventDefault();
  show(place ?? here + (back || event.shiftKey ? -1 : 1));
});
addEventListener("click", event => show(here + (event.clientX < innerWidth / 4 ? -1 : 1)));
document.body.classList.add("live");
show((Number(location.hash.slice(1)) || 1) - 1);
"""


def sections(text: str) -> tuple[str, list[str]]:
    """Return the title of the page, and the HTML of each section."""
    head, *parts = re.split(r"^(?=## )", text, flags=re.MULTILINE)
    markdown = MarkdownIt("commonmark").enable("table")
    title = head.partition("\n")[0].removeprefix("# ")
    return title, [markdown.render(re.sub(r"\$([^$]+)\$", r"`\1`", part)) for part in parts]


def page(title: str, style: str, body: str) -> str:
    """Return a whole HTML file."""
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>{COLORS}{style}</style>\n</head>\n<body>\n{body}</body>\n</html>\n"
    )


def made() -> dict[str, str]:
    """Return the text of each file by its name."""
    title, parts = sections(SOURCE.read_text("utf-8"))
    slides = "".join(
        f"<section>\n{part}</section>\n"
        for part in [f"<h1>{title.removesuffix(' on one page')}</h1>\n<p>{HINT}</p>\n", *parts]
    )
    return {
        "handout.html": page(title, HANDOUT, f"<h1>{title}</h1>\n{''.join(parts)}"),
        "slides.html": page(title, SLIDES, f"{slides}<footer></footer>\n<script>{KEYS}</script>\n"),
    }


if __name__ == "__main__":
    for name, text in made().items():
        print(f"{FOLDER.name}/{name}")
        (FOLDER / name).write_text(text, "utf-8")
