"""A third backend by the contracts alone: a form of rows of its own, a few functions, and refusals with reasons."""

import operator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from arrowstream.backends.base import Backend, Evaluator, Frames
from arrowstream.core.batch import Batch
from arrowstream.core.rows.forms import Form
from arrowstream.expressions.program import Call, Column, Filter, Literal, Program, Project, Refusal

FUNCTIONS = {"add": operator.add, "gt": operator.gt}


@dataclass(frozen=True)
class Toy:
    rows: list[dict[str, Any]]
    schema: pa.Schema


FORM = Form(
    "toy",
    Toy,
    from_arrow=lambda record: Toy(record.to_pylist(), record.schema),
    to_arrow=lambda toy: pa.RecordBatch.from_pylist(toy.rows, schema=toy.schema),
    num_rows=lambda toy: len(toy.rows),
    nbytes=lambda toy: 64 * len(toy.rows) * len(toy.schema),
    slice=lambda toy, offset, length: Toy(toy.rows[offset : offset + length], toy.schema),
)


def unknown(expr: Any) -> list[str]:
    if isinstance(expr, Call) and expr.function in FUNCTIONS:
        return [reason for argument in expr.arguments for reason in unknown(argument)]
    return [] if isinstance(expr, Column | Literal) else [f"no {getattr(expr, 'function', 'cast')}"]


def value(expr: Any, row: dict[str, Any]) -> Any:
    if isinstance(expr, Call):
        values = [value(argument, row) for argument in expr.arguments]
        return None if None in values else FUNCTIONS[expr.function](*values)
    return row[expr.name] if isinstance(expr, Column) else expr.value


def run(step: Any, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    if isinstance(step, Filter):
        return [row for row in rows if value(step.predicate, row)]
    return [{name: value(expr, row) for name, expr in step.columns} for row in rows]


class ToyBackend(Backend):
    name = "toy"

    def prepare(self, segment: Frames, program: Program | Refusal) -> Evaluator | Refusal:
        if isinstance(program, Refusal):
            return program
        reasons: list[str] = []
        for step in program.steps:
            if isinstance(step, Project | Filter):
                roots = [expr for _, expr in step.columns] if isinstance(step, Project) else [step.predicate]
                reasons += [reason for root in roots for reason in unknown(root)]
            else:
                reasons.append(f"no {type(step).__name__}")

        def evaluate(batch: Batch) -> Batch:
            rows = batch.form("toy").rows
            for step in program.steps:
                rows = run(step, rows)
            return batch.with_rows(Toy(rows, program.output))

        return Refusal(tuple(reasons)) if reasons else evaluate
