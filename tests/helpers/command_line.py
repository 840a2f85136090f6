"""Calls of the command line, and the files that its runs leave."""

import json
import os
import subprocess
import sys
from pathlib import Path

import tinygrad_adam as tg
from tinygrad_adam.files.arrays import load_tensors

SMALL = ("--model", "mlp:24", "--epochs", "2", "--batch-size", "256")
FILES = [
    "best.safetensors", "config.json", "curves.png", "last.safetensors", "metrics.jsonl", "predictions.png",
]  # fmt: skip
PNG = b"\x89PNG\r\n\x1a\n"


NET = """
from __future__ import annotations
from dataclasses import dataclass
from math import prod
from tinygrad_adam import nn

@dataclass
class Shape:
    sizes: tuple[int, ...]

def build(input_shape, classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(prod(Shape(input_shape).sizes), classes))

def number(input_shape, classes):
    return 3

def broken(input_shape, classes):
    return 1 / 0

def misshapen(input_shape, classes):
    return nn.Linear(0, classes)

def no_arguments():
    return nn.Linear(64, 10)

def unflattened(input_shape, classes):
    return nn.Linear(64, classes)

def too_few(input_shape, classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 9))

class Misspelt(nn.Module):
    def forward(self, x):
        return self.lin(x)

def misspelt(input_shape, classes):
    return Misspelt()

ready = nn.Linear(64, 10)
"""


class Answer:
    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err
        assert "Traceback" not in out + err


def module(*args, **settings):
    environment = {**os.environ, "PYTHONPATH": str(Path(tg.__file__).parents[1]), "COLUMNS": "60"}
    return subprocess.Popen(
        [sys.executable, "-m", "tinygrad_adam", *map(str, args)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **settings,
    )


def outcome(folder):
    """What a run came to: its measurements but for the seconds, and its weights."""
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    weights = {
        (name, key): array.tobytes()
        for name in ("best", "last")
        for key, array in load_tensors(folder / f"{name}.safetensors")[0].items()
    }
    return [{k: v for k, v in row.items() if k != "seconds"} for row in rows], weights
