"""What a person sees of a run on a terminal: a progress bar while it goes, a table when it is over.

Drawn with rich, which comes with the extra ``cli`` and is imported only here, when something is drawn.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from arrowstream.errors import MissingExtra
from arrowstream.runtime.report import Progress, RunReport

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

PIPED_WIDTH = 160
"""Columns of a report that goes to a file or pipe, which has no width of its own."""


@contextmanager
def progress_bar(
    name: str, total_rows: int | None = None, *, console: Console | None = None
) -> Iterator[Callable[[Progress], None]]:
    """A progress bar on stderr, as a function that takes each `Progress`; nothing is drawn off a terminal.

    Parameters
    ----------
    name
        The pipeline's name, shown before the bar.
    total_rows
        Rows the source will read in all, if that is known before the first `Progress` tells.
    console
        Where to draw instead.

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
    # Not left to rich: FORCE_COLOR, which many CI services set, would draw the bar into their logs.
    console = console or Console(stderr=True, force_terminal=sys.stderr.isatty())
    if not console.is_terminal:
        yield _draw_nothing
        return
    # No thread of rich's own: the runtime calls often enough, and a refresh is cheap beside a batch.
    bar = progress.Progress(
        progress.TextColumn("{task.description}", markup=False),
        progress.BarColumn(bar_width=20),
        progress.TextColumn("{task.fields[rows]}"),
        progress.TimeElapsedColumn(),
        console=console,
        auto_refresh=False,
        redirect_stdout=False,  # what the user's own code prints may be piped elsewhere
        transient=True,
    )
    task = bar.add_task(name, total=total_rows, rows="")

    def show(moment: Progress) -> None:
        total = moment.total_rows if moment.total_rows is not None else total_rows
        bar.update(task, completed=moment.rows_in, total=total, rows=_rows(moment), refresh=True)

    with bar:
        bar.refresh()
        yield show


def print_report(report: RunReport, *, console: Console | None = None) -> None:
    """Print a finished run on stdout: a line of totals, a table of its stages, and a line for what was lost.

    Parameters
    ----------
    report
        What the run did.
    console
        Where to print instead.

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
        console = Console(highlight=False, width=None if sys.stdout.isatty() else PIPED_WIDTH)
    table = Table(box=None, pad_edge=False)
    table.add_column("stage", overflow="fold")
    for heading in ("rows in", "rows out", "busy s", "waiting s"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("batches", overflow="fold")
    for stage in report.stages:
        batches = ", ".join(f"{backend} {count:,}" for backend, count in stage.batches.items())
        counts = f"{stage.rows_in:,}", f"{stage.rows_out:,}"
        times = f"{stage.busy_seconds:.3f}", f"{stage.waiting_seconds:.3f}"
        table.add_row(_plain(stage.name), *counts, *times, _plain(batches))
    console.print(_plain(report.summary), soft_wrap=True)
    console.print(table)
    if report.losses is not None:
        console.print(_plain(report.losses), soft_wrap=True)


def missing_cli(what: str) -> MissingExtra:
    """The error for something that needs the extra ``cli``."""
    return MissingExtra(
        f"{what} needs the extra 'cli', which is not installed",
        hint="pip install 'arrowstream[cli]'",
    )


def _plain(text: str) -> Text:
    """Text in which square brackets are no markup."""
    from rich.text import Text

    return Text(text)


def _rows(moment: Progress) -> str:
    speed = moment.rows_in / moment.seconds if moment.seconds > 0 else 0.0
    return f"{moment.rows_in:,} rows in, {moment.rows_out:,} out, {speed:,.0f} rows/s"


def _draw_nothing(moment: Progress) -> None:
    """Progress nobody sees."""
