"""What newcomers write by mistake is told in words, never by an AttributeError or a TypeError."""

import asyncio
import copy
import pickle
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from arrowstream import ErrorHandler, Pipeline, RunReport, Sink, Source
from arrowstream.core.checks import check_whole
from arrowstream.core.mistakes.other_names import BUILDER
from arrowstream.errors import NoSuchStep, PlanError, SchemaError, SourceError, StageError, WrongCall
from arrowstream.jobs.toml_words import in_toml
from arrowstream.pipeline import Builder
from arrowstream.policies.handlers import Skip
from arrowstream.testing import TestSink

FRAME = pl.DataFrame({"x": [1, 2, 3], "k": ["a", "b", "a"]})


def rows() -> Builder:
    return Pipeline.builder(name="p").source(Source.from_frame(FRAME))


NUMBERS: dict[str, Callable[[Any], object]] = {
    "batch(rows=...)": lambda n: rows().batch(n),
    "batch(nbytes=...)": lambda n: rows().batch(nbytes=n),
    "throttle(rows=...)": lambda n: rows().throttle(n),
    "throttle(batches=...)": lambda n: rows().throttle(batches=n),
    "buffer(capacity)": lambda n: rows().buffer(n),
    "window(rows=...)": lambda n: rows().window(rows=n).agg(pl.len()),
    "max_keys": lambda n: rows().reduce(pl.len(), by="k", max_keys=n),
    "parallel_map(workers=...)": lambda n: rows().parallel_map(lambda batch: batch, workers=n),
    "retry(times=...)": lambda n: ErrorHandler.retry(n),
    "best_effort(buffer=...)": lambda n: TestSink().best_effort(n),
    "batch_rows": lambda n: Source.from_frame(FRAME, batch_rows=n),
    "limit": lambda n: rows().collect_sync(limit=n),
}


@pytest.mark.untraced
@pytest.mark.parametrize("what", NUMBERS)
@pytest.mark.parametrize("wrong", ["20", True, 2.0, "20/s"])
def test_what_is_no_whole_number_is_told_so(what: str, wrong: Any) -> None:
    with pytest.raises(PlanError) as raised:
        NUMBERS[what](wrong)
    error = raised.value
    assert error.what == f"{what} takes a whole number"
    assert error.found == f"the {type(wrong).__name__} {wrong!r}"
    assert error.hint == ("write 20, without quotes" if wrong == "20" else None)


@pytest.mark.parametrize("what", NUMBERS)
def test_too_small(what: str) -> None:
    with pytest.raises(
        PlanError, match=r"is too small\n  expected: a whole number, at least [01]\n  found: -1"
    ):
        NUMBERS[what](-1)


@pytest.mark.untraced
@pytest.mark.parametrize("what", NUMBERS)
def test_numbers_of_numpy_are_numbers(what: str) -> None:
    NUMBERS[what](np.int64(2))


def test_the_least() -> None:
    check_whole("n", 0, least=0)
    with pytest.raises(PlanError, match="at least 3"):
        check_whole("n", 2, least=3)


@pytest.mark.parametrize("name", ["factor", "jitter"])
@pytest.mark.parametrize("wrong", ["1", True, None])
def test_other_numbers_of_retry(name: str, wrong: Any) -> None:
    with pytest.raises(PlanError, match=f"retry\\({name}=...\\) does not fit"):
        ErrorHandler.retry(3, **{name: wrong})


@pytest.mark.parametrize("name", ["filter", "sink", "collect_sync", "build"])
def test_a_forgotten_agg(name: str) -> None:
    with pytest.raises(PlanError, match=rf"followed by .{name}\n  expected: .agg") as raised:
        getattr(rows().window(rows=3), name)
    assert raised.value.hint == f"write .window(...).agg(n=pl.len()).{name}(...)"


@pytest.mark.parametrize("name", ["filter", "sink", "explain"])
def test_a_forgotten_merge(name: str) -> None:
    with pytest.raises(PlanError, match=rf"followed by .{name}\n  expected: .merge"):
        getattr(rows().split("k").branch("a").otherwise(), name)


@pytest.mark.parametrize("waiting", [rows().window(rows=3), rows().split("k")])
def test_names_that_python_looks_for_are_not_there(waiting: Any) -> None:
    assert not hasattr(waiting, "__array__")
    assert not hasattr(waiting, "_repr_html_")
    assert type(copy.copy(waiting)) is type(waiting)


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [("bye", "did you mean 'by'?"), ("total", "aggregates belong into .agg(...)")],
)
def test_a_wrong_argument_of_window(wrong: str, hint: str) -> None:
    with pytest.raises(PlanError) as raised:
        rows().window("10s", on="x", **{wrong: "k"})  # type: ignore[arg-type]
    assert raised.value.what == f"window() has no argument {wrong!r}"
    assert raised.value.hint == hint
    assert (
        raised.value.expected
        == "size, every, offset, timezone, session, rows, on, by, allowed_lateness, late, null_times, "
        "max_bytes, on_full"
    )


@pytest.mark.parametrize(
    ("expr", "running"),
    [
        (pl.col("x").sum(), "cum_sum"),
        (pl.col("x") - pl.col("x").min(), "cum_min"),
        (pl.col("x").max(), "cum_max"),
        (pl.col("x").count(), "cum_count"),
        (pl.col("x").product(), "cum_prod"),
    ],
)
def test_an_aggregate_in_scan(expr: pl.Expr, running: str) -> None:
    with pytest.raises(PlanError, match="looks at other rows") as raised:
        rows().scan(y=expr).collect_sync()
    assert raised.value.hint == (
        f"an aggregate goes into window(...) or reduce(...); {running}() in scan(...) gives it so far"
    )
    with pytest.raises(PlanError) as raised:
        rows().scan(y=pl.col("x").mean()).collect_sync()
    assert raised.value.hint == "an aggregate goes into window(...) or reduce(...)"


def as_polars(batch: Any) -> Any:
    return batch.with_columns(y=1)


def test_a_function_that_takes_a_batch_for_a_polars_frame() -> None:
    hint = 'a batch is a pyarrow.RecordBatch: map(fn, frame="polars") gives a frame, as does pl.from_arrow(batch)'
    with pytest.raises(PlanError) as raised:
        rows().map(as_polars).collect_sync()
    assert raised.value.hint == hint
    declared = {"x": pl.Int64, "k": pl.String, "y": pl.Int32}
    with pytest.raises(StageError) as failed:
        rows().map(as_polars, schema=declared).collect_sync()
    assert failed.value.hint == hint
    assert rows().map(as_polars, frame="polars").collect_sync().columns == ["x", "k", "y"]


def test_a_function_that_writes_a_batch_like_a_polars_frame() -> None:
    with pytest.raises(StageError) as failed:
        rows().sink(Sink.to_fn(lambda batch: batch.write_csv())).build().run_sync()
    assert failed.value.hint is not None and "pl.from_arrow(batch)" in failed.value.hint


def test_another_mistake_in_a_function_names_the_handlers_of_a_step() -> None:
    fails = rows().map(lambda batch: batch.nope(), frame="polars", schema={"x": pl.Int64})
    with pytest.raises(StageError) as failed:
        fails.collect_sync()
    hint = failed.value.hint
    assert hint is not None and "after the step, .on_error(ErrorHandler.skip()) leaves out" in hint
    assert in_toml(hint).startswith('after the step, on_error = "skip" leaves')
    assert in_toml(hint).endswith("on_error = { retry = 3 } tries again")
    with pytest.raises(StageError) as failed:
        fails.on_error(ErrorHandler.fail()).collect_sync()
    assert failed.value.hint is None


@pytest.mark.parametrize("make", [Pipeline, lambda: Pipeline("x"), Builder])
def test_a_pipeline_is_made_by_its_builder(make: Callable[[], Any]) -> None:
    with pytest.raises(WrongCall, match="is not made by a call of the class") as raised:
        make()
    assert raised.value.hint == "begin with Pipeline.builder().source(Source.from_file(path))"


@pytest.mark.parametrize(
    ("kind", "hint"), [(Source, "Source.from_file"), (Sink, "Sink.to_file"), (ErrorHandler, ".skip()")]
)
def test_what_a_class_with_constructors_says_to_a_call(kind: Any, hint: str) -> None:
    with pytest.raises(WrongCall) as raised:
        kind("x.csv")
    assert raised.value.hint is not None and hint in raised.value.hint


def test_a_wrong_value_of_a_constructor_is_its_own_error() -> None:
    with pytest.raises(TypeError) as raised:
        made: Any = Skip
        made()
    assert not isinstance(raised.value, WrongCall)


@pytest.mark.parametrize(
    "look", [repr, lambda task: task.get_coro()["x"], lambda task: task.get_coro().height]
)
def test_a_run_that_somebody_looks_at_goes_on(look: Callable[[Any], object]) -> None:
    """asyncio itself looks for the frame of a task's coroutine when it logs the task."""

    async def main() -> RunReport:
        task = asyncio.ensure_future(rows().sink(TestSink()).build().run())
        await asyncio.sleep(0)
        with suppress(PlanError):
            look(task)
        return await task

    assert asyncio.run(main()).rows_out > 0


def test_results_that_are_not_awaited() -> None:
    for use in (
        lambda: rows().collect().height,
        lambda: rows().collect()["x"],
        lambda: list(rows().collect()),
    ):
        with pytest.raises(PlanError, match=r"collect\(\) has not been awaited") as raised:
            use()
        assert raised.value.hint is not None and "builder.collect_sync()" in raised.value.hint
    pipeline = rows().sink(TestSink()).build()
    for use in (lambda: pipeline.run().rows_out, lambda: pipeline.run().summary, lambda: pipeline.run()[0]):
        with pytest.raises(PlanError, match=r"run\(\) has not been awaited") as raised:
            use()
        assert raised.value.hint is not None and "pipeline.run_sync()" in raised.value.hint
    with pytest.raises(PlanError, match="no sink") as raised:
        rows().build()
    assert raised.value.hint is not None and ".collect_sync()" in raised.value.hint


def test_results_that_are_awaited_in_any_way() -> None:
    async def main() -> list[int]:
        tasks = [asyncio.create_task(rows().collect()), asyncio.ensure_future(rows().collect())]
        tasks[0].get_stack()
        frames = [
            await rows().collect(),
            *await asyncio.gather(*tasks),
            await asyncio.wait_for(rows().collect(), 60),
        ]
        return [frame.height for frame in frames]

    async def reports() -> list[int]:
        pipeline = rows().sink(TestSink()).build()
        async with asyncio.TaskGroup() as group:
            task = group.create_task(pipeline.run())
        runs = [await pipeline.run(), *await asyncio.gather(pipeline.run()), task.result()]
        return [run.rows_out for run in runs]

    count = rows().collect_sync().height
    assert asyncio.run(reports()) == [count] * 3
    assert asyncio.run(rows().sink(TestSink()).build().run()).rows_out == count
    assert asyncio.run(main(), debug=True) == [count] * 4
    assert asyncio.run(rows().collect()).height == count
    unused = rows().collect()
    with pytest.raises(ValueError, match="stop"):
        unused.throw(ValueError("stop"))
    other = rows().collect()
    with pytest.raises(KeyError):
        other.throw(KeyError, KeyError("k"), None)


def test_a_path_in_place_of_the_sink_of_dead_letters() -> None:
    for path in ("bad.csv", Path("bad.csv")):
        with pytest.raises(PlanError, match="takes a sink, not a path") as raised:
            ErrorHandler.dead_letter(path)
        assert raised.value.hint == 'write dead_letter(Sink.to_file("bad.csv"))'


@pytest.mark.parametrize(
    ("handler", "hint"),
    [
        (ErrorHandler.skip, "call it: ErrorHandler.skip()"),
        (ErrorHandler.dead_letter, "call it: ErrorHandler.dead_letter(sink)"),
        (print, None),
        ("skip", None),
    ],
)
def test_a_handler_that_was_not_called(handler: Any, hint: str | None) -> None:
    with pytest.raises(PlanError, match="takes error handlers") as raised:
        rows().map(y=pl.lit(1)).on_error(handler)
    assert raised.value.hint == hint


def test_arguments_of_others_that_windows_and_groups_do_not_need() -> None:
    wrong: dict[str, Any] = {"maintain_order": True}
    with pytest.raises(WrongCall) as raised:
        rows().group_by("k", **wrong)
    assert raised.value.hint is not None and "order of their first rows" in raised.value.hint
    with pytest.raises(WrongCall) as raised:
        rows().window("1s", on="x", **{"closed": "left"})
    assert raised.value.hint is not None and "excludes its end" in raised.value.hint


def test_sql_where_a_column_is_named() -> None:
    with pytest.raises(SchemaError) as raised:
        rows().filter("size * 2 > 100").collect_sync()
    assert raised.value.hint == "text is the name of a column; pl.sql_expr('size * 2 > 100') reads it as SQL"
    with pytest.raises(SchemaError) as raised:
        rows().filter("something else").collect_sync()
    assert raised.value.hint is None


WRONG_NAMES: dict[str, Callable[[], Any]] = {
    "window": lambda: rows().window("10s", on="xx").agg(pl.len()).collect_sync(),
    "by": lambda: rows().reduce(pl.len(), by="kk").collect_sync(),
    "select": lambda: rows().select("xx").collect_sync(),
    "reduce": lambda: rows().reduce(pl.col("xx").sum()).collect_sync(),
    "event time": lambda: (
        Pipeline.builder().source(Source.from_frame(FRAME).with_event_time("xx")).collect_sync()
    ),
    "partition_by": lambda: rows().sink(Sink.to_file("never/", format="csv", partition_by="kk")).build(),
}


@pytest.mark.parametrize("name", WRONG_NAMES)
def test_a_wrong_name_is_told_with_the_nearest_one(name: str) -> None:
    with pytest.raises(SchemaError, match=r"hint: did you mean '[xk]'"):
        WRONG_NAMES[name]()


def test_one_column_to_partition_by(tmp_path: Path) -> None:
    rows().sink(Sink.to_file(tmp_path / "out", format="csv", partition_by="k")).build().run_sync()
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["k=a", "k=b"]


def test_a_builder_without_a_sink_explains_what_collect_would_run() -> None:
    builder = rows().filter(pl.col("x") > 1)
    text = builder.explain()
    assert "filter(x > 1)" in text and "backend" in text
    ended = builder.sink(Sink.to_fn(print))
    assert ended.explain() == ended.build().explain()
    out = rows().split("k").branch("a", lambda way: way.sink(TestSink())).merge()
    assert "branch" in out.explain()


@pytest.mark.parametrize("exprs", [("k",), (["k"],), (pl.len(), "k")])
def test_a_name_among_the_aggregates_of_reduce(exprs: Any) -> None:
    with pytest.raises(PlanError, match="reduce\\(\\) takes aggregates") as raised:
        rows().reduce(*exprs, n=pl.len())
    assert raised.value.found == "the name 'k'"
    assert raised.value.hint == "by='k' groups by it; pl.col('k') keeps all its values, in a list"
    assert rows().reduce([pl.col("k")]).collect_sync()["k"].to_list() == [["a", "b", "a"]]
    assert rows().reduce(pl.col(name).max() for name in "xk").collect_sync().rows() == [(3, "b")]


def test_a_path_where_a_sink_goes() -> None:
    with pytest.raises(PlanError, match="needs a sink") as raised:
        rows().sink("out.parquet")  # type: ignore[arg-type]
    assert raised.value.hint == "write .sink(Sink.to_file(path)), or .collect_sync() for a frame"
    with pytest.raises(PlanError, match=r"window\(late=...\) needs a sink") as raised:
        rows().window("10s", on="x", late="x.parquet").agg(pl.len())  # type: ignore[arg-type]
    assert (raised.value.found, raised.value.hint) == ("str", 'write late=Sink.to_file("late/")')


@pytest.mark.parametrize("wrong", [{"max_retries": 1}, {}, "arrowstream.toml"])
def test_settings_that_are_none(wrong: Any) -> None:
    with pytest.raises(PlanError, match="takes Settings") as raised:
        rows().sink(TestSink()).build(settings=wrong)
    assert raised.value.found == type(wrong).__name__
    assert raised.value.hint is not None and "Settings.load(max_retries=1)" in raised.value.hint


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("run_sync", ".sink(...).build().run_sync()"),
        ("groupby", ".group_by(...).agg(...)"),
        ("where", ".filter(...)"),
        ("select_columns", ".select(...)"),
        ("sort_by", ".sort("),
        ("union", ".merge(other)"),
        ("write_parquet", ".sink(Sink.to_file(path))"),
        ("sink_csv", ".sink(Sink.to_file(path))"),
        ("head", ".preview(n)"),
        ("metrics", ".build()"),
        ("with_column", "use .with_columns(...)"),
        ("with_colum", "did you mean 'with_columns'?"),
    ],
)
def test_a_step_under_the_name_it_has_elsewhere(name: str, hint: str) -> None:
    with pytest.raises(PlanError, match=f"a builder has no '{name}'") as raised:
        getattr(rows(), name)
    assert isinstance(raised.value, AttributeError)
    assert hint in str(raised.value.hint)


def test_a_builder_still_tells_python_what_it_has_not() -> None:
    builder = rows()
    assert not hasattr(builder, "sort_by") and not hasattr(builder, "_repr_latex_")
    assert getattr(builder, "nothing_like_it", None) is None
    for name in ("__array__", "_ipython_display_"):
        with pytest.raises(AttributeError) as raised:
            getattr(builder, name)
        assert not isinstance(raised.value, PlanError)
    assert copy.copy(builder) == builder
    assert pickle.loads(pickle.dumps(Pipeline.builder("p"))) == Pipeline.builder("p")


def test_no_hint_is_for_what_a_builder_has() -> None:
    assert not BUILDER.keys() & set(dir(Builder))


SPILLED: dict[str, Callable[[], Any]] = {
    "window": lambda: rows().window(rows=3, on_full="spill"),
    "reduce": lambda: rows().reduce(pl.len(), by="k", on_full="spill"),
    "scan": lambda: rows().scan(n=pl.col("x").cum_sum(), on_full="spill"),
}


@pytest.mark.parametrize("step", SPILLED)
def test_spilling_without_a_limit(step: str) -> None:
    with pytest.raises(PlanError, match="is for what is more than max_bytes") as raised:
        SPILLED[step]()
    assert (raised.value.found, raised.value.hint) == ("no limit", "add max_bytes=512 << 20")


def test_spilling_with_a_limit_on_keys() -> None:
    with pytest.raises(PlanError) as raised:
        rows().reduce(pl.len(), by="k", on_full="spill", max_keys=3)
    assert raised.value.hint == "leave max_keys out: files hold as many keys as the disk has room for"


@pytest.mark.parametrize(
    ("column", "hint"),
    [
        ("text", 'convert text first, as pl.col("text").str.to_datetime("%Y-%m-%d %H:%M:%S") does'),
        (
            "number",
            'seconds since 1970 become microseconds by (pl.col("number") * 1_000_000).cast(pl.Int64)',
        ),
        ("truth", None),
    ],
)
def test_event_times_of_a_wrong_type(column: str, hint: str | None) -> None:
    frame = pl.DataFrame({"text": ["2026-01-31"], "number": [1.5], "truth": [True]})
    builder = Pipeline.builder().source(Source.from_frame(frame))
    for wrong in (builder.window("10s", on=column).agg(pl.len()), builder.with_event_time(column)):
        with pytest.raises(SchemaError) as raised:
            wrong.collect_sync()
        assert (raised.value.hint or "").split(";")[0] == (hint or "")


def test_a_wrong_name_is_told_before_a_missing_sink() -> None:
    with pytest.raises(SchemaError, match="xx"):
        rows().select("xx").build()
    with pytest.raises(PlanError, match="no sink"):
        rows().select("x").build()
    with pytest.raises(PlanError, match="no source"):
        Pipeline.builder().build()


@pytest.mark.parametrize("name", ["t.parquet", "t.arrow"])
@pytest.mark.parametrize(
    ("expr", "hint"),
    [
        (
            pl.col("x").cast(pl.Int64),
            "cast(..., strict=False), in SQL TRY_CAST, makes null of what does not fit",
        ),
        (
            pl.col("x").str.decode("base64"),
            "the rows themselves can be read; look at the expressions and at the types given by schema=",
        ),
    ],
)
def test_a_step_that_fails_inside_the_read(tmp_path: Path, name: str, expr: pl.Expr, hint: str) -> None:
    path = tmp_path / name
    frame = pl.DataFrame({"x": ["{", "bad"], "y": [1, 2]})
    (frame.write_parquet if path.suffix == ".parquet" else frame.write_ipc)(path)
    builder = Pipeline.builder().source(Source.from_file(path)).filter(pl.col("y") > 0).select(z=expr)
    assert "runs inside the read" in builder.explain()
    with pytest.raises(StageError) as raised:
        builder.collect_sync()
    assert raised.value.stage is not None
    assert raised.value.stage.startswith("source, in filter(y > 0), select(")
    assert raised.value.hint == hint


def test_a_damaged_file_is_no_failure_of_a_step(tmp_path: Path) -> None:
    path = tmp_path / "t.arrow"
    pl.DataFrame({"x": [str(number) for number in range(1000)]}).write_ipc(path)
    builder = Pipeline.builder().source(Source.from_file(path)).select(pl.col("x").str.to_uppercase())
    pipeline = builder.sink(TestSink()).build()
    assert "runs inside the read" in pipeline.explain()
    path.write_bytes(b"nothing")
    with pytest.raises(SourceError) as raised:
        pipeline.run_sync()
    assert raised.value.stage == "source"


TIMES = pl.DataFrame({"t": [0], "x": [1]}, schema={"t": pl.Datetime("us"), "x": pl.Int64})
CHOICES: dict[str, tuple[Any, str, str]] = {
    "emit": (lambda wrong: rows().reduce(pl.len(), emit=wrong), "update", "updates"),
    "group_by(emit)": (lambda wrong: rows().group_by("k", emit=wrong).agg(pl.len()), "ends", "end"),
    "map(frame)": (lambda wrong: rows().map(print, frame=wrong), "polar", "polars"),
    "parallel_map(frame)": (lambda wrong: rows().parallel_map(print, frame=wrong), "panda", "pandas"),
    "executor": (lambda wrong: rows().parallel_map(print, executor=wrong), "threads", "thread"),
    "on_timeout": (lambda wrong: rows().map(y=pl.col("x")).timeout(1, wrong), "skipp", "skip"),
    "reduce(on_full)": (
        lambda wrong: rows().reduce(pl.len(), by="k", max_keys=1, on_full=wrong),
        "evit",
        "evict",
    ),
    "window(on_full)": (lambda wrong: rows().window(rows=1, on_full=wrong).agg(pl.len()), "spil", "spill"),
    "timezone": (
        lambda wrong: (
            Pipeline.builder()
            .source(Source.from_frame(TIMES))
            .window("1d", on="t", timezone=wrong)
            .agg(pl.len())
            .schema()
        ),
        "Europe/Berln",
        "Europe/Berlin",
    ),
    "backend": (
        lambda wrong: rows().filter(pl.col("x") > 1).backend(wrong).sink(Sink.to_fn(len)).build(),
        "polar",
        "polars",
    ),
    "format": (lambda wrong: Source.from_file("x", format=wrong).schema(), "parkett", "parquet"),
}


@pytest.mark.parametrize("name", CHOICES)
def test_a_wrong_choice_is_refused_with_the_nearest_one(name: str) -> None:
    call, wrong, right = CHOICES[name]
    with pytest.raises(PlanError) as raised:
        call(wrong)
    assert raised.value.hint == f"did you mean {right!r}?"
    if name not in ("timezone", "format"):
        with pytest.raises(PlanError) as raised:
            call(3)
        assert raised.value.found == "3" and "did you mean" not in (raised.value.hint or "")


@pytest.mark.parametrize(
    ("written", "hint"),
    [
        ("Float64", "hint: write pl.Float64, without quotes"),
        ("string", "hint: write pl.String, without quotes"),
        ("money", "hint: cannot parse input of type 'str'"),
    ],
)
def test_a_type_in_quotes_is_shown_without(written: str, hint: str) -> None:
    frame = pl.DataFrame({"x": [1]})
    with pytest.raises(SchemaError) as raised:
        Source.from_frame(frame, schema={"x": written})
    assert hint in str(raised.value) or written == "money"
    with pytest.raises(PlanError) as refused:
        Pipeline.builder().source(Source.from_frame(frame)).cast({"x": written})
    assert hint in str(refused.value)


@pytest.mark.parametrize(
    ("name", "hint"),
    [("len", ".agg(n=pl.len())"), ("count", ".agg(n=pl.len())"), ("sum", ".agg(pl.all().sum()), or with")],
)
def test_aggregates_of_polars_groups_show_the_call_of_agg(name: str, hint: str) -> None:
    rows = Pipeline.builder().source(Source.from_frame(pl.DataFrame({"k": ["a"], "x": [1]})))
    for unfinished in (rows.group_by("k"), rows.window(rows=2)):
        with pytest.raises(PlanError) as raised:
            getattr(unfinished, name)()
        assert hint in str(raised.value)
        assert not str(raised.value).endswith(f".{name}(...)")


def test_sql_close_to_the_name_of_a_column_is_still_sql() -> None:
    short = Pipeline.builder().source(Source.from_frame(pl.DataFrame({"quantity": [1], "a(b": [2]})))
    for name, hint in (
        ("quantity>3", "text is the name of a column; pl.sql_expr('quantity>3') reads it as SQL"),
        ("quantty>3", "did you mean 'quantity'?"),
        ("a(c", "did you mean 'a(b'?"),
    ):
        with pytest.raises(SchemaError) as raised:
            short.filter(name).collect_sync()
        assert raised.value.hint == hint


@pytest.mark.parametrize(
    ("name", "hint"), [("map_elements", "use .map(fn"), ("withWatermark", ".with_event_time(")]
)
def test_steps_of_others(name: str, hint: str) -> None:
    with pytest.raises(NoSuchStep) as raised:
        getattr(rows(), name)
    assert raised.value.hint is not None and hint in raised.value.hint
