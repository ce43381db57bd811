"""Ids of steps: unique, and as stable as what a step does."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arrowstream import Builder, ErrorHandler, Pipeline, Sink, Source
from arrowstream.errors import JobError, PlanError, SchemaError, StageError
from arrowstream.jobs.job import Job
from arrowstream.plan.step_ids import inner_prefix, state_ids
from arrowstream.testing import TestSink

FRAME = pl.DataFrame({"x": [1, 2, 3], "k": ["a", "b", "a"]})


def rows(name: str = "pipeline") -> Builder:
    return Pipeline.builder(name).source(Source.from_frame(FRAME))


def names(builder: Builder) -> list[str]:
    return [stage.name for stage in builder.sink(TestSink()).build().run_sync().stages]


def test_a_step_alone_of_its_kind_has_the_name_of_its_operator() -> None:
    assert names(rows().filter(pl.col("x") > 1).batch(2)) == ["source", "filter", "batch", "sink"]


def test_further_steps_of_a_kind_are_told_apart_by_what_they_do() -> None:
    builder = rows().batch(2).batch(3).batch(2).batch(3).filter(pl.col("x") > 1)
    assert builder.graph.ids == ("batch", "batch-f829", "batch-9526", "batch-f829.2", "filter")


def test_a_named_step_leaves_the_others_their_operators_name() -> None:
    assert rows().batch(2).batch(3).named("threes").graph.ids == ("batch", "threes")
    assert rows().batch(2).batch(3).named("batch").graph.ids == ("batch-9526", "batch")
    ids = rows().batch(4).batch(2).named("batch-f829").batch(3).graph.ids
    assert ids == ("batch", "batch-f829", "batch-f829.2")


@given(st.lists(st.sampled_from(range(7))), st.lists(st.sampled_from(range(7))))
def test_steps_after_others_leave_their_ids(before: list[int], after: list[int]) -> None:
    builder = rows()
    for number in before:
        builder = UNNAMED[number](builder)
    ids = builder.graph.ids
    for number in after:
        builder = UNNAMED[number](builder)
    assert builder.graph.ids[: len(ids)] == ids


@given(st.lists(st.sampled_from(range(7))), st.lists(st.sampled_from(range(7))), st.integers(0, 6))
def test_other_steps_before_and_after_leave_the_id_of_saved_state(
    before: list[int], after: list[int], own: int
) -> None:
    builder = rows()
    for number in [*before, own, *after]:
        builder = UNNAMED[number](builder)
    (alone,) = state_ids(UNNAMED[own](rows()).graph.steps)
    assert alone in state_ids(builder.graph.steps)
    assert state_ids(builder.named("mine").graph.steps)[-1] == "mine"


UNNAMED: list[Callable[[Builder], Builder]] = [
    lambda builder: builder.batch(2),
    lambda builder: builder.batch(3),
    lambda builder: builder.filter(pl.col("x") > 1),
    lambda builder: builder.scan(t=pl.col("x").cum_sum()),
    lambda builder: builder.scan(n=pl.col("x").cum_count()),
    lambda builder: builder.with_columns(pl.col("x") + 1),
    lambda builder: builder.buffer(1),
]

STEPS: list[Callable[[Builder], Builder]] = [
    lambda builder: builder.batch(2),
    lambda builder: builder.batch(3),
    lambda builder: builder.batch(2).named("batch"),
    lambda builder: builder.batch(5).named("batch-9526.2"),
    lambda builder: builder.filter(pl.col("x") > 1),
    lambda builder: builder.filter(pl.col("x") > 2),
    lambda builder: builder.map(lambda frame: frame),
    lambda builder: builder.buffer(1).named("x.-_1"),
]
REPEATED = [0, 1, 4, 5, 6]
"""Those that may come twice: they have no name."""


@given(st.lists(st.sampled_from(REPEATED)), st.sets(st.sampled_from(range(len(STEPS)))), st.randoms())
def test_ids_are_unique_and_move_with_their_steps(repeated: list[int], once: set[int], random: Any) -> None:
    chosen = [*repeated, *once]
    random.shuffle(chosen)
    builder = rows()
    for number in chosen:
        builder = STEPS[number](builder)
    ids = builder.graph.ids
    assert len({*ids, "source", "sink"}) == len(chosen) + 2
    random.shuffle(chosen)
    moved = rows()
    for number in chosen:
        moved = STEPS[number](moved)
    assert sorted(state_ids(moved.graph.steps)) == sorted(state_ids(builder.graph.steps))


STABLE = """
import functools
import polars as pl
from arrowstream import Pipeline, Processor, Source
from arrowstream.plan.step_ids import state_ids

class Keep(Processor):
    async def process(self, batch):
        return [batch]

def double(batch):
    return batch

builder = Pipeline.builder().source(Source.from_frame(pl.DataFrame({"x": [1], "k": ["a"]})))
for _ in range(2):
    builder = builder.filter(pl.col("x").is_in([1, 2])).map(double).map(lambda batch: batch).process(Keep)
    builder = builder.map(functools.partial(double)).parallel_map(double, workers=2).cast({"k": pl.Categorical})
    builder = builder.window(rows=2, by="k").agg(pl.len(), x=pl.col("x").sum()).select("k", "x")
    builder = builder.scan(t=pl.col("x").cum_sum()).scan(double, state={}).with_columns(pl.lit(None).alias("t"))
print(" ".join((*builder.graph.ids, *state_ids(builder.graph.steps))))
"""


@pytest.mark.untraced
@pytest.mark.once
def test_ids_are_the_same_in_every_process() -> None:
    """They are in snapshots: a hash that Python draws anew, or an address, would lose the state."""
    found = set()
    for seed in ("1", "2"):
        environ = {**os.environ, "PYTHONHASHSEED": seed}
        run = subprocess.run(
            [sys.executable, "-c", STABLE], env=environ, capture_output=True, text=True, check=True
        )
        found.add(run.stdout)
    (ids,) = found
    assert len(set(ids.split()[: 2 * 12])) == len(set(ids.split()[2 * 12 :])) == 2 * 12


def test_ids_inside_branches_and_inputs_begin_with_where_they_are() -> None:
    other = rows("other").filter(pl.col("x") > 1)
    split = rows().filter(pl.col("x") > 0).split("k").branch("a", lambda way: way.batch(2).named("few"))
    builder = split.otherwise(lambda way: way.filter(pl.col("x") > 5)).merge().merge(other, rows(), rows())
    assert set(names(builder)) == {
        *("source", "filter", "split", "split/a/few", "split/otherwise/filter", "merge/other/source"),
        *("merge/other/filter", "merge/pipeline/source", "merge/pipeline.2/source", "sink"),
    }


def test_branches_whose_names_have_slashes_are_told_apart() -> None:
    assert inner_prefix("split", "a/b") != inner_prefix("split", "a") + "b/"
    assert inner_prefix("split", "a%2Fb") != inner_prefix("split", "a/b")
    split = rows().split("k").branch("a/x", lambda way: way.drop("nope")).otherwise().merge()
    with pytest.raises(SchemaError) as caught:
        split.schema()
    assert caught.value.stage == "split/a%2Fx/drop"


def test_a_fused_stage_has_the_ids_of_its_steps() -> None:
    builder = rows().filter(pl.col("x") > 1).named("large").drop("k").filter(pl.col("x") > 2)
    assert names(builder) == ["source", "large+drop+filter", "sink"]
    pipeline = (
        builder.split("x")
        .branch("3", lambda way: way.rename({"x": "y"}).select("y"))
        .merge()
        .sink(TestSink())
        .build()
    )
    assert "stage large+drop+filter\n" in pipeline.explain()
    assert "stage split/3/rename+select\n" in pipeline.explain()


def test_the_name_is_in_metrics_errors_and_dead_letters() -> None:
    letters = TestSink()
    builder = rows().cast({"k": pl.Int64}).named("numbers").on_error(ErrorHandler.dead_letter(letters))
    pipeline = builder.sink(TestSink()).build()
    report = pipeline.run_sync()
    assert "dead letters of numbers" in {stage.name for stage in report.stages}
    assert letters.frame()["stage"].unique().to_list() == ["numbers"]
    assert pipeline.metrics().stages["numbers"].failed_rows == 3
    with pytest.raises(StageError) as caught:
        rows().cast({"k": pl.Int64}).named("numbers").sink(TestSink()).build().run_sync()
    assert caught.value.stage == "numbers"


@pytest.mark.parametrize("wrong", ["", "a b", "a/b", "a+b", "-a", "a\n", "source", "sink", 3, None])
def test_what_is_no_name_is_refused(wrong: Any) -> None:
    with pytest.raises(PlanError, match=r"named\(\) cannot use this name") as caught:
        rows().batch(2).named(wrong)
    assert caught.value.found == repr(wrong)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: rows().named("a"), "has no step before it(?s:.*)found: no step"),
        (lambda: rows().batch(2).sink(TestSink()).named("a"), r"has no step before it(?s:.*)found: sink\(\)"),
        (lambda: rows().batch(2).named("a").named("b"), "has a name(?s:.*)found: 'a'"),
        (
            lambda: rows().batch(2).named("a").batch(3).named("a"),
            r"two steps have the name 'a'(?s:.*)found: batch\(rows=2\) and batch\(rows=3\)",
        ),
    ],
)
def test_a_name_without_a_step_or_for_two_is_refused(make: Callable[[], Builder], text: str) -> None:
    with pytest.raises(PlanError, match=text):
        make()


def test_a_job_names_its_steps(tmp_path: Path) -> None:
    FRAME.write_csv(tmp_path / "in.csv")
    text = f"""
[source]
kind = "file"
path = "{tmp_path}/in.csv"
[[steps]]
batch = 2
named = "pairs"
[[steps]]
batch = 3
named = "NAME"
[sink]
kind = "file"
path = "{tmp_path}/out.csv"
"""
    job = tmp_path / "job.toml"
    job.write_text(text.replace("NAME", "threes"))
    stages = Job.load(job).pipeline().run_sync().stages
    assert [stage.name for stage in stages] == ["source", "pairs", "threes", "sink"]
    job.write_text(text.replace("NAME", "pairs"))
    with pytest.raises(
        JobError, match=r"job\.toml:10: 'named' in \[\[steps\]\]: two steps have the name 'pairs'"
    ):
        Job.load(job)


def test_a_run_writes_under_any_name(tmp_path: Path) -> None:
    pipeline = rows().drop("k").named("only-x").sink(Sink.to_file(tmp_path / "x.parquet")).build()
    assert pipeline.run_sync().rows_out == 3
