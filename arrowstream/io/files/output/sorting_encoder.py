"""Rows of a file in the order of some columns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import polars as pl

from arrowstream.core.memory_budget import MemoryBudget
from arrowstream.errors import SinkError
from arrowstream.io.files.output.encoder import EncodedOutput, FileEncoder
from arrowstream.io.files.output.row_buffer import frame_bytes

_COPIES = 2
"""The rows as they came, and in order."""


class SortingEncoder(FileEncoder):
    """Encoder that holds all rows of a file and sorts them, then passes them to another one.

    Parameters
    ----------
    inner
        The encoder of the file's format.
    by
        Names of the columns, the first counts most; rows that are equal in all of them keep their order.
    memory
        The budget that the rows count against.
    step
        Name of the sink in the budget.
    unit_rows
        Number of rows that are passed on together.
    """

    holds_rows = True

    def __init__(
        self, inner: FileEncoder, by: Sequence[str], memory: MemoryBudget, step: str, unit_rows: int
    ) -> None:
        super().__init__(inner.schema)
        self._inner = inner
        self._by = list(by)
        self._memory = memory
        self._step = step
        self._unit_rows = unit_rows

    def encode(self, frames: Iterator[pl.DataFrame], target: EncodedOutput) -> None:
        held: list[pl.DataFrame] = []
        with self._held() as hold:
            for frame in frames:
                hold(frame)
                held.append(frame)
            if held:
                rows = self._sorted(pl.concat(held))
                held.clear()
                self._inner.encode(rows.iter_slices(self._unit_rows), target)
            else:
                self._inner.encode(iter(()), target)

    def encode_rows(self, rows: pl.DataFrame, target: EncodedOutput) -> None:
        with self._held() as hold:
            hold(rows)
            self._inner.encode_rows(self._sorted(rows), target)

    def encode_files(self, files: Sequence[tuple[pl.DataFrame, EncodedOutput]]) -> None:
        for rows, target in files:  # one by one, since only the rows of one file count against the budget
            self.encode_rows(rows, target)

    def sink(self, rows: pl.LazyFrame, first: pl.DataFrame, target: EncodedOutput) -> pl.LazyFrame:
        return self._inner.sink(rows, first, target)

    def _sorted(self, rows: pl.DataFrame) -> pl.DataFrame:
        return rows.sort(self._by, maintain_order=True)

    @contextmanager
    def _held(self) -> Iterator[Callable[[pl.DataFrame], None]]:
        """Give a function that counts rows against the budget until the block ends.

        It raises SinkError for rows that do not fit.
        """
        held = 0

        def hold(rows: pl.DataFrame) -> None:
            nonlocal held
            nbytes = _COPIES * frame_bytes(rows)
            if not self._memory.fits(nbytes):
                raise SinkError(
                    "sort_by holds all rows of a file, and they exceed the pipeline's memory limit",
                    expected=f"at most {self._memory.limit} bytes for all state",
                    found=f"{self._memory.held + nbytes} bytes",
                    hint="write part files of fewer rows (a folder and max_rows_per_file), or raise state_memory_mb",
                )
            self._memory.reserve(self._step, nbytes)
            held += nbytes

        try:
            yield hold
        finally:
            self._memory.release(self._step, held)
