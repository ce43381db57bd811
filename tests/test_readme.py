"""The README and the guide run as they stand, each page in a fresh folder, and claim what was measured."""

import re
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from pages import KAFKA, ROOT, blocks, run_page
from servers.topics import new_topic

from arrowstream import Sink

README = ROOT / "README.md"
GUIDE = sorted((ROOT / "docs" / "guide").glob("*.md"))
PAGES = [README, ROOT / "docs" / "index.md", *GUIDE]


@pytest.mark.untraced
def test_the_readme_runs_from_top_to_bottom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    names, printed = run_page(README)
    assert pl.read_parquet("totals.parquet")["total"].len() == 400
    tea = pl.read_parquet("totals.parquet").filter(pl.col("item") == "tea", pl.col("total") > 10)
    minutes = tea.group_by_dynamic("at", every="1m").agg(orders=pl.len(), total=pl.col("total").sum())
    assert pl.read_csv("tea.csv").select("orders", "total").rows() == minutes.select("orders", "total").rows()
    assert pl.read_parquet("good.parquet").height == 400
    assert pl.read_ndjson("bad.ndjson")["price"].unique().to_list() == ["?"]
    assert names["minutes"].collect_sync()["orders"].sum() == 400
    assert "stage window" in printed and "rows in, 10 rows out" in printed
    out = capsys.readouterr().out
    assert "600 rows in, 400 rows out" in out and "400 good rows" in out


def test_the_readme_is_short_and_names_both_commands() -> None:
    text = README.read_text()
    assert len(text.splitlines()) <= 150
    assert "`make demo`" in text and "`make test`" in text


def test_the_readmes_figures_are_those_of_the_benchmarks() -> None:
    """A line of its table is one of `benchmarks/results.md`, up to the columns that it leaves out."""
    results = (ROOT / "benchmarks" / "results.md").read_text()
    claims = re.findall(r"^\| (.+?) \| ([\d.]+.*?) \|$", README.read_text(), re.MULTILINE)
    assert len(claims) == 5
    missing = [
        f"| {what} | {measured} |" for what, measured in claims if f"| {what} | {measured} |" not in results
    ]
    assert not missing, "copy the lines of benchmarks/results.md into the README"


TOPICS = {"kafka": {"orders": 3, "totals": 1}, "messages": {"items": 1}}
"""The topics that pages need, with their partitions."""


@pytest.mark.untraced
@pytest.mark.parametrize("page", GUIDE, ids=lambda page: page.stem)
def test_a_page_of_the_guide_runs(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any, request: pytest.FixtureRequest
) -> None:
    monkeypatch.chdir(tmp_path)
    if page.stem == "iceberg":
        pytest.importorskip("pyiceberg")
    assert any(language == "python" for language, _ in blocks(page))
    address = KAFKA
    if page.stem in TOPICS:
        address = request.getfixturevalue("embedded_kafka").address
        for topic, partitions in TOPICS[page.stem].items():
            new_topic(address, partitions, topic)
    names, printed = run_page(page, address)
    out = capsys.readouterr().out
    match page.stem:
        case "event-time":
            assert names["closed"]["clicks"].to_list() == [2]
            assert "noted: 1 row too far ahead" in out
        case "iceberg" | "lakes":
            assert "3 rows\n" in out and "1 new row\n" in out
        case "files":
            assert pl.read_ndjson("rain.ndjson").height == 2
        case "kafka":
            assert names["rows"].sort("at").select("at", "item", "price").equals(names["orders"])
            assert sorted(names["totals"]["orders"]) == [30] * 4
            assert (names["first"].rows_in, names["again"].rows_in) == (120, 0)
            assert "0 rows" in out and pl.read_parquet("bad.parquet").height == 120
            written = pl.read_parquet("totals.parquet").select(names["totals"].columns)
            assert sorted(written.rows()) == sorted(names["totals"].rows())
            assert (
                "lag of totals" in printed
                and "kafka.toml: ok" in printed
                and "120 rows in, 4 rows out" in printed
            )
            sinks = (Sink.to_fn(print), Sink.to_kafka(address, "t"), Sink.to_tcp("1"), Sink.to_file("t.csv"))
            assert [sink.shows_at_once for sink in sinks] == [True, True, False, False]
        case "messages":
            assert names["back"].equals(names["items"])
            assert str(["tea;3.0;hot", '"mug; large";NA;new']) in out
            assert "decode(avro, schemas from https://registry.example.com)" in out
        case "pipelines":
            assert names["totals"].collect_sync()["total"].to_list() == [12.5, 35.0]
            assert "looks at other rows" in out
        case "running":
            assert "costs: arrow" in out and "\n12\n" in out and "batches wait" in out
        case "testing":
            assert names["sink"].received() == [2, 4, 6, 8, 10]


def test_the_settings_of_the_guide_are_the_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from arrowstream import Settings

    monkeypatch.chdir(tmp_path)
    (block,) = (text for language, text in blocks(ROOT / "docs/guide/running.md") if language == "toml")
    Path("arrowstream.toml").write_text(block)
    assert Settings.load(environ={}) == Settings()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_links_of_a_page_lead_to_files(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text())
    missing = [
        target
        for target in targets
        if not target.startswith("https://") and not (page.parent / target).resolve().exists()
    ]
    assert not missing


def test_the_index_names_every_page_of_the_guide() -> None:
    index = (ROOT / "docs" / "index.md").read_text()
    assert [page.stem for page in GUIDE if f"(guide/{page.name})" not in index] == []
