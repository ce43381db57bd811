"""Wrong arguments and names of every public call are errors with hints, of the classes that Python expects."""

import asyncio
import copy
import inspect
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import arrowstream
from arrowstream import Builder, ErrorHandler, Pipeline, Sink, Source, channel, gpu
from arrowstream.core.mistakes.explain import explain_call
from arrowstream.core.mistakes.other_names import ADVICE, ARGUMENTS, CLASSES, PACKAGE, PIPELINE, SINK, SOURCE
from arrowstream.errors import ArrowstreamError, NoSuchStep, PlanError, StageError, UnknownName, WrongCall

FRAME = pl.DataFrame({"x": [1, 2, 3], "k": ["a", "b", "a"]})


def rows() -> Builder:
    return Pipeline.builder(name="p").source(Source.from_frame(FRAME))


def built() -> Pipeline:
    return rows().sink(Sink.to_fn(lambda batch: None)).build()


def same(batch: Any) -> Any:
    return batch


TYPOS: dict[str, tuple[Callable[..., object], str, str]] = {
    "from_file": (lambda **wrong: Source.from_file("x.csv", **wrong), "delimter", "delimiter"),
    "from_file, of Polars": (lambda **wrong: Source.from_file("x.csv", **wrong), "separator", "delimiter"),
    "from_file, of Polars, too": (
        lambda **wrong: Source.from_file("x.csv", **wrong),
        "truncate_ragged_lines",
        "bad_rows",
    ),
    "from_file, of Polars, mistyped": (
        lambda **wrong: Source.from_file("x.csv", **wrong),
        "truncate_raged_lines",
        "bad_rows",
    ),
    "from_file, of pandas": (lambda **wrong: Source.from_file("x.csv", **wrong), "skiprows", "skip_lines"),
    "from_frame": (lambda **wrong: Source.from_frame(FRAME, **wrong), "batch_row", "batch_rows"),
    "from_channel": (lambda **wrong: Source.from_channel(channel()[1], **wrong), "shema", "schema"),
    "from_fn": (lambda **wrong: Source.from_fn(same, **wrong), "shema", "schema"),
    "with_event_time": (
        lambda **wrong: Source.from_frame(FRAME).with_event_time("x", **wrong),
        "latenes",
        "lateness",
    ),
    "to_file": (lambda **wrong: Sink.to_file("x.csv", **wrong), "partition_cols", "partition_by"),
    "best_effort": (lambda **wrong: Sink.to_fn(print).best_effort(**wrong), "bufer", "buffer"),
    "channel": (lambda **wrong: channel(**wrong), "capacty", "capacity"),
    "batch": (lambda **wrong: rows().batch(**wrong), "row", "rows"),
    "throttle": (lambda **wrong: rows().throttle(3, **wrong), "pr", "per"),
    "buffer": (lambda **wrong: rows().buffer(**wrong), "capacty", "capacity"),
    "timeout": (lambda **wrong: rows().map(x=1).timeout("1s", **wrong), "on_timout", "on_timeout"),
    "debounce": (lambda **wrong: rows().debounce("1s", **wrong), "key", "by"),
    "retry": (lambda **wrong: ErrorHandler.retry(**wrong), "attempts", "times"),
    "skip": (lambda **wrong: ErrorHandler.skip(**wrong), "whole_bach", "whole_batch"),
    "flat_map": (lambda **wrong: rows().flat_map(same, **wrong), "fram", "frame"),
    "map": (lambda **wrong: rows().map(same, **wrong), "fram", "frame"),
    "filter_map": (lambda **wrong: rows().filter_map(same, **wrong), "fram", "frame"),
    "parallel_map": (lambda **wrong: rows().parallel_map(same, **wrong), "n_jobs", "workers"),
    "window": (lambda **wrong: rows().window("1s", on="x", **wrong), "keys", "by"),
    "group_by": (lambda **wrong: rows().group_by("k", **wrong), "max_key", "max_keys"),
    "branch": (lambda **wrong: rows().split("k").branch("a", **wrong), "step", "steps"),
    "build": (lambda **wrong: rows().build(**wrong), "setings", "settings"),
    "run_sync": (lambda **wrong: built().run_sync(**wrong), "limt", "limit"),
    "run": (lambda **wrong: asyncio.run(built().run(**wrong)), "limt", "limit"),
    "collect": (lambda **wrong: asyncio.run(rows().collect(**wrong)), "limt", "limit"),
    "preview": (lambda **wrong: rows().preview(**wrong), "row", "rows"),
    "builder": (lambda **wrong: Pipeline.builder(**wrong), "nam", "name"),
}


@pytest.mark.parametrize("call", TYPOS)
def test_a_misspelt_argument(call: str) -> None:
    wrong, name, right = TYPOS[call]
    with pytest.raises(WrongCall) as raised:
        wrong(**{name: "1"})
    error = raised.value
    assert error.what == f"{call.split(',')[0]}() has no argument {name!r}"
    assert error.hint == f"did you mean {right!r}?"
    assert error.expected is not None and right in error.expected.split(", ")
    assert isinstance(error, PlanError) and isinstance(error, TypeError)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("skip_rows_after_header", "leave out the header, too, by a skip_lines of 2"),
        ("compression", "the names of files tell it"),
    ],
)
def test_an_argument_of_others_that_is_replaced_by_more_than_a_name(name: str, hint: str) -> None:
    wrong: dict[str, Any] = {name: 1}
    with pytest.raises(WrongCall, match=f"no argument '{name}'") as raised:
        Source.from_file("x.csv", **wrong)
    assert raised.value.hint is not None and raised.value.hint.startswith(hint)
    with pytest.raises(WrongCall, match=f"no argument '{name}'") as raised:
        Sink.to_fn(print, **wrong)
    assert raised.value.hint is None


def test_a_missing_argument() -> None:
    with pytest.raises(WrongCall, match=r"buffer\(\) lacks 'capacity'\n  expected: buffer\(capacity\)"):
        rows().buffer()  # type: ignore[call-arg]
    with pytest.raises(WrongCall, match=r"from_frame\(\) lacks 'data'") as raised:
        Source.from_frame(batch_rows=3)  # type: ignore[call-arg]
    assert raised.value.expected == "from_frame(data, *, schema=None, batch_rows=None)"


def test_too_many_arguments() -> None:
    with pytest.raises(WrongCall, match=r"batch\(\) has too many arguments") as raised:
        rows().batch(1, 2)  # type: ignore[misc]
    assert (raised.value.expected, raised.value.hint) == (
        "batch(rows=None, *, nbytes=None, max_delay=None)",
        "write nbytes=...",
    )
    with pytest.raises(WrongCall, match=r"buffer\(\) has too many arguments") as raised:
        rows().buffer(1, 2)  # type: ignore[call-arg]
    assert raised.value.hint is None


def test_an_argument_given_twice_is_said_in_the_words_of_python() -> None:
    with pytest.raises(WrongCall, match="multiple values for argument 'capacity'"):
        rows().buffer(1, capacity=2)  # type: ignore[misc]


def test_an_argument_of_a_call_without_any() -> None:
    with pytest.raises(WrongCall) as raised:
        ErrorHandler.log(level=3)  # type: ignore[call-arg]
    assert (raised.value.expected, raised.value.hint) == ("no arguments", None)


def test_a_type_error_from_inside_stays_as_it_is() -> None:
    def broken(value: int) -> int:
        return len(value)  # type: ignore[arg-type]

    async def awaited(value: int) -> int:
        return broken(value)

    with pytest.raises(TypeError, match="has no len") as raised:
        explain_call(broken)(3)
    assert not isinstance(raised.value, WrongCall)
    with pytest.raises(TypeError, match="has no len") as raised:
        asyncio.run(explain_call(awaited)(3))
    assert not isinstance(raised.value, WrongCall)


def test_signatures_stay_visible() -> None:
    assert list(inspect.signature(Builder.buffer).parameters) == ["self", "capacity"]
    assert list(inspect.signature(built().run).parameters) == [
        "progress",
        "duration",
        "limit",
        "signals",
        "checkpoint",
        "every",
        "from_checkpoint",
    ]
    for function in (Pipeline.run, built().run, Builder.collect, Pipeline.builder().collect):
        assert inspect.iscoroutinefunction(function)
        assert function.__doc__ is not None and function.__name__ in ("run", "collect")
    assert Source.from_file.__doc__ is not None and Source.from_file.__name__ == "from_file"


NAMES: dict[str, tuple[Callable[[], Any], str, str]] = {
    "Source": (lambda: Source, "from_csv", "Source.from_file("),
    "Source, a typo": (lambda: Source, "from_fram", "did you mean 'from_frame'?"),
    "Sink": (lambda: Sink, "to_csv", "Sink.to_file("),
    "Pipeline": (lambda: Pipeline, "source", "Pipeline.builder()"),
    "ErrorHandler": (lambda: ErrorHandler, "ignore", "ErrorHandler.skip()"),
    "a source": (lambda: Source.from_frame(FRAME), "filter", "Pipeline.builder().source(...).filter(...)"),
    "a source, a typo": (lambda: Source.from_file("x"), "with_delimter", "did you mean 'with_delimiter'?"),
    "a sink": (lambda: Sink.to_file("x.csv"), "with_fromat", "did you mean 'with_format'?"),
    "a pipeline that is built": (built, "collect_sync", "before .sink(...)"),
    "the sending end of a channel": (lambda: channel()[0], "put", "await tx.send(item)"),
    "the receiving end of a channel": (lambda: channel()[1], "get", "async for item in rx"),
    "arrowstream": (lambda: arrowstream, "read_csv", "Source.from_file("),
    "arrowstream, elsewhere": (lambda: arrowstream, "to_file", "write Sink.to_file(...)"),
    "arrowstream.gpu": (lambda: gpu, "GPUProcessor", "GpuProcessor"),
}


@pytest.mark.parametrize("called", NAMES)
def test_an_unknown_name(called: str) -> None:
    thing, name, hint = NAMES[called]
    with pytest.raises(UnknownName) as raised:
        getattr(thing(), name)
    assert raised.value.what == f"{called.split(',')[0]} has no {name!r}"
    assert raised.value.hint is not None and hint in raised.value.hint
    assert isinstance(raised.value, PlanError)
    assert not hasattr(thing(), name) and not hasattr(thing(), "_repr_latex_")


def test_an_unknown_step_has_a_class_of_its_own() -> None:
    with pytest.raises(NoSuchStep):
        rows().where(pl.col("x") > 1)  # type: ignore[attr-defined]


@pytest.mark.parametrize("thing", [Source.from_file("x.csv"), Sink.to_file("x.csv"), ErrorHandler.retry(3)])
def test_values_can_still_be_copied(thing: Any) -> None:
    assert copy.copy(thing) == thing
    assert pickle.loads(pickle.dumps(thing)) == thing


def test_no_hint_is_for_what_is_there() -> None:
    for words, kind in (
        (SOURCE, type(Source.from_file("x"))),
        (SINK, type(Sink.to_file("x"))),
        (PIPELINE, Pipeline),
        *((words, getattr(arrowstream, name)) for name, words in CLASSES.items()),
    ):
        assert not words.keys() & set(dir(kind)) or kind is Pipeline, kind
    assert not PACKAGE.keys() & set(arrowstream.__all__)


def test_every_step_is_known_where_it_does_not_belong() -> None:
    steps = {name for name in dir(Builder) if not name.startswith("_")}
    assert steps - {"graph", "source", "schema", "on_error", "with_event_time"} <= SOURCE.keys()


def test_other_words_for_arguments_stand_for_arguments_that_there_are() -> None:
    calls = [
        getattr(kind, name)
        for kind in (Builder, Source, Sink, ErrorHandler, Pipeline)
        for name in dir(kind)
        if not name.startswith("_") and callable(getattr(kind, name))
    ]
    known = {parameter for call in [*calls, channel] for parameter in inspect.signature(call).parameters}
    known |= {"column", "lateness", "idle", "frame", "schema"}
    assert {right for rights in ARGUMENTS.values() for right in rights} <= known
    assert {argument for argument, _ in ADVICE.values()} <= known


@pytest.mark.parametrize(("wrong", "right"), [("period", "size"), ("hop", "every"), ("slide", "every")])
def test_the_length_of_a_window_is_not_taken_for_its_step(wrong: str, right: str) -> None:
    with pytest.raises(WrongCall) as caught:
        rows().window(on="x", **{wrong: "1s"})
    assert caught.value.hint == f"did you mean {right!r}?"


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        ("usecols", "select"),
        ("n_rows", "--limit"),
        ("infer_schema_length", "first 10,000 rows"),
        ("parse_dates", "Datetime in schema"),
        ("hive_partitioning", "leave it out: folders such as day=1 are columns"),
        ("recursive", "at any depth"),
    ],
)
def test_options_of_other_readers_get_advice(wrong: str, hint: str) -> None:
    with pytest.raises(WrongCall) as caught:
        Source.from_file("x.csv", **{wrong: 1})
    assert hint in str(caught.value.hint)


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        ("separator", "did you mean 'delimiter'?"),
        ("include_header", "did you mean 'has_header'?"),
        ("header", "did you mean 'has_header'?"),
        ("quotechar", "did you mean 'quote_char'?"),
        ("quoting", "did you mean 'quote_style'?"),
        ("na_rep", "did you mean 'null_values'?"),
        ("null_value", "did you mean 'null_values'?"),
        ("decimal", "did you mean 'decimal_comma'?"),
        ("float_format", "did you mean 'float_precision'?"),
        ("dateformat", "did you mean 'date_format'?"),
        ("timestampFormat", "did you mean 'datetime_format'?"),
        ("index", "rows have no index"),
        ("mkdir", "is created"),
        ("maxRecordsPerFile", "did you mean 'max_rows_per_file'?"),
        ("file_size_bytes", "did you mean 'max_bytes_per_file'?"),
    ],
)
def test_options_of_other_writers_get_advice(wrong: str, hint: str) -> None:
    with pytest.raises(WrongCall) as caught:
        Sink.to_file("x.csv", **{wrong: 1})
    assert hint in str(caught.value.hint)


@pytest.mark.parametrize(
    ("where", "value", "hint"),
    [
        ("source.format", "jsonl", "did you mean 'ndjson'?"),
        ("source.kind", "csv", "did you mean 'file'?"),
        ("source.schema.x", "int", "did you mean 'Int64'?"),
        ("source.schema.x", "str", "did you mean 'String'?"),
        ("sink.mode", "w", "did you mean 'overwrite'?"),
        ("sink.compression", "gz", "did you mean 'gzip'?"),
        ("sink.max_bytes_per_file", "10MB", "write 10_000_000"),
        ("steps.0.where", "x > 1", "did you mean 'filter'?"),
        ("steps.0.group_by", "x", "did you mean 'reduce'?"),
        ("source.path", "day=2026-01-02/x.csv", "'day=2026-01-01' has others"),
    ],
)
def test_words_of_other_libraries_get_those_of_jobs(
    where: str, value: str, hint: str, tmp_path: Path
) -> None:
    (tmp_path / "x.csv").write_text("x\n1\n")
    (tmp_path / "day=2026-01-01").mkdir()
    (tmp_path / "job.toml").write_text(
        '[source]\nkind = "file"\npath = "x.csv"\n[[steps]]\nbatch = 9\n[sink]\nkind = "file"\npath = "y.parquet"\n'
    )
    with pytest.raises(ArrowstreamError) as caught:
        Pipeline.from_toml(tmp_path / "job.toml", set={where: value})
    assert hint in str(caught.value)


@pytest.mark.parametrize("wrong", ["x", 3, None])
def test_reduce_refuses_what_is_not_an_aggregate(wrong: Any) -> None:
    with pytest.raises(PlanError, match=r"reduce\(\) takes aggregates") as raised:
        rows().reduce(by="k", n=wrong)
    assert raised.value.found == f"n={wrong!r}"


def test_a_row_without_an_event_time_is_found() -> None:
    times = pl.DataFrame({"t": [10, 20, None, 30, None], "x": [*"abcde"]}, schema_overrides={"t": pl.Int64})
    builder = Pipeline.builder().source(Source.from_frame([times[:2], times[2:]]))
    for steps in (builder.window("10s", on="t"), builder.window(session="10s", on="t")):
        with pytest.raises(StageError) as raised:
            steps.agg(pl.len()).collect_sync()
        assert raised.value.position == "frame rows 2-3"
        assert raised.value.found == "2 of 3 rows with null, the first of them {'t': None, 'x': 'c'}"
    with pytest.raises(StageError) as raised:
        builder.filter(pl.col("x") > "a").window("10s", on="t").agg(pl.len()).collect_sync()
    assert raised.value.position is not None and raised.value.position.startswith("frame rows ")


GROUPED = {
    "names": lambda builder: builder.group_by("k"),
    "a list": lambda builder: builder.group_by(["k"]),
}


@pytest.mark.parametrize("form", GROUPED)
def test_group_by_is_reduce_in_the_words_of_polars(form: str) -> None:
    found = GROUPED[form](rows()).agg("x", pl.col("x").sum().alias("total"), n=pl.len())
    expected = FRAME.group_by("k", maintain_order=True).agg("x", pl.col("x").sum().alias("total"), n=pl.len())
    assert found.collect_sync().equals(expected)
    assert "reduce(by=[k]" in found.explain()


def test_group_by_without_a_column_or_without_agg() -> None:
    with pytest.raises(PlanError, match=r"group_by\(\) names no column"):
        rows().group_by()
    with pytest.raises(PlanError, match=r"followed by \.filter"):
        rows().group_by("k").filter(pl.col("x") > 1)  # type: ignore[attr-defined]
    assert not hasattr(rows().group_by("k"), "_repr_html_")


def test_pipe_calls_a_function_with_the_builder() -> None:
    def doubled(builder: Builder, column: str, *, times: int = 2) -> Builder:
        return builder.with_columns(pl.col(column) * times)

    assert rows().pipe(doubled, "x", times=3).collect_sync()["x"].to_list() == [3, 6, 9]
    assert rows().pipe(lambda builder: 7) == 7


def test_a_frame_for_a_column_of_flat_map() -> None:
    with pytest.raises(PlanError, match="has no frame and no schema"):
        rows().flat_map("x", frame="polars")


SNIPPET = """
import polars as pl
from arrowstream import Builder, Pipeline, Sink, Source

builder = Pipeline.builder().source(Source.from_file("x.csv"))
{line}
"""

WRONG_TYPES = {
    'builder.map(print, frame="polar")': "No overload variant",
    'builder.flat_map(print, frame="polar")': "[arg-type]",
    'builder.filter_map(print, frame="polar")': "No overload variant",
    'builder.parallel_map(print, executor="proces")': "[arg-type]",
    'builder.window("1s", on="t", by=3)': "[arg-type]",
    'builder.window("1s", on="t", on_full="evict")': "[arg-type]",
    'builder.reduce(pl.len(), emit="update")': "[arg-type]",
    'builder.reduce(n="x")': "[arg-type]",
    'builder.group_by("k", emit="update")': "[arg-type]",
    'builder.timeout("1s", on_timeout="drop")': "[arg-type]",
    "builder.batch(row=3)": "[call-arg]",
    "builder.where(pl.len())": "[attr-defined]",
    'Source.from_csv("x")': "[attr-defined]",
    'Source.from_file("x", delimter=";")': "[call-arg]",
    'Sink.to_file("x", format="parket")': "[arg-type]",
    "builder.pipe(len)": "[arg-type]",
}

RIGHT_TYPES = """
reveal: Builder = builder.map(print, frame="polars").map(pl.col("x") * 2, y=1).flat_map("xs")
reveal = builder.filter_map(pl.col("x") > 1, y=pl.col("x")).filter_map(print, frame="pandas")
reveal = builder.window("1s", on="t", by=["k"]).agg(pl.len()).group_by("k").agg(n=pl.len())
reveal = builder.parallel_map(print, workers=2, executor="process", frame="arrow").reduce(pl.len(), by="k")
reveal = builder.select("x", pl.col("y"), z=3).filter(pl.col("x") > 1).drop("x").pipe(lambda one: one)
"""


@pytest.mark.untraced
@pytest.mark.once
@pytest.mark.timeout(900)  # mypy from an empty cache, on a busy machine
def test_a_type_checker_finds_wrong_arguments(tmp_path: Path) -> None:
    """One run of mypy over right calls and over a wrong one on each line."""
    pytest.importorskip("mypy")
    file = tmp_path / "snippet.py"
    file.write_text(SNIPPET.format(line="\n".join([*RIGHT_TYPES.strip().splitlines(), *WRONG_TYPES])))
    root = Path(__file__).parents[1]
    # In the root, it starts from what `make types` has learnt.
    command = [sys.executable, "-m", "mypy", "--no-error-summary", str(file)]
    out = subprocess.run(command, capture_output=True, text=True, check=False, cwd=root)
    errors = {
        int(line.split(":")[1]): line
        for line in out.stdout.splitlines()
        if ": error:" in line and file.name in line
    }
    first = 6 + len(RIGHT_TYPES.strip().splitlines())
    assert set(errors) == set(range(first, first + len(WRONG_TYPES))), out.stdout
    for number, (wrong, expected) in enumerate(WRONG_TYPES.items(), first):
        assert expected in errors[number], wrong


@pytest.mark.parametrize(
    ("call", "flag"),
    [
        (lambda: ErrorHandler.skip(whole_batch="no"), "whole_batch"),
        (lambda: ErrorHandler.dead_letter(Sink.to_fn(same), whole_batch=1), "whole_batch"),
        (lambda: rows().cast({"x": pl.Int8}, strict="no"), "strict"),
        (lambda: Source.from_frame(FRAME).with_event_time("x", advance_when_idle="no"), "advance_when_idle"),
    ],
)
def test_flags_take_true_or_false(call: Callable[[], object], flag: str) -> None:
    with pytest.raises(PlanError) as caught:
        call()
    assert caught.value.what == f"{flag} takes True or False" and caught.value.found
