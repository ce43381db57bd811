"""What turns frames of one schema into the bytes of one file, and the file objects that Polars writes to."""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from itertools import chain
from typing import IO, Any, ClassVar, Protocol, cast

import polars as pl
from polars.io.plugins import register_io_source

_POLARS: Any = pl
"""Polars, whose partitionings are other classes in other versions."""


class EncodedOutput(Protocol):
    """Place for the bytes of a file."""

    def add(self, data: bytes) -> None:
        """Add bytes."""
        ...


class FileEncoder(ABC):
    """Encoder of frames of one schema into the bytes of one file. It has no state, and serves any number of files.

    Parameters
    ----------
    schema
        Schema of every frame.
    """

    holds_rows: ClassVar[bool] = False
    """True if most rows of a file are written only at its end."""

    def __init__(self, schema: pl.Schema) -> None:
        self.schema = schema

    def encode(self, frames: Iterator[pl.DataFrame], target: EncodedOutput) -> None:
        """Add the bytes of a file with these rows to `target`, piece by piece.

        What `frames` or `target` raises ends the call, perhaps as another exception.
        """
        first = next(frames, None)
        if first is None:
            self.encode_rows(pl.DataFrame(schema=self.schema), target)
            return
        with self.framed(target) as inside:
            self.encode_frames(chain([first], frames), first, inside)

    def encode_rows(self, rows: pl.DataFrame, target: EncodedOutput) -> None:
        """Add the bytes of a file with these rows to `target`; for few rows, this takes a third of the time."""
        with self.framed(target) as inside:
            self.encode_lazy(self.prepared(rows).lazy(), rows, inside)

    def encode_files(self, files: Sequence[tuple[pl.DataFrame, EncodedOutput]]) -> None:
        """Add the bytes of several files at once, each with few rows, which takes half the time of one by one."""
        with ExitStack() as stack:
            inside = [stack.enter_context(self.framed(target)) for _, target in files]
            sinks = [
                self.sink(self.prepared(rows).lazy(), rows, target)
                for (rows, _), target in zip(files, inside, strict=True)
            ]
            pl.collect_all(sinks, engine="streaming")

    def framed(self, target: EncodedOutput) -> AbstractContextManager[EncodedOutput]:
        """Give the target for the rows of one file, whose bytes reach `target` with what surrounds them."""
        return nullcontext(target)

    def encode_frames(
        self, frames: Iterator[pl.DataFrame], first: pl.DataFrame, target: EncodedOutput
    ) -> None:
        """Add the bytes of all frames to `target`, as for `encode_lazy`."""
        rest = (self.prepared(frame) for frame in frames)
        self.encode_lazy(register_io_source(lambda *_: rest, schema=self.schema), first, target)

    def encode_lazy(self, rows: pl.LazyFrame, first: pl.DataFrame, target: EncodedOutput) -> None:
        """Add the bytes of rows to `target`; see `sink`."""
        self.sink(rows, first, target).collect(engine="streaming")

    @abstractmethod
    def sink(self, rows: pl.LazyFrame, first: pl.DataFrame, target: EncodedOutput) -> pl.LazyFrame:
        """Return the query that adds the bytes of rows to `target`.

        Parameters
        ----------
        rows
            All rows of the file.
        first
            The first of them; none only if there are no others.
        target
            Place for the bytes, from `framed`.
        """

    def prepared(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return rows as they are passed to Polars' encoder."""
        arrays = [name for name, dtype in frame.schema.items() if _has_arrays(dtype)]
        # Polars 1 panics at a slice of an array that does not begin with its first value. Gathered rows are a copy.
        return frame.with_columns(pl.col(arrays).gather(pl.int_range(pl.len()))) if arrays else frame


class PolarsEncoder(FileEncoder):
    """Encoder of a format that Polars' streaming engine writes into a file object, or into one for each key."""

    def encode_files(self, files: Sequence[tuple[pl.DataFrame, EncodedOutput]]) -> None:
        # A file without rows has no key.
        if not self.are_prepared_alike or not all(rows.height for rows, _ in files):
            super().encode_files(files)
            return
        number = max(self.schema, key=len, default="") + "#"
        rows = self.prepared(pl.concat([rows for rows, _ in files], rechunk=True))
        lengths = pl.DataFrame({number: range(len(files)), "rows": [rows.height for rows, _ in files]})
        numbers = lengths.select(pl.col(number).repeat_by("rows").explode())
        with ExitStack() as stack:
            inside = [stack.enter_context(self.framed(target)) for _, target in files]
            place = _one_file_each(number, lambda key: file_of(inside[key]))
            self.polars_sink(rows.with_columns(numbers).lazy(), rows, place).collect(engine="streaming")

    def sink(self, rows: pl.LazyFrame, first: pl.DataFrame, target: EncodedOutput) -> pl.LazyFrame:
        return self.polars_sink(rows, first, file_of(target))

    @property
    def are_prepared_alike(self) -> bool:
        """True if rows are prepared in the same way whichever rows they are prepared with."""
        return True

    @abstractmethod
    def polars_sink(self, rows: pl.LazyFrame, first: pl.DataFrame, place: Any) -> pl.LazyFrame:
        """Return the query that writes rows to `place`, a file object or one of Polars' partitionings."""


def _one_file_each(number: str, file: Callable[[int], IO[bytes]]) -> Any:
    """Return the partitioning of rows by the column `number`, into the file objects of its values."""
    return (
        _POLARS.PartitionBy(
            "",
            key=number,
            include_key=False,
            file_path_provider=lambda found: file(found.partition_keys.item()),
            approximate_bytes_per_file=None,
        )
        if hasattr(pl, "PartitionBy")
        else _POLARS.PartitionByKey(  # Polars 1.35
            "", by=number, include_key=False, file_path=lambda found: file(found.keys[0].raw_value)
        )
    )


def _has_arrays(dtype: Any) -> bool:
    if isinstance(dtype, pl.Struct):
        return any(_has_arrays(field.dtype) for field in dtype.fields)
    return isinstance(dtype, pl.Array) or (isinstance(dtype, pl.List) and _has_arrays(dtype.inner))


def file_of(target: EncodedOutput) -> IO[bytes]:
    """Return a file object that adds what is written to it to a target."""
    if isinstance(target, io.BytesIO):
        return target
    return cast(IO[bytes], _File(target.add))


class _File(io.RawIOBase):
    """File object that passes bytes on."""

    def __init__(self, add: Callable[[bytes], None]) -> None:
        super().__init__()
        self._add = add

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        content = bytes(data)
        self._add(content)
        return len(content)
