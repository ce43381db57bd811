"""Every step that a job can name is the call of the builder with the same arguments."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from arrowstream import Pipeline, Source
from arrowstream.builder.steps import Steps
from arrowstream.errors import JobError
from arrowstream.jobs.job import Job
from arrowstream.jobs.steps import MODIFIERS, PYTHON_ONLY, STEPS
from arrowstream.pipeline import Builder

FRAME = pl.DataFrame(
    {
        "ts": [datetime(2026, 1, 1, 0, 0, second) for second in (1, 4, 11, 12, 2, 40)],
        "k": ["a", "b", "a", None, "b", "a"],
        "x": [1, 2, 3, None, 5, 6],
        "n": ["1", "2", "x", "4", "5", "6"],
        "xs": [[1, 2], [3], [4], [5], [6], [7]],
    },
    schema_overrides={"ts": pl.Datetime("us")},
)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    FRAME.write_parquet("in.parquet")


def job(steps: str, source: str = "", sink: str = '[sink]\nkind = "file"\npath = "out.parquet"') -> Job:
    """The source stands on line 2, its further keys on 3, steps on 4 and after."""
    text = f'[source]\nkind = "file"\npath = "in.parquet"\n{source}\n{steps}\n{sink}\n'
    Path("j.toml").write_text("\n".join(filter(None, text.split("\n"))), encoding="utf-8")
    return Job.load("j.toml")


def written(steps: str, **others: str) -> pl.DataFrame:
    job(steps, **others).pipeline().run_sync()
    return pl.read_parquet("out.parquet")


def refusal(steps: str, **others: str) -> str:
    with pytest.raises(JobError) as raised:
        job(steps, **others).pipeline()
    assert "\n" not in str(raised.value)
    return str(raised.value)


X = pl.col("x")
CALLS: list[tuple[str, Callable[[Builder], Builder]]] = [
    ("batch = 2", lambda rows: rows.batch(2)),
    (
        'batch = { nbytes = 100, max_delay = "1s", rows = 3 }',
        lambda rows: rows.batch(3, nbytes=100, max_delay="1s"),
    ),
    ("buffer = 100", lambda rows: rows.buffer(100)),
    ("buffer = { capacity = 3 }", lambda rows: rows.buffer(3)),
    ('throttle = { rows = 10_000, per = "1s" }', lambda rows: rows.throttle(10_000, per="1s")),
    ("throttle = { batches = 9, per = 0.5 }", lambda rows: rows.throttle(batches=9, per=0.5)),
    ('debounce = "200ms"', lambda rows: rows.debounce("200ms")),
    (
        'debounce = { quiet = "200ms", by = "k" }',
        lambda rows: rows.debounce("200ms", by="k"),
    ),
    ('with_event_time = "ts"', lambda rows: rows.with_event_time("ts")),
    (
        'with_event_time = { column = "ts", max_jump = "1h", advance_when_idle = true, idle = 3 }',
        lambda rows: rows.with_event_time("ts", max_jump="1h", advance_when_idle=True, idle=3),
    ),
    (
        'with_event_time = { column = "ts", lateness = "5s", idle = 3 }',
        lambda rows: rows.with_event_time("ts", "5s", 3),
    ),
    (
        'window = { size = "10s", on = "ts", by = "k", agg = { total = "sum(x)", n = "count(*)" } }',
        lambda rows: rows.window("10s", on="ts", by="k").agg(
            pl.sql_expr("sum(x)").alias("total"), pl.sql_expr("count(*)").alias("n")
        ),
    ),
    (
        'window = { size = "10s", every = "5s", allowed_lateness = 1, on = "ts", agg = ["max(x)"] }',
        lambda rows: rows.window("10s", every="5s", on="ts", allowed_lateness=1).agg(X.max()),
    ),
    (
        'window = { size = "1q", every = "1mo", offset = "5d", timezone = "UTC", on = "ts", agg = "max(x)" }',
        lambda rows: rows.window("1q", every="1mo", offset="5d", timezone="UTC", on="ts").agg(X.max()),
    ),
    (
        'window = { session = "5s", on = "ts", by = ["k"], agg = "max(x) AS top" }',
        lambda rows: rows.window(session="5s", on="ts", by="k").agg(top=X.max()),
    ),
    (
        'window = { rows = 2, agg = "max(x)" }',
        lambda rows: rows.window(rows=2).agg(X.max()),
    ),
    (
        'reduce = { by = ["k"], agg = { top = "max(x)" } }',
        lambda rows: rows.reduce(by="k", top=X.max()),
    ),
    (
        'reduce = { agg = "max(x)", by = "k", emit = "updates", max_keys = 2, on_full = "evict" }',
        lambda rows: rows.reduce(X.max(), by="k", emit="updates", max_keys=2, on_full="evict"),
    ),
    (
        'reduce = { agg = "max(x)", by = "k", max_bytes = 1_000, on_full = "spill" }',
        lambda rows: rows.reduce(X.max(), by="k", max_bytes=1_000, on_full="spill"),
    ),
    (
        'window = { rows = 2, agg = "max(x)", max_bytes = 100_000, on_full = "spill" }',
        lambda rows: rows.window(rows=2, max_bytes=100_000, on_full="spill").agg(X.max()),
    ),
    (
        'scan = { by = "k", columns = { total = { cum_sum = "x * 2" }, last = { shift = "x" } } }',
        lambda rows: rows.scan(by="k", total=pl.sql_expr("x * 2").cum_sum(), last=X.shift(1)),
    ),
    (
        'scan = { columns = { by3 = { diff = "x", n = 3 }, mean = { rolling_mean = "x", window_size = 2 }, '
        'y = "x + 1" } }',
        lambda rows: rows.scan(by3=X.diff(3), mean=X.rolling_mean(window_size=2), y=pl.sql_expr("x + 1")),
    ),
    (
        'cast = { dtypes = { n = "Int8" }, strict = false }',
        lambda rows: rows.cast({"n": pl.Int8}, strict=False),
    ),
    ('unique = "k"', lambda rows: rows.unique("k")),
    (
        'unique = { by = ["k", "x"], within = "1h", keep = "last", time = "ts", max_bytes = 100_000, '
        'on_full = "spill" }',
        lambda rows: rows.unique(
            ["k", "x"], within="1h", keep="last", time="ts", max_bytes=100_000, on_full="spill"
        ),
    ),
    (
        'top_k = { k = 2, by = ["x", "k"], per = "k", reverse = [true, false], emit = "changes" }',
        lambda rows: rows.top_k(2, by=["x", "k"], per="k", reverse=[True, False], emit="changes"),
    ),
    (
        'top_k = { k = 1, by = "x", per = "ts", reverse = true, time = "ts", max_bytes = 100_000 }',
        lambda rows: rows.top_k(1, by="x", per="ts", reverse=True, time="ts", max_bytes=100_000),
    ),
    (
        'sort = { by = ["k", "x"], per = "ts", descending = [true, false], nulls_last = true, time = "ts" }',
        lambda rows: rows.sort(["k", "x"], per="ts", descending=[True, False], nulls_last=True, time="ts"),
    ),
    (
        'over = { per = "k", columns = { most = "max(x)" }, max_bytes = 1_000_000, on_full = "spill" }',
        lambda rows: rows.over("k", most=X.max(), max_bytes=1_000_000, on_full="spill"),
    ),
    (
        'join = { table = "in.parquet", on = "k", how = "left", validate = "m:m", suffix = "_2" }',
        lambda rows: rows.join("in.parquet", "k", "left", suffix="_2"),
    ),
    (
        'join = { table = { kind = "file", path = "in.parquet" }, left_on = "k", right_on = "n", how = "semi" }',
        lambda rows: rows.join("in.parquet", left_on="k", right_on="n", how="semi"),
    ),
    (
        'window = { size = "10s", every = "5s", on = "ts", all_rows = true }',
        lambda rows: rows.window("10s", every="5s", on="ts").rows(),
    ),
    (
        'join_asof = { table = "in.parquet", on = "ts", by = "k", strategy = "forward", tolerance = "1s", '
        'how = "inner" }',
        lambda rows: rows.join_asof(
            "in.parquet", on="ts", by="k", strategy="forward", tolerance="1s", how="inner"
        ),
    ),
    (
        'join_asof = { table = "in.parquet", left_on = "ts", right_on = "ts", by_left = "k", by_right = ["k"] }',
        lambda rows: rows.join_asof("in.parquet", left_on="ts", right_on="ts", by_left="k", by_right=["k"]),
    ),
    ('filter = "x > 1"\ntimeout = "5s"', lambda rows: rows.filter(X > 1).timeout("5s")),
    (
        'filter = "x > 1"\ntimeout = { duration = 5, on_timeout = "skip" }',
        lambda rows: rows.filter(X > 1).timeout(5, on_timeout="skip"),
    ),
]


@pytest.mark.once
@pytest.mark.parametrize(("step", "call"), CALLS, ids=[step for step, _ in CALLS])
def test_a_step_is_the_builders_call(step: str, call: Callable[[Builder], Builder]) -> None:
    read = job(f"[[steps]]\n{step}")
    # From a file, as the job does: the plan is then the same to the last word.
    builder = call(Pipeline.builder().source(Source.from_file("in.parquet")))
    found, expected = read.complete.graph.steps, builder.graph.steps
    assert [(one.operator.describe(), one.policies) for one in found] == [
        (one.operator.describe(), one.policies) for one in expected
    ]
    read.pipeline().run_sync()
    assert_frame_equal(pl.read_parquet("out.parquet"), builder.collect_sync())


def test_every_step_is_tried() -> None:
    tried = {step.split(" ")[0] for step, _ in CALLS}
    in_test_job = {"filter", "with_columns", "select", "drop", "rename", "cast", "explode", "unnest"}
    assert tried | in_test_job == set(STEPS)


def test_every_method_of_the_builder_is_a_step_or_refused() -> None:
    """A new operator needs an entry here, or a reason why not."""
    methods = {name for name in dir(Steps) if callable(getattr(Steps, name)) and name[0] != "_"}
    others = {"source", "sink", "pipe", "group_by"}
    assert {*others, "window", "map"} <= methods
    assert methods - others <= set(STEPS) | set(MODIFIERS) | set(PYTHON_ONLY)


def test_handlers_of_a_step() -> None:
    steps = """[[steps]]
cast = { n = "Int64" }
on_error = [
  { retry = 2, delay = "1ms", factor = 1.5, jitter = 0, budget = "1s", max_delay = 1 },
  "log",
  { dead_letter = { kind = "file", path = "bad.parquet" } },
]"""
    rows = written(steps)
    assert rows["n"].to_list() == [1, 2, 4, 5, 6]
    assert pl.read_parquet("bad.parquet").select("n", "stage").rows() == [("x", "cast")]
    (step,) = job(steps).complete.graph.steps
    assert [handler.describe() for handler in step.policies.handlers] == [
        "retry(2, delay=0.001 s, budget=1 s)",
        "log()",
        "dead_letter(file bad.parquet (parquet, zstd))",
    ]


@pytest.mark.parametrize(
    ("handlers", "described"),
    [
        ('"skip"', ["skip()"]),
        ('["retry", "skip"]', ["retry(3, delay=0.1 s)", "skip()"]),
        ('["log", "fail"]', ["log()", "fail()"]),
        ("{ skip = true, whole_batch = true }", ["skip(whole_batch=True)"]),
        (
            "{ dead_letter = { kind = 'file', path = 'b/' , format = 'csv' }, whole_batch = true }",
            ["dead_letter(files b/ (csv), whole_batch=True)"],
        ),
    ],
)
def test_ways_to_write_handlers(handlers: str, described: list[str]) -> None:
    (step,) = job(f"[[steps]]\nfilter = 'x > 1'\non_error = {handlers}").complete.graph.steps
    assert [handler.describe() for handler in step.policies.handlers] == described


def test_late_rows_leave_by_a_sink() -> None:
    steps = """[[steps]]
batch = 1
[[steps]]
with_event_time = { column = "ts", lateness = "1s" }
[[steps]]
window = { size = "10s", on = "ts", agg = "count(*)", late = { kind = "file", path = "late.parquet" } }"""
    written(steps)
    assert pl.read_parquet("late.parquet")["x"].to_list() == [5]


def test_event_time_at_the_source() -> None:
    read = job("", source='event_time = "ts"\nlateness = "5s"\nidle = "30s"')
    assert [step.operator.describe() for step in read.complete.graph.steps] == [
        "event_time(ts, lateness=5 s, idle=30 s)"
    ]
    assert [label for label, _ in read.schemas()] == ["source (j.toml:3)"]
    (step,) = job("", source='event_time = "ts"').complete.graph.steps
    assert step.operator.describe() == "event_time(ts, lateness=0 s)"


SINK = '[[sink]]\nkind = "file"\n'


def test_several_sinks() -> None:
    second = 'on_error = ["log", "skip"]'
    sink = (
        f'{SINK}path = "out.parquet"\n{SINK}path = "b.csv"\nbest_effort = 64\n{SINK}path = "c.csv"\n{second}'
    )
    rows = written('[[steps]]\nselect = ["x", "k"]', sink=sink)
    assert_frame_equal(rows, FRAME.select("x", "k"))
    assert pl.read_csv("b.csv").rows() == pl.read_csv("c.csv").rows() == rows.rows()
    graph = job('[[steps]]\nselect = ["x", "k"]', sink=sink).complete.graph
    assert graph.sink is not None
    assert [end.best_effort_capacity for _, end, _ in graph.ends] == [None, 64, None]
    assert [len(end.handlers) for _, end, _ in graph.ends] == [0, 0, 2]


def test_the_one_sink_may_miss_batches() -> None:
    sink = '[sink]\nkind = "file"\npath = "out.parquet"\nbest_effort = 64'
    assert (
        "guarantee: best effort: misses batches when more than 64 wait\n"
        in job("", sink=sink).pipeline().explain()
    )
    assert_frame_equal(written("", sink=sink), FRAME)


def test_handlers_of_the_one_sink() -> None:
    graph = job("", sink='[sink]\nkind = "file"\npath = "o.parquet"\non_error = "retry"').complete.graph
    assert len(graph.sink_policies.handlers) == 1


def test_schemas_of_edges_only() -> None:
    read = job(
        "[[steps]]\nselect = ['x']\nbackend = 'polars'\non_error = 'skip'\n[[steps]]\nfilter = 'x > 1'"
    )
    assert [label for label, _ in read.schemas()] == [
        "source (j.toml:3)",
        "step 1 select (j.toml:5)",
        "step 2 filter (j.toml:9)",
    ]


@pytest.mark.parametrize("name", PYTHON_ONLY)
def test_what_needs_python_is_refused_with_a_hint(name: str) -> None:
    message = refusal(f"[[steps]]\n{name} = 'f'")
    assert message.startswith(f"j.toml:5: {name!r} in [[steps]]: ")
    assert "Pipeline.builder()" in message


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ("buffer = {}", "j.toml:5: missing key 'capacity' in [[steps]] buffer"),
        (
            "buffer = '3'",
            "j.toml:5: 'buffer' in [[steps]]: expected an integer of at least 1, found the string",
        ),
        ("debounce = { by = 'k' }", "j.toml:5: missing key 'quiet' in [[steps]] debounce"),
        ("debounce = 'soon'", "j.toml:5: 'debounce' in [[steps]]: 'soon' is not a duration; expected: "),
        ("debounce = true", "j.toml:5: 'debounce' in [[steps]]: expected a number, found the boolean true"),
        ("throttle = {}", "j.toml:5: 'throttle' in [[steps]]: throttle() limits rows or batches"),
        ("window = '10s'", "j.toml:5: 'window' in [[steps]]: expected a table, found the string '10s'"),
        ("window = { rows = 3 }", "j.toml:5: missing key 'agg' in [[steps]] window"),
        ("over = 'k'", "j.toml:5: 'over' in [[steps]]: expected a table"),
        ("window = '3s'", "j.toml:5: 'window' in [[steps]]: expected a table"),
        (
            "window = { rows = 3, agg = 'sum(x)', all_rows = true }",
            "j.toml:5: 'all_rows' in [[steps]] window: does not go with 'agg': one of them says it",
        ),
        ("join = { on = 'k' }", "j.toml:5: missing key 'table' in [[steps]] join"),
        (
            "join = { table = 'in.parquet', stream = 's', on = 'k' }",
            "j.toml:5: 'stream' in [[steps]] join: does not go with 'table': one of them says it",
        ),
        (
            "join = { stream = 's', on = 'k', within = ['1s', '2s', '3s'] }",
            "j.toml:5: 'within' in [[steps]] join: expected one value, or an array of two, found 3",
        ),
        (
            "window = { rows = 3, agg = [] }",
            "j.toml:5: 'window' in [[steps]]: window(...).agg() has no expression",
        ),
        (
            "window = { size = '1 month', on = 'ts', agg = 'sum(x)' }",
            "j.toml:5: 'window' in [[steps]]: '1 month' is not a duration",
        ),
        ("window = { agg = 'sum(x)' }", "j.toml:5: 'window' in [[steps]]: window() needs to know"),
        ("window.rows = 3\nwindow.agg = 'sum(y)'", "j.toml:5: 'window' in [[steps]]: window does not fit"),
        ("window.rows = 3\nwindow.agg = 'sum('", "j.toml:6: 'agg' in [[steps]] window: 'sum(' is not an SQL"),
        (
            "reduce = { agg = 'sum(x)', emit = 'end ' }",
            "j.toml:5: 'emit' in [[steps]] reduce: unknown name 'end '",
        ),
        ("scan = { by = 'k' }", "j.toml:5: missing key 'columns' in [[steps]] scan"),
        (
            "scan.columns = { t = { cumsum = 'x' } }",
            "j.toml:5: 't' in [[steps]] scan columns: did you mean 'cum_sum'? expected SQL, or a table with one of ",
        ),
        (
            "scan.columns = { t = { rolling_median = 'x', window_size = 3 } }",
            "j.toml:5: 't' in [[steps]] scan columns: 'rolling_median' needs Python, Pipeline.builder() and .scan(",
        ),
        *(
            (
                f"scan.columns = {{ t = {table} }}",
                "j.toml:5: 't' in [[steps]] scan columns: expected SQL, or a table with one of cum_sum, ",
            )
            for table in ("{ }", "{ LAG = 'x' }", "{ cum_sum = 'x', cum_min = 'x' }")
        ),
        (
            "scan.columns = { t = { rolling_sum = 'x' } }",
            "j.toml:5: missing key 'window_size' in [[steps]] scan columns t",
        ),
        (
            "filter = 'x > 1'\ntimeout = 'x'",
            "j.toml:6: 'timeout' in [[steps]]: 'x' is not a duration",
        ),
        (
            "buffer = 3\non_error = 'skip'",
            "j.toml:6: 'on_error' in [[steps]]: on_error() does not apply to buffer()",
        ),
        (
            "filter = 'x > 1'\non_error = ['skip', 'log']",
            "j.toml:6: 'on_error' in [[steps]]: log() comes after skip()",
        ),
        (
            "filter = 'x > 1'\non_error = ['log',\n'skipp']",
            "j.toml:7: item 2 of 'on_error' in [[steps]]: unknown name 'skipp' (did you mean 'skip'?)",
        ),
        (
            "filter = 'x > 1'\non_error = 'dead_letter'",
            "j.toml:6: 'on_error' in [[steps]]: needs a sink: ",
        ),
        (
            "filter = 'x > 1'\non_error = [{ retry = 1, delai = 3 }]",
            "j.toml:6: unknown key 'delai' in [[steps]] on_error 0 (did you mean 'delay'?)",
        ),
        (
            "filter = 'x > 1'\non_error = [{ retry = 1, jitter = 3 }]",
            "j.toml:6: item 1 of 'on_error' in [[steps]]: retry(jitter=...) does not fit; expected: ",
        ),
        (
            "filter = 'x > 1'\non_error = { skip = false }",
            "j.toml:6: 'skip' in [[steps]] on_error: leave it out instead",
        ),
        (
            "filter = 'x > 1'\non_error = { delay = 3 }",
            "j.toml:6: 'on_error' in [[steps]]: a handler is a text, or a table with one of 'retry', ",
        ),
        (
            "filter = 'x > 1'\non_error = { dead_letter = { kind = 'file', path = 'in.parquet/x' } }",
            "j.toml:6: 'on_error' in [[steps]]: ",
        ),
    ],
)
def test_mistakes_in_steps(steps: str, message: str) -> None:
    assert refusal(f"[[steps]]\n{steps}").startswith(message)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            'event_time = "tss"',
            "j.toml:4: 'event_time' in [source]: the event time names a column that is not",
        ),
        ('event_time = "k"', "j.toml:4: 'event_time' in [source]: column 'k' is not a time"),
        ('event_time = "ts"\nlateness = "x"', "j.toml:5: 'lateness' in [source]: 'x' is not a duration"),
        ('max_jump = "5s"', "j.toml:4: 'max_jump' in [source]: needs 'event_time'"),
        (
            'event_time = "ts"\nadvance_when_idle = true',
            "j.toml:4: 'event_time' in [source]: advance_when_idle=True",
        ),
        ('lateness = "5s"', "j.toml:4: 'lateness' in [source]: needs 'event_time'"),
    ],
)
def test_mistakes_in_event_time(source: str, message: str) -> None:
    assert refusal("", source=source).startswith(message)


@pytest.mark.parametrize(
    ("sink", "message"),
    [
        ("sink = []", "[sink]: has no sink"),
        (f'{SINK}path = "a.parquet"\n{SINK}path = "b.csv"', "j.toml:7: item 2 of [sink]: "),
        (
            f'{SINK}path = "a.parquet"\n{SINK}path = "a.parquet"',
            "j.toml:7: item 2 of [sink]: two sinks write to the same place",
        ),
        (
            f'{SINK}path = "a.parquet"\n{SINK}path = "b.parquet"\non_error = "no"',
            "j.toml:10: 'on_error' in [[sink]]: unknown name 'no'",
        ),
        (
            f'{SINK}path = "a.parquet"\n{SINK}path = "b.parquet"\non_error = ["skip", "log"]',
            "j.toml:10: 'on_error' in [[sink]]: log() comes after skip()",
        ),
    ],
)
def test_mistakes_in_sinks(sink: str, message: str) -> None:
    if sink == "sink = []":
        text = Path("j.toml")
        text.write_text('sink = []\n[source]\nkind = "file"\npath = "in.parquet"')
        with pytest.raises(JobError, match="has no sink"):
            Job.load(text)
    else:
        assert refusal("", sink=sink).startswith(message)


def test_sql_means_what_polars_makes_of_it() -> None:
    total: Any = written("[[steps]]\nreduce = { agg = { n = 'count(*)', top = 'max(x) - min(x)' } }")
    assert total.rows() == [(6, 5)]


def test_a_sum_of_nothing_but_nulls_is_what_polars_makes_of_sql() -> None:
    own = FRAME.group_by("k").agg(pl.sql_expr("sum(x)").alias("s")).sort("k")
    steps = "[[steps]]\nreduce = {{ by = 'k', agg = {{ s = '{}' }} }}"
    assert_frame_equal(written(steps.format("sum(x)")).sort("k"), own)
    filled = written(steps.format("coalesce(sum(x), 0)")).sort("k")
    assert filled.rows() == [(None, 0), ("a", 10), ("b", 7)]
