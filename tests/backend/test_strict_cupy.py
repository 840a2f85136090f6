"""The stand-in for CuPy: what it refuses, and CuPy itself beside it where it is installed (without a GPU)."""

from __future__ import annotations

import importlib.util
import inspect
import json
import subprocess
import sys

import cupy_forms
import numpy as np
import pytest
import strict_cupy
from strict_cupy import UFUNCS, host_reads, no_host_reads
from strict_cupy import module as cupy

HAS_CUPY = importlib.util.find_spec("cupy") is not None


@pytest.fixture(autouse=True)
def gpu():
    with strict_cupy.installed():
        yield


# --- Against CuPy ------------------------------------------------------------------------------------

COMPARISON = """
import inspect, json, sys
import cupy
wanted, ufuncs = json.load(sys.stdin)
for place, names in wanted.items():
    real = cupy
    for part in place.split(".")[1:]:
        real = getattr(real, part)
    for name, parameters in names.items():
        if not hasattr(real, name):
            print(place, name, "is missing")
            continue
        try:
            there = inspect.signature(getattr(real, name)).parameters
        except (ValueError, TypeError):  # compiled
            continue
        if not any(p.kind is p.VAR_KEYWORD for p in there.values()):
            for parameter in set(parameters) - set(there):
                print(place, name, "has no", parameter)
for name in ufuncs:
    if not isinstance(getattr(cupy, name), cupy.ufunc):
        print(name, "is no ufunc")
"""


def names_and_parameters(namespace):
    """List a namespace's public names, with the parameters of its functions that have names."""
    found = {}
    for name, value in vars(namespace).items():
        if not name.startswith("_"):
            parameters = inspect.signature(value).parameters.values() if inspect.isfunction(value) else ()
            found[name] = [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    return found


@pytest.mark.skipif(not HAS_CUPY, reason="CuPy is not installed")
def test_cupy_has_all_names_and_parameters_of_the_stand_in():
    namespaces = {
        "cupy": cupy,
        "cupy.ndarray": cupy.ndarray,
        "cupy.cuda": cupy.cuda,
        "cupy.cuda.memory": cupy.cuda.memory,
        "cupy.cuda.runtime": cupy.cuda.runtime,
        "cupy.cuda.Device": cupy.cuda.Device,
        "cupy.cuda.Stream": cupy.cuda.Stream,
        "cupy.cuda.Event": cupy.cuda.Event,
        "cupy.cuda.MemoryPool": cupy.cuda.MemoryPool,
    }
    wanted = {place: names_and_parameters(namespace) for place, namespace in namespaces.items()}
    run = subprocess.run(
        [sys.executable, "-c", COMPARISON], input=json.dumps([wanted, UFUNCS]), capture_output=True, text=True
    )
    assert (run.stdout, run.returncode) == ("", 0), run.stderr


def form_and_waits(call):
    before = host_reads()
    form = cupy_forms.found(cupy, call)
    return f"{form} waits" if host_reads() > before and not form.startswith("raises") else form


def test_results_have_the_forms_of_cupys():
    """Shape, dtype, strides, exception, and whether the host waits, as they were read from CuPy."""
    expected = cupy_forms.expected()
    found = {call: form_and_waits(call) for call in expected}
    assert found == expected


# --- What it refuses ----------------------------------------------------------------------------------


def test_nothing_is_converted_or_mixed():
    a, host = cupy.ones((2, 3), "float32"), np.ones((2, 3), "float32")
    mixtures = [
        lambda: np.asarray(a), lambda: a + host, lambda: host + a, lambda: cupy.add(a, host),
        lambda: np.add(a, host), lambda: cupy.where(a > 0, a, host), lambda: cupy.concatenate([a, host]),
        lambda: a.__setitem__(0, host[0]), lambda: host.__setitem__(0, a[0]), lambda: a + np.array(1.0),
        lambda: cupy.sum(host), lambda: cupy.matmul(a, host.T), lambda: a.fill(np.array(1.0)),
        lambda: cupy.add(a, a, out=host), lambda: np.add(host, a, out=host), lambda: a.__iadd__(host),
    ]  # fmt: skip
    for mix in mixtures:
        with pytest.raises((TypeError, ValueError), match=r"Unsupported type|Implicit|non-scalar numpy"):
            mix()


def test_numbers_beside_an_array():
    a = cupy.ones(2, "float32")
    assert (a + 1.5).dtype == np.float32
    assert (a + np.float32(1.5)).dtype == np.float32
    assert (a + np.float64(1.5)).dtype == np.float64
    assert (np.float64(1.5) + a).dtype == np.float64


@pytest.mark.parametrize("name", ["sum", "max", "mean", "all", "argmax"])
def test_reductions_give_arrays(name):
    result = getattr(cupy.ones(3), name)()
    assert isinstance(result, cupy.ndarray)
    assert result.shape == ()


@pytest.mark.parametrize(
    "call",
    [
        lambda a: cupy.sum(a, where=a > 0), lambda a: cupy.max(a, initial=0),
        lambda a: cupy.add(a, a, where=a > 0),
        lambda a: cupy.einsum("i->i", a, order="C"), lambda a: a.astype("float32", casting="safe"),
    ],
)  # fmt: skip
def test_parameters_that_cupy_lacks(call):
    with pytest.raises(TypeError):
        call(cupy.ones(3))


@pytest.mark.parametrize("name", ["block", "frompyfunc", "matrix", "nditer", "object_", "recarray"])
def test_names_that_cupy_lacks(name):
    assert not hasattr(cupy, name)


READS = {
    "get": lambda a: a.get(),
    "item": lambda a: a[0].item(),
    "float": lambda a: float(a[0]),
    "int": lambda a: int(a[0]),
    "bool": lambda a: bool(a[0] > 0),
    "if": lambda a: 1 if a.all() else 0,
    "tolist": lambda a: a.tolist(),
    "repr": repr,
    "asnumpy": lambda a: cupy.asnumpy(a),
    "mask": lambda a: a[a > 0],
    "unique": lambda a: cupy.unique(a),
    "nonzero": lambda a: cupy.nonzero(a),
    "masked assignment": lambda a: a.__setitem__(a > 1, 0.0),
    "argpartition": lambda a: cupy.argpartition(a, 1),
    "fill": lambda a: cupy.ones(3).fill(a[0]),
    "synchronize": lambda a: a.device.synchronize(),
}


@pytest.mark.parametrize("name", READS)
def test_reads_are_counted_and_can_be_refused(name):
    a, before = cupy.ones(3), host_reads()
    READS[name](a)
    assert host_reads() > before
    with no_host_reads(), pytest.raises(strict_cupy.DeviceSynchronized):
        READS[name](a)


def test_what_is_no_read():
    a = cupy.arange(6.0).reshape(2, 3)
    with no_host_reads():
        assert (len(a), a.shape, a.dtype, a.nbytes) == (2, (2, 3), np.float64, 48)
        b = cupy.where(a > 2, a, 0)[cupy.array([1, 0])]
        b += a.sum()
        cupy.argsort(a)


def test_arrays_of_another_gpu():
    with cupy.cuda.Device(1):
        there = cupy.ones(2)
    here = cupy.ones(2)
    assert (here.device.id, there.device.id) == (0, 1)
    for mix in (lambda: here + there, lambda: there + 1, lambda: cupy.sum(there), lambda: there[[0]]):
        with pytest.raises(ValueError, match="different from the current device"):
            mix()
    assert there.copy().device.id == 0
    assert cupy.asarray(there).device.id == 0


def test_indices_are_wrapped_and_repeated_ones_refused():
    a = cupy.arange(3)
    assert a[cupy.array([4, -1])].tolist() == [1, 2]
    with pytest.raises(AssertionError, match="undefined"):
        a[cupy.array([0, 0])] = cupy.array([1, 2])
    total = cupy.zeros(3)
    cupy.add.at(total, cupy.array([0, 0, 2]), cupy.ones(3))
    assert total.tolist() == [2, 0, 1]


def test_the_order_in_memory():
    """CuPy keeps it in casts, in arrays alike and in copies from the host; the rest is mostly in order."""
    columns = cupy.asarray(np.ones((2, 3), order="F"))
    kept = [columns, columns.astype("float32"), cupy.array(columns), cupy.zeros_like(columns)]
    kept += [cupy.empty_like(columns), cupy.full_like(columns, 2.0), cupy.ones_like(columns)]
    assert [(a.flags.c_contiguous, a.flags.f_contiguous) for a in kept] == [(False, True)] * len(kept)
    for a in (columns.copy(), columns + columns, cupy.ascontiguousarray(columns)):
        assert a.flags.c_contiguous


def test_an_array_that_is_spread_can_be_written_to():
    a = cupy.zeros(1)
    cupy.broadcast_to(a, (3,))[0] = 1.0
    assert a.tolist() == [1]


def test_a_lack_of_memory():
    strict_cupy.limit[0] = 1000
    with pytest.raises(cupy.cuda.memory.OutOfMemoryError, match="allocating 8,000 bytes"):
        cupy.zeros(1000)
