"""Charts of histories and reports."""

import re
import sys
from collections.abc import Iterator
from xml.etree import ElementTree

import altair
import polars as pl
import pytest

from arrowstream import Pipeline
from arrowstream.errors import MissingExtra
from arrowstream.runtime.background.charts import history_chart
from arrowstream.testing import TestSink, TestSource

pytestmark = pytest.mark.once


def pipeline() -> Pipeline:
    builder = Pipeline.builder(name="odd").source(TestSource.from_list([1, 2, 3]))
    return builder.filter(pl.col("value") % 2 == 1).sink(TestSink()).build()


def test_a_history_has_a_panel_for_each_figure() -> None:
    running = pipeline().start()
    running.wait(60)
    chart = running.plot().to_dict()
    assert chart["title"] == "odd" and len(chart["vconcat"]) == 4
    assert [panel["encoding"]["y"]["title"] for panel in chart["vconcat"]] == [
        *("rows out / s", "busy share", "batches in queue", "p99 / ms"),
    ]
    assert chart["vconcat"][0]["encoding"]["color"]["sort"] == ["source", "filter", "sink"]


def test_a_report_has_bars_of_rows_and_seconds() -> None:
    chart = pipeline().run_sync().plot().to_dict()
    rows = next(data for data in chart["datasets"].values() if "rows out" in data[0])
    assert [row["rows out"] for row in rows] == [3, 2, 2]
    assert chart["vconcat"][1]["encoding"]["color"]["field"] == "time"


@pytest.fixture
def png_of_the_user() -> Iterator[None]:
    with altair.renderers.enable("png", scale_factor=1):
        yield


def long_history() -> pl.DataFrame:
    """Return the history of a run of an hour with eight stages, as `Running.history` thins it out."""
    samples = pl.DataFrame({"seconds": [float(n) for n in range(1_200)]})
    figures = dict.fromkeys(("busy_share", "queue_depth", "p99_ms"), pl.col("seconds") % 7)
    stages = pl.DataFrame({"stage": [f"stage {n}" for n in range(8)]})
    return samples.join(stages, how="cross").with_columns(rows_per_second=pl.col("seconds") ** 2, **figures)


def test_a_cell_shows_a_chart_without_the_network() -> None:
    before = altair.renderers.active, altair.data_transformers.active
    shown = pipeline().run_sync().plot().properties(background="white")._repr_mimebundle_()
    assert set(shown) == {"image/svg+xml", "text/plain"} and shown["text/plain"] == "RunChart(...)"
    drawing = shown["image/svg+xml"]
    texts = "".join(ElementTree.fromstring(drawing).itertext())
    assert "odd" in texts and "rows out" in texts and "filter" in texts
    # What an SVG may load, run or link to.
    assert not re.search(r"<(script|image|foreignObject|style)|url\((?!#)|@import|\bsrc=", drawing)
    assert set(re.findall(r"https?://[^\"' ]*", drawing)) <= {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }
    assert (altair.renderers.active, altair.data_transformers.active) == before


def test_a_long_run_has_a_chart_of_sane_size() -> None:
    shown = history_chart(long_history(), "long")._repr_mimebundle_()
    assert len(shown["image/svg+xml"]) < 1_000_000
    assert "stage 7" in shown["image/svg+xml"]


@pytest.mark.usefixtures("png_of_the_user")
def test_the_renderer_that_the_user_has_chosen_shows_a_chart() -> None:
    shown, _ = pipeline().run_sync().plot()._repr_mimebundle_()
    assert set(shown) == {"image/png"}


@pytest.mark.parametrize("missing", ["altair", "vl_convert"])
def test_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    monkeypatch.delitem(sys.modules, "arrowstream.runtime.background.charts", raising=False)
    with pytest.raises(MissingExtra, match="altair and vl-convert") as raised:
        pipeline().run_sync().plot()
    assert raised.value.hint == "pip install 'arrowstream[notebook]'"
