"""Every CUDA source compiled by NVIDIA's run-time compiler for three generations of GPUs; none is needed.

pip install -e ".[nvrtc,test]" && pytest -m cuda_sources tests/kernels
"""

from __future__ import annotations

import importlib
import pkgutil
import re

import pytest

from tinygrad_adam.kernels import cuda as kernels
from tinygrad_adam.kernels.cuda import launching as cuda
from tinygrad_adam.testing.selfcheck.waits import HOLD

pytestmark = pytest.mark.cuda_sources

SOURCES = {
    name: module.SOURCE
    for name in sorted(each.name for each in pkgutil.iter_modules(kernels.__path__))
    if hasattr(module := importlib.import_module(f"{kernels.__name__}.{name}"), "SOURCE")
}
GENERATIONS = {"75": "Turing", "80": "Ampere", "90": "Hopper"}


def nvrtc(source, generation, options):
    """Compile to machine code, as CuPy does when a kernel is first launched."""
    compiler = pytest.importorskip("cupy.cuda.compiler", reason='needs pip install "tinygrad-adam[nvrtc]"')
    if not hasattr(compiler, "_NVRTCProgram"):
        pytest.skip("this version of CuPy has its NVRTC elsewhere")
    try:
        from cupy.cuda import nvrtc as library

        library.getVersion()
    except (ImportError, RuntimeError) as error:
        pytest.skip(f"NVIDIA's run-time compiler is not installed: {error}")
    program = compiler._NVRTCProgram(source, "kernels.cu", method="cubin")
    return program.compile((*options, f"-arch=sm_{generation}"))[0]


@pytest.mark.parametrize(("generation", "wide"), [*((each, False) for each in GENERATIONS), ("90", True)])
@pytest.mark.parametrize("real", ["float32", "float64"])
@pytest.mark.parametrize("name", SOURCES)
def test_source_compiles(name, real, generation, wide):
    text = SOURCES[name].text
    machine_code = nvrtc(text, generation, cuda.options(real, wide))
    declared = re.findall(r'extern "C" __global__ void (\w+)', text)
    assert declared
    for kernel in declared:
        assert f".text.{kernel}\0".encode() in machine_code


@pytest.mark.parametrize("generation", GENERATIONS)
def test_the_kernel_that_holds_a_gpu_compiles(generation):
    assert b".text.hold\0" in nvrtc(HOLD, generation, ("--device-as-default-execution-space",))


def test_an_error_is_found():
    with pytest.raises(Exception, match="undeclared_name"):
        nvrtc(
            cuda.PRELUDE + "__device__ int f() { return undeclared_name; }",
            "90",
            cuda.options("float32", False),
        )
