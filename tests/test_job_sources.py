"""Jobs with several sources, each with steps of its own, which are merged."""

from pathlib import Path

import polars as pl
import pytest

from arrowstream import Pipeline, Source
from arrowstream.errors import JobError
from arrowstream.jobs.job import Job

JOB = """\
[[source]]
kind = "file"
path = "eu.csv"
[[source.steps]]
with_columns = { region = "'eu'" }
[[source]]
name = "us"
kind = "file"
path = "us.csv"
[[source.steps]]
rename = { cents = "price" }
[[source.steps]]
with_columns = { price = "CAST(price AS DOUBLE) / 100::DOUBLE", region = "'us'" }
[[steps]]
filter = "price > 1"
[sink]
kind = "file"
path = "all.csv"
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("eu.csv").write_text("item,price\ntea,2.5\nmint,0.5\n")
    Path("us.csv").write_text("item,cents\ntea,300\ngum,50\n")


def load(text: str = JOB) -> Job:
    Path("j.toml").write_text(text)
    return Job.load("j.toml")


def test_rows_of_all_sources_go_through_the_steps() -> None:
    assert load().pipeline().run_sync().rows_in == 4
    assert sorted(pl.read_csv("all.csv").rows()) == [("tea", 2.5, "eu"), ("tea", 3.0, "us")]


def test_it_is_the_builders_merge() -> None:
    us = Pipeline.builder("us").source(Source.from_file("us.csv")).rename({"cents": "price"})
    us = us.with_columns(
        pl.sql_expr("CAST(price AS DOUBLE) / 100::DOUBLE").alias("price"), region=pl.sql_expr("'us'")
    )
    builder = (
        Pipeline.builder("j").source(Source.from_file("eu.csv")).with_columns(region=pl.sql_expr("'eu'"))
    )
    builder = builder.merge(us).filter(pl.sql_expr("price > 1"))
    job = load()
    assert job.prefixes[-1].builder.explain() == builder.explain()
    assert job.summary == "j: 2 sources, 4 steps, 1 sink"


def test_schemas_name_the_source() -> None:
    prices = pl.Schema({"item": pl.String, "price": pl.Float64})
    whole = pl.Schema({**prices, "region": pl.String})
    cents = pl.Schema({"item": pl.String, "cents": pl.Int64})
    assert list(load().schemas()) == [
        ("source 1 (j.toml:3)", prices),
        ("source 1 step 1 with_columns (j.toml:5)", whole),
        ("source us (j.toml:9)", cents),
        ("source us step 1 rename (j.toml:11)", pl.Schema({"item": pl.String, "price": pl.Int64})),
        ("source us step 2 with_columns (j.toml:13)", whole),
        ("merge (j.toml:6)", whole),
        ("step 1 filter (j.toml:15)", whole),
    ]


def test_three_sources_and_one_alone() -> None:
    text = (
        'source = [{ kind = "file", path = "eu.csv" }, { kind = "file", path = "eu.csv" }, { path = "eu.csv"'
    )
    text += ', kind = "file" }]\nsink = { kind = "file", path = "all.csv" }'
    job = load(text)
    assert [label for label, _ in job.schemas()] == [
        *(f"source {number} (j.toml:1)" for number in (1, 2, 3)),
        "merge (j.toml:1)",
    ]
    job.pipeline().run_sync()
    assert pl.read_csv("all.csv").height == 6
    text = '[source]\nname = "eu"\nkind = "file"\npath = "eu.csv"\n[[source.steps]]\nselect = "item"\n'
    job = load(text + '[sink]\nkind = "file"\npath = "all.csv"')
    assert [label for label, _ in job.schemas()] == [
        "source eu (j.toml:4)",
        "source eu step 1 select (j.toml:6)",
    ]
    job.pipeline().run_sync()
    assert pl.read_csv("all.csv").columns == ["item"]


def test_each_source_has_its_event_time() -> None:
    event_time = 'event_time = "at"\nlateness = "1s"\nschema = { at = "Datetime(\'us\')" }\n'
    for name in ("a", "b"):
        Path(f"{name}.csv").write_text("at,x\n2026-01-01T00:00:01,1\n2026-01-01T00:00:03,2\n")
    text = "".join(f'[[source]]\nkind = "file"\npath = "{name}.csv"\n{event_time}' for name in ("a", "b"))
    text += '[[steps]]\nwindow = { size = "2s", on = "at", agg = { n = "sum(x)" } }\n'
    load(text + '[sink]\nkind = "file"\npath = "all.csv"').pipeline().run_sync()
    assert pl.read_csv("all.csv")["n"].to_list() == [2, 4]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"us.csv"', '"uss.csv"', "j.toml:9: 'path' in [[source]]: there is no file uss.csv"),
        ('cents = "price"', 'cnts = "price"', "j.toml:11: 'rename' in [[source.steps]]: "),
        (
            "rename =",
            "renam =",
            "j.toml:11: unknown key 'renam' in [[source.steps]] (did you mean 'rename'?)",
        ),
        (", region = \"'us'\"", "", "j.toml:6: item 2 of [source]: "),
        (
            "price > 1",
            "prize > 1",
            "j.toml:15: 'filter' in [[steps]]: filter() names a column that is not there",
        ),
        ('name = "us"', "name = 3", "j.toml:7: 'name' in [[source]]: expected a string, found the integer 3"),
        ('name = "us"', "nme = 3", "j.toml:7: unknown key 'nme' in [[source]] (did you mean 'name'?)"),
        (
            "[[source.steps]]\nwith_columns",
            "[source.steps]\nwith_columns",
            "j.toml:4: 'steps' in [[source]]: a step",
        ),
    ],
)
def test_mistakes_name_their_place(old: str, new: str, message: str) -> None:
    with pytest.raises(JobError) as raised:
        load(JOB.replace(old, new, 1)).pipeline()
    assert str(raised.value).startswith(message)


def test_no_source() -> None:
    with pytest.raises(JobError, match=r"^j\.toml:1: \[source\]: has no source$"):
        load('source = []\nsink = { kind = "file", path = "all.csv" }')


SIDES = """
[[source]]
kind = "file"
path = "a.csv"
event_time = "at"
schema = { at = "Datetime('us')" }
[[source]]
kind = "file"
path = "a.csv"
event_time = "at"
schema = { at = "Datetime('us')" }
[[source.steps]]
with_columns = { x = "CAST(x AS BIGINT)" }
on_error = ["log", { dead_letter = { kind = "file", path = "bad.csv" } }]
[[source.steps]]
cast = { x = "String" }
[[steps]]
window = { rows = 1, agg = "min(x)" }
[sink]
kind = "file"
path = "out.csv"
on_error = { dead_letter = { kind = "file", path = "bad2.csv" } }
"""

LATE = 'window = { size = "2s", on = "at", agg = "min(x)", late = { kind = "file", path = "late.csv" } }'


@pytest.mark.parametrize("step", ['window = { rows = 1, agg = "min(x)" }', LATE])
def test_a_preview_writes_nothing(step: str, tmp_path: Path) -> None:
    rows = "2026-01-01T00:00:01,1\n2026-01-01T00:01:03,x\n2026-01-01T00:00:01,3\n"
    Path("a.csv").write_text(f"at,x\n{rows}")
    before = {path.name for path in tmp_path.iterdir()} | {"j.toml"}
    job = load(SIDES.replace('window = { rows = 1, agg = "min(x)" }', step))
    assert job.preview(3)[0].height == (2 if step == LATE else 3)
    assert job.preview(0)[0].height == 0
    assert {path.name for path in tmp_path.iterdir()} == before
    job.pipeline().run_sync()
    made = {path.name for path in tmp_path.iterdir()} - before
    assert made >= {"out.csv", "bad.csv", *(["late.csv"] if step == LATE else [])}


def test_a_preview_of_a_wrong_job_is_refused() -> None:
    with pytest.raises(JobError, match=r"^j\.toml:\d+: \[sink\]: "):
        load(JOB.replace('"all.csv"', '"all.xyz"')).preview(3)


def test_a_preview_ends_after_its_duration() -> None:
    assert load().preview(3, duration="1h")[1].stopped is None


KAFKA = """\
[source]
kind = "kafka"
servers = "localhost:9092"
topic = ["a", "b"]
group = "g"
format = "raw"
start = {start}
partitions = [0, 1]
metadata = {{ offset = "o" }}
security = {{ mechanism = "PLAIN", username = "me", password = "hunter2" }}
[sink]
kind = "file"
path = "all.parquet"
"""


@pytest.mark.parametrize(
    ("start", "label"),
    [
        ("{ 0 = 17, 'b[1]' = 5 }", "given offsets"),
        ("1970-01-01T00:00:05Z", "time 5000 ms"),
        ("'latest'", "latest"),
    ],
)
def test_a_job_reads_from_kafka(start: str, label: str) -> None:
    explained = load(KAFKA.format(start=start)).pipeline().explain()
    assert f"kafka a, b [0, 1] at localhost:9092 ({label}, group g)" in explained
    assert "hunter2" not in explained


def test_what_a_job_says_wrong_about_kafka() -> None:
    with pytest.raises(JobError, match=r"j.toml:7.*an integer of at least 0"):
        load(KAFKA.format(start="{ 0 = 'x' }"))
    with pytest.raises(JobError, match="start"):
        load(KAFKA.format(start="5"))
