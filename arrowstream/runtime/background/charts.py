"""Charts of a run: of its history and of its report, by altair, as Polars' own plots.

A page that shows an altair chart loads Vega from the network, and Vega itself has 0.8 MB. So a cell shows these
charts as SVG, which needs no script.
"""

from __future__ import annotations

from collections.abc import Sequence
from io import StringIO
from typing import Any

import polars as pl

from arrowstream.errors import MissingExtra
from arrowstream.metrics.stage import StageMetrics

try:
    import altair as alt
    import vl_convert  # noqa: F401  altair calls it for the SVG of a chart, and it is better missed here
    from altair import Chart, VConcatChart
except ImportError as error:
    raise MissingExtra(
        f"plot() needs altair and vl-convert-python: {error}", hint="pip install 'arrowstream[notebook]'"
    ) from error

_WIDTH, _HEIGHT = 560, 110
"""The size of one panel, in pixels."""

_PANELS = {
    "rows_per_second": "rows out / s",
    "busy_share": "busy share",
    "queue_depth": "batches in queue",
    "p99_ms": "p99 / ms",
}
"""The figures of a history that are shown, with their titles."""


class RunChart(VConcatChart):
    """A chart of a run, which a cell of a notebook shows as SVG.

    With a renderer that the user has enabled (``altair.renderers.enable``) it is shown by that one.
    """

    def _repr_mimebundle_(self, *args: Any, **named: Any) -> Any:
        if alt.renderers.active != "default":
            return super()._repr_mimebundle_(*args, **named)
        drawn = StringIO()
        self.save(drawn, format="svg")
        return {"image/svg+xml": drawn.getvalue(), "text/plain": repr(self)}

    def __repr__(self) -> str:
        return "RunChart(...)"


def history_chart(history: pl.DataFrame, name: str) -> RunChart:
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
        alt.Chart(_data(data.select("seconds", "stage", figure).drop_nulls()))
        .mark_line()
        .encode(alt.X("seconds:Q", title="seconds"), alt.Y(f"{figure}:Q", title=title), color)
        .properties(width=_WIDTH, height=_HEIGHT)
        for figure, title in _PANELS.items()
    ]
    return RunChart(vconcat=panels, title=name)


def report_chart(stages: Sequence[StageMetrics], name: str) -> RunChart:
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
    panels = [
        alt.Chart(_data(rows)).mark_bar().encode(alt.X("rows out:Q"), place).properties(width=_WIDTH),
        alt.Chart(_data(times))
        .mark_bar()
        .encode(alt.X("seconds:Q"), place, alt.Color("time:N", title=None))
        .properties(width=_WIDTH),
    ]
    return RunChart(vconcat=panels, title=name)


def _data(rows: pl.DataFrame) -> alt.InlineData:
    """Return rows as a part of the chart: altair refuses a frame of more than 5,000 rows, as of a long run."""
    return alt.InlineData(values=rows.to_dicts())
