"""Queries in jobs, on the command line, and in the example."""

from __future__ import annotations

import io
import runpy
import shutil
from pathlib import Path

import polars as pl
import pytest
from command_line import invoke

from arrowstream.errors import JobError
from arrowstream.jobs.job import Job

pytestmark = pytest.mark.once

EXAMPLES = Path(__file__).parents[2] / "examples"
QUERY = "SELECT item, sum(price) AS total FROM bids WHERE price > 1 GROUP BY item"
SOURCE = '[[source]]\nname = "bids"\nkind = "file"\npath = "in.csv"\n'
SINK = '[sink]\nkind = "file"\npath = "out.csv"\n'


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("in.csv").write_text(
        "item,price,at\na,1,2026-01-01T00:00:00\nb,5,2026-01-01T00:00:02\na,7,2026-01-01T00:00:01\n"
    )
    Path("q.sql").write_text(QUERY)


def job(text: str) -> Job:
    Path("job.toml").write_text(text)
    return Job.load("job.toml")


def test_a_job_has_a_query_over_its_sources() -> None:
    loaded = job(
        f'sql = """\n{QUERY}\n"""\n[pipeline]\nname = "sums"\n{SOURCE}[[steps]]\nfilter = "total > 5"\n{SINK}'
    )
    assert loaded.summary == "sums: 1 source, 1 step, 1 sink"
    assert [label.partition(" (")[0] for label, _ in loaded.schemas()] == [
        "source bids",
        "sql",
        "step 1 filter",
    ]
    pipeline = loaded.pipeline()
    assert pipeline.name == "sums"
    assert pipeline.explain().startswith(f"query\n  {QUERY}\npipeline sums\n")
    assert pipeline.run_sync().rows_out == 1
    assert pl.read_csv("out.csv").rows() == [("a", 7)]


def test_sources_of_a_query_have_steps_and_event_time() -> None:
    query = "SELECT x.item, y.price FROM bids x JOIN more y ON x.item = y.item AND x.at = y.at"
    second = SOURCE.replace("bids", "more") + 'event_time = "at"\n[[source.steps]]\nfilter = "price > 1"\n'
    loaded = job(f'sql = "{query}"\n{SOURCE}event_time = "at"\n{second}{SINK}')
    loaded.pipeline().run_sync()
    assert pl.read_csv("out.csv").sort("item").rows() == [("a", 7), ("b", 5)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            f'sql = "SELECT pirce FROM bids"\n{SOURCE}{SINK}',
            r"job.toml:1: \[sql\]: line 1, column 8: no column is called pirce; .*'price'",
        ),
        (
            f'sql = "{QUERY}"\n{SOURCE.replace("name", "#")}{SINK}',
            r"job.toml:2: .* needs 'name', by which 'sql' reads it",
        ),
        (f'sql = "{QUERY}"\n{SOURCE}{SOURCE}{SINK}', r"job.toml:6: .* two sources have the name 'bids'"),
        (f"sql = 3\n{SOURCE}{SINK}", r"job.toml:1: .* expected a string"),
        (f'sql = "{QUERY}"\nsource = []\n{SINK}', r"job.toml:2: .* has no source"),
    ],
)
def test_a_wrong_query_of_a_job_has_its_line(text: str, message: str) -> None:
    with pytest.raises(JobError, match=message):
        job(text)


def test_the_command_prints_rows() -> None:
    code, out, _ = invoke("sql", "q.sql", "--table", "bids=in.csv")
    assert code == 0 and "│ a    ┆ 7     │" in out
    assert "shape: (1, 2)" in invoke("sql", "q.sql", "--table", "bids=in.csv", "--rows", "1")[1]


def test_the_command_reads_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(QUERY))
    assert "total" in invoke("sql", "-", "--table", "bids=in.csv")[1]


def test_the_command_writes_a_file() -> None:
    code, out, err = invoke("sql", "q.sql", "--table", "bids=in.csv", "--output", "out.parquet")
    assert (code, out) == (0, "") and "2 rows out" in err
    assert pl.read_parquet("out.parquet").height == 2


def test_the_command_explains() -> None:
    plain = invoke("sql", "q.sql", "--table", "bids=in.csv", "--explain")
    assert (
        plain[0] == 0
        and plain[1].startswith(f"query\n  {QUERY}\npipeline sql\n")
        and "sink" not in plain[1].split("reduce")[0]
    )
    named = invoke("sql", "q.sql", "--table", "bids=in.csv", "--output", "o.csv", "--explain")
    assert "sink: file o.csv" in named[1] and not Path("o.csv").exists()


def test_the_command_knows_event_time() -> None:
    Path("w.sql").write_text(
        "SELECT TUMBLE_START(at, INTERVAL '2' SECOND) AS st, sum(price) AS total FROM bids GROUP BY TUMBLE(at, INTERVAL '2' SECOND)"
    )
    times = ("--event-time", "bids=at", "--lateness", "5s")
    code, out, _ = invoke("sql", "w.sql", "--table", "bids=in.csv", *times, "--explain")
    assert code == 0 and "with_event_time(at, lateness=5 s" in out.replace("5.0", "5")
    assert invoke("sql", "w.sql", "--table", "bids=in.csv", *times)[0] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("none.sql",), "none.sql: no such file"),
        ((".",), ".: Is a directory"),
        (("latin.sql",), "latin.sql: the text is not UTF-8"),
        (("q.sql",), "no table is called bids"),
        (
            ("q.sql", "--table", "bids"),
            "--table bids: expected NAME=VALUE, such as --table bids=bids.parquet",
        ),
        (("q.sql", "--table", "bids=in.csv", "--event-time", "bid=at"), "no table is called bid"),
        (("q.sql", "--table", "bids=none.csv"), "there is no file none.csv"),
    ],
)
def test_a_wrong_command_is_one_line(arguments: tuple[str, ...], message: str) -> None:
    Path("latin.sql").write_bytes(b"SELECT '\xe9'")
    code, out, err = invoke("sql", *arguments)
    assert (code, out) == (2, "")
    assert message in err and err.count("\n") == 1


def test_a_run_that_fails_has_its_code() -> None:
    Path("in.csv").write_text("item,price,at\na,1,2026-01-01T00:00:00\nb,x,2026-01-01T00:00:02\n")
    Path("f.sql").write_text("SELECT CAST(price AS BIGINT) AS p FROM bids")
    assert invoke("sql", "f.sql", "--table", "bids=in.csv")[0] == 1
    assert invoke("sql", "f.sql", "--table", "bids=in.csv", "--output", "o.csv")[0] == 1


def test_the_example_is_the_same_in_both_forms(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    runpy.run_path(str(EXAMPLES / "top_items.py"), run_name="__main__")
    assert "20,000 orders in, 180 top items out" in capsys.readouterr().out
    Path("examples").mkdir()
    shutil.copy(EXAMPLES / "top_items.toml", "examples")
    Job.load("examples/top_items.toml").pipeline().run_sync()
    by = ["minute", "item"]
    own, other = (pl.read_parquet(f"out/{name}.parquet").sort(by) for name in ("top_items", "top_items_job"))
    assert own.equals(other)
    orders = pl.read_parquet("orders/orders.parquet").join(
        pl.read_parquet("orders/items.parquet"), left_on="item", right_on="id"
    )
    sums = orders.group_by(minute=pl.col("at").dt.truncate("1m"), item="name").agg(
        orders=pl.len().cast(pl.Int64), revenue=(pl.col("quantity") * pl.col("price")).sum()
    )
    top = sums.sort("orders", "revenue", descending=True).group_by("minute").head(3).select(own.columns)
    assert (
        top.sort(by).select("minute", "orders", "revenue").equals(own.select("minute", "orders", "revenue"))
    )
