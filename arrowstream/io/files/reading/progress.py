"""How far a source of files has come, and its position in a checkpoint."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from arrowstream.core.snapshot_store import JsonValue, SourcePosition, position_number
from arrowstream.errors import SourceError
from arrowstream.io.files.reading.done_files import DoneFiles, decoded, stamped
from arrowstream.io.files.reading.stamps import Stamp, fingerprint
from arrowstream.io.files.reading.written_paths import renaming, written


@dataclass(frozen=True, slots=True)
class ResumePoint:
    """Where reading begins: at the beginning of the files, or where an earlier run ended.

    Parameters
    ----------
    files
        The files of which the earlier run may have handed out rows but not all of them, in the order in which they
        are read.
    fingerprints
        The fingerprint of each, or None.
    row
        Row of the first of these files, counted from 0, at which reading begins.
    rows
        Number of rows that the query gives from there on, over all of these files, and that were handed out.
    bad_rows
        Number of rows at the beginning of the first of these files among which bad ones have been reported; None if
        those of all these files have been.
    """

    files: tuple[Stamp, ...] = ()
    fingerprints: tuple[int | None, ...] = ()
    row: int = 0
    rows: int = 0
    bad_rows: int | None = 0


@dataclass(slots=True)
class _Place:
    """A row of a file, from which rows that are handed out are counted.

    Parameters
    ----------
    files
        The file, or several small ones that are read together, or those that are left of these.
    row
        The row of the first of them.
    end
        Number of rows that came out from there to the end of all these files, once it is reached.
    """

    files: tuple[Stamp | None, ...]
    row: int
    end: int | None = None


class FilePosition(Mapping[str, JsonValue]):
    """The position of a reader at one moment, as JSON that is made when it is looked at.

    It is taken after every batch, and saved at some. When it is made, the end of a file may be known that was not
    known when it was taken: then the file is among those that have been read.

    Parameters
    ----------
    paths
        The paths of the source, as they are written.
    done, count
        The files that have been read, and how many of them had been when the position was taken.
    place, rows
        The row from which rows are counted, and their number.
    bad_rows
        As in `ResumePoint`.
    """

    def __init__(
        self,
        paths: Sequence[str],
        done: DoneFiles,
        count: int,
        place: _Place,
        rows: int,
        bad_rows: int | None,
    ) -> None:
        self._paths = paths
        self._done = done
        self._count = count
        self._place = place
        self._rows = rows
        self._bad_rows = bad_rows

    def __getitem__(self, key: str) -> JsonValue:
        return self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    @cached_property
    def _values(self) -> dict[str, JsonValue]:
        place = self._place
        if place.end == self._rows:
            done, place, rows = self._done.encoded(self._count, place.files), _Place((), 0), 0
        else:
            done, rows = self._done.encoded(self._count), self._rows
        reading = [[*file, fingerprint(file)] for file in map(stamped, place.files)]
        return {
            "version": 1,
            "given": written(self._paths),
            "done": done,
            "reading": reading,
            "row": place.row,
            "rows": rows,
            "bad_rows": self._bad_rows if reading else 0,
        }


class ReadProgress:
    """What the readers of one run have handed out.

    Parameters
    ----------
    paths
        The paths of the source, as they are written.
    resume
        Position of an earlier run, or None.

    Attributes
    ----------
    done : DoneFiles
        The files that have been read to their end.
    start : Start
        Where reading begins.
    to_drop : int
        Number of rows that are still to be read again, as an earlier run has handed them out.

    Raises
    ------
    SourceError
        The position is not one of files.
    """

    __slots__ = ("_bad_rows", "_paths", "_place", "_resumed", "_rows", "done", "start", "to_drop")

    def __init__(self, paths: Sequence[str], resume: SourcePosition | None = None) -> None:
        self._paths = paths
        self.done, self.start = (DoneFiles(), ResumePoint()) if resume is None else _read(paths, resume)
        self.to_drop = self._rows = self.start.rows
        self._place = _Place(self.start.files, self.start.row)
        self._bad_rows = self.start.bad_rows
        self._resumed = self._now()

    def position(self) -> FilePosition:
        """Return the position after the last rows that were handed out."""
        return self._resumed if self.to_drop else self._now()

    def _now(self) -> FilePosition:
        return FilePosition(self._paths, self.done, len(self.done), self._place, self._rows, self._bad_rows)

    def begin(self, files: Sequence[Stamp | None], row: int) -> None:
        """Count rows from row `row` of the first of some files on."""
        self._place = _Place(tuple(files), row)
        self._rows = 0

    def drop(self, rows: int) -> int:
        """Return how many of the next rows an earlier run has handed out, at most `rows`, and count them."""
        dropped = min(rows, self.to_drop)
        self.to_drop -= dropped
        self._rows += dropped
        return dropped

    def hand_out(self, rows: int) -> None:
        """Count rows that are handed out."""
        self._rows += rows

    def report_bad_rows(self, rows: int | None) -> None:
        """Take note that bad rows were reported among the first `rows` of the file; None for those of all files."""
        self._bad_rows = rows

    def finish(self, file: Stamp | None) -> None:
        """Take note that all rows of a file were handed out."""
        self.done.add(file)
        files = self._place.files
        if files and file is files[-1]:
            self._place.end = self._rows
            self.begin((), 0)

    def end(self) -> None:
        """Check, at the end of the files, that the rows which an earlier run had handed out were there again.

        Raises
        ------
        SourceError
            There were fewer.
        """
        if self.to_drop:
            raise SourceError(
                "the files have fewer rows than an earlier run had handed out",
                expected=f"{self.start.rows:,} rows, the same as in the earlier run",
                found=f"{self.start.rows - self.to_drop:,} rows",
                hint="steps at the start of the pipeline must give the same rows each time; or start from the "
                "beginning: from_checkpoint='ignore'",
            )


def _read(paths: Sequence[str], position: SourcePosition) -> tuple[DoneFiles, ResumePoint]:
    row, rows = position_number(position, "row"), position_number(position, "rows")
    values: Mapping[str, Any] = position
    try:
        renamed = renaming(values["given"], written(paths))
        reading = [(Stamp(renamed(path), size, mark), crc) for path, size, mark, crc in values["reading"]]
        files, crcs = tuple(stamp for stamp, _ in reading), tuple(crc for _, crc in reading)
        return decoded(values["done"], renamed), ResumePoint(files, crcs, row, rows, values["bad_rows"])
    except (KeyError, TypeError, ValueError) as error:
        raise SourceError(
            "the source cannot continue after this position",
            expected="the position of a source of files",
            found=f"{type(error).__name__}: {error}",
            hint="it is of another source: run without the snapshots",
        ) from error
