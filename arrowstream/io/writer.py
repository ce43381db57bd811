"""Contract of running sinks.

A `BlockingWriter` is synchronous code and runs on a worker thread; a `Writer` is awaited on the event loop.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Mapping
from typing import ClassVar

from arrowstream.core.batch import Batch
from arrowstream.core.notes import ReaderNote
from arrowstream.core.snapshot_store import JsonValue

Handle = Mapping[str, JsonValue]
"""Prepared epoch of a sink, as JSON: everything `commit` needs to make it visible."""


class Writer(ABC):
    """Running sink on the event loop.

    The runtime calls `write` once per batch, in order, on the loop's thread. A successful run ends with `prepare` of
    every sink of the pipeline, then `commit` of every sink, then `close`; any other run ends with `abort`.

    In a run with checkpoints, `recover` is the first call, and `prepare` and `commit` come once for every epoch. The
    rows that are written between the two belong to the next epoch. An epoch is prepared after the one before it has
    been committed. One call runs at a time.
    """

    holds_until_commit: ClassVar[bool] = False
    """True if no row may be written between `prepare` and `commit` of an epoch; the sink then waits."""

    async def recover(self, epoch: int, handle: Handle | None) -> None:
        """Bring what this sink shows to the state of an epoch of an earlier run, before the first row.

        Parameters
        ----------
        epoch
            The epoch that the run continues from; 0 if it starts from the beginning.
        handle
            What the sink had prepared for this epoch, or for an earlier one if it was of best effort and has been
            lost since. It is committed unless it has been; what earlier runs have prepared or written for later
            epochs is removed. None if there was no such sink, or no epoch.

        Raises
        ------
        SinkError
            The receiver already shows rows of later epochs, which would come again.
        """
        if handle is not None:
            await self.commit(handle)

    @property
    def notes(self) -> tuple[ReaderNote, ...]:
        """What a user should know about what the receiver had at the start of a run; asked for after `recover`."""
        return ()

    @abstractmethod
    async def write(self, batch: Batch) -> None:
        """Write one batch. Waiting here is backpressure on the source; raising is a failure of the sink."""

    def begin_write(self, batch: Batch) -> Awaitable[None] | None:
        """Write one batch and return None, or return an awaitable of the write, or of the rest of it.

        The runtime calls this method in place of `write`. A writer that seldom waits saves the cost of a coroutine by
        overriding it.
        """
        return self.write(batch)

    async def prepare(self, epoch: int) -> Handle:
        """Encode, flush and sync the rows written so far: do everything that can fail, and make nothing visible.

        A failure ends the run: error handlers retry writes of batches, not this call, which a writer may not survive
        (after a failed `fsync` the kernel may have dropped the bytes). A sink that can try again does so in here.

        Parameters
        ----------
        epoch
            Number of the checkpoint, counted from 1 by all runs; 0 at the end of a run without checkpoints.

        Returns
        -------
        Handle
            Everything that `commit` needs, even in another writer of the same sink, such as staged and final names.
            The default, an empty handle, suits sinks that make rows visible as they are written.
        """
        return {}

    async def commit(self, handle: Handle) -> None:
        """Make a prepared epoch visible. Idempotent and quick: it completes even if the run is cancelled."""
        return

    def on_failure(self, failure: BaseException) -> None:
        """Pass `failure`, which ended the run, to whoever waits at the other end; called before `abort`."""
        return

    @abstractmethod
    async def abort(self) -> None:
        """Discard everything half-written after a failed run. Must be safe after any failure, also of `prepare`.

        Called at most once, after a failed `commit` too, and never after the last `commit` of a run that succeeded.
        In a run with checkpoints, what has been prepared stays as it is: the next run commits or removes it.
        """

    async def close(self) -> None:
        """Release all resources. Called once, after the last `commit`; not after `abort`."""
        return


class BlockingWriter(ABC):
    """Running sink that blocks; the runtime calls it on a worker thread, one call at a time.

    The calls and their order are those of `Writer`.
    """

    holds_until_commit: ClassVar[bool] = False
    """True if no row may be written between `prepare` and `commit` of an epoch; the sink then waits."""

    def recover(self, epoch: int, handle: Handle | None) -> None:
        """Bring what this sink shows to the state of an epoch of an earlier run; see `Writer.recover`."""
        if handle is not None:
            self.commit(handle)

    @property
    def notes(self) -> tuple[ReaderNote, ...]:
        """What a user should know about what the receiver had at the start of a run; asked for after `recover`."""
        return ()

    @property
    def period_s(self) -> float | None:
        """Seconds between two calls of `on_period`; None for no calls."""
        return None

    @abstractmethod
    def write(self, batch: Batch) -> None:
        """Write one batch. Raising is a failure of the sink."""

    def on_period(self) -> None:
        """Do what is due after each period, whether batches came or not. Raising ends the run."""
        return

    def prepare(self, epoch: int) -> Handle:
        """Do everything that can fail for the rows written so far, and make nothing visible; see `Writer.prepare`."""
        return {}

    def commit(self, handle: Handle) -> None:
        """Make a prepared epoch visible. Idempotent and quick: it completes even if the run is cancelled."""
        return

    @abstractmethod
    def abort(self) -> None:
        """Discard everything half-written after a failed run. Must be safe after any failure, also of `prepare`."""

    def close(self) -> None:
        """Release all resources. Called once, after the last `commit`; not after `abort`."""
        return
