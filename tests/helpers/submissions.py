"""Notebooks as students hand them in: a chapter's definitions, and the cells of its exercises."""

import ast
import json

import chapters

from tinygrad_adam.course.exercises import EXERCISES


def numbers(chapter):
    """Return the exercises of a chapter."""
    return [number for number in EXERCISES if number.split(".")[0] == str(chapter)]


def definitions(chapter):
    """Return the imports, functions and classes of a chapter, and nothing that takes time."""
    tree = ast.parse(chapters.parts(chapter)[0])
    kinds = ast.Import | ast.ImportFrom | ast.FunctionDef | ast.ClassDef
    tree.body = [node for node in tree.body if isinstance(node, kinds)]
    return ast.unparse(tree)


def code(source, grade_id=None):
    """Return a code cell."""
    metadata = {"nbgrader": {"grade_id": grade_id, "solution": True}} if grade_id else {}
    return {
        "cell_type": "code",
        "source": source,
        "metadata": metadata,
        "outputs": [],
        "execution_count": None,
    }


def text(source, grade_id=None):
    """Return a text."""
    return {key: value for key, value in code(source, grade_id).items() if key in ("source", "metadata")} | {
        "cell_type": "markdown"
    }


def exercise(number, answer):
    """Return the cells of an exercise with an answer."""
    name, arguments = number.replace(".", "-"), ", ".join([f'"{number}"', *EXERCISES[number].asks])
    return [
        text(f"### Exercise {number}"),
        code(f"{answer}\n\n\ncourse.grade({arguments})", f"exercise-{name}"),
        code(f"course.require({arguments})", f"test-{name}"),
    ]


def saved(cells, chapter):
    """Return a notebook as it is saved."""
    mark = {"tinygrad_adam": {"chapter": f"{chapter:02}_x"}} if chapter else {}
    return json.dumps({"cells": cells, "metadata": mark, "nbformat": 4, "nbformat_minor": 5})


def notebook(chapter, answers, before=()):
    """Return a chapter's notebook with answers by number, and cells of one's own before the exercises."""
    cells = [code(definitions(chapter)), code("from tinygrad_adam import course"), *map(code, before)]
    for number in numbers(chapter):
        cells += exercise(number, answers.get(number, EXERCISES[number].scaffold))
    return saved(cells, chapter)
