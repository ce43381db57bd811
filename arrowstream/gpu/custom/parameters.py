"""The parameters that a kernel must have for its columns, and which of them it has declared.

They are, in this order: for each input its values, and then, if the kernel wants to see nulls, a parameter of the
same name with ``_valid`` at its end; for each output the same; and in CUDA C++ the number of rows.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import polars as pl
import pyarrow as pa

from arrowstream.core.rows.arrow_schema import arrow_schema
from arrowstream.errors import PlanError
from arrowstream.gpu.custom.elements import COUNT, VALID, Element, element

Role = Literal["values", "valid", "count"]

_HINT = (
    "the parameters are the inputs, then the outputs{count}, in the order in which kernel(...) names them; after the "
    "parameter of a column may come one of the same name with _valid at its end, for its nulls"
)


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a kernel.

    Parameters
    ----------
    name
        Its name in the source.
    column
        The column that it stands for; empty for the number of rows.
    role
        Whether it is the column's values, one flag a row of whether the value is there, or the number of rows.
    element
        What it points to, or is.
    dtype
        The type of what it points to, as a column of its own.
    written
        Whether the kernel writes it.
    """

    name: str
    column: str
    role: Role
    element: Element
    dtype: pa.DataType
    written: bool = False

    def in_cuda(self, form: str = "") -> str:
        """Return its type in CUDA C++, with one of its element's types; by default the first."""
        form = form or self.element.in_cuda[0]
        if self.role == "count":
            return form
        return f"{form}*" if self.written else f"const {form}*"


def bind(
    kernel: str,
    declared: Sequence[str],
    inputs: Mapping[str, pl.DataType],
    outputs: Mapping[str, pl.DataType],
    *,
    counted: bool,
) -> tuple[Parameter, ...]:
    """Return the declared parameters of a kernel with their meaning.

    Parameters
    ----------
    kernel
        Name of the kernel, for errors.
    declared
        Names of its parameters.
    inputs, outputs
        The types of the columns that it reads and writes, which all have an element.
    counted
        Whether the number of rows is its last parameter.

    Raises
    ------
    PlanError
        There are more or fewer parameters, or one has the name of another column than the one that it gets.

    Examples
    --------
    >>> found = bind("k", ["x", "x_valid", "z", "n"], {"x": pl.Int8()}, {"z": pl.Float32()}, counted=True)
    >>> [parameter.in_cuda() for parameter in found]
    ['const signed char*', 'const bool*', 'float*', 'long long']
    """
    found: list[Parameter] = []
    rest = list(declared)
    for columns, written in ((inputs, False), (outputs, True)):
        for column, dtype in columns.items():
            of_column = element(dtype)
            assert of_column is not None
            if not rest:
                raise _misfit(kernel, declared, inputs, outputs, counted)
            name = rest.pop(0)
            if name != column and name in (*inputs, *outputs):
                raise PlanError(
                    f"the kernel {kernel!r} gets its columns in another order than it declares them",
                    expected=_expected(inputs, outputs, counted),
                    found=", ".join(declared),
                    hint=f"its parameter {name!r} would be the column {column!r}",
                )
            in_arrow = arrow_schema(pl.Schema({column: dtype})).field(0).type
            found.append(Parameter(name, column, "values", of_column, in_arrow, written))
            if rest and rest[0] == f"{name}_valid":
                found.append(Parameter(rest.pop(0), column, "valid", VALID, pa.bool_(), written))
    if counted and rest:
        found.append(Parameter(rest.pop(0), "", "count", COUNT, pa.int64()))
        counted = False
    if rest or counted:
        raise _misfit(kernel, declared, inputs, outputs, counted or found[-1].role == "count")
    return tuple(found)


def _misfit(
    kernel: str,
    declared: Sequence[str],
    inputs: Mapping[str, pl.DataType],
    outputs: Mapping[str, pl.DataType],
    counted: bool,
) -> PlanError:
    return PlanError(
        f"the kernel {kernel!r} has other parameters than its columns need",
        expected=_expected(inputs, outputs, counted),
        found=", ".join(declared) or "none",
        hint=_HINT.format(count=", then the number of rows" if counted else ""),
    )


def _expected(inputs: Mapping[str, pl.DataType], outputs: Mapping[str, pl.DataType], counted: bool) -> str:
    """Return the shortest list of parameters that would fit."""
    names = [re.sub(r"\W", "_", column) for column in inputs]
    names += [f"{name}_out" if name in inputs else re.sub(r"\W", "_", name) for name in outputs]
    if not counted:
        return ", ".join(names)
    declared = bind("", [*names, "n"], inputs, outputs, counted=True)
    return ", ".join(f"{parameter.in_cuda()} {parameter.name}" for parameter in declared)
