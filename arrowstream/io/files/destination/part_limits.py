"""Where a part file of a folder ends and the next one begins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import polars as pl

from arrowstream.core.duration import Duration, seconds
from arrowstream.errors import PlanError
from arrowstream.io.files.destination.write_mode import Mode
from arrowstream.io.files.output.row_buffer import frame_bytes

ROWS_PER_FILE: Final = 4_194_304
"""Default number of rows per part file: 16 row groups of Parquet."""

_WAITING: Final = 4
_PIECES: Final = 8


@dataclass(frozen=True, slots=True)
class PartLimits:
    """Limits of a part file.

    Parameters
    ----------
    rows
        Most rows.
    nbytes
        Bytes after which a file ends; None for no limit. Rows that wait for the encoder are not counted, so
        their number is limited too.
    roll_every_s
        Seconds after which all open files end; None for no limit.
    """

    rows: int = ROWS_PER_FILE
    nbytes: int | None = None
    roll_every_s: float | None = None

    @property
    def rolls(self) -> bool:
        """True if files are to be seen while the run goes on."""
        return self.nbytes is not None or self.roll_every_s is not None

    @property
    def waiting_bytes(self) -> int | None:
        """Most bytes of rows that wait for an encoder, and of those of a row group; None for their defaults."""
        return None if self.nbytes is None else max(1, self.nbytes // _WAITING)

    def piece_rows(self, rows: pl.DataFrame) -> int:
        """Return the number of rows after which the size of a file is looked at."""
        if self.nbytes is None or not rows.height:
            return self.rows
        return max(1, rows.height * self.nbytes // (_PIECES * max(1, frame_bytes(rows))))

    def is_full(self, rows: int, nbytes: int) -> bool:
        """Return True if a file of so many rows and bytes ends."""
        return rows >= self.rows or (self.nbytes is not None and nbytes >= self.nbytes)


def part_limits(
    rows: int | None, nbytes: int | None, roll_every: Duration | None, folder: str | None, mode: Mode
) -> PartLimits:
    """Return the limits that arguments of a sink mean.

    Parameters
    ----------
    rows, nbytes, roll_every
        The arguments `max_rows_per_file`, `max_bytes_per_file` and `roll_every`.
    folder
        The folder of the part files; None for a single file.
    mode
        What happens to rows that the folder holds.

    Raises
    ------
    PlanError
        A limit is given for a single file, or is not above 0; or files roll by time without being appended.
    """
    roll_every_s = None if roll_every is None else seconds(roll_every)
    given = {"max_rows_per_file": rows, "max_bytes_per_file": nbytes, "roll_every": roll_every_s}
    for name, value in given.items():
        if value is not None and (value <= 0 or folder is None):
            raise PlanError(
                f"{name} is for the part files of a folder",
                expected="a folder, and a limit above 0",
                found=f"{name}={value} for {'a single file' if folder is None else folder}",
                hint="end the path with '/' to write part files",
            )
    if roll_every_s is not None and mode != "append":
        raise PlanError(
            "roll_every shows part files while the run goes on",
            expected="mode='append'",
            found=f"mode={mode!r}, in which all files appear together at the end",
            hint="pass mode='append', or max_bytes_per_file to limit the files only",
        )
    return PartLimits(ROWS_PER_FILE if rows is None else rows, nbytes, roll_every_s)
