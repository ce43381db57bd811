"""The commands of the command line: run, explain, schema, doctor.

Results go to stdout; progress, notices and errors to stderr, as does the report of a run whose sink writes to stdout.
A mistake in a job is one line with file and line number. Exit codes::

    0    the run is complete, or ended at its --limit or --duration
    1    the run failed; nothing half-written has a final name
    2    the job or the command line is wrong; nothing ran
    3    SIGINT or SIGTERM stopped the run early: what was read by then is delivered and committed
    130  a second SIGINT ended the run at once, and nothing is committed (143: SIGTERM)

Paths, on the command line and in jobs, start at the current directory. Settings come from
``arrowstream.toml`` there, if it exists, and from variables such as ``ARROWSTREAM_MAX_RETRIES``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import polars as pl
import typer

from arrowstream.backends.registry import backends
from arrowstream.cli import doctor as checks
from arrowstream.config.settings import Settings
from arrowstream.connectors.source import Source
from arrowstream.core.duration import seconds
from arrowstream.errors import ArrowstreamError, RunInterrupted
from arrowstream.jobs.job import Job
from arrowstream.jobs.job_errors import in_words_of_jobs, one_line
from arrowstream.runtime.signals import SIGNALS, SignalHandling
from arrowstream.terminal import print_report

GRACE_SECONDS = 1.0
"""Time that a run has after a second signal to remove half-written files, in seconds."""

CUT_SHORT = 3
"""Exit code of a run that a signal stopped before its stream ended."""

app = typer.Typer(
    help="Streaming over Arrow batches: run, explain and check pipelines written as TOML jobs.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

JobPath = Annotated[str, typer.Argument(metavar="JOB.toml", help="The job.")]


@app.command()
def run(
    job: JobPath,
    limit: Annotated[
        int | None, typer.Option(min=0, help="Stop once this number of rows has come out.")
    ] = None,
    duration: Annotated[str | None, typer.Option(help="Stop after this time, such as 10s or 1m30s.")] = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print nothing but errors and losses of rows.")
    ] = False,
) -> None:
    """Run a job; Ctrl-C or SIGTERM stops it gently (exit code 3), a second one at once (130 or 143)."""
    with _refusing():
        time = None if duration is None else seconds(duration)
        pipeline = Job.load(job).pipeline(Settings.load())

    def say(text: str) -> None:
        if not quiet:
            typer.echo(text, err=True)

    try:
        report = pipeline.run_sync(
            progress=not quiet,
            limit=limit,
            duration=time,
            signals=SignalHandling(say, exit_after=GRACE_SECONDS),
        )
    except RunInterrupted as interrupted:
        say(str(interrupted))
        raise typer.Exit(128 + interrupted.number) from None
    except ArrowstreamError as error:
        typer.echo("\n".join([str(in_words_of_jobs(error)), *getattr(error, "__notes__", ())]), err=True)
        raise typer.Exit(1) from None
    if not quiet:
        # Rows on stdout are not mixed with anything else.
        print_report(report, stderr=pipeline.writes_to(Path("/dev/stdout")))
    elif report.losses is not None:
        typer.echo(report.losses, err=True)
    if report.stopped in {number.name for number in SIGNALS}:
        raise typer.Exit(CUT_SHORT)


@app.command()
def explain(job: JobPath) -> None:
    """Print the plan of a job: stages, fusion, schemas, backends and why."""
    with _refusing():
        typer.echo(Job.load(job).pipeline(Settings.load()).explain())


@app.command()
def schema(
    targets: Annotated[
        list[str],
        typer.Argument(metavar="FILE_OR_JOB...", help="Data files, folders or globs; or jobs (.toml)."),
    ],
    delimiter: Annotated[
        str | None, typer.Option(help="Between the fields of a CSV file, such as ';' or '\\t'.")
    ] = None,
) -> None:
    """Print names and types: of data files, or of a job's source and each of its steps.

    They are written as a job's [source.schema] has them, to copy and change.
    """
    with _refusing():
        found = [_schemas(target, delimiter) for target in targets]
    typer.echo("\n\n".join(f"# {label}\n{_toml(columns)}" for one in found for label, columns in one))
    marks = (_other_delimiter(one[0][1]) for one in found)
    for mark in dict.fromkeys(mark for mark in marks if mark is not None):
        typer.echo(
            f"there is one column, with {mark!r} in its name: try --delimiter {mark!r}, "
            f"in a job delimiter = {_string(mark)}, in Python .with_delimiter({mark!r})",
            err=True,
        )


@app.command()
def doctor(
    settings: Annotated[
        bool, typer.Option("--settings", help="Print every setting and where its value comes from instead.")
    ] = False,
) -> None:
    """Print versions, backends, cores, memory, GPU, and what each extra lacks."""
    if settings:
        with _refusing():
            typer.echo(checks.settings_table(Settings.load()))
        return
    typer.echo(checks.report(checks.findings([backend.name for backend in backends()])))


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"arrowstream {checks.installed('arrowstream') or '(not installed)'}")
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version.")
    ] = False,
) -> None:
    """Options before the command."""


@contextmanager
def _refusing() -> Iterator[None]:
    """Print what is wrong with the input on one line and exit with 2."""
    try:
        yield
    except ArrowstreamError as error:
        typer.echo(one_line(error), err=True)
        raise typer.Exit(2) from None


def _schemas(target: str, delimiter: str | None) -> list[tuple[str, pl.Schema | None]]:
    """Return the schemas of a file or a job, each with a label."""
    if target.endswith(".toml"):
        return list(Job.load(target).schemas())
    source = Source.from_file(target)
    if delimiter is not None:
        source = source.with_delimiter(delimiter.replace("\\t", "\t"))
    return [(target, source.schema())]


def _other_delimiter(columns: pl.Schema | None) -> str | None:
    """Guess the delimiter of a CSV file that was read with a wrong one; None if nothing suggests another."""
    names = [] if columns is None else columns.names()
    return next((mark for mark in ";\t|" if mark in names[0]), None) if len(names) == 1 else None


def _toml(columns: pl.Schema | None) -> str:
    """Format a schema as lines of TOML."""
    if columns is None:
        return "# known only once the first batch has come"
    return "\n".join(f"{_key(name)} = {_string(str(dtype))}" for name, dtype in columns.items())


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _string(name)


def _string(text: str) -> str:
    # JSON's escapes are those of TOML, except for the delete character, which TOML requires escaped.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
