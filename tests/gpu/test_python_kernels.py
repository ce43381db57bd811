"""Kernels in Python, compiled by numba without a GPU."""

import math
from typing import Any

import polars as pl
import pytest
from kernel_compilers import numba_cuda

from arrowstream.errors import PlanError
from arrowstream.gpu import GpuProcessor
from arrowstream.gpu.custom.compile import compile_kernels
from arrowstream.gpu.custom.compiled import HOPPER, CompiledKernel

pytestmark = pytest.mark.once

cuda = numba_cuda()

SCHEMA = pl.Schema({"x": pl.Float64, "flag": pl.Boolean})
FACTOR = 3.0


def scale(x, z):  # type: ignore[no-untyped-def]
    i = cuda.grid(1)
    if i < z.size:
        z[i] = FACTOR * math.sqrt(x[i])


def careful(x, x_valid, flag, z, z_valid):  # type: ignore[no-untyped-def]
    i = cuda.grid(1)
    if i < z.size:
        z_valid[i] = x_valid[i] and not flag[i]
        z[i] = x[i]


def writes_an_input(x, z):  # type: ignore[no-untyped-def]
    x[cuda.grid(1)] = 0.0


def has_no_such_part(x, z):  # type: ignore[no-untyped-def]
    i = cuda.grid(1)
    z[i] = x[i].nothing


def has_no_such_name(x, z):  # type: ignore[no-untyped-def]
    z[0] = nothing(x[0])  # noqa: F821


def counts(x, z, n):  # type: ignore[no-untyped-def]
    z[0] = n


def compiled(fn: Any, inputs: Any = "x", capability: tuple[int, int] = HOPPER) -> CompiledKernel:
    made = GpuProcessor().kernel(fn, inputs=inputs, outputs={"z": pl.Float64})
    (found,) = compile_kernels(made, SCHEMA, capability)
    return found


@pytest.mark.parametrize(("fn", "inputs"), [(scale, "x"), (careful, ["x", "flag"]), (cuda.jit(scale), "x")])
def test_a_function_becomes_machine_code(fn: Any, inputs: Any) -> None:
    found = compiled(fn, inputs)
    assert found.code.startswith(b"\x7fELF") and found.entry.encode() in found.code
    assert found.arguments == "arrays"


def test_each_array_is_seven_parameters() -> None:
    """As numba passes them: what is launched without numba must agree."""
    from numba import types

    array = types.Array(types.float64, 1, "C")
    ptx, _ = cuda.compile_ptx(scale, types.void(array, array), cc=HOPPER)
    assert ptx.count(".param .u64") == 14
    read = {int(part.split("]")[0]) for part in ptx.split("_param_")[1:] if part.split("]")[0].isdigit()}
    # Of x its pointer and length; of z its size, too.
    assert read <= {2, 4, 5, 9, 11, 12} and {4, 9, 11} <= read


@pytest.mark.parametrize(
    ("fn", "said"),
    [
        (writes_an_input, ("it writes into an input", "def writes_an_input", "a column of its own")),
        (has_no_such_part, ("Unknown attribute 'nothing'", "z[i] = x[i].nothing")),
        (has_no_such_name, ("name 'nothing' is not defined", "test_python_kernels.py:")),
        (counts, ("other parameters", "expected: x, z", "found: x, z, n")),
    ],
)
def test_what_does_not_compile_is_said_with_its_line(fn: Any, said: tuple[str, ...]) -> None:
    with pytest.raises(PlanError) as caught:
        compiled(fn)
    for text in said:
        assert text in str(caught.value)
    assert "\x1b" not in str(caught.value)


def test_a_function_whose_source_is_not_known() -> None:
    made: dict[str, Any] = {}
    exec("def unknown(x, z):\n    z[0] = x[0].nothing", made)
    with pytest.raises(PlanError, match="Unknown attribute"):
        compiled(made["unknown"])
