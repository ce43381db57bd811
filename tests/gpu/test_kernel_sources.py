"""Kernels compiled without a GPU: what does not fit is said with its line, before any row moves."""

from typing import Any

import polars as pl
import pytest
from kernel_compilers import nvrtc

from arrowstream.errors import MissingExtra, PlanError, SchemaError
from arrowstream.gpu import GpuProcessor
from arrowstream.gpu.custom import cuda_source, python_source
from arrowstream.gpu.custom.compile import compile_kernels, output_schema
from arrowstream.gpu.custom.compiled import HOPPER, CompiledKernel, CompileTarget
from arrowstream.gpu.custom.declaration import kernels

pytestmark = pytest.mark.once

NVRTC = nvrtc()

TARGET = CompileTarget(HOPPER, 256)
SCHEMA = pl.Schema({"x": pl.Float64, "y": pl.Int32, "text": pl.String})

SOURCE = """
extern "C" __global__ void scale(const double* x, double* z, long long n) {
    long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (i < n) z[i] = 2.0 * x[i];
}
"""


def compiled(
    source: Any, inputs: Any = "x", outputs: Any = None, name: str | None = "scale"
) -> CompiledKernel:
    made = GpuProcessor().kernel(source, name, inputs=inputs, outputs=outputs or {"z": pl.Float64})
    (found,) = compile_kernels(made, SCHEMA, HOPPER)
    return found


def with_parameters(text: str) -> str:
    return SOURCE.replace("const double* x, double* z, long long n", text)


FITTING = {
    "as documented": "const double* x, double* z, long long n",
    "other names": "const double * in, double *out, long long rows",
    "another word for 64 bits": "const double* x, double* z, long n",
    "more words": "const double* __restrict__ x, double* __restrict__ z, const long long int n",
    "an array": "const double x[], double z[ ], long long n",
    "comments": "const double* x /* in, (of course) */, double* z, // out\n long long n",
    "nulls of the input": "const double* x, const bool* x_valid, double* z, long long n",
    "nulls of the output": "const double* x, double* z, bool* z_valid, long long n",
}


@pytest.mark.parametrize("fitting", FITTING)
def test_parameters_that_fit(fitting: str) -> None:
    text = f'extern "C" __global__ void scale({FITTING[fitting]}) {{}}'
    found = compiled(text)
    assert found.entry == "scale" and found.code.startswith(b"\x7fELF") and b"scale" in found.code
    assert [one.column for one in found.parameters if one.role == "values"] == ["x", "z"]
    assert [one.name for one in found.parameters if one.role == "valid"] == [
        name for name in ("x_valid", "z_valid") if name in text
    ]


def test_aliases_and_macros_count_as_what_they_stand_for() -> None:
    source = "typedef const double* In;\n#define OUT double*\n" + with_parameters("In x, OUT z, long long n")
    assert [one.name for one in compiled(source).parameters] == ["x", "z", "n"]


def test_other_kernels_and_functions_may_stand_next_to_it() -> None:
    source = "__device__ double twice(double x) { return x + x; }\n" + SOURCE.replace(
        "2.0 * x[i]", "twice(x[i])"
    )
    source += 'extern "C" { __global__ void __launch_bounds__(128) other(const int* a) {} }'
    assert compiled(source).entry == "scale"
    assert kernels(source) == ["scale", "other"]


WRONG: dict[str, tuple[str, tuple[str, ...]]] = {
    "a mistake": (
        SOURCE.replace("2.0 *", "two *"),
        ('line 4: identifier "two" is undefined', "found: if (i < n) z[i] = two * x[i];"),
    ),
    "several mistakes": (SOURCE.replace("2.0 * x[i]", "two * y[i]"), ("line 4", "(and 1 error more)")),
    "a mistake, and other parameters": (with_parameters("const double* x").replace("x[i]", "y"), ("line 4",)),
    "a mistake, and no kernel": ('extern "C" __global__ void scal() { two; }', ("line 1",)),
    "half a source": (SOURCE.rstrip().removesuffix("}"), ('line 4: expected a "}"', "found: if (i < n)")),
    "half a declaration": (
        SOURCE[: SOURCE.index("long long n")],
        ("line 2: expected a type", "found: extern"),
    ),
    "a header": ("#include <cuda_fp16.h>" + SOURCE, ("line 1: could not open", "no header files")),
    "a type of a header": (with_parameters("const int64_t* x"), ("int64_t", "write long long")),
    "another name": (SOURCE.replace("scale(", "scaled("), ("no kernel 'scale'", "did you mean 'scaled'?")),
    "no kernel": ("__device__ int one = 1;", ("no kernel 'scale'", "found: no kernel")),
    "a name of C++": (SOURCE.replace('extern "C"', ""), ('expected: extern "C" __global__ void scale(',)),
    "a function of the host": (SOURCE.replace("__global__", ""), ("line 2: ", "write __global__ before")),
    "a declaration by a macro": (
        '#define KERNEL(name) extern "C" __global__ void name(double* x)\nKERNEL(scale) {}',
        ("cannot be read", "without macros"),
    ),
    "a kernel in a namespace": (
        f"namespace mine {{ {SOURCE} }}",
        ("cannot be checked", "outside of namespaces"),
    ),
    "fewer parameters": (
        with_parameters("const double* x, double* z").replace("i < n", "true"),
        ("other parameters", "expected: const double* x, double* z, long long n", "found: x, z"),
    ),
    "more parameters": (
        with_parameters("const double* x, double* z, long long n, int m"),
        ("found: x, z, n, m",),
    ),
    "no parameters": ('extern "C" __global__ void scale() {}', ("found: none",)),
    "void": ('extern "C" __global__ void scale(void) {}', ("found: none",)),
    "a parameter without a name": (
        'extern "C" __global__ void scale(const double*, double* z) {}',
        ("found: , z",),
    ),
    "a float for a double": (
        with_parameters("const double* x, float* z, long long n"),
        ("expected: double* z, for the column 'z'", "found: float* z"),
    ),
    "an input that is written": (
        with_parameters("double* x, double* z, long long n"),
        ("expected: const double* x, for the column 'x'", "found: double* x"),
    ),
    "32 bits for the rows": (
        with_parameters("const double* x, double* z, int n"),
        ("expected: long long n, for the number of rows", "found: int n"),
    ),
    "bits for nulls": (
        with_parameters("const double* x, const unsigned* x_valid, double* z, long long n"),
        ("expected: const bool* x_valid, for the column 'x'",),
    ),
    "swapped columns": (
        'extern "C" __global__ void scale(const double* z, double* x, long long n) {}',
        ("in another order", "its parameter 'z' would be the column 'x'"),
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_wrong_is_said(wrong: str) -> None:
    source, said = WRONG[wrong]
    with pytest.raises(PlanError) as caught:
        compiled(source)
    for text in said:
        assert text in str(caught.value)


HEAVY = """
extern "C" __global__ void heavy(const double* x, double* z, long long n) {
    long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    double part[100];
    for (int k = 0; k < 100; k++) part[k] = x[(i * k) % n];
    double sum = 0;
    for (int j = 0; j < 100; j++) for (int k = 0; k < 100; k++) sum += part[k] * part[(j + k) % 100];
    if (i < n) z[i] = sum;
}
"""


def test_a_thread_of_a_large_block_has_fewer_registers() -> None:
    """A GPU has 65,536 for a block: a launch of more would fail."""
    made = GpuProcessor().kernel(HEAVY, "heavy", inputs="x", outputs={"z": pl.Float64})
    small, large = (compile_kernels(made.block_size(size), SCHEMA, HOPPER)[0] for size in (256, 1024))
    assert small.code != large.code


def test_a_kernel_for_smaller_blocks() -> None:
    source = SOURCE.replace("void scale", "void __launch_bounds__(128) scale")
    made = GpuProcessor().kernel(source, "scale", inputs="x", outputs={"z": pl.Float64})
    for size in (32, 128):
        assert compile_kernels(made.block_size(size), SCHEMA, HOPPER)
    with pytest.raises(PlanError) as caught:
        compile_kernels(made, SCHEMA, HOPPER)
    assert "expected: block_size(128)" in str(caught.value) and "found: block_size(256)" in str(caught.value)


TYPES = {
    pl.Boolean: "bool",
    pl.Int8: "signed char",
    pl.Int16: "short",
    pl.Int32: "int",
    pl.Int64: "long long",
    pl.UInt8: "unsigned char",
    pl.UInt16: "unsigned short",
    pl.UInt32: "unsigned",
    pl.UInt64: "unsigned long long",
    pl.Float32: "float",
    pl.Float64: "double",
    pl.Date: "int",
    pl.Datetime("ns", "UTC"): "long long",
    pl.Duration("ms"): "long long",
}


@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_every_type_in_cuda_and_in_python(dtype: Any) -> None:
    word = TYPES[dtype]
    source = f'extern "C" __global__ void same(const {word}* x, {word}* z, long long n) {{ z[n] = x[n]; }}'
    made = GpuProcessor().kernel(source, "same", inputs="x", outputs={"z": dtype})
    assert compile_kernels(made, pl.Schema({"x": dtype}), HOPPER)[0].entry == "same"
    wrong = GpuProcessor().kernel(source, "same", inputs="x", outputs={"z": dtype})
    with pytest.raises(PlanError, match="another type"):
        compile_kernels(wrong, pl.Schema({"x": pl.Int8 if dtype != pl.Int8 else pl.Int16}), HOPPER)


def test_a_later_kernel_is_compiled_for_what_an_earlier_one_writes() -> None:
    def named(name: str) -> str:
        return SOURCE.replace("scale", name)

    first = GpuProcessor().kernel(named("one"), "one", inputs="x", outputs={"y": pl.Float64})
    both = first.kernel(named("two"), "two", inputs="y", outputs={"z": pl.Float64})
    assert [each.entry for each in compile_kernels(both, SCHEMA, HOPPER)] == ["one", "two"]
    assert output_schema(both, SCHEMA) == {**SCHEMA, "y": pl.Float64, "z": pl.Float64}
    with pytest.raises(PlanError, match="another type"):  # y is Int32 before
        compiled(SOURCE, inputs="y")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("texts", "did you mean 'text'?"),
        ("nothing", "one of the columns x, y, text"),
        ("text", "text has no fixed width"),
    ],
)
def test_columns_that_a_kernel_cannot_read(name: str, said: str) -> None:
    made = GpuProcessor().kernel(SOURCE, "scale", inputs=name, outputs={"z": pl.Float64})
    for find in (lambda: output_schema(made, SCHEMA), lambda: compile_kernels(made, SCHEMA, HOPPER)):
        with pytest.raises(SchemaError) as caught:
            find()
        assert said in str(caught.value)


def test_a_compiler_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "cuda.bindings", None)
    with pytest.raises(MissingExtra, match=r"arrowstream\[gpu\]"):
        cuda_source.compile_cuda(SOURCE, "scale", {"x": pl.Float64()}, {"z": pl.Float64()}, TARGET)
    monkeypatch.setattr(python_source, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match="numba-cuda is not installed") as caught:
        python_source.compile_python(lambda x, z: None, "k", {"x": pl.Int8()}, {"z": pl.Int8()}, TARGET)
    assert "No module named 'numba_cuda'" in str(caught.value)


def test_a_compiler_that_fails_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    said = cuda_source._mistake("internal error: out of registers", "scale", SOURCE)
    assert said.found == "internal error: out of registers"
    status = NVRTC.nvrtcResult.NVRTC_ERROR_OUT_OF_MEMORY
    monkeypatch.setattr(NVRTC, "nvrtcGetPTXSize", lambda program: (status, 0))
    with pytest.raises(RuntimeError, match="OUT_OF_MEMORY"):
        cuda_source.compile_cuda(SOURCE, "scale", {"x": pl.Float64()}, {"z": pl.Float64()}, TARGET)
