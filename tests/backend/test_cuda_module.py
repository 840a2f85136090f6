"""`tg.cuda` and `tg.device`, under the strict stand-in for CuPy and without a GPU."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import threading
import tomllib
import types
from pathlib import Path

import pages
import pytest
import strict_cupy

import tinygrad_adam as tg
from tinygrad_adam import cuda, errors
from tinygrad_adam.backend.cuda import diagnosis
from tinygrad_adam.backend.cuda import finding as backend_cuda
from tinygrad_adam.backend.cuda.diagnosis import Driver


@pytest.fixture
def gpu():
    with strict_cupy.installed() as cupy:
        yield cupy


@pytest.fixture
def no_gpu(monkeypatch):
    monkeypatch.setattr(diagnosis, "read_driver", Driver)
    monkeypatch.setattr(sys, "platform", "linux")
    backend_cuda._sound_gpu.cache_clear()


def test_a_gpu_is_there(gpu):
    assert tg.cuda.is_available()
    assert tg.cuda.device_count() == 2
    assert tg.device("auto") == tg.device("cuda") == tg.device("cuda:0") == "cuda:0"
    assert tg.device("cuda:1") == "cuda:1"
    with gpu.cuda.Device(1):
        assert tg.device("auto") == tg.device("cuda") == "cuda:1"


def test_no_gpu_is_there(no_gpu):
    assert not tg.cuda.is_available()
    assert tg.cuda.device_count() == 0
    assert tg.device("auto") == "cpu"


def test_cupy_is_in_use_where_there_is_no_driver(gpu, no_gpu, monkeypatch):
    def no_driver():
        raise gpu.cuda.runtime.CUDARuntimeError("cudaErrorInsufficientDriver")

    monkeypatch.setattr(gpu.cuda, "Device", no_driver)
    assert not tg.cuda.is_available()


@pytest.mark.parametrize(
    "call",
    [
        lambda: tg.device("cuda"),
        lambda: tg.zeros(2, device="cuda:1"),
        lambda: tg.tensor(1.0).to("cuda"),
        lambda: cuda.memory(),
        lambda: cuda.synchronize(),
        lambda: cuda.allow_tf32().__enter__(),
    ],
)
def test_without_a_gpu_the_error_is_the_diagnosis(no_gpu, call):
    with pytest.raises(errors.DeviceError) as caught:
        call()
    assert str(caught.value) == (
        "cuda: There is no NVIDIA driver: libcuda.so.1 cannot be loaded. Install it from "
        "https://www.nvidia.com/drivers, start the container with --gpus all, or use the device 'cpu'."
    )


def test_a_gpu_that_is_not_there(gpu):
    with pytest.raises(errors.DeviceError) as caught:
        tg.device("cuda:2")
    assert str(caught.value) == (
        "cuda: There is no cuda:2. Use one of these: cuda:0 (Stand-in) and cuda:1 (Stand-in)."
    )


@pytest.mark.parametrize("name", ["Cuda", "cuda:", "cuda:one", "cuda:-1", "auto:0", "gpu", 0, None])
def test_no_device_of_that_name(gpu, name):
    with pytest.raises(errors.OptionError, match=r"unknown device .*\n  known  cpu, cuda, cuda:N"):
        tg.device(name)


def test_success_is_remembered_and_failure_is_not(gpu, monkeypatch):
    products = []
    real = diagnosis.small_product

    def product(right):
        def count(index):
            products.append(index)
            return right and real(index)

        return count

    monkeypatch.setattr(diagnosis, "small_product", product(False))
    assert not tg.cuda.is_available()
    assert not tg.cuda.is_available()
    monkeypatch.setattr(diagnosis, "small_product", product(True))
    assert tg.cuda.is_available()
    assert tg.cuda.is_available()
    assert products == [0, 0, 0]


def test_the_small_product_is_really_made(gpu, monkeypatch):
    monkeypatch.setattr(gpu, "matmul", lambda a, b: a[:, :2] + b[:2])
    monkeypatch.setattr(gpu.ndarray, "__matmul__", gpu.matmul)
    assert diagnosis.diagnose().problem == "A small product on cuda:0 (Stand-in) came out wrong."
    assert not tg.cuda.is_available()


def test_nothing_is_looked_for_before_it_is_asked(monkeypatch):
    """A new import of the module calls no probe."""
    for name in ("read_driver", "installed_packages", "find_libraries", "small_product"):
        monkeypatch.setattr(diagnosis, name, None)
    monkeypatch.delitem(sys.modules, "tinygrad_adam.cuda")
    __import__("tinygrad_adam.cuda")


def test_memory(gpu):
    strict_cupy.counts["used"] = 3000
    found = tg.cuda.memory("cuda:1")
    assert found.in_use == 3000
    assert found.total == strict_cupy.MEMORY
    assert found.free == strict_cupy.MEMORY - 3000


@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_synchronize_waits_for_the_gpu_that_is_named(gpu, monkeypatch, device):
    waited = []
    monkeypatch.setattr(gpu.cuda.Device, "synchronize", lambda self: waited.append(self.id))
    tg.cuda.synchronize(device)
    assert waited == [int(device == "cuda:1")]


# --- TF32 -----------------------------------------------------------------------------------------

DEFAULT, TF32 = 1, 7


class Products:
    """What of CuPy and cuBLAS says how products are made."""

    def __init__(self):
        self.type = DEFAULT
        self.modes = {}
        self.products = types.SimpleNamespace(
            COMPUTE_TYPE_TF32=TF32, get_compute_type=lambda dtype: self.type, set_compute_type=self.set_type
        )
        self.cublas = types.SimpleNamespace(
            getMathMode=lambda handle: self.modes.get(handle, 0),
            setMathMode=self.modes.__setitem__,
        )

    def set_type(self, dtype, value):
        assert dtype == "float32"
        self.type = value

    def handle(self):
        """There is one for each thread and GPU."""
        return threading.get_ident(), strict_cupy.state.device


@pytest.fixture
def products(gpu, monkeypatch):
    there = Products()
    monkeypatch.setattr(gpu.cuda, "get_cublas_handle", there.handle, raising=False)
    for name, module in {
        "cupy._core": types.SimpleNamespace(_routines_linalg=there.products),
        "cupy_backends": types.ModuleType("cupy_backends"),
        "cupy_backends.cuda": types.ModuleType("cupy_backends.cuda"),
        "cupy_backends.cuda.libs": types.SimpleNamespace(cublas=there.cublas),
    }.items():
        monkeypatch.setitem(sys.modules, name, module)
    return there


def test_tf32_is_allowed_inside_the_block_only(products):
    here = products.handle()
    with tg.cuda.allow_tf32():
        assert (products.type, products.modes[here]) == (TF32, 3)
        with tg.cuda.allow_tf32():
            pass
        assert (products.type, products.modes[here]) == (TF32, 3)
    assert (products.type, products.modes[here]) == (DEFAULT, 0)


def test_tf32_ends_with_an_error(products):
    with pytest.raises(ZeroDivisionError), tg.cuda.allow_tf32():
        raise ZeroDivisionError
    assert (products.type, products.modes[products.handle()]) == (DEFAULT, 0)


def test_tf32_is_not_left_half_allowed(products, monkeypatch):
    def refuse(handle, mode):
        products.modes[handle] = mode
        if mode:
            raise RuntimeError("CUBLAS_STATUS_NOT_INITIALIZED")

    monkeypatch.setattr(products.cublas, "setMathMode", refuse)
    with pytest.raises(RuntimeError, match="NOT_INITIALIZED"), tg.cuda.allow_tf32():
        pass
    assert (products.type, products.modes[products.handle()]) == (DEFAULT, 0)


INSIDE = """
from cupy._core import _routines_linalg as products
products.COMPUTE_TYPE_TF32, products.get_compute_type, products.set_compute_type
try:
    from cupy_backends.cuda.libs import cublas
except ImportError:  # its library is not installed
    pass
else:
    cublas.getMathMode, cublas.setMathMode
"""


@pytest.mark.skipif(importlib.util.find_spec("cupy") is None, reason="CuPy is not installed")
def test_cupy_has_inside_what_the_switch_turns():
    run = subprocess.run([sys.executable, "-c", INSIDE], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_tf32_on_the_gpu_that_is_named(products):
    with tg.cuda.allow_tf32("cuda:1"):
        assert set(products.modes) == {(threading.get_ident(), 1)}


def test_an_old_gpu_has_no_tf32(gpu, products, monkeypatch):
    monkeypatch.setattr(gpu.cuda.Device, "compute_capability", "75")
    with tg.cuda.allow_tf32():
        assert (products.type, products.modes) == (DEFAULT, {})


# --- The page -------------------------------------------------------------------------------------

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "gpu.md"


def test_the_page_runs(gpu):
    text, names = pages.run(PAGE.read_text("utf-8"))
    assert "    cuda:0 True\n" in text
    assert sorted(y.item() for _, batch in names["loader"] for y in batch) == list(range(10))


def test_versions_that_are_written_in_several_places():
    page = PAGE.read_text()
    for number, driver in diagnosis.DRIVERS.items():
        assert re.search(rf"driver {driver} or newer.*\[cuda{number}\]", page)
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert {f"cuda{number}" for number in diagnosis.DRIVERS} == {name for name in extras if "cuda" in name}
    for number in diagnosis.DRIVERS:
        assert extras[f"cuda{number}"] == [f"cupy-cuda{number}x[ctk]>={diagnosis.OLDEST_CUPY}.0"]
