"""A third backend, which knows only the contracts, runs what it can and refuses the rest with its reasons."""

from collections.abc import Iterator

import polars as pl
import pyarrow as pa
import pytest
from contracts.toy_backend import FORM, Toy, ToyBackend

from arrowstream import Pipeline, Source
from arrowstream.backends.registry import backends, register_backend, unregister_backend
from arrowstream.builder.steps import Steps
from arrowstream.core.batch import Batch
from arrowstream.core.position import Position
from arrowstream.core.rows.forms import register_form
from arrowstream.errors import PlanError
from arrowstream.expressions.program import Program, ProgramStep, Refusal
from arrowstream.pipeline import Builder
from arrowstream.testing import check_cut_independence

FRAME = pl.DataFrame({"x": [1, None, 3, 4], "s": ["a", "b", None, "d"]})


@pytest.fixture(autouse=True)
def toy() -> Iterator[None]:
    register_form(FORM)
    register_backend(ToyBackend())
    yield
    unregister_backend("toy")


def start() -> Builder:
    return Pipeline.builder().source(Source.from_frame(FRAME, batch_rows=3))


def test_a_pinned_step_runs_on_it_and_gives_the_same_rows() -> None:
    steps = start().with_columns(y=pl.col("x") + 1).backend("toy").filter(pl.col("y") > 2).backend("toy")
    expected = FRAME.with_columns(y=pl.col("x") + 1).filter(pl.col("y") > 2)
    assert steps.collect_sync().equals(expected)
    assert "pinned: toy" in steps.explain()


@pytest.mark.untraced
def test_without_a_pin_it_is_one_of_the_choices() -> None:
    def plan(builder: Steps) -> Steps:
        return builder.with_columns(y=pl.col("x") + 1).filter(pl.col("y") > 2)

    check_cut_independence(plan, FRAME)
    assert "toy" in [backend.name for backend in backends()]


def test_what_it_does_not_know_is_refused_with_every_reason() -> None:
    steps = start().with_columns(y=pl.col("x") * 2, z=pl.col("s").str.to_uppercase())
    with pytest.raises(PlanError, match="the toy backend cannot run this step") as raised:
        steps.backend("toy").collect_sync()
    assert raised.value.found == "no multiply; no str.uppercase"
    assert "'polars'" in (raised.value.hint or "")


def test_a_step_that_is_neither_projection_nor_filter_is_refused_by_every_backend_that_lowers() -> None:
    class Aggregate(ProgramStep):
        pass

    program = Program(pa.schema([]), (Aggregate(),), pa.schema([]))
    for backend in backends():
        prepared = backend.prepare(None, program) if not backend.runs_everything else Refusal(("Aggregate",))
        assert isinstance(prepared, Refusal) and "Aggregate" in str(prepared)


def test_batches_keep_its_form_and_convert_when_asked() -> None:
    batch = Batch(Toy([{"x": 1}, {"x": 2}], pa.schema({"x": pa.int64()})), Position("here", 0, 2))
    assert (batch.num_rows, batch.nbytes, batch.has("arrow")) == (2, 128, False)
    part = batch.slice(1, 5)
    assert (part.form("toy").rows, str(part.position)) == ([{"x": 2}], "here rows 1-2")
    assert part.polars()["x"].to_list() == part.arrow()["x"].to_pylist() == [2]
    assert part.has("arrow") and part.is_polars and part.nbytes == 8
