"""The columns that cross over to a device and back."""

import pyarrow as pa
import pytest

from arrowstream.core.batch import Batch
from arrowstream.expressions.program import (
    Call,
    Column,
    Filter,
    Literal,
    Program,
    ProgramStep,
    Project,
    Refusal,
)
from arrowstream.plan.placement.columns import ColumnUse, column_use, needed, unchanged

pytestmark = pytest.mark.once

INT = pa.int64()
X, Y, Z = (Column(name, INT) for name in "xyz")
SCHEMA = pa.schema({"x": INT, "y": INT, "z": INT})


class Reads:
    """A selective evaluator that reads x."""

    reads = frozenset("x")
    ahead: frozenset[str] = frozenset()

    def bring(self, batch: Batch) -> Batch:
        return batch

    def __call__(self, batch: Batch) -> Batch:
        return batch


def passed(*steps: ProgramStep) -> dict[str, str]:
    return dict(column_use(Reads(), SCHEMA.names, Program(SCHEMA, steps, SCHEMA)).passes)


def test_what_a_program_only_passes_on_is_known_under_each_name() -> None:
    more = Call("add", (X, Literal(1, INT)), INT)
    assert passed() == {"x": "x", "y": "y", "z": "z"}
    assert passed(Filter(Call("gt", (X, Y), pa.bool_()))) == passed()
    renamed = Project((("a", X), ("y", more), ("z", Z)))
    assert passed(renamed) == {"a": "x", "z": "z"}
    assert passed(renamed, Project((("b", Column("a", INT)), ("c", Y)))) == {"b": "x"}


def test_nothing_is_known_of_other_steps_and_without_a_program() -> None:
    assert passed(ProgramStep()) == {}
    assert column_use(Reads(), SCHEMA.names, Refusal(("none",))) == ColumnUse(frozenset("x"), {})


def test_an_evaluator_that_does_not_choose_reads_all_columns() -> None:
    program = Program(SCHEMA, (), SCHEMA)
    assert column_use(lambda batch: batch, SCHEMA.names, program) == ColumnUse(frozenset("xyz"), {})


def test_what_later_stages_read_is_needed_before_the_first_if_it_passes_unchanged() -> None:
    first = ColumnUse(frozenset("x"), {"x": "x", "b": "y"})
    second = ColumnUse(frozenset("bz"), {"x": "x", "c": "b"})
    third = ColumnUse(frozenset("c"), {})
    assert needed([first]) == frozenset("x")
    assert needed([first, second]) == frozenset("xy")  # z is made by the first stage
    assert needed([second, third]) == frozenset("bz")
    assert needed([]) == frozenset()


def test_columns_stay_unchanged_through_several_stages() -> None:
    first = ColumnUse(frozenset("x"), {"x": "x", "b": "y"})
    second = ColumnUse(frozenset(), {"b": "b", "d": "z"})
    assert unchanged([], "xyz") == frozenset("xyz")
    assert unchanged([first], "xyz") == frozenset("xb")
    assert unchanged([first, second], "xyz") == frozenset("b")
