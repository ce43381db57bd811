"""Every kernel of numbers, logic and casts gives what Polars gives, by way of lowering and the backend."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import polars as pl
import pyarrow as pa
import pytest
from effort import examples
from expression_cases.compared import assert_same, on_polars, segment_of
from expression_cases.numbers import CASES, Case
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import frames

from arrowstream.backends.arrow.backend import ArrowBackend
from arrowstream.backends.arrow.kernels import arithmetic, comparison, conversion, logic, mathematics
from arrowstream.backends.base import Evaluator
from arrowstream.core.batch import Batch, to_record
from arrowstream.expressions.program import Call, Cast, Expression, Program, Project
from arrowstream.plan.lowering.lower import lower
from arrowstream.plan.segment import Segment

KERNELS = {
    **arithmetic.KERNELS,
    **mathematics.KERNELS,
    **comparison.KERNELS,
    **logic.KERNELS,
    **conversion.KERNELS,
}


def functions(expression: Expression) -> Iterator[str]:
    match expression:
        case Call():
            yield expression.function
            for argument in expression.arguments:
                yield from functions(argument)
        case Cast():
            yield "cast"
            yield from functions(expression.input)


def used(program: Program) -> set[str]:
    return {
        name
        for step in program.steps
        if isinstance(step, Project)
        for _, expression in step.columns
        for name in functions(expression)
    }


BY_FUNCTION: dict[str, list[Case]] = {}
for known in CASES:
    BY_FUNCTION.setdefault(known.function, []).append(known)

ALSO = {"cast": {"wrapping_cast"}, "lt": {"gt"}}
"""What else the optimiser may make of a function: a cast that cannot fail, a constant moved to the right."""


@cache
def prepared(case: Case) -> tuple[Segment, Evaluator]:
    """The segment of a case, and how Arrow runs it; fails if it is refused, or became another function."""
    segment = segment_of(case.expression, case.schema)
    program = lower(segment)
    assert isinstance(program, Program), f"{case}: {program}"
    assert used(program) & ({case.function} | ALSO.get(case.function, set())), f"{case}: {program}"
    evaluate = ArrowBackend().prepare(segment, program)
    assert callable(evaluate), f"{case}: {evaluate}"
    return segment, evaluate


@pytest.mark.hypothesis
@pytest.mark.parametrize("function", BY_FUNCTION)
def test_same_rows_as_polars(function: str) -> None:
    cases = BY_FUNCTION[function]
    for case in cases:
        prepared(case)

    @settings(max_examples=examples(max(20, len(cases) // 2)))
    @given(st.data())
    def check(data: st.DataObject) -> None:
        case = data.draw(st.sampled_from(cases))
        compare(case, data.draw(frames(case.schema)))

    check()


def compare(case: Case, frame: pl.DataFrame) -> None:
    segment, evaluate = prepared(case)
    record = to_record(frame)
    try:
        expected = on_polars(segment, frame)
    except pl.exceptions.PolarsError:
        with pytest.raises(pa.ArrowInvalid):
            evaluate(Batch(record))
    else:
        assert_same(evaluate(Batch(record)).arrow(), expected, case.ulps)


def test_every_kernel_has_a_case() -> None:
    assert set(BY_FUNCTION) - {"cast"} == set(KERNELS)
