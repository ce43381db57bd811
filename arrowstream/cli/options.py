"""What commands that take a job have in common: its options, how it is loaded, and how it is refused."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from arrowstream.core.failures import causes
from arrowstream.errors import ArrowstreamError, UnreadableData
from arrowstream.jobs.assignments import Assignment
from arrowstream.jobs.job import Job
from arrowstream.jobs.job_errors import one_line

REFUSED = 2
"""Exit code where the job or the command line is wrong."""

FAILED = 1
"""Exit code of a run that failed, and of data that cannot be read, which may show before the run."""

JobPath = Annotated[Path, typer.Argument(metavar="JOB.toml", help="The job.")]
Assignments = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Replace or add a value of the job, such as steps.0.filter='a > 1'; repeatable.",
    ),
]
RelativeToCwd = Annotated[
    bool,
    typer.Option(
        "--relative-to-cwd",
        help="Relative paths in the job start at the current directory, not at the folder of the job.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result on stdout as one line of JSON.")]


def load(job: Path, assignments: list[str] | None, relative_to_cwd: bool) -> Job:
    """Read a job as the options of a command say.

    Raises
    ------
    JobError
        The job or an assignment is wrong.
    """
    return Job.load(
        job,
        assignments=map(Assignment.written, assignments or ()),
        relative_to=Path() if relative_to_cwd else None,
    )


def code_of(error: BaseException) -> int:
    """Return the exit code for what was found before a run: 1 if data cannot be read, else 2.

    Examples
    --------
    >>> from arrowstream.errors import SourceError
    >>> code_of(UnreadableData("row 2 of a.csv cannot be read")), code_of(SourceError("there is no file a.csv"))
    (1, 2)
    """
    return FAILED if any(isinstance(each, UnreadableData) for each in causes(error)) else REFUSED


@contextmanager
def refusing(*failures: type[ArrowstreamError]) -> Iterator[None]:
    """Print what is wrong with the input on one line, and exit with the code for it: 1 for one of `failures`."""
    try:
        yield
    except ArrowstreamError as error:
        typer.echo(one_line(error), err=True)
        raise typer.Exit(FAILED if isinstance(error, failures) else code_of(error)) from None
