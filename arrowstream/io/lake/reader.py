"""`LakeReader`: the rows of a version of a table, and those that later versions have added."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Generic

from arrowstream.core.batch import Batch
from arrowstream.core.snapshot_store import SourcePosition, position_number
from arrowstream.core.step_context import StepContext
from arrowstream.errors import SourceError
from arrowstream.io.lake.history import File, TableHistory
from arrowstream.io.source import Reader

_VERSION = 1
_BEGINNING: SourcePosition = {
    "version": _VERSION,
    "table": "",
    "at": -1,
    "whole": True,
    "file": None,
    "rows": 0,
}
"""Position before the first row, when the version that is read is not known."""


class LakeReader(Reader, Generic[File]):
    """Reads a version of a table, then version by version what was added since, file by file.

    Parameters
    ----------
    history
        The table.
    version
        Version that is read; None for the newest one.
    follow
        Seconds between two looks for new versions; None to end with those that are there.
    context
        Clock and threads of the run.
    resume
        Position from which reading continues; None for all rows.
    """

    def __init__(
        self,
        history: TableHistory[File],
        version: int | None,
        follow: float | None,
        context: StepContext,
        resume: SourcePosition | None,
    ) -> None:
        self._history = history
        self._version = version
        self._follow = follow
        self._context = context
        if resume is not None:
            position_number(resume, "at", _VERSION)
        self._position = _BEGINNING if resume is None else resume
        self._rows: Iterator[tuple[Batch, SourcePosition]] | None = None
        # Where the worker thread is, which may be ahead of the position.
        self._id = ""
        self._at = -1

    def position(self) -> SourcePosition:
        return self._position

    async def read(self) -> Batch | None:
        while True:
            batch, self._position = await self._context.threads.call(self._next)
            if batch is not None or self._follow is None:
                return batch
            await self._context.clock.sleep(self._follow)

    async def close(self) -> None:
        self._rows = None
        self._history.close()

    def _next(self) -> tuple[Batch | None, SourcePosition]:
        """Return the next batch and the position after it; without a batch if all versions are read."""
        with self._history.reading():
            if self._rows is None:
                self._rows = self._versions(self._history.later(self._at)) if self._id else self._start()
            found = next(self._rows, None)
        if found is not None:
            return found
        self._rows = None
        return None, self._place(whole=False, file=None, rows=0)

    def _place(self, *, whole: bool, file: str | None, rows: int) -> SourcePosition:
        return {
            "version": _VERSION,
            "table": self._id,
            "at": self._at,
            "whole": whole,
            "file": file,
            "rows": rows,
        }

    def _start(self) -> Iterator[tuple[Batch, SourcePosition]]:
        resume, history = self._position, self._history
        fresh = resume["at"] == -1
        self._id, newest = history.open(self._version if fresh else None)
        self._at = newest if fresh else position_number(resume, "at", _VERSION)
        if not fresh and (resume["table"] != self._id or not history.has(self._at)):
            raise SourceError(
                f"{history} has been replaced since the checkpoint",
                expected=f"the table {resume['table']} with version {self._at}",
                found=f"the table {self._id} with version {newest}",
                hint="run(from_checkpoint='ignore') reads the new table from the beginning",
            )
        # Before the first row, so that a run that does not follow the table ends with what is there now.
        later = history.later(self._at) if self._version is None or self._follow is not None else ()
        if fresh:
            yield from self._read(history.files(self._at), whole=True)
        else:
            yield from self._rest(resume)
        yield from self._versions(later)

    def _rest(self, resume: SourcePosition) -> Iterator[tuple[Batch, SourcePosition]]:
        """Read what an earlier run has left of the files of a version."""
        last: Any = resume["file"]
        if last is None:
            return
        whole = bool(resume["whole"])
        files = self._history.files(self._at) if whole else self._history.added(self._at)
        left = [file for file in files if file.path >= last]
        yield from self._read(left, whole=whole, start=position_number(resume, "rows", _VERSION))

    def _versions(self, later: Sequence[int]) -> Iterator[tuple[Batch, SourcePosition]]:
        for version in later:
            self._at = version
            yield from self._read(self._history.added(version), whole=False)

    def _read(
        self, files: Sequence[File], *, whole: bool, start: int = 0
    ) -> Iterator[tuple[Batch, SourcePosition]]:
        for file in files:
            rows = start
            for batch in self._history.rows(file, start):
                rows += batch.num_rows
                yield batch, self._place(whole=whole, file=file.path, rows=rows)
            start = 0
