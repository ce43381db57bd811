"""`GpuProcessor` as a value: what is refused before anything is compiled."""

import subprocess
import sys
from typing import Any

import polars as pl
import pytest
from kernel_compilers import numba_cuda

from arrowstream.errors import PlanError, SchemaError, WrongCall
from arrowstream.gpu import GpuProcessor

pytestmark = pytest.mark.once

SOURCE = 'extern "C" __global__ void scale(const double* x, double* z, long long n) {}'
OF_X: Any = {"inputs": ["x"], "outputs": {"z": pl.Float64}}


def scale(x: Any, z: Any) -> None: ...


def test_each_call_gives_another_processor() -> None:
    first = GpuProcessor(device=1)
    second = first.kernel(SOURCE, "scale", **OF_X)
    third = second.block_size(64).on_cpu(print)
    assert (first.kernels, second.threads, second.cpu_twin) == ((), 256, None)
    assert (third.device, third.threads, third.cpu_twin) == (1, 64, print)
    assert third.kernels == second.kernels and third != second
    assert repr(third) == "GpuProcessor(device=1, scale(x) -> z, block_size=64)"


def test_a_later_kernel_reads_what_an_earlier_one_has_written() -> None:
    found = (
        GpuProcessor()
        .kernel(scale, inputs=["x", "y"], outputs={"z": pl.Float64})
        .kernel(scale, inputs=["z", "w"], outputs={"x": pl.Int8})
        .kernel(scale, inputs="x", outputs={"z": pl.Int16})
    )
    assert found.inputs == ("x", "y", "w")
    assert found.outputs == {"z": pl.Int16, "x": pl.Int8}


def test_a_python_function_has_its_own_name() -> None:
    assert GpuProcessor().kernel(scale, **OF_X).kernels[0].name == "scale"
    jitted = GpuProcessor().kernel(numba_cuda().jit(scale), "z", **OF_X).kernels[0]
    assert (jitted.source, jitted.name) == (scale, "z")


def processor() -> GpuProcessor:
    return GpuProcessor().kernel(SOURCE, "scale", **OF_X)


WRONG: dict[str, tuple[Any, str]] = {
    "a negative device": (lambda: GpuProcessor(-1), "GpuProcessor(device) is too small"),
    "a device by name": (lambda: GpuProcessor("0"), "GpuProcessor(device) takes a whole number"),  # type: ignore[arg-type]
    "a block of no warps": (lambda: processor().block_size(100), "write block_size(96)"),
    "a small block": (lambda: processor().block_size(5), "write block_size(32)"),
    "a large block": (lambda: processor().block_size(4096), "write block_size(1024)"),
    "an empty block": (lambda: processor().block_size(0), "is too small"),
    "half a block": (lambda: processor().block_size(0.5), "takes a whole number"),  # type: ignore[arg-type]
    "no name": (lambda: GpuProcessor().kernel(SOURCE, **OF_X), "needs its name"),
    "a name with spaces": (lambda: GpuProcessor().kernel(SOURCE, "a b", **OF_X), "'a b'"),
    "a number for a name": (lambda: GpuProcessor().kernel(SOURCE, 3, **OF_X), "found: 3"),  # type: ignore[arg-type]
    "no source": (lambda: GpuProcessor().kernel(3, "scale", **OF_X), "found: int 3"),  # type: ignore[arg-type]
    "no inputs": (lambda: GpuProcessor().kernel(SOURCE, "k", inputs=[], outputs={"z": pl.Int8}), "no inputs"),
    "no outputs": (lambda: GpuProcessor().kernel(SOURCE, "k", inputs=["x"], outputs={}), "no outputs"),
    "outputs that are missing": (
        lambda: GpuProcessor().kernel(SOURCE, "k", inputs=["x"], outputs=None),  # type: ignore[arg-type]
        "no outputs",
    ),
    "an input twice": (
        lambda: GpuProcessor().kernel(SOURCE, "k", inputs=["x", "x"], outputs={"z": pl.Int8}),
        "reads a column twice",
    ),
    "a number for inputs": (
        lambda: GpuProcessor().kernel(SOURCE, "k", inputs=3, outputs={"z": pl.Int8}),  # type: ignore[arg-type]
        "takes names of columns",
    ),
    "no function for the CPU": (lambda: processor().on_cpu(3), "on_cpu() needs a function"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_wrong_is_said_at_once(wrong: str) -> None:
    make, said = WRONG[wrong]
    with pytest.raises(PlanError) as caught:
        make()
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("dtype", "hint"),
    [
        (pl.String, "a number of it"),
        (pl.Binary, "a number of it"),
        (pl.Categorical, "cast it to UInt32"),
        (pl.Enum(["a"]), "cast it to UInt32"),
        (pl.Decimal(10, 2), "cast it to Int64"),
        (pl.Time, "cast it to Int64"),
        (pl.List(pl.Int8), "take the numbers out"),
        (pl.Null, "take the numbers out"),
    ],
)
def test_outputs_without_a_width_are_refused(dtype: Any, hint: str) -> None:
    with pytest.raises(SchemaError) as caught:
        GpuProcessor().kernel(SOURCE, "scale", inputs=["x"], outputs={"z": dtype})
    assert hint in str(caught.value)


def test_a_misspelt_argument() -> None:
    with pytest.raises(WrongCall, match="did you mean 'inputs'"):
        GpuProcessor().kernel(SOURCE, "scale", input=["x"], outputs={"z": pl.Int8})  # type: ignore[call-arg]


def test_the_import_loads_nothing_of_cuda() -> None:
    code = "import sys; from arrowstream.gpu import GpuProcessor; print(' '.join(sys.modules))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert not {name.split(".")[0] for name in out.split()} & {"cupy", "pylibcudf", "rmm", "numba", "cuda"}
