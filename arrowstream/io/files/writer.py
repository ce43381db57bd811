"""Writing rows into files that become visible only when the run has succeeded."""

from __future__ import annotations

from abc import abstractmethod
from contextlib import suppress
from typing import Final

import polars as pl

from arrowstream.core.batch import Batch
from arrowstream.errors import SinkError
from arrowstream.io.files.output.encoder import FileEncoder
from arrowstream.io.files.output.output_file import OutputFile
from arrowstream.io.files.output.streaming_sink import StreamingSink, broken
from arrowstream.io.files.reading.frame_slices import FrameSlice, SlicedFrame
from arrowstream.io.files.staging.base import Publication
from arrowstream.io.writer import BlockingWriter, Handle

ENDING_FILES: Final = 16
"""Most files that end at the same time while a batch is written."""


class FileWriter(BlockingWriter):
    """Writer into files. A batch whose `write` raises has not been taken, and can be passed again.

    Parameters
    ----------
    publication
        Makes the files visible once all of them are complete.
    """

    def __init__(self, publication: Publication) -> None:
        self._publication = publication
        self._sinks: list[StreamingSink] = []
        self._ending: list[StreamingSink] = []
        self._broken: BaseException | None = None
        self._published = False

    def write(self, batch: Batch) -> None:
        self._check()
        try:
            self._take(batch.polars(), batch.whole if isinstance(batch, FrameSlice) else None)
        except BaseException as failure:
            self._broken = failure
            raise

    def prepare(self, epoch: int) -> Handle:
        self._check()
        self._end()
        self._check()
        self._publication.prepare()
        return {}

    def commit(self, handle: Handle) -> None:
        if not self._published:
            self._publication.publish()
            self._published = True

    def abort(self) -> None:
        for sink in (*self._sinks, *self._ending):
            sink.cancel()
        self._publication.discard()

    @abstractmethod
    def _take(self, rows: pl.DataFrame, whole: SlicedFrame | None) -> None:
        """Add rows to the files.

        Parameters
        ----------
        rows
            The rows.
        whole
            The frame that they are a slice of; None if they are not a slice, or if that is not known.
        """

    @abstractmethod
    def _end(self) -> None:
        """Write the rows held back, and end all files. A call after a failure continues."""

    def _check(self) -> None:
        """Raise a failure of the files since the last call; if there was none, write the bytes that still wait.

        A failure to write is raised here and not where it happens: the rows at hand have been taken then, and a
        caller that sees a failure passes the same rows again, or to a dead-letter sink.
        """
        if self._broken is not None:
            raise broken(self._broken) from self._broken
        self._finish(0)
        for sink in self._sinks:
            sink.check()

    def _on_finished(self, sink: StreamingSink) -> None:
        """Note that a file is complete and on disk."""
        return

    def _close(self, sink: StreamingSink) -> None:
        """End a file; the next `_check` waits for it.

        One batch may fill thousands of files: of those that end, only a few keep their threads and descriptors.
        """
        self._sinks.remove(sink)
        sink.end()
        self._ending.append(sink)
        with suppress(SinkError):  # the next `_check` raises it
            self._finish(ENDING_FILES)

    def _finish(self, most: int) -> None:
        """Wait for files that end, in their order, until at most so many are left."""
        while len(self._ending) > most:
            self._ending[0].finish()
            self._on_finished(self._ending.pop(0))


class SingleFileWriter(FileWriter):
    """Writer of all rows into one file.

    Parameters
    ----------
    publication
        Makes the file visible once it is complete.
    file
        The file.
    encoder
        Encoder of its format.
    unit_rows
        Number of rows that are worth waking the encoder for.
    """

    def __init__(
        self, publication: Publication, file: OutputFile, encoder: FileEncoder, unit_rows: int
    ) -> None:
        super().__init__(publication)
        self._sinks.append(StreamingSink(file, encoder, unit_rows))

    def _take(self, rows: pl.DataFrame, whole: SlicedFrame | None) -> None:
        if rows.height:
            self._sinks[0].append(rows, is_trimmed=whole is not None and whole.is_trimmed)

    def _end(self) -> None:
        for sink in list(self._sinks):
            self._close(sink)
