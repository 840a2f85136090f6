"""The rooms of the package, read from its imports, also in functions and under ``TYPE_CHECKING``.

A module imports from its own room and from lower ones, and no modules import each other in a circle. Known
exceptions stand in tables here; a test fails for a new one, and for one that is gone and still listed.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import tinygrad_adam

PACKAGE = Path(tinygrad_adam.__file__).parent
TOP = "files at the top"
ROOMS = [
    TOP, "files", "backend", "engine", "ops", "recording", "tensor", "nn", "optim", "data", "training",
    "explain", "testing", "course", "notebook", "cli",
]  # fmt: skip
"""Lowest first. `tinygrad_adam` itself ("" here) and `__main__` stand above them all."""
KERNELS_IMPORT = {TOP, "backend", "ops", "kernels"}
"""No room imports kernels: the backend finds them by name."""


@cache
def modules() -> dict[str, ast.Module]:
    """Return the syntax tree of each module by name, as in "engine.graph", "engine" and ""."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = ast.parse(path.read_text("utf-8"))
    return found


def source(module: str, node: ast.ImportFrom) -> str | None:
    """Return the module after ``from``, or None if it is another package's."""
    if node.level == 0:
        package, _, rest = str(node.module).partition(".")
        return rest if package == PACKAGE.name else None
    is_package = (PACKAGE / module.replace(".", "/")).is_dir()
    parts = [*filter(None, module.split("."))]
    return ".".join([*parts[: len(parts) - node.level + is_package], *filter(None, [node.module])])


def imports(module: str) -> Iterator[str]:
    """Yield the modules of the package that `module` imports, anywhere in it."""
    for node in ast.walk(modules()[module]):
        if isinstance(node, ast.Import):
            names = [alias.name.partition(".") for alias in node.names]
            yield from (rest for package, _, rest in names if package == PACKAGE.name)
        elif isinstance(node, ast.ImportFrom) and (base := source(module, node)) is not None:
            for alias in node.names:
                inner = f"{base}.{alias.name}".strip(".")
                yield inner if inner in modules() else base


def mentioned(module: str) -> Iterator[str]:
    """Yield variables, attributes (with a dot before them) and imported names, as often as they occur."""
    for node in ast.walk(modules()[module]):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield f".{node.attr}"
        elif isinstance(node, ast.alias):
            yield node.name


def room(module: str) -> str:
    if module == "cuda":  # the public face of the backend
        return "backend"
    folder, _, _ = module.partition(".")
    return folder if (PACKAGE / folder).is_dir() else TOP


def listed(found: dict[str, set[str]]) -> dict[str, list[str]]:
    return {module: sorted(others) for module, others in found.items() if others}


def test_every_folder_is_a_room():
    assert {room(module) for module in modules() if module} == {*ROOMS, "kernels"}


def test_few_modules_stand_at_the_top():
    assert len(list(PACKAGE.glob("*.py"))) <= 8


# --- Higher rooms ------------------------------------------------------------------------------

HIGHER: dict[str, list[str]] = {}


def is_higher(module: str, other: str) -> bool:
    above = ("", "__main__")
    if module in above or other in above:
        return module not in above
    if "kernels" in (room(module), room(other)):
        return room(module) != "kernels" or room(other) not in KERNELS_IMPORT
    return ROOMS.index(room(other)) > ROOMS.index(room(module))


def test_no_module_imports_a_higher_room():
    found = {module: {other for other in imports(module) if is_higher(module, other)} for module in modules()}
    assert listed(found) == HIGHER


BY_NAME = {
    "": "public modules and functions, at their first use",
    "backend.overrides": "kernels",
    "engine.viewers": "explanations and their like",
    "explain": "its functions, at their first use",
    "files.moved": "modules by the names that they had",
}


def test_modules_are_imported_by_name_in_few_places():
    found = {
        module
        for module in modules()
        if {"import_module", ".import_module", "__import__"} & set(mentioned(module))
    }
    assert found == set(BY_NAME)


# --- Circles -----------------------------------------------------------------------------------

CIRCLES: list[set[str]] = []


def reached(graph: dict[str, set[str]], start: str) -> set[str]:
    """Return the modules that `start` imports, and the modules that these import, and so on."""
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        waiting += (new := graph[waiting.pop()] - seen)
        seen |= new
    return seen


def circles(graph: dict[str, set[str]]) -> list[set[str]]:
    """Return the largest sets of modules that all reach each other."""
    reach = {module: reached(graph, module) for module in graph}
    found = {frozenset(other for other in graph if other in reach[m] and m in reach[other]) for m in graph}
    return sorted(map(set, found - {frozenset()}), key=sorted)


def test_no_modules_import_each_other_in_a_circle():
    assert circles({module: set(imports(module)) for module in modules()}) == CIRCLES


def test_circles_are_found():
    graph = {"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": {"e"}, "e": set(), "f": {"f"}}
    assert circles(graph) == [{"a", "b", "c"}, {"f"}]


# --- Writes and events -------------------------------------------------------------------------


def test_only_the_engine_counts_changes_in_place():
    assert {room(module) for module in modules() if "._version" in mentioned(module)} == {"engine"}


QUESTIONS = {
    "nn.containers": ["apart"],  # a Linear and its ReLU run as one, unless a watcher wants the value between
    "recording.replay": ["watched"],  # events come from the function itself, which runs while it is watched
}


def of_events(module: str) -> Iterator[str]:
    """Yield the names of `engine.events` that a module uses."""
    for node in ast.walk(modules()[module]):
        if isinstance(node, ast.ImportFrom) and source(module, node) == "engine.events":
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.Attribute) and ast.unparse(node.value).split(".")[-1] == "events":
            yield node.attr


def test_few_places_ask_for_watchers():
    usual = {"tell", "watch", "unwatched", "Watcher"}
    found = {module: [name for name in of_events(module) if name not in usual] for module in modules()}
    assert {module: names for module, names in found.items() if names} == QUESTIONS
