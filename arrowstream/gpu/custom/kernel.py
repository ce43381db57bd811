"""A kernel as the user gave it: its source, and the columns that it reads and writes."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from arrowstream.core.checks import column_names
from arrowstream.core.hints import did_you_mean
from arrowstream.core.schemas import declared_schema
from arrowstream.errors import PlanError, SchemaError
from arrowstream.gpu.custom.elements import EXPECTED, element, why_not

_NAME = re.compile(r"[A-Za-z_]\w*")


@dataclass(frozen=True, slots=True)
class Kernel:
    """One kernel.

    Parameters
    ----------
    source
        CUDA C++ source, or a Python function for numba.
    name
        The name of the kernel in its source.
    inputs
        Names of the columns that it reads.
    outputs
        Names and types of the columns that it writes.
    """

    source: str | Callable[..., Any]
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[tuple[str, pl.DataType], ...]

    @property
    def output_schema(self) -> dict[str, pl.DataType]:
        """The columns that it writes."""
        return dict(self.outputs)

    def input_schema(self, schema: Mapping[str, pl.DataType]) -> dict[str, pl.DataType]:
        """Return the columns that it reads, of rows of `schema`.

        Raises
        ------
        SchemaError
            A column is missing, or has a type that a kernel cannot read.
        """
        for name in self.inputs:
            if name not in schema:
                raise SchemaError(
                    f"the kernel {self.name!r} reads a column that is not there",
                    expected=f"one of the columns {', '.join(schema)}",
                    found=name,
                    hint=did_you_mean(name, schema),
                )
            _check_type(f"the kernel {self.name!r} cannot read a column", name, schema[name])
        return {name: schema[name] for name in self.inputs}

    def __str__(self) -> str:
        outputs = ", ".join(name for name, _ in self.outputs)
        return f"{self.name}({', '.join(self.inputs)}) -> {outputs}"


def kernel(source: Any, name: Any, inputs: Any, outputs: Any) -> Kernel:
    """Return a kernel of what a user gave, checked as far as that is possible without rows.

    Raises
    ------
    PlanError
        The source is neither text nor a function, the name is missing or none, or columns are missing.
    SchemaError
        An output has a type that a kernel cannot write.
    """
    if isinstance(source, str):
        if name is None:
            raise PlanError(
                "a kernel in CUDA C++ needs its name",
                expected="kernel(source, name, ...)",
                hint='the name of the function after extern "C" __global__ void',
            )
    else:
        # What numba.cuda.jit makes of a function has it as an attribute.
        source = getattr(source, "py_func", source)
        if not inspect.isfunction(source):
            raise PlanError(
                "kernel() needs a source",
                expected="text in CUDA C++, or a Python function of arrays",
                found=f"{type(source).__name__} {source!r}",
            )
        name = source.__name__ if name is None else name
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise PlanError(
            "a kernel's name is not one", expected="letters, digits and underscores", found=repr(name)
        )
    reads = column_names("kernel(inputs=...)", inputs)
    writes = declared_schema("kernel", outputs)
    if not reads or not writes:
        raise PlanError(
            f"the kernel {name!r} has no {'outputs' if reads else 'inputs'}",
            expected='inputs=["x"], outputs={"z": pl.Float64}',
        )
    if len(set(reads)) < len(reads):
        raise PlanError(f"the kernel {name!r} reads a column twice", found=", ".join(reads))
    for column, dtype in writes.items():
        _check_type(f"the kernel {name!r} cannot write a column", column, dtype)
    return Kernel(source, name, reads, tuple(writes.items()))


def _check_type(what: str, name: str, dtype: pl.DataType) -> None:
    if element(dtype) is None:
        raise SchemaError(
            f"{what} of this type", expected=EXPECTED, found=f"{name}: {dtype}", hint=why_not(dtype)
        )
