"""A program as `pyarrow.compute` calls: every look-up, option and constant is resolved when it is compiled."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import pyarrow as pa
import pyarrow.compute as pc

from arrowstream.backends.arrow.expressions import Evaluated, ExpressionCompiler, bound
from arrowstream.backends.base import Evaluator
from arrowstream.core.batch import Batch
from arrowstream.expressions.program import Column, Filter, Program, Project, Refusal

StepFunction = Callable[[pa.RecordBatch], pa.RecordBatch]

# Called directly, because `RecordBatch.filter` looks up the function and its options on every call.
_FILTER = pc.get_function("filter")
_TRUE_ONLY = pc.FilterOptions("drop")

_FEW = 2
"""Largest number of changed columns for which editing a record batch costs less than making a new one."""


def compile_program(program: Program) -> Evaluator | Refusal:
    """Return an evaluator of the program, or all the reasons why Arrow's kernels could give other results."""
    reasons: list[str] = []
    steps: list[StepFunction] = []
    schema = program.input
    for step in program.steps:
        compiler = ExpressionCompiler(schema, reasons)
        match step:
            case Filter():
                steps.append(_compile_filter(step, compiler))
            case Project():
                before, schema = schema, _schema_after(step, schema, program.output)
                steps.append(_compile_project(step, before, schema, compiler))
            case _:
                # The steps after it read columns that are not known here.
                return Refusal((*reasons, f"a {type(step).__name__} step is not offered by Arrow"))
    if not schema.equals(program.output, check_metadata=True):
        steps.append(lambda record: pa.RecordBatch.from_arrays(record.columns, schema=program.output))
    return Refusal(tuple(dict.fromkeys(reasons))) if reasons else _evaluator(tuple(steps))


def _evaluator(steps: tuple[StepFunction, ...]) -> Evaluator:
    def evaluate(batch: Batch) -> Batch:
        record = batch.arrow()
        for step in steps:
            record = step(record)
        return batch.with_rows(record)

    return evaluate


def _schema_after(step: Project, before: pa.Schema, output: pa.Schema) -> pa.Schema:
    """Return the schema after a projection; a column that passes keeps its metadata: the categories of an Enum."""
    schema = pa.schema(
        [
            before.field(expression.name).with_name(name)
            if isinstance(expression, Column)
            else pa.field(name, expression.dtype)
            for name, expression in step.columns
        ]
    )
    return output if schema.equals(output) else schema


def _compile_filter(step: Filter, compiler: ExpressionCompiler) -> StepFunction:
    predicate = compiler.expression(step.predicate)
    if not callable(predicate):
        keep = predicate.as_py() is True
        return lambda record: record if keep else record.slice(0, 0)
    return bound(_filter, predicate)


def _filter(predicate: Evaluated, record: pa.RecordBatch) -> pa.RecordBatch:
    keep = predicate(record)
    count, rows = keep.true_count, record.num_rows
    # Counting takes 0.1 us, the kernel 7 us or more. A single row is always one of these cases.
    if count == rows:
        return record
    return _FILTER.call([record, keep], _TRUE_ONLY) if count else record.slice(0, 0)


def _compile_project(
    step: Project, before: pa.Schema, after: pa.Schema, compiler: ExpressionCompiler
) -> StepFunction:
    if not step.columns:
        # Made of no columns, a record would have no rows.
        return lambda record: record.select([])
    columns = [compiler.column(expression) for _, expression in step.columns]
    names, types = before.names, before.types
    changed = [
        place
        for place, (name, expression) in enumerate(step.columns)
        if place >= len(before) or names[place] != name or expression != Column(name, types[place])
    ]
    kept = set(range(len(before))).difference(changed)
    grown = len(after) >= len(before)
    if grown and len(changed) <= _FEW and all(_same_field(before, after, place) for place in kept):
        changes = [(place, _field(after, place), columns[place]) for place in changed]
        return _edit_one(*changes[0], len(before)) if len(changes) == 1 else _edit(changes, len(before))
    return lambda record: pa.RecordBatch.from_arrays([column(record) for column in columns], schema=after)


def _field(schema: pa.Schema, place: int) -> pa.Field:
    """Return a field, the same object for equal ones: a long pipeline keeps few of them rather than one a step."""
    field = schema.field(place)
    # Equality ignores metadata, which a field inside a nested one may have, too.
    return field if field.metadata or pa.types.is_nested(field.type) else _first_equal(field)


@lru_cache(maxsize=512)
def _first_equal(field: pa.Field) -> pa.Field:
    return field


def _same_field(before: pa.Schema, after: pa.Schema, place: int) -> bool:
    return bool(before.field(place).equals(after.field(place), check_metadata=True))


def _edit(changes: list[tuple[int, pa.Field, Evaluated]], width: int) -> StepFunction:
    """Return a step that replaces a few columns, and appends those whose place is `width` or more."""

    def step(record: pa.RecordBatch) -> pa.RecordBatch:
        edited = record
        for place, field, column in changes:
            put = edited.set_column if place < width else edited.add_column
            edited = put(place, field, column(record))
        return edited

    return step


def _edit_one(place: int, field: pa.Field, column: Evaluated, width: int) -> StepFunction:
    """Return the step of `_edit` for one column, the commonest case."""
    return bound(_replace if place < width else _add, (place, field, column))


def _replace(parts: tuple[int, pa.Field, Evaluated], record: pa.RecordBatch) -> pa.RecordBatch:
    place, field, column = parts
    return record.set_column(place, field, column(record))


def _add(parts: tuple[int, pa.Field, Evaluated], record: pa.RecordBatch) -> pa.RecordBatch:
    place, field, column = parts
    return record.add_column(place, field, column(record))
