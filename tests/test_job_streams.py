"""Jobs whose steps join one of their sources as a stream."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from arrowstream import Pipeline, Source
from arrowstream.errors import JobError
from arrowstream.jobs.job import Job

START = datetime(2026, 1, 1)
ORDERS = pl.DataFrame(
    {"at": [START + timedelta(seconds=n) for n in (0, 10, 20)], "order": [1, 2, 3], "cents": [5, 6, 7]}
)
PAID = pl.DataFrame({"paid_at": [START + timedelta(seconds=n) for n in (4, 11, 90)], "order": [1, 2, 3]})

SOURCES = """\
[[source]]
name = "orders"
kind = "file"
path = "orders.parquet"
event_time = "at"
[[source]]
name = "paid"
kind = "file"
path = "paid.parquet"
event_time = "paid_at"
[[source.steps]]
filter = '"order" < 3'
"""
SINK = """
[sink]
kind = "file"
path = "out.parquet"
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ORDERS.write_parquet("orders.parquet")
    PAID.write_parquet("paid.parquet")


def load(steps: str, sources: str = SOURCES) -> Job:
    Path("j.toml").write_text(sources + steps + SINK)
    return Job.load("j.toml")


def refusal(steps: str, sources: str = SOURCES) -> str:
    with pytest.raises(JobError) as raised:
        load(steps, sources).pipeline()
    return str(raised.value)


def streams() -> tuple[object, object]:
    orders = Pipeline.builder("j").source(Source.from_file("orders.parquet").with_event_time("at"))
    paid = Pipeline.builder("paid").source(Source.from_file("paid.parquet").with_event_time("paid_at"))
    return orders, paid.filter(pl.sql_expr('"order" < 3'))


JOIN = (
    '\n[[steps]]\njoin = { stream = "paid", on = "order", how = "left", within = ["0s", "10s"], '
    'time = ["at", "paid_at"], max_bytes = 1_000_000, on_full = "spill", '
    'late = { kind = "file", path = "late.parquet" } }\n'
)


@pytest.mark.parametrize("turned", [False, True], ids=["first", "last"])
def test_a_join_of_streams_is_that_of_the_builder(turned: bool) -> None:
    """Whichever of the sources is joined, and wherever it stands."""
    sources = SOURCES
    if turned:
        first, second = sources.split("[[source]]\n")[1:]
        sources = f"[[source]]\n{second}[[source]]\n{first}"
    job = load(JOIN, sources)
    assert job.summary == "j: 2 sources, 2 steps, 1 sink"
    orders, paid = streams()
    builder = orders.join(paid, "order", "left", within=("0s", "10s"), max_bytes=1_000_000, on_full="spill")
    assert job.prefixes[-1].builder.schema() == builder.schema()
    job.pipeline().run_sync()
    found = pl.read_parquet("out.parquet").sort("order")
    assert found["paid_at"].is_not_null().to_list() == [True, True, False]
    assert found.equals(builder.collect_sync().sort("order"))


def test_a_join_of_streams_as_changes() -> None:
    step = 'join = { stream = "paid", on = "order", how = "left", within = "10s", time = ["at", "paid_at"], '
    load(f'[[steps]]\n{step} emit = "changes" }}').pipeline().run_sync()
    orders, paid = streams()
    found = pl.read_parquet("out.parquet")
    assert found.columns[-1] == "_change" and set(found["_change"]) <= {"insert", "delete"}
    deleted = found.filter(pl.col("_change") == "delete")
    kept = found.filter(pl.col("_change") == "insert").join(
        deleted, on=["order", "paid_at"], how="anti", nulls_equal=True
    )
    expected = orders.join(paid, "order", "left", within="10s", time=("at", "paid_at")).collect_sync()
    assert kept.drop("_change").sort("order").equals(expected.sort("order"))


def test_versions_of_a_stream() -> None:
    step = 'join_asof = { stream = "paid", left_on = "at", right_on = "paid_at", by = "order", '
    load(f'[[steps]]\n{step} strategy = "forward", max_bytes = 9999 }}').pipeline().run_sync()
    orders, paid = streams()
    expected = orders.join_asof(paid, left_on="at", right_on="paid_at", by="order", strategy="forward")
    found = pl.read_parquet("out.parquet").sort("order")
    assert found.equals(expected.collect_sync().sort("order"))
    assert found["paid_at"].null_count() == 1


def test_the_other_sources_are_merged() -> None:
    more = SOURCES + SOURCES.split("[[source]]\n")[1].join(["[[source]]\n", ""]).replace('"orders"', '"more"')
    load(JOIN, more).pipeline().run_sync()
    assert pl.read_parquet("out.parquet").height == 2 * ORDERS.height


def test_two_joins_with_one_stream() -> None:
    again = (
        JOIN + '[[steps]]\nselect = ["at", "\\"order\\""]\n' + JOIN.replace("late.parquet", "late2.parquet")
    )
    load(again).pipeline().run_sync()
    assert pl.read_parquet("out.parquet").height == ORDERS.height


KAFKA = """\
[[source]]
name = "paid"
kind = "kafka"
servers = "127.0.0.1:9"
topic = "t"
group = "g"
schema = { order = "Int64", paid_at = "Datetime('us')" }
event_time = "paid_at"
"""

REFUSALS = [
    (JOIN.replace('"paid"', '"piad"'), SOURCES, "no [[source]] has the name 'piad'"),
    (
        JOIN,
        SOURCES.replace('"orders"', '"paid"'),
        "j.toml:1: [source]: all sources are joined as streams",
    ),
    (
        JOIN,
        SOURCES + SOURCES.split("[[source]]\n")[2].join(["[[source]]\n", ""]),
        "two sources have the name 'paid'",
    ),
    (
        "",
        SOURCES + JOIN.replace("[[steps]]", "[[source.steps]]"),
        "'stream' in [[source.steps]] join: streams are joined in [[steps]], not in the steps of a source",
    ),
    (
        JOIN,
        "sql = 'SELECT * FROM orders, paid WHERE 1 = 1'\n" + SOURCES,
        "a join needs keys",
    ),
    (
        JOIN,
        "sql = 'SELECT * FROM orders'\n" + SOURCES,
        "a query joins its sources: write JOIN in 'sql'",
    ),
    (
        JOIN + JOIN.replace("late.parquet", "late2.parquet"),
        SOURCES.split("[[source]]\n")[1].join(["[[source]]\n", ""]) + KAFKA,
        "'paid' is joined already, and its rows come once",
    ),
    (
        JOIN.replace('within = ["0s", "10s"], ', ""),
        SOURCES,
        "missing key 'within' in [[steps]] join",
    ),
]


@pytest.mark.parametrize(("steps", "sources", "message"), REFUSALS, ids=[text for *_, text in REFUSALS])
def test_refusals(steps: str, sources: str, message: str) -> None:
    assert message in refusal(steps, sources)


@pytest.mark.parametrize("steps", ["steps = 3\n", "steps = [3]\n", "steps = [{ join = 3 }]\n"])
def test_steps_that_are_no_tables(steps: str) -> None:
    assert refusal("", steps + SOURCES).startswith("j.toml:1: ")
