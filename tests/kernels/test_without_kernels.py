"""The package without its kernels: slower, and the same numbers."""

from __future__ import annotations

import importlib
import inspect
import json
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import cases  # noqa: F401 (also for the other process)
import numpy as np
import pytest

import tinygrad_adam as tg
from tinygrad_adam.engine.graph import PRIMITIVES
from tinygrad_adam.kernels import cpu, cuda
from tinygrad_adam.ops.normalization import channel_moments
from tinygrad_adam.testing.selfcheck import comparing
from tinygrad_adam.testing.selfcheck.layers import LAYERS

HELPERS = {"add_bias", "finishing"}
"""Public functions of those modules that other modules of kernels call."""


@pytest.mark.parametrize("folder", [cpu, cuda], ids=["cpu", "cuda"])
def test_the_index_lists_the_kernels(folder):
    if folder is cpu:
        pytest.importorskip("numba")
    functions = {primitive.name for primitive in PRIMITIVES.values()} | {channel_moments.__name__}
    for home, names in folder.KERNELS.items():
        module = importlib.import_module(f"{folder.__name__}.{home}")
        public = {
            name
            for name, value in vars(module).items()
            if callable(value)
            and not inspect.isclass(value)
            and getattr(value, "__module__", None) == module.__name__
            and not name.startswith("_")
        }
        if home in ("adam", "optim"):  # one maker makes most of those for a GPU
            assert public <= set(names.split()) <= set(dir(module))
        else:
            assert set(names.split()) == public - HELPERS
            assert set(names.split()) <= functions


def test_there_are_as_many_primitives_as_ever():
    assert len(PRIMITIVES) >= 102


WITHOUT = """
import importlib.util, json, pickle, sys

sys.path[:0] = json.loads(sys.argv[1])
import numpy as np
import cases  # noqa: F401 (also for the other process)
import tinygrad_adam as tg

assert importlib.util.find_spec("tinygrad_adam.kernels") is None

from cases import CASES, check_first_derivative, outputs_of
from tinygrad_adam.testing.selfcheck import comparing
from tinygrad_adam.testing.selfcheck.layers import LAYERS

with np.errstate(all="ignore"):
    for case in CASES:
        arrays = case.arrays()
        wanted = outputs_of(case.expected(*arrays))
        for out, value in zip(outputs_of(case.function(*case.tensors())), wanted, strict=True):
            np.testing.assert_allclose(out.data, value, rtol=1e-9, atol=1e-12, err_msg=str(case))
        if case.differentiable:
            check_first_derivative(case)
    place = comparing.Place("cpu", np.dtype("float64"), np.dtype("float64"))
    found = [run(place) for _, run in [*comparing.layers(LAYERS), *comparing.optimizers()]]
with open(sys.argv[2], "wb") as file:
    pickle.dump(found, file)
"""


def test_all_tables_pass_without_the_folder_of_kernels(tmp_path):
    package = Path(tg.__file__).parent
    shutil.copytree(package, tmp_path / package.name, ignore=shutil.ignore_patterns("kernels", "__pycache__"))
    folders = [
        str(tmp_path),
        *{str(Path(sys.modules[name].__file__).parent) for name in ("cases", "oracles")},
    ]
    results = tmp_path / "results"
    command = [sys.executable, "-c", WITHOUT, json.dumps(folders), str(results)]
    subprocess.run(command, cwd=tmp_path, check=True)
    found = pickle.loads(results.read_bytes())
    place = comparing.Place("cpu", np.dtype("float64"), np.dtype("float64"))
    with np.errstate(all="ignore"):
        runs = [*comparing.layers(LAYERS), *comparing.optimizers()]
        for (name, run), parts in zip(runs, found, strict=True):
            wanted = run(place)
            assert wanted.keys() == parts.keys()
            least = max(map(comparing._size, wanted.values()), default=0.0)
            for part, array in wanted.items():
                assert comparing.relative_error(parts[part], array, least) < 1e-10, (name, part)
