"""Charts of histories and reports."""

import sys

import polars as pl
import pytest

from arrowstream import Pipeline
from arrowstream.errors import MissingExtra
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


def test_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "altair", None)
    monkeypatch.delitem(sys.modules, "arrowstream.runtime.background.charts", raising=False)
    with pytest.raises(MissingExtra, match="altair") as raised:
        pipeline().run_sync().plot()
    assert raised.value.hint == "pip install 'arrowstream[notebook]'"
