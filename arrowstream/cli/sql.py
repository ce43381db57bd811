"""``arrowstream sql``: run a query over files, or show its plan."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import polars as pl
import typer

from arrowstream.cli.options import FAILED, code_of, refusing
from arrowstream.config.settings import Settings
from arrowstream.connectors.sink import Sink
from arrowstream.connectors.source import Source
from arrowstream.errors import ArrowstreamError, JobError, PlanError
from arrowstream.io.source import EventTimeSource, SourceSpec
from arrowstream.jobs.job_errors import one_line
from arrowstream.pipeline import Builder, Pipeline
from arrowstream.terminal import print_report


def sql(
    query: Annotated[str, typer.Argument(metavar="FILE.sql", help="The query; '-' for standard input.")],
    table: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=PATH", help="A table of the query: a file, a folder or a glob; repeatable."
        ),
    ] = None,
    event_time: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=COLUMN", help="The event time of a table, for windows that close; repeatable."
        ),
    ] = None,
    lateness: Annotated[str, typer.Option(help="By how much event times may be out of order.")] = "0s",
    output: Annotated[str | None, typer.Option(help="Write all rows to this file.")] = None,
    rows: Annotated[int, typer.Option(min=1, help="Without --output, print this number of rows.")] = 50,
    explain: Annotated[
        bool, typer.Option("--explain", help="Print the query and its plan; run nothing.")
    ] = False,
) -> None:
    """Run a SQL query over files; print its rows, or write them to a file."""
    with refusing():
        builder = Pipeline.sql(_text(query), **_tables(table or (), event_time or (), lateness))
        if output is None and explain:
            typer.echo(builder.explain())
            return
        pipeline = (
            None if output is None else builder.sink(Sink.to_file(output)).build(settings=Settings.load())
        )
        if pipeline is not None and explain:
            typer.echo(pipeline.explain())
            return
    try:
        if pipeline is not None:
            print_report(pipeline.run_sync(signals=True), stderr=True)
        else:
            _print(builder, rows)
    except PlanError as error:
        typer.echo(one_line(error), err=True)
        raise typer.Exit(code_of(error)) from None
    except ArrowstreamError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(FAILED) from None


def _print(builder: Builder, rows: int) -> None:
    with pl.Config(tbl_rows=-1, tbl_cols=-1, fmt_str_lengths=80):
        typer.echo(str(builder.preview(rows)))


def _text(query: str) -> str:
    if query == "-":
        return sys.stdin.read()
    try:
        return Path(query).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise JobError(f"{query}: no such file") from None
    except OSError as error:
        raise JobError(f"{query}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise JobError(f"{query}: the text is not UTF-8") from None


def _tables(
    tables: Iterable[str], event_times: Iterable[str], lateness: str
) -> dict[str, SourceSpec | EventTimeSource]:
    found: dict[str, SourceSpec | EventTimeSource] = {
        name: Source.from_file(path) for name, path in _pairs("--table", tables, "bids=bids.parquet")
    }
    for name, column in _pairs("--event-time", event_times, "bids=ts"):
        source = found.get(name)
        if not isinstance(source, SourceSpec):
            raise JobError(
                f"--event-time {name}={column}: no table is called {name}, or it has an event time already"
            )
        found[name] = source.with_event_time(column, lateness=lateness)
    return found


def _pairs(option: str, texts: Iterable[str], example: str) -> Iterable[tuple[str, str]]:
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name or not value:
            raise JobError(f"{option} {text}: expected NAME=VALUE, such as {option} {example}")
        yield name.strip(), value.strip()
