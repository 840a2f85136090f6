"""What is said about a machine's GPU, for each way in which it cannot be used."""

from __future__ import annotations

import ctypes.util
import shutil
import subprocess
import sys
import types

import numpy as np
import pytest

from tinygrad_adam.backend.cuda import diagnosis
from tinygrad_adam.backend.cuda.diagnosis import Driver, Gpu, diagnose

H100 = Gpu(0, "NVIDIA H100", 80 << 30, (9, 0))
T4 = Gpu(1, "Tesla T4", 16 << 30, (7, 5))
PASCAL = Gpu(0, "GTX 1080", 8 << 30, (6, 1))


class Machine:
    """What the probes find; a sound machine, until a test breaks a part of it."""

    def __init__(self):
        self.driver = Driver(True, "580.65.06", (13, 0), "", (H100,))
        self.packages = {"cupy-cuda13x": "14.2.0"}
        self.libraries = dict.fromkeys(("cublas", "nvrtc", "cudart"), "site-packages")
        self.import_error = None
        self.product = lambda index: True
        self.products = 0

    def find_libraries(self):
        if self.import_error is not None:
            raise self.import_error
        return self.libraries

    def small_product(self, index):
        self.products += 1
        return self.product(index)


@pytest.fixture
def machine(monkeypatch):
    there = Machine()
    monkeypatch.setattr(diagnosis, "read_driver", lambda: there.driver)
    monkeypatch.setattr(diagnosis, "installed_packages", lambda: there.packages)
    monkeypatch.setattr(diagnosis, "find_libraries", there.find_libraries)
    monkeypatch.setattr(diagnosis, "small_product", there.small_product)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return there


def test_a_sound_machine(machine):
    found = diagnose()
    assert (found.problem, found.remedy) == (None, None)
    assert found.driver.gpus == (H100,)
    assert found.packages == machine.packages
    assert found.libraries == machine.libraries


class OutOfMemoryError(Exception):
    """As cupy.cuda.memory has one."""


def raising(error):
    def product(index):
        raise error

    return product


CASES = {
    "no driver": (
        {"driver": Driver()},
        "There is no NVIDIA driver: libcuda.so.1 cannot be loaded.",
        "Install it from https://www.nvidia.com/drivers, start the container with --gpus all, "
        "or use the device 'cpu'.",
    ),
    "no GPU": (
        {"driver": Driver(True, "580.65.06", (13, 0), "CUDA_ERROR_NO_DEVICE")},
        "The NVIDIA driver 580.65.06 finds no GPU.",
        "Check whether nvidia-smi lists one, or use the device 'cpu'.",
    ),
    "no GPU, but no error": (
        {"driver": Driver(True, "580.65.06", (13, 0))},
        "The NVIDIA driver 580.65.06 finds no GPU.",
        "Check whether nvidia-smi lists one, or use the device 'cpu'.",
    ),
    "driver changed": (
        {"driver": Driver(True, "", (13, 0), "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH")},
        "The NVIDIA driver was updated, but the old version of its kernel module is still loaded.",
        "Restart the computer.",
    ),
    "forked": (
        {"driver": Driver(True, "", (13, 0), "CUDA_ERROR_NOT_INITIALIZED")},
        "This process was forked from one that uses CUDA, and cannot use it itself.",
        'Start processes by multiprocessing.get_context("spawn").',
    ),
    "driver does not start": (
        {"driver": Driver(True, "", (13, 0), "CUDA_ERROR_UNKNOWN")},
        "The NVIDIA driver does not start: CUDA_ERROR_UNKNOWN.",
        "Restart the computer, and if that does not help, reinstall the driver from "
        "https://www.nvidia.com/drivers.",
    ),
    "driver too old for any CuPy": (
        {"driver": Driver(True, "470.57.02", (11, 4), "", (H100,))},
        "The NVIDIA driver 470.57.02 is too old: it is for CUDA 11.4, and CuPy needs CUDA 12.",
        "Install driver 525 or newer from https://www.nvidia.com/drivers.",
    ),
    "CuPy missing": (
        {"packages": {}},
        "CuPy is not installed.",
        'pip install "tinygrad-adam[cuda13]"',
    ),
    "CuPy missing, driver for CUDA 12": (
        {"packages": {}, "driver": Driver(True, "550.54.14", (12, 4), "", (H100,))},
        "CuPy is not installed.",
        'pip install "tinygrad-adam[cuda12]"',
    ),
    "CuPy missing, the oldest GPU for CUDA 13": (
        {"packages": {}, "driver": Driver(True, "580.65.06", (13, 0), "", (T4,))},
        "CuPy is not installed.",
        'pip install "tinygrad-adam[cuda13]"',
    ),
    "CuPy missing, GPU older than CUDA 13": (
        {"packages": {}, "driver": Driver(True, "580.65.06", (13, 0), "", (PASCAL,))},
        "CuPy is not installed.",
        'pip install "tinygrad-adam[cuda12]"',
    ),
    "CuPy for a newer CUDA than the driver": (
        {"driver": Driver(True, "550.54.14", (12, 4), "", (H100,))},
        "cupy-cuda13x needs CUDA 13, and the NVIDIA driver 550.54.14 is for CUDA 12.4.",
        'pip uninstall -y cupy-cuda13x && pip install "tinygrad-adam[cuda12]" '
        "(or install driver 580 or newer)",
    ),
    "CuPy for a newer CUDA than the GPU": (
        {"driver": Driver(True, "580.65.06", (13, 0), "", (PASCAL,))},
        "cuda:0 (GTX 1080) is too old for cupy-cuda13x: CUDA 13 needs compute capability 7.5, "
        "and it has 6.1.",
        'pip uninstall -y cupy-cuda13x && pip install "tinygrad-adam[cuda12]"',
    ),
    "two builds of CuPy": (
        {"packages": {"cupy-cuda12x": "14.2.0", "cupy-cuda13x": "14.1.0"}},
        "Several builds of CuPy overwrite each other: cupy-cuda12x 14.2.0 and cupy-cuda13x 14.1.0.",
        'pip uninstall -y cupy-cuda12x cupy-cuda13x && pip install "tinygrad-adam[cuda13]"',
    ),
    "CuPy too old": (
        {"packages": {"cupy-cuda13x": "13.6.0"}},
        "cupy-cuda13x 13.6.0 is too old: version 14 or newer is needed.",
        'pip install "tinygrad-adam[cuda13]"',
    ),
    "CuPy too old, and for a CUDA that is gone": (
        {"packages": {"cupy-cuda11x": "13.6.0"}},
        "cupy-cuda11x 13.6.0 is too old: version 14 or newer is needed.",
        'pip uninstall -y cupy-cuda11x && pip install "tinygrad-adam[cuda13]"',
    ),
    "CuPy broken": (
        {
            "import_error": ImportError(
                "\n====\nFailed to import CuPy.\n\nOriginal error:\n  no symbol f\n====\n"
            )
        },
        "cupy-cuda13x cannot be imported: no symbol f.",
        'pip install --force-reinstall "cupy-cuda13x[ctk]"',
    ),
    "libraries missing": (
        {"libraries": {"cublas": "", "nvrtc": "", "cudart": "system"}},
        "cupy-cuda13x does not find cublas and nvrtc of CUDA.",
        'pip install "cupy-cuda13x[ctk]"',
    ),
    "libraries missing, CuPy from elsewhere": (
        {"packages": {"cupy": "14.2.0"}, "libraries": {"cublas": "", "nvrtc": "conda", "cudart": "conda"}},
        "cupy does not find cublas of CUDA.",
        "Reinstall CuPy, as https://docs.cupy.dev/en/stable/install.html says.",
    ),
    "memory full": (
        {"product": raising(OutOfMemoryError("Out of memory allocating 512 bytes"))},
        "The memory of cuda:0 (NVIDIA H100) is full: not even a small product fits.",
        "End other programs that use it; nvidia-smi lists them.",
    ),
    "product fails": (
        {"product": raising(RuntimeError("cudaErrorNoKernelImageForDevice: no kernel image\n"))},
        "A small product on cuda:0 (NVIDIA H100) failed: cudaErrorNoKernelImageForDevice: no kernel image.",
        'pip install --force-reinstall "cupy-cuda13x[ctk]"',
    ),
    "product wrong": (
        {"product": lambda index: False},
        "A small product on cuda:0 (NVIDIA H100) came out wrong.",
        "Do not compute with this GPU: restart the computer, install the newest driver, and check again.",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_wrong_and_what_mends_it(machine, case):
    parts, problem, remedy = CASES[case]
    for name, value in parts.items():
        setattr(machine, name, value)
    found = diagnose()
    assert (found.problem, found.remedy) == (problem, remedy)


def test_every_text_is_its_own():
    """But for two ways to have no GPU, and CuPy missing, which has two remedies for four machines."""
    texts = [texts[1:] for texts in CASES.values()]
    assert len(set(texts)) == len(texts) - 3


@pytest.mark.parametrize("hidden", ["", "7"])
def test_gpus_that_are_hidden(machine, monkeypatch, hidden):
    machine.driver = Driver(True, "580.65.06", (13, 0), "CUDA_ERROR_NO_DEVICE")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    assert diagnose().problem == f"CUDA_VISIBLE_DEVICES={hidden!r} hides every GPU."
    assert "Unset this environment variable" in diagnose().remedy


def test_a_mac(machine, monkeypatch):
    machine.driver = Driver()
    monkeypatch.setattr(sys, "platform", "darwin")
    assert diagnose().problem == "There is no CUDA on macOS."


@pytest.mark.parametrize("index", [-1, 2, 100])
def test_a_gpu_that_is_not_there(machine, index):
    machine.driver = Driver(True, "580.65.06", (13, 0), "", (H100, T4))
    assert diagnose(1).problem is None
    assert diagnose(index).problem == f"There is no cuda:{index}."
    assert diagnose(index).remedy == "Use one of these: cuda:0 (NVIDIA H100) and cuda:1 (Tesla T4)."


def test_each_gpu_makes_its_own_product(machine):
    machine.driver = Driver(True, "580.65.06", (13, 0), "", (H100, T4))
    machine.product = lambda index: index == 1
    assert diagnose(0).problem == "A small product on cuda:0 (NVIDIA H100) came out wrong."
    assert diagnose(1).problem is None


def test_nothing_above_a_broken_storey_is_tried(machine):
    machine.packages = {}
    machine.import_error = AssertionError("imported")
    assert diagnose().problem == "CuPy is not installed."
    assert machine.products == 0


# --- The probes -----------------------------------------------------------------------------------

FAKE_DRIVER = """
#include <stddef.h>
#include <string.h>
static const char *names[] = {"NVIDIA H100", "Tesla T4"};
static size_t memories[] = {85520809984ULL, 15835660288ULL};
static int capabilities[][2] = {{9, 0}, {7, 5}};
int cuDriverGetVersion(int *version) { *version = 12120; return 0; }
int cuInit(unsigned flags) { return INIT; }
int cuGetErrorName(int code, const char **name) {
  *name = code == 100 ? "CUDA_ERROR_NO_DEVICE" : 0; return 0;
}
int cuDeviceGetCount(int *count) { *count = 2; return 0; }
int cuDeviceGet(int *device, int index) { *device = index; return 0; }
int cuDeviceGetName(char *name, int size, int device) { strncpy(name, names[device], size); return 0; }
int cuDeviceTotalMem_v2(size_t *bytes, int device) { *bytes = memories[device]; return 0; }
int cuDeviceGetAttribute(int *value, int attribute, int device) {
  *value = capabilities[device][attribute - 75]; return 0;
}
int nvmlInit_v2(void) { return 0; }
int nvmlShutdown(void) { return 0; }
int nvmlSystemGetDriverVersion(char *version, unsigned size) {
  strncpy(version, "550.54.14", size); return 0;
}
"""


@pytest.fixture
def driver_library(tmp_path, monkeypatch):
    """Make the driver's library out of a few lines of C."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler to make a driver with")

    def make(init):
        (tmp_path / "driver.c").write_text(FAKE_DRIVER)
        library = tmp_path / f"driver{init}.so"
        subprocess.run(
            [compiler, f"-DINIT={init}", "-shared", "-fPIC", "-o", library, tmp_path / "driver.c"], check=True
        )
        monkeypatch.setattr(diagnosis, "_DRIVER_LIBRARY", str(library))
        monkeypatch.setattr(diagnosis, "_MANAGEMENT_LIBRARY", str(library))

    return make


def test_the_driver_is_read(driver_library):
    driver_library(0)
    gpus = (Gpu(0, "NVIDIA H100", 85520809984, (9, 0)), Gpu(1, "Tesla T4", 15835660288, (7, 5)))
    assert diagnosis.read_driver() == Driver(True, "550.54.14", (12, 12), "", gpus)


@pytest.mark.parametrize(("code", "name"), [(100, "CUDA_ERROR_NO_DEVICE"), (77, "error 77")])
def test_a_driver_that_does_not_start(driver_library, code, name):
    driver_library(code)
    assert diagnosis.read_driver() == Driver(True, "550.54.14", (12, 12), name)


def test_no_library_of_a_driver(monkeypatch):
    monkeypatch.setattr(diagnosis, "_DRIVER_LIBRARY", "no-such-library.so.1")
    assert diagnosis.read_driver() == Driver()


def test_a_library_that_is_no_driver(monkeypatch):
    monkeypatch.setattr(diagnosis, "_DRIVER_LIBRARY", ctypes.util.find_library("m"))
    found = diagnosis.read_driver()
    assert found.found
    assert "cuDriverGetVersion" in found.error


def test_installed_packages_are_read_and_not_imported(tmp_path, monkeypatch):
    for name in ("cupy_cuda12x-14.2.0", "cupy_cuda13x-14.1.0", "cupy_xarray-0.1", "cupyish-1"):
        folder = tmp_path / f"{name}.dist-info"
        folder.mkdir()
        package, version = name.split("-")
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    before = set(sys.modules)
    assert diagnosis.installed_packages() == {"cupy-cuda12x": "14.2.0", "cupy-cuda13x": "14.1.0"}
    assert "cupy" not in set(sys.modules) - before


class NotFound(RuntimeError):
    """As cuda.pathfinder has one."""


def test_libraries_are_found_as_cupy_finds_them(monkeypatch):
    def load(name):
        if name == "nvrtc":
            raise NotFound("libnvrtc.so.13")
        return types.SimpleNamespace(found_via="site-packages")

    pathfinder = types.SimpleNamespace(load_nvidia_dynamic_lib=load)
    monkeypatch.setitem(sys.modules, "cupy", types.ModuleType("cupy"))
    monkeypatch.setitem(sys.modules, "cuda", types.SimpleNamespace(pathfinder=pathfinder))
    found = diagnosis.find_libraries()
    assert found == {"cublas": "site-packages", "nvrtc": "", "cudart": "site-packages"}


@pytest.mark.parametrize("error", [0.0, 1.0])
def test_the_product_is_compared(monkeypatch, error):
    used = []

    class Device:
        def __init__(self, index):
            self.index = index

        def __enter__(self):
            used.append(self.index)

        def __exit__(self, *details):
            used.append("left")

    class OnDevice(np.ndarray):
        def get(self):
            return np.array(self)

    def arange(stop, dtype):
        return (np.arange(stop, dtype=dtype) + np.float32(error)).view(OnDevice)

    cupy = types.SimpleNamespace(arange=arange, cuda=types.SimpleNamespace(Device=Device))
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    assert diagnosis.small_product(3) is (error == 0)
    assert used == [3, "left"]
