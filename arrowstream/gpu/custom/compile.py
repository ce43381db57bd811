"""The kernels of a processor, compiled for rows of a schema."""

from __future__ import annotations

from functools import lru_cache

import polars as pl

from arrowstream.gpu.custom.compiled import CompiledKernel, CompileTarget
from arrowstream.gpu.custom.cuda_source import compile_cuda
from arrowstream.gpu.custom.kernel import Kernel
from arrowstream.gpu.custom.processor import GpuProcessor
from arrowstream.gpu.custom.python_source import compile_python

Columns = tuple[tuple[str, pl.DataType], ...]


def output_schema(processor: GpuProcessor, schema: pl.Schema) -> pl.Schema:
    """Return the schema of rows of `schema` after the kernels.

    Raises
    ------
    SchemaError
        A kernel reads a column that is missing, or of a type that it cannot read.
    """
    found = dict(schema)
    for kernel in processor.kernels:
        kernel.input_schema(found)
        found.update(kernel.output_schema)
    return pl.Schema(found)


def compile_kernels(
    processor: GpuProcessor, schema: pl.Schema, capability: tuple[int, int]
) -> tuple[CompiledKernel, ...]:
    """Return the kernels of a processor as machine code, one after the other.

    Parameters
    ----------
    schema
        The schema of the rows.
    capability
        The compute capability to compile for.

    Raises
    ------
    PlanError
        A kernel does not compile, or has other parameters than its columns need.
    SchemaError
        A kernel reads a column that is missing, or of a type that it cannot read.
    MissingExtra
        The compiler of a kernel is not installed.
    """
    target = CompileTarget(capability, processor.threads)
    columns, found = dict(schema), []
    for kernel in processor.kernels:
        found.append(_compiled(kernel, tuple(kernel.input_schema(columns).items()), target))
        columns.update(kernel.output_schema)
    return tuple(found)


@lru_cache(maxsize=64)
def _compiled(kernel: Kernel, inputs: Columns, target: CompileTarget) -> CompiledKernel:
    """Return a compiled kernel; `build()` and each run ask for the same one."""
    if isinstance(kernel.source, str):
        return compile_cuda(kernel.source, kernel.name, dict(inputs), kernel.output_schema, target)
    return compile_python(kernel.source, kernel.name, dict(inputs), kernel.output_schema, target)
