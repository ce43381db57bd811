"""The commands of the command line: run, sql, check, explain, schema, job-schema, checkpoints, doctor.

Results go to stdout; progress, notices and errors to stderr, as does the report of a run whose sink writes to stdout.
A mistake in a job is one line with file and line number. Exit codes::

    0    the run is complete, or ended at its --limit or --duration
    1    the run failed, or data cannot be read; nothing half-written has a final name
    2    the job or the command line is wrong; nothing ran
    3    SIGINT or SIGTERM stopped the run early: what was read by then is delivered and committed
    130  a second SIGINT ended the run at once, and nothing more is committed (143: SIGTERM)
    141  the reader of standard output, such as head, ended before the rows did: nothing is printed or committed

Relative paths on the command line start at the current directory, those in a job at the folder of its file. Settings
come from ``arrowstream.toml`` in the current directory, if it exists, and from variables such as
``ARROWSTREAM_MAX_RETRIES``.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Any

import polars as pl
import typer

from arrowstream.backends.registry import backends
from arrowstream.cli import doctor as checks
from arrowstream.cli import json_output, kafka_doctor
from arrowstream.cli.checkpoints import checkpoints
from arrowstream.cli.options import AsJson, Assignments, JobPath, RelativeToCwd, code_of, load, refusing
from arrowstream.cli.run import run
from arrowstream.cli.sql import sql
from arrowstream.config.settings import Settings
from arrowstream.connectors.source import Source
from arrowstream.errors import ArrowstreamError, SourceError
from arrowstream.io.files.formats import format_named
from arrowstream.jobs.job_errors import one_line
from arrowstream.jobs.schema import job_schema

app = typer.Typer(
    help="Streaming over Arrow batches: run, explain and check pipelines written as TOML jobs.",
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command()(run)
app.command()(checkpoints)
app.command()(sql)


@app.command()
def check(
    jobs: Annotated[list[Path], typer.Argument(metavar="JOB.toml...", help="The jobs.")],
    as_json: AsJson = False,
    assignments: Assignments = None,
    relative_to_cwd: RelativeToCwd = False,
) -> None:
    """Check jobs without running them: keys, values, SQL, columns and types, sources and sinks.

    Of the data only names and types are read. Exit code 2 if a job is wrong, 1 if only data cannot be read.
    """
    checked = [_checked(job, assignments, relative_to_cwd, quiet=as_json) for job in jobs]
    results = [result for _, result in checked]
    code = max(found for found, _ in checked)
    ok = code == 0
    if as_json:
        typer.echo(json_output.line({"ok": ok, "exit_code": code, "jobs": results}))
    if not ok:
        raise typer.Exit(code)


def _checked(
    path: Path, assignments: list[str] | None, relative_to_cwd: bool, *, quiet: bool
) -> tuple[int, dict[str, Any]]:
    """Check one job, and return its exit code and what is known of it; print that, too, unless `quiet`."""
    result: dict[str, Any] = {"job": str(path), "ok": False, "name": None, "summary": None, "schema": None}
    try:
        settings = Settings.load()
        job = load(path, assignments, relative_to_cwd)
        job.pipeline(settings)
        schema = job.prefixes[-1].builder.schema()
    except ArrowstreamError as error:
        typer.echo(one_line(error), err=True)
        return code_of(error), {**result, "error": json_output.of_error(error)}
    columns = json_output.of_schema(schema)
    if not quiet:
        unknown = "known only once the first batch has come" if columns is None else ""
        out = unknown or ", ".join(f"{name} {dtype}" for name, dtype in (columns or {}).items())
        typer.echo(f"{path}: ok\n  {job.summary}\n  out: {out}")
    known = {"ok": True, "name": job.name, "summary": job.summary, "schema": columns, "error": None}
    return 0, {**result, **known}


@app.command()
def explain(job: JobPath, assignments: Assignments = None, relative_to_cwd: RelativeToCwd = False) -> None:
    """Print the plan of a job: stages, fusion, schemas, backends and why."""
    with refusing():
        loaded = load(job, assignments, relative_to_cwd)
        typer.echo(loaded.hide(loaded.pipeline(Settings.load()).explain()))


@app.command()
def schema(
    targets: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE_OR_JOB...",
            help="Data files, folders or globs; '-', which is standard input; or jobs (.toml).",
        ),
    ],
    format: Annotated[
        str | None, typer.Option(help="Format of the data, such as csv; by default names of files decide.")
    ] = None,
    delimiter: Annotated[
        str | None, typer.Option(help="Between the fields of a CSV file, such as ';' or '\\t'.")
    ] = None,
    assignments: Assignments = None,
    relative_to_cwd: RelativeToCwd = False,
) -> None:
    """Print names and types: of data files, or of a job's source and each of its steps.

    They are written as a job's [source.schema] has them, to copy and change.
    """
    with refusing():
        found = [
            list(load(Path(target), assignments, relative_to_cwd).schemas())
            if target.endswith(".toml")
            else _of_files(target, format, delimiter)
            for target in targets
        ]
    typer.echo("\n\n".join(f"# {label}\n{_toml(columns)}" for one in found for label, columns in one))
    marks = (_other_delimiter(one[0][1]) for one in found)
    for mark in dict.fromkeys(mark for mark in marks if mark is not None):
        typer.echo(
            f"there is one column, with {mark!r} in its name: try --delimiter {mark!r}, "
            f"in a job delimiter = {_string(mark)}, in Python delimiter={mark!r}",
            err=True,
        )


@app.command("job-schema")
def print_job_schema() -> None:
    """Print the JSON schema of job files, with which editors complete and check them."""
    typer.echo(json.dumps(job_schema(), indent=2, ensure_ascii=False))


@app.command()
def doctor(
    settings: Annotated[
        bool, typer.Option("--settings", help="Print every setting and where its value comes from instead.")
    ] = False,
    kafka: Annotated[
        str | None,
        typer.Option(
            metavar="SERVERS", help="Print what a Kafka cluster says of itself instead: host:9092,..."
        ),
    ] = None,
    group: Annotated[
        list[str] | None,
        typer.Option(help="With --kafka: print the lag of this consumer group, too; repeatable."),
    ] = None,
    kafka_security: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE",
            help="With --kafka: an option of KafkaSecurity, such as password=env:NAME; repeatable.",
        ),
    ] = None,
) -> None:
    """Print versions, backends, cores, memory, GPU, and what each extra lacks.

    With --kafka, exit code 1 if no server answers.
    """
    if kafka is not None:
        with refusing(SourceError):
            typer.echo(checks.report(kafka_doctor.findings(kafka, group or (), kafka_security or ())))
        return
    if settings:
        with refusing():
            typer.echo(checks.settings_table(Settings.load()))
        return
    if group or kafka_security:
        raise typer.BadParameter("--group and --kafka-security need --kafka SERVERS")
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


def _of_files(target: str, format: str | None, delimiter: str | None) -> list[tuple[str, pl.Schema | None]]:
    """Return the schema of data files, with a label."""
    source = Source.from_file(target, format=format_named(format) if format is not None else None)
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
