"""Queue of frames between the pipeline and the encoder of a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from threading import Condition
from typing import Final

import polars as pl

from arrowstream.io.files.output.row_buffer import FRAME_BYTES

CAPACITY = 32 << 20
"""Bytes of frames that wait for an encoder, at most; more only if they are one frame."""

_LARGE_ROWS: Final = 4096


class Cancelled(Exception):
    """The queue was cancelled: nobody needs what the encoder would make of the frames."""


class FrameQueue:
    """Frames of one schema that wait for an encoder; small ones are joined.

    Parameters
    ----------
    changed
        Guards the queue; notified at every change.
    unit_rows
        Number of rows that are worth waking the encoder for.
    capacity
        Most bytes that wait.
    held_up
        Returns True while nothing may be taken: what was taken before cannot be written.
    """

    __slots__ = (
        "_cancelled",
        "_capacity",
        "_changed",
        "_closed",
        "_frames",
        "_held_up",
        "_nbytes",
        "_pressed",
        "_rows",
        "_unit",
    )

    def __init__(
        self,
        changed: Condition,
        unit_rows: int,
        capacity: int,
        held_up: Callable[[], bool] = lambda: False,
    ) -> None:
        self._changed = changed
        self._unit = unit_rows
        self._capacity = capacity
        self._held_up = held_up
        self._frames: list[pl.DataFrame] = []
        self._rows = 0
        self._nbytes = 0
        self._pressed = False
        self._closed = False
        self._cancelled = False

    def put(self, frame: pl.DataFrame, nbytes: int, interrupted: Callable[[], bool]) -> None:
        """Add a frame once it fits, or at once if `interrupted` holds: the frame is never lost.

        Parameters
        ----------
        frame
            One or more rows.
        nbytes
            Bytes of memory that they keep.
        interrupted
            Returns True if the encoder takes no frames at the moment, so that waiting would be in vain.
        """
        nbytes += FRAME_BYTES
        with self._changed:
            if not self._fits(nbytes):
                self._pressed = True
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._fits(nbytes) or interrupted())
                self._pressed = False
            self._frames.append(frame)
            self._rows += frame.height
            self._nbytes += nbytes
            if self._is_full:
                self._changed.notify_all()

    def close(self) -> None:
        """End the stream of frames after those that wait."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def cancel(self) -> None:
        """Let `frames` raise `Cancelled`."""
        with self._changed:
            self._cancelled = True
            self._changed.notify_all()

    def take(self) -> pl.DataFrame | None:
        """Wait for a unit of rows that may be taken, and return all that wait in one frame; None at the end.

        Raises
        ------
        Cancelled
            `cancel` was called.
        """
        with self._changed:
            self._changed.wait_for(
                lambda: self._cancelled or ((self._is_full or self._closed) and not self._held_up())
            )
            if self._cancelled:
                raise Cancelled
            frames, rows = self._frames, self._rows
            self._frames, self._rows, self._nbytes = [], 0, 0
            self._changed.notify_all()
        if len(frames) < 2:
            return frames[0] if frames else None
        return pl.concat(frames, rechunk=rows < len(frames) * _LARGE_ROWS)

    def frames(self) -> Iterator[pl.DataFrame]:
        """Yield the frames until the end."""
        while (frame := self.take()) is not None:
            yield frame

    @property
    def _is_full(self) -> bool:
        return (
            self._rows >= self._unit
            or 2 * self._nbytes >= self._capacity
            or (self._pressed and bool(self._frames))
        )

    def _fits(self, nbytes: int) -> bool:
        return not self._frames or self._nbytes + nbytes <= self._capacity
