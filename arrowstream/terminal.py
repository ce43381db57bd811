"""Output of a run on a terminal: a progress bar and figures of the stages during the run, a table after it.

The extra ``cli`` brings rich, which draws both and is imported only when something is drawn.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import isnan
from typing import TYPE_CHECKING

from arrowstream.core.plural import counted
from arrowstream.errors import MissingExtra
from arrowstream.metrics.snapshot import Metrics
from arrowstream.metrics.stage import StageMetrics
from arrowstream.runtime.report import Progress, RunReport

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table
    from rich.text import Text

PIPED_WIDTH = 160
"""Width, in characters, of a report that goes to a file or pipe."""


@contextmanager
def progress_bar(
    name: str,
    total_rows: int | None = None,
    *,
    metrics: Callable[[], Metrics] | None = None,
    console: Console | None = None,
) -> Iterator[Callable[[Progress], None]]:
    """Show a progress bar on stderr, if that is a terminal; yield the function that takes each `Progress`.

    Parameters
    ----------
    name
        The pipeline's name, shown before the bar.
    total_rows
        Total number of rows of the source, if known before the first `Progress` gives it.
    metrics
        Returns the metrics of the run, whose stages are shown below the bar; None for the bar alone.
    console
        Console to draw on instead of stderr.

    Raises
    ------
    MissingExtra
        rich is not installed.

    Examples
    --------
    >>> from arrowstream.runtime.report import Progress
    >>> with progress_bar("flights") as show:
    ...     show(Progress(rows_in=1000, rows_out=10, seconds=0.5))
    """
    if console is None and not sys.stderr.isatty():
        yield _draw_nothing  # a pipe needs no library that draws
        return
    try:
        from rich import progress
        from rich.console import Console
    except ImportError as error:
        raise missing_cli("a progress bar") from error
    # Not left to rich: with FORCE_COLOR, which many CI services set, it would draw the bar into their logs.
    console = console or Console(stderr=True, force_terminal=sys.stderr.isatty())
    if not console.is_terminal:
        yield _draw_nothing
        return
    stages = None if metrics is None else _Stages(metrics)

    class Bar(progress.Progress):
        def get_renderables(self) -> Iterator[RenderableType]:
            yield from super().get_renderables()
            if stages is not None:
                yield stages.table()

    # Without rich's thread: the runtime calls often enough, and a refresh is cheap compared to a batch.
    bar = Bar(
        progress.TextColumn("{task.description}", markup=False),
        progress.BarColumn(bar_width=20),
        progress.TextColumn("{task.fields[rows]}"),
        progress.TimeElapsedColumn(),
        console=console,
        auto_refresh=False,
        redirect_stdout=False,  # output of the user's code may go to a pipe
        transient=True,
    )
    task = bar.add_task(name, total=total_rows, rows="")

    def show(moment: Progress) -> None:
        total = moment.total_rows if moment.total_rows is not None else total_rows
        bar.update(task, completed=moment.rows_in, total=total, rows=_rows(moment), refresh=True)

    with bar:
        bar.refresh()
        yield show


def print_report(report: RunReport, *, console: Console | None = None, stderr: bool = False) -> None:
    """Print the report of a run on stdout: a line of totals, a table of stages, and lines of checkpoints and losses.

    Parameters
    ----------
    report
        The report of the run.
    console
        Console to print on instead of stdout.
    stderr
        True to print on stderr, and not on stdout.

    Raises
    ------
    MissingExtra
        rich is not installed.
    """
    try:
        from rich.console import Console
        from rich.table import Table
    except ImportError as error:
        raise missing_cli("a report") from error
    if console is None:
        is_terminal = (sys.stderr if stderr else sys.stdout).isatty()
        console = Console(highlight=False, width=None if is_terminal else PIPED_WIDTH, stderr=stderr)
    table = Table(box=None, pad_edge=False)
    table.add_column("stage", overflow="fold")
    for heading in ("rows in", "rows out", "busy s", "waiting s"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("batches", overflow="fold")
    for stage in report.all_stages:
        batches = ", ".join(f"{backend} {count:,}" for backend, count in stage.batches.items())
        counts = f"{stage.rows_in:,}", f"{stage.rows_out:,}"
        times = f"{stage.busy_seconds:.3f}", f"{stage.waiting_seconds:.3f}"
        table.add_row(_plain(stage.name), *counts, *times, _plain(batches))
    console.print(_plain(report.summary), soft_wrap=True)
    console.print(table)
    for more in (report.checkpoints, report.losses):
        if more is not None:
            console.print(_plain(str(more)), soft_wrap=True)


class _Stages:
    """The figures of all stages, as a table whose rates are those of the last second or more.

    Parameters
    ----------
    metrics
        Returns the metrics of the run.
    """

    def __init__(self, metrics: Callable[[], Metrics]) -> None:
        self._metrics = metrics
        self._before = self._older = Metrics.of("")

    def table(self) -> Table:
        """Return the table of this moment."""
        from rich.table import Table

        now = self._metrics()
        if now.seconds < self._before.seconds:  # these were the figures of an earlier run of the pipeline
            self._older = self._before = Metrics.of("")
        if now.seconds - self._before.seconds >= 1.0:
            self._older, self._before = self._before, now
        table = Table(box=None, pad_edge=False)
        table.add_column("stage", overflow="ellipsis", no_wrap=True)
        for heading in ("rows in", "rows out", "rows/s", "waiting", "busy", "p99", "late", "errors"):
            table.add_column(heading, justify="right", no_wrap=True)
        seconds = max(now.seconds - self._older.seconds, 1e-9)
        for name, stage in now.stages.items():
            older = self._older.stages.get(name, StageMetrics(name))
            p99 = stage.latency.p99_ms
            table.add_row(
                _plain(name),
                f"{stage.rows_in:,}",
                f"{stage.rows_out:,}",
                f"{(stage.rows_out - older.rows_out) / seconds:,.0f}",
                f"{stage.queue_depth}/{stage.queue_capacity}" if stage.queue_capacity else "-",
                f"{(stage.busy_seconds - older.busy_seconds) / seconds:.0%}",
                "-" if isnan(p99) else f"{p99:.3g} ms",
                f"{stage.late_rows:,}",
                f"{stage.errors:,}",
            )
        return table


def missing_cli(what: str) -> MissingExtra:
    """Return the error for `what`, which needs the missing extra ``cli``."""
    return MissingExtra(
        f"{what} needs the extra 'cli', which is not installed",
        hint="pip install 'arrowstream[cli]'",
    )


def _plain(text: str) -> Text:
    """Return text in which square brackets are not markup."""
    from rich.text import Text

    return Text(text)


def _rows(moment: Progress) -> str:
    speed = moment.rows_in / moment.seconds if moment.seconds > 0 else 0.0
    return f"{counted(moment.rows_in, 'rows in')}, {moment.rows_out:,} out, {speed:,.0f} rows/s"


def _draw_nothing(moment: Progress) -> None:
    """Do nothing with a progress, because stderr is not a terminal."""
