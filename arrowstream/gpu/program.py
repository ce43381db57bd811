"""A program as calls of libcudf: each step a function of the rows on the device."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import pyarrow as pa

from arrowstream.expressions.program import Column, Expression, Filter, Program, Project, Refusal, columns_of
from arrowstream.gpu.expressions import ExpressionCompiler
from arrowstream.gpu.rows import DeviceRows
from arrowstream.gpu.work import Compute, Work

DeviceStep = Callable[[DeviceRows], DeviceRows | None]
"""One step; None if a row is in doubt, so that Polars must compute the batch."""


@dataclass(frozen=True, slots=True)
class DeviceProgram:
    """A compiled program.

    Parameters
    ----------
    input
        The schema of the rows that come in.
    reads
        The columns of the input that it reads, and does not only pass on.
    passed
        For each column of the result that it only passes on, its name in the input.
    steps
        The steps.
    output
        The schema of the result.
    """

    input: pa.Schema
    reads: frozenset[str]
    passed: Mapping[str, str]
    steps: tuple[DeviceStep, ...]
    output: pa.Schema

    def __call__(self, rows: DeviceRows) -> DeviceRows | None:
        """Return the result, or None if a row is in doubt; called on the device's thread."""
        for step in self.steps:
            found = step(rows)
            if found is None:
                return None
            rows = found
        return replace(rows, schema=self.output)


def compile_program(program: Program) -> DeviceProgram | Refusal:
    """Return the program for a device, or all the reasons why libcudf could give other results than Polars."""
    if not program.input.names or not program.output.names:
        return Refusal(("rows without columns stay in host memory",))
    reasons: list[str] = []
    steps: list[DeviceStep] = []
    # For each column after the steps so far: the column of the input that it is, if it was only passed on.
    origins: dict[str, str | None] = {name: name for name in program.input.names}
    reads: set[str] = set()
    for step in program.steps:
        compiler = ExpressionCompiler(reasons)
        match step:
            case Filter():
                reads |= _read(step.predicate, origins)
                steps.append(_filter(compiler.expression(step.predicate), columns_of(step.predicate)))
            case Project():
                computed = {
                    name: (compiler.expression(expression), columns_of(expression))
                    for name, expression in step.columns
                    if not isinstance(expression, Column)
                }
                columns = {
                    name: expression.name
                    for name, expression in step.columns
                    if isinstance(expression, Column)
                }
                for name, expression in step.columns:
                    if name in computed:
                        reads |= _read(expression, origins)
                origins = {
                    name: origins[columns[name]] if name in columns else None for name, _ in step.columns
                }
                steps.append(_project(computed, columns))
            case _:
                return Refusal((*reasons, f"a {type(step).__name__} step is not offered by the GPU"))
    if reasons:
        return Refusal(tuple(dict.fromkeys(reasons)))
    passed = {name: origin for name, origin in origins.items() if origin is not None}
    return DeviceProgram(program.input, frozenset(reads), passed, tuple(steps), program.output)


def _read(expression: Expression, origins: dict[str, str | None]) -> set[str]:
    return {origin for name in columns_of(expression) if (origin := origins[name]) is not None}


def _filter(predicate: Compute, reads: frozenset[str]) -> DeviceStep:
    def step(rows: DeviceRows) -> DeviceRows | None:
        rows = rows.with_resident(reads)
        work = Work(rows.resident, rows.num_rows, rows.device)
        mask = predicate(work)
        return None if work.in_doubt() else rows.filtered(mask)

    return step


def _project(computed: dict[str, tuple[Compute, frozenset[str]]], passed: dict[str, str]) -> DeviceStep:
    reads = frozenset().union(*(names for _, names in computed.values()))

    def step(rows: DeviceRows) -> DeviceRows | None:
        rows = rows.with_resident(reads)
        work = Work(rows.resident, rows.num_rows, rows.device)
        resident = {name: compute(work) for name, (compute, _) in computed.items()}
        if work.in_doubt():
            return None
        unchanged = {}
        for name, source in passed.items():
            if source in rows.resident:
                resident[name] = rows.resident[source]
            if source in rows.unchanged:
                unchanged[name] = rows.unchanged[source]
        return replace(rows, resident=resident, unchanged=unchanged)

    return step
