"""One file, encoded by Polars' streaming engine on a thread while the pipeline computes the next batch."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from threading import Thread

import polars as pl

from arrowstream.errors import SinkError
from arrowstream.io.files.output import frame_queue
from arrowstream.io.files.output.encoder import FileEncoder
from arrowstream.io.files.output.frame_queue import FrameQueue
from arrowstream.io.files.output.output_file import OutputFile
from arrowstream.io.files.output.row_buffer import frame_bytes
from arrowstream.io.files.output.trimmed import trimmed

_WAKE_ROWS = 65_536
"""Rows that are worth waking an encoder for."""


class StreamingSink:
    """Sink of frames into one file.

    Parameters
    ----------
    file
        The file.
    encoder
        Encoder of its format.
    unit_rows
        Number of rows that are encoded together.
    capacity
        Most bytes of rows that wait for the encoder; None for the default.
    """

    __slots__ = ("_done", "_encoder", "_failure", "_file", "_queue", "_taken", "_thread", "rows")

    def __init__(
        self, file: OutputFile, encoder: FileEncoder, unit_rows: int, capacity: int | None = None
    ) -> None:
        self._file = file
        self._encoder = encoder
        most = frame_queue.CAPACITY if capacity is None else min(capacity, frame_queue.CAPACITY)
        self._queue = FrameQueue(file.changed, min(unit_rows, _WAKE_ROWS), most, lambda: file.failed)
        self._thread: Thread | None = None
        self._done = False
        self._failure: BaseException | None = None
        self._taken = 0
        self.rows = 0

    @property
    def nbytes(self) -> int:
        """Number of bytes of the file so far, without those of rows that wait; of its rows, if all of them wait."""
        return self._taken if self._encoder.holds_rows else self._file.nbytes

    def append(self, frame: pl.DataFrame, *, is_trimmed: bool = False) -> None:
        """Add rows; wait while the encoder is busy with others, but not if it cannot write.

        Parameters
        ----------
        frame
            The rows.
        is_trimmed
            True if they keep no memory that nobody else needs.
        """
        self._start()
        nbytes = frame_bytes(frame)
        unused = 0
        if not is_trimmed:
            frame, unused = trimmed(frame, nbytes)
        self._queue.put(frame, nbytes + unused, self._takes_nothing)
        self._taken += nbytes
        self.rows += frame.height

    def check(self) -> None:
        """Raise the failure since the last call; if there was none, write the bytes that still wait.

        Raises
        ------
        SinkError
            Bytes could not be written, and wait; or the encoder has failed, and nothing can be written any more.
        """
        if isinstance(self._failure, SinkError):
            raise self._failure
        if self._failure is not None:
            raise broken(self._failure) from self._failure
        self._file.check()

    def end(self) -> None:
        """Let the encoder end once it has taken all rows; `finish` waits for that."""
        self._queue.close()
        self._start()

    def finish(self) -> None:
        """Wait until all rows are in the file, and the file is on disk.

        Raises
        ------
        SinkError
            As for `check`. The call can be repeated.
        """
        self.end()
        while not self._done:
            with self._file.changed:
                self._file.changed.wait_for(self._takes_nothing)
            self.check()
        self.check()
        self._file.end()

    def cancel(self) -> None:
        """End the encoder, and wait for its thread; do nothing if it has ended."""
        self._queue.cancel()
        self._file.abandon()
        if self._thread is not None:
            self._thread.join()

    def _start(self) -> None:
        if self._thread is None:
            self._thread = Thread(target=self._run, name="arrowstream-encoder", daemon=True)
            self._thread.start()

    def _takes_nothing(self) -> bool:
        return self._done or self._file.failed

    def _frames(self) -> Iterator[pl.DataFrame]:
        for frame in self._queue.frames():
            yield frame
            self._file.settle()

    def _run(self) -> None:
        failure: BaseException | None = None
        try:
            self._encoder.encode(self._frames(), self._file)
            self._file.flush()
        except BaseException as error:
            failure = error
        with self._file.changed:
            self._failure, self._done = failure, True
            self._file.changed.notify_all()


def encoded(frame: pl.DataFrame, encoder: FileEncoder) -> bytes:
    """Return the bytes of a file with these rows."""
    content = _Content()
    encoder.encode_rows(frame, content)
    return content.getvalue()


def encoded_files(frames: Sequence[pl.DataFrame], encoder: FileEncoder) -> list[bytes]:
    """Return the bytes of one file for each frame of a few rows."""
    contents = [_Content() for _ in frames]
    encoder.encode_files(list(zip(frames, contents, strict=True)))
    return [content.getvalue() for content in contents]


def broken(failure: BaseException) -> SinkError:
    """Return the error of a file into which rows were lost, because of `failure`."""
    return SinkError(
        "what was written cannot be continued after a failure",
        found=f"{type(failure).__name__}: {failure}",
        hint="no handler can make up for that: the run ends without a result",
    )


class _Content(io.BytesIO):
    """Bytes of a file in memory."""

    def add(self, data: bytes) -> None:
        """Add bytes."""
        self.write(data)
