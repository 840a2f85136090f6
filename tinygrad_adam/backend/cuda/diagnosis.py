"""The diagnosis of a GPU: whether it can be used, and if not, the cause and the remedy.

A GPU needs four things, each of which needs the ones before: the driver, its GPUs, one build of CuPy for a
CUDA that the driver knows, and CUDA's libraries. They are checked in this order, and the first that fails is
the diagnosis. The last check is a result: a GPU can be used if a small product on it is right. `diagnose`
never raises, and imports CuPy only if all checks before have passed.
"""

from __future__ import annotations

import ctypes
import os
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata

OLDEST_CUPY = 14
DRIVERS = {12: 525, 13: 580}
"""The oldest driver for each major version of CUDA, for all of its minor versions (NVIDIA, CUDA
Compatibility, "Minor Version Compatibility")."""
OLDEST_GPU = {12: (5, 0), 13: (7, 5)}
"""The least compute capability for each of them (CUDA 13.0 release notes: Turing and newer)."""

_WINDOWS = sys.platform == "win32"
_DRIVER_LIBRARY = "nvcuda.dll" if _WINDOWS else "libcuda.so.1"
_MANAGEMENT_LIBRARY = "nvml.dll" if _WINDOWS else "libnvidia-ml.so.1"
_CAPABILITY = (75, 76)  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, _MINOR
_LIBRARIES = ("cublas", "nvrtc", "cudart")
_MEMORY_IS_FULL = ("OutOfMemoryError", "cudaErrorMemoryAllocation", "CUBLAS_STATUS_ALLOC_FAILED")
_DOWNLOAD = "https://www.nvidia.com/drivers"


def lacks_memory(error: BaseException) -> bool:
    """Return whether CuPy, CUDA or one of its libraries failed for lack of memory on the GPU."""
    return any(word in repr(error) for word in _MEMORY_IS_FULL)


@dataclass(frozen=True)
class Gpu:
    """A GPU in the words of the driver.

    Attributes
    ----------
    index : int
        The N of ``cuda:N``.
    name : str
    memory : int
        In bytes.
    capability : tuple of int
        Compute capability: the version of its instructions.
    """

    index: int
    name: str
    memory: int
    capability: tuple[int, int]

    def __str__(self) -> str:
        return f"cuda:{self.index} ({self.name})"


@dataclass(frozen=True)
class Driver:
    """The state of the driver.

    Attributes
    ----------
    found : bool
        Whether its library is there.
    version : str
        Such as "580.65.06"; empty if unknown.
    cuda : tuple of int
        The newest CUDA that it can run; (0, 0) if unknown.
    error : str
        The name of the error of its start, such as "CUDA_ERROR_NO_DEVICE"; empty if it starts.
    gpus : tuple of Gpu
    """

    found: bool = False
    version: str = ""
    cuda: tuple[int, int] = (0, 0)
    error: str = ""
    gpus: tuple[Gpu, ...] = ()

    def __str__(self) -> str:
        return f"NVIDIA driver {self.version}".strip()


@dataclass(frozen=True)
class Diagnosis:
    """The parts that a GPU needs, and the first problem among them.

    Attributes
    ----------
    driver : Driver
    packages : dict of str to str
        Installed builds of CuPy, with their versions.
    libraries : dict of str to str
        The place of each of CUDA's libraries, such as "site-packages"; empty if it was not found. Libraries
        are searched for only if CuPy can be imported.
    problem, remedy : str or None
        The cause and the remedy, a sentence each; None if the GPU can be used.
    """

    driver: Driver
    packages: dict[str, str]
    libraries: dict[str, str]
    problem: str | None = None
    remedy: str | None = None


class _Trouble(Exception):  # noqa: N818 (it is a result, and never leaves this file)
    """The problem of the first check that fails, and the remedy."""


def diagnose(index: int = 0) -> Diagnosis:
    """Check whether a GPU can be used, and if not, why not; never raises.

    Parameters
    ----------
    index : int
        The N of ``cuda:N``.

    Returns
    -------
    Diagnosis
    """
    driver, packages = read_driver(), installed_packages()
    libraries: dict[str, str] = {}
    try:
        _check_driver(driver)
        _check_gpu(driver, index)
        _check_packages(driver, packages)
        libraries = _check_libraries(packages)
        _check_product(driver.gpus[index], packages)
    except _Trouble as trouble:
        return Diagnosis(driver, packages, libraries, *trouble.args)
    return Diagnosis(driver, packages, libraries)


# --- Checks, each of which needs the ones before ------------------------------------------------


def _check_driver(driver: Driver) -> None:
    if sys.platform == "darwin":
        raise _Trouble("There is no CUDA on macOS.", "Use the device 'cpu'.")
    if not driver.found:
        raise _Trouble(
            f"There is no NVIDIA driver: {_DRIVER_LIBRARY} cannot be loaded.",
            f"Install it from {_DOWNLOAD}, start the container with --gpus all, or use the device 'cpu'.",
        )
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    if driver.error == "CUDA_ERROR_NO_DEVICE" or not (driver.error or driver.gpus):
        if hidden is not None:
            raise _Trouble(
                f"CUDA_VISIBLE_DEVICES={hidden!r} hides every GPU.",
                "Unset this environment variable, or write in it the number of a GPU that nvidia-smi lists.",
            )
        raise _Trouble(
            f"The {driver} finds no GPU.",
            "Check whether nvidia-smi lists one, or use the device 'cpu'.",
        )
    if driver.error == "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH":
        raise _Trouble(
            "The NVIDIA driver was updated, but the old version of its kernel module is still loaded.",
            "Restart the computer.",
        )
    if driver.error == "CUDA_ERROR_NOT_INITIALIZED":
        raise _Trouble(
            "This process was forked from one that uses CUDA, and cannot use it itself.",
            'Start processes by multiprocessing.get_context("spawn").',
        )
    if driver.error:
        raise _Trouble(
            f"The {driver} does not start: {driver.error}.",
            f"Restart the computer, and if that does not help, reinstall the driver from {_DOWNLOAD}.",
        )
    oldest = min(DRIVERS)
    if driver.cuda < (oldest, 0):
        raise _Trouble(
            f"The {driver} is too old: it is for CUDA {_dotted(driver.cuda)}, and CuPy needs CUDA {oldest}.",
            f"Install driver {DRIVERS[oldest]} or newer from {_DOWNLOAD}.",
        )


def _check_gpu(driver: Driver, index: int) -> None:
    if not 0 <= index < len(driver.gpus):
        raise _Trouble(f"There is no cuda:{index}.", f"Use one of these: {_listed(map(str, driver.gpus))}.")


def _check_packages(driver: Driver, packages: dict[str, str]) -> None:
    if not packages:
        raise _Trouble("CuPy is not installed.", _install(driver, packages))
    if len(packages) > 1:
        raise _Trouble(
            f"Several builds of CuPy overwrite each other: {_listed(map(' '.join, packages.items()))}.",
            _install(driver, packages),
        )
    ((name, version),) = packages.items()
    cuda = _cuda_of(name)
    if _major(version) < OLDEST_CUPY:
        raise _Trouble(
            f"{name} {version} is too old: version {OLDEST_CUPY} or newer is needed.",
            _install(driver, packages),
        )
    if cuda > driver.cuda[0]:
        raise _Trouble(
            f"{name} needs CUDA {cuda}, and the {driver} is for CUDA {_dotted(driver.cuda)}.",
            f"{_install(driver, packages)} (or install driver {DRIVERS[cuda]} or newer)",
        )
    old = [gpu for gpu in driver.gpus if gpu.capability < OLDEST_GPU.get(cuda, (0, 0))]
    if old:
        raise _Trouble(
            f"{old[0]} is too old for {name}: CUDA {cuda} needs compute capability "
            f"{_dotted(OLDEST_GPU[cuda])}, and it has {_dotted(old[0].capability)}.",
            _install(driver, packages),
        )


def _check_libraries(packages: dict[str, str]) -> dict[str, str]:
    (name,) = packages
    try:
        libraries = find_libraries()
    except Exception as error:
        raise _Trouble(f"{name} cannot be imported: {_last_line(error)}.", _reinstall(name)) from error
    missing = [library for library, place in libraries.items() if not place]
    if missing:
        raise _Trouble(f"{name} does not find {_listed(missing)} of CUDA.", _reinstall(name, "pip install"))
    return libraries


def _check_product(gpu: Gpu, packages: dict[str, str]) -> None:
    (name,) = packages
    try:
        right = small_product(gpu.index)
    except Exception as error:
        if lacks_memory(error):
            raise _Trouble(
                f"The memory of {gpu} is full: not even a small product fits.",
                "End other programs that use it; nvidia-smi lists them.",
            ) from error
        raise _Trouble(f"A small product on {gpu} failed: {_last_line(error)}.", _reinstall(name)) from error
    if not right:
        raise _Trouble(
            f"A small product on {gpu} came out wrong.",
            "Do not compute with this GPU: restart the computer, install the newest driver, and check again.",
        )


# --- Facts --------------------------------------------------------------------------------------


def read_driver() -> Driver:
    """Query the driver's own library, which needs neither CuPy nor CUDA."""
    try:
        library = ctypes.CDLL(_DRIVER_LIBRARY)
        known = ctypes.c_int()
        library.cuDriverGetVersion(ctypes.byref(known))
        cuda = (known.value // 1000, known.value % 1000 // 10)
        code = library.cuInit(0)
        gpus = () if code else tuple(_read_gpu(library, index) for index in range(_count(library)))
        return Driver(True, _driver_version(), cuda, _error_name(library, code), gpus)
    except OSError:
        return Driver()
    except AttributeError as error:  # a function is missing: a library of another kind, or a very old one
        return Driver(True, error=_last_line(error))


def _count(library: ctypes.CDLL) -> int:
    count = ctypes.c_int()
    library.cuDeviceGetCount(ctypes.byref(count))
    return count.value


def _read_gpu(library: ctypes.CDLL, index: int) -> Gpu:
    handle, number, memory = ctypes.c_int(), ctypes.c_int(), ctypes.c_size_t()
    name = ctypes.create_string_buffer(256)
    library.cuDeviceGet(ctypes.byref(handle), index)
    library.cuDeviceGetName(name, len(name), handle)
    library.cuDeviceTotalMem_v2(ctypes.byref(memory), handle)
    capability = []
    for attribute in _CAPABILITY:
        library.cuDeviceGetAttribute(ctypes.byref(number), attribute, handle)
        capability.append(number.value)
    return Gpu(index, name.value.decode(errors="replace"), memory.value, (capability[0], capability[1]))


def _error_name(library: ctypes.CDLL, code: int) -> str:
    if not code:
        return ""
    name = ctypes.c_char_p()
    library.cuGetErrorName(code, ctypes.byref(name))
    return (name.value or f"error {code}".encode()).decode()


def _driver_version() -> str:
    try:
        library = ctypes.CDLL(_MANAGEMENT_LIBRARY)
        text = ctypes.create_string_buffer(96)
        if library.nvmlInit_v2() or library.nvmlSystemGetDriverVersion(text, len(text)):
            return ""
        library.nvmlShutdown()
        return text.value.decode(errors="replace")
    except (OSError, AttributeError):
        return ""


def installed_packages() -> dict[str, str]:
    """Return the installed builds of CuPy with their versions, without importing any."""
    found = {}
    for distribution in metadata.distributions():
        name = str(distribution.name or "").lower().replace("_", "-")
        if re.fullmatch(r"cupy(-(cuda|rocm)[-\w]+)?", name):
            found[name] = distribution.version
    return dict(sorted(found.items()))


def find_libraries() -> dict[str, str]:
    """Import CuPy, and return where it finds each of CUDA's libraries; empty if it does not.

    Raises
    ------
    Exception
        Any error of the import of CuPy.
    """
    import cupy  # noqa: F401
    from cuda import pathfinder

    places = {}
    for library in _LIBRARIES:
        try:
            places[library] = str(pathfinder.load_nvidia_dynamic_lib(library).found_via)
        except RuntimeError:
            places[library] = ""
    return places


def small_product(index: int) -> bool:
    """Multiply two small matrices on a GPU, and return whether the result is right.

    The product needs cuBLAS, and the addition a kernel that NVRTC compiles.

    Raises
    ------
    Exception
        Any error of CuPy.
    """
    import cupy

    with cupy.cuda.Device(index):
        a = cupy.arange(6, dtype="float32").reshape(2, 3)
        return bool(((a @ a.T + 1).get() == [[6, 15], [15, 51]]).all())


# --- Words --------------------------------------------------------------------------------------


def _install(driver: Driver, packages: dict[str, str]) -> str:
    """Return the command for the newest CuPy that the driver and its GPUs can use, instead of `packages`."""
    best = max(
        cuda
        for cuda in DRIVERS
        if cuda == min(DRIVERS)
        or (cuda <= driver.cuda[0] and all(gpu.capability >= OLDEST_GPU[cuda] for gpu in driver.gpus))
    )
    command = f'pip install "tinygrad-adam[cuda{best}]"'
    if all(_cuda_of(name) == best for name in packages) and len(packages) < 2:
        return command
    return f"pip uninstall -y {' '.join(packages)} && {command}"


def _reinstall(name: str, command: str = "pip install --force-reinstall") -> str:
    if _cuda_of(name):
        return f'{command} "{name}[ctk]"'
    return "Reinstall CuPy, as https://docs.cupy.dev/en/stable/install.html says."


def _cuda_of(package: str) -> int:
    """Return the major version of CUDA in the name of a build of CuPy, or 0."""
    named = re.fullmatch(r"cupy-cuda(\d\d)\w", package)
    return int(named[1]) if named else 0


def _major(version: str) -> int:
    number = re.match(r"\d+", version)
    return int(number[0]) if number else 0


def _dotted(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"


def _listed(words: Iterable[str]) -> str:
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else str(last)


def _last_line(error: BaseException) -> str:
    """Return the last line of an error's message; CuPy surrounds the cause with advice and a frame."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip(" =")]
    return (lines[-1] if lines else type(error).__name__).rstrip(".")
