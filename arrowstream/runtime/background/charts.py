"""Charts of a run: of its history and of its report, by altair, as Polars' own plots."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import polars as pl

from arrowstream.errors import MissingExtra
from arrowstream.metrics.stage import StageMetrics

try:
    import altair as alt
except ImportError as error:
    raise MissingExtra(
        "plot() needs altair, which is not installed", hint="pip install 'arrowstream[notebook]'"
    ) from error

if TYPE_CHECKING:
    from altair import Chart, VConcatChart

_WIDTH, _HEIGHT = 560, 110
"""The size of one panel, in pixels."""

_PANELS = {
    "rows_per_second": "rows out / s",
    "busy_share": "busy share",
    "queue_depth": "batches in queue",
    "p99_ms": "p99 / ms",
}
"""The figures of a history that are shown, with their titles."""


def history_chart(history: pl.DataFrame, name: str) -> VConcatChart:
    """Return a panel for each figure of a history, with a line for each stage.

    Parameters
    ----------
    history
        What `Running.history` returns.
    name
        The pipeline's name, the title of the chart.
    """
    data = history.select("seconds", "stage", *_PANELS)
    stages = history["stage"].unique(maintain_order=True).to_list()
    color = alt.Color("stage:N", sort=stages, title="stage")
    panels: list[Chart] = [
        alt.Chart(data.select("seconds", "stage", figure).drop_nulls())
        .mark_line()
        .encode(alt.X("seconds:Q", title="seconds"), alt.Y(f"{figure}:Q", title=title), color)
        .properties(width=_WIDTH, height=_HEIGHT)
        for figure, title in _PANELS.items()
    ]
    chart: VConcatChart = alt.vconcat(*panels, title=name)
    return chart


def report_chart(stages: Sequence[StageMetrics], name: str) -> VConcatChart:
    """Return a bar for the rows that came out of each stage, and one for its time.

    Parameters
    ----------
    stages
        The stages of a report.
    name
        The pipeline's name, the title of the chart.
    """
    names = [stage.name for stage in stages]
    rows = pl.DataFrame({"stage": names, "rows out": [stage.rows_out for stage in stages]})
    times = pl.DataFrame(
        {
            "stage": names * 2,
            "time": ["busy"] * len(names) + ["waiting"] * len(names),
            "seconds": [*(each.busy_seconds for each in stages), *(each.waiting_seconds for each in stages)],
        }
    )
    place = alt.Y("stage:N", sort=names, title=None)
    chart: VConcatChart = alt.vconcat(
        alt.Chart(rows).mark_bar().encode(alt.X("rows out:Q"), place).properties(width=_WIDTH),
        alt.Chart(times)
        .mark_bar()
        .encode(alt.X("seconds:Q"), place, alt.Color("time:N", title=None))
        .properties(width=_WIDTH),
        title=name,
    )
    return chart
