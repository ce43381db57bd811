"""Opening a source, from a position if it can continue from one."""

from __future__ import annotations

from arrowstream.core.snapshot_store import SourcePosition
from arrowstream.core.step_context import StepContext
from arrowstream.errors import SourceError
from arrowstream.io.source import BlockingReader, Query, Reader, SourceSpec


def open_source(
    source: SourceSpec, context: StepContext, query: Query | None = None, resume: SourcePosition | None = None
) -> Reader | BlockingReader:
    """Open a source, from the position `resume` on if it is given.

    Raises
    ------
    SourceError
        `resume` is given and the source is not `resumable`, or the source cannot be opened.
    """
    if resume is not None and not source.resumable:
        raise SourceError(
            f"{source.label} cannot continue where an earlier run ended",
            expected="a source that knows its position",
            found=f"the position {dict(resume)}",
            hint="read from files or a list of frames, or run without the snapshots of the earlier run",
        )
    return source.open(context, query, resume)
