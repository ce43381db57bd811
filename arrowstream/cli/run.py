"""``arrowstream run``: run a job, or show the first rows that come out of it."""

from __future__ import annotations

import select
import signal
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Annotated, Any

import polars as pl
import typer

from arrowstream.cli import json_output
from arrowstream.cli.options import FAILED, AsJson, Assignments, JobPath, RelativeToCwd, code_of, load
from arrowstream.config.settings import Settings
from arrowstream.core.duration import seconds
from arrowstream.core.failures import causes
from arrowstream.errors import ArrowstreamError, PlanError, RunInterrupted
from arrowstream.jobs.job import Job
from arrowstream.jobs.job_errors import in_words_of_jobs, one_line
from arrowstream.pipeline import Pipeline
from arrowstream.runtime.checkpoints.options import FromCheckpoint
from arrowstream.runtime.report import RunReport
from arrowstream.runtime.signals import SIGNALS, SignalHandling
from arrowstream.terminal import print_report

GRACE_SECONDS = 1.0
"""Time that a run has after a second signal to remove half-written files, in seconds."""

READER_GONE = 141
"""Exit code of a run whose rows went to standard output until its reader, such as ``head``, ended: 128 + SIGPIPE."""

CUT_SHORT = 3
"""Exit code of a run that a signal stopped before its stream ended."""


def run(
    job: JobPath,
    limit: Annotated[
        int | None, typer.Option(min=0, help="Stop once this number of rows has come out.")
    ] = None,
    duration: Annotated[str | None, typer.Option(help="Stop after this time, such as 10s or 1m30s.")] = None,
    preview: Annotated[
        int | None, typer.Option(min=1, help="Print this number of rows that come out first; write nothing.")
    ] = None,
    page: Annotated[
        int | None,
        typer.Option(
            min=0, max=65535, help="Serve the live page on this port while the job runs; 0 for any free one."
        ),
    ] = None,
    from_checkpoint: Annotated[
        FromCheckpoint,
        typer.Option(help="Whether a job with [checkpoint] continues, or starts from the beginning."),
    ] = "newest",
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print nothing but errors and losses of rows.")
    ] = False,
    as_json: AsJson = False,
    assignments: Assignments = None,
    relative_to_cwd: RelativeToCwd = False,
) -> None:
    """Run a job; Ctrl-C or SIGTERM stops it gently (exit code 3; 0 for SIGTERM with checkpoints), twice at once."""
    if preview is not None and limit is not None:
        raise typer.BadParameter("give either --preview or --limit")
    if preview is not None and page is not None:
        raise typer.BadParameter("give either --preview or --page")
    answer = _Answer(job, quiet, as_json)
    loaded: Job | None = None
    try:
        time = None if duration is None else seconds(duration)
        settings = Settings.load()
        loaded = load(job, assignments, relative_to_cwd)
        pipeline = loaded.pipeline(settings)
    except ArrowstreamError as error:
        raise answer.error(code_of(error), error, one_line(error), loaded) from None
    signals = SignalHandling(answer.say, exit_after=GRACE_SECONDS)
    try:
        if preview is not None:
            frame, report = loaded.preview(preview, settings, duration=time, signals=signals)
        else:
            frame = None
            with nullcontext() if page is None else _served(pipeline, page, answer):
                report = pipeline.run_sync(
                    progress=not quiet,
                    limit=limit,
                    duration=time,
                    signals=signals,
                    from_checkpoint=from_checkpoint,
                )
    except RunInterrupted as interrupted:
        answer.say(str(interrupted))
        raise answer.error(128 + interrupted.number, interrupted, None, loaded) from None
    except PlanError as error:
        raise answer.error(code_of(error), error, one_line(error), loaded) from None
    except ArrowstreamError as error:
        if _reader_has_gone(error):
            raise typer.Exit(READER_GONE) from None
        text = "\n".join([str(in_words_of_jobs(error)), *getattr(error, "__notes__", ())])
        raise answer.error(FAILED, error, text, loaded) from None
    code = CUT_SHORT if _is_cut_short(report) else 0
    if frame is not None:
        answer.rows(code, frame, report)
    else:
        answer.report(code, report, pipeline)
    if code:
        raise typer.Exit(code)


@contextmanager
def _served(pipeline: Pipeline, port: int, answer: _Answer) -> Iterator[None]:
    """Serve the live page, and say where."""
    with pipeline.serve(port) as page:
        answer.say(f"live page: {page.url}")
        yield


def _is_cut_short(report: RunReport) -> bool:
    """Return whether a signal stopped the run before its work was done.

    SIGTERM is how services are stopped: with checkpoints the next run goes on, and nothing is left undone.
    """
    if report.stopped == signal.SIGTERM.name and report.checkpoints is not None:
        return False
    return report.stopped in {number.name for number in SIGNALS}


def _reader_has_gone(error: BaseException) -> bool:
    """Return True if a run failed because nobody reads its standard output any more."""
    if not any(isinstance(each, BrokenPipeError) for each in causes(error)):
        return False
    pipe = select.poll()
    pipe.register(1, select.POLLOUT)
    return any(events & select.POLLERR for _, events in pipe.poll(0))


class _Answer:
    """The output of a run, as text or as JSON."""

    def __init__(self, job: Path, quiet: bool, as_json: bool) -> None:
        self._job = job
        self._quiet = quiet
        self._as_json = as_json

    def say(self, text: str) -> None:
        """Print a notice on stderr."""
        if not self._quiet:
            typer.echo(text, err=True)

    def report(self, code: int, report: RunReport, pipeline: Pipeline) -> None:
        """Print the report of a run on stdout; on stderr if the rows are there."""
        on_stderr = pipeline.writes_to(Path("/dev/stdout"))
        if self._as_json:
            self._json(code, json_output.of_report(report), on_stderr=on_stderr)
        elif not self._quiet:
            print_report(report, stderr=on_stderr)
        elif report.losses is not None:
            typer.echo(report.losses, err=True)

    def rows(self, code: int, frame: pl.DataFrame, report: RunReport) -> None:
        """Print the rows of a preview."""
        if self._as_json:
            found = {"schema": json_output.of_schema(frame.schema), "rows": frame.to_dicts()}
            self._json(code, {"stopped": report.stopped, **found})
        else:
            with pl.Config(tbl_rows=-1, tbl_cols=-1, fmt_str_lengths=80):
                typer.echo(str(frame))

    def error(self, code: int, error: ArrowstreamError, text: str | None, job: Job | None) -> typer.Exit:
        """Print an error without the secrets of the job, and return what ends the command."""
        hide = str if job is None else job.hide
        if text is not None:
            typer.echo(hide(text), err=True)
        if self._as_json:
            self._json(code, json_output.of_report(None), json_output.of_error(error, hide))
        return typer.Exit(code)

    def _json(
        self,
        code: int,
        result: dict[str, Any],
        error: dict[str, Any] | None = None,
        *,
        on_stderr: bool = False,
    ) -> None:
        head = {"ok": error is None, "exit_code": code, "job": str(self._job)}
        typer.echo(json_output.line({**head, **result, "error": error}), err=on_stderr)
