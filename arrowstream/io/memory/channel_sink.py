"""Batches into a channel, for the program around the pipeline."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl
import pyarrow as pa

from arrowstream.core.batch import Batch
from arrowstream.core.channel import Sender
from arrowstream.core.step_context import StepContext
from arrowstream.io.sink import SinkSpec, Writer


@dataclass(frozen=True, slots=True)
class ChannelSink(SinkSpec):
    """Sends each batch as a `pyarrow.RecordBatch`; ends the channel when the stream ends."""

    sender: Sender[pa.RecordBatch]

    @property
    def label(self) -> str:
        return "channel"

    @property
    def guarantee(self) -> str:
        return "at most once: a batch counts as delivered when it is in the channel"

    @property
    def takes_arrow(self) -> bool:
        return True

    def check(self, schema: pl.Schema) -> None:
        """Any schema can be sent."""

    def open(self, schema: pl.Schema, context: StepContext) -> Writer:
        return _ChannelWriter(self.sender)

    def on_never_opened(self, failure: BaseException | None) -> None:
        """The receiver waits all the same: end the channel."""
        if failure is None:
            self.sender.close()
        else:
            self.sender.fail(failure)


class _ChannelWriter(Writer):
    __slots__ = ("_sender",)

    def __init__(self, sender: Sender[pa.RecordBatch]) -> None:
        self._sender = sender

    async def write(self, batch: Batch) -> None:
        await self._sender.send(batch.arrow())

    async def close(self) -> None:
        self._sender.close()

    def on_failure(self, failure: BaseException) -> None:
        # The receiver must not take a broken stream for a finished one.
        self._sender.fail(failure)

    async def abort(self) -> None:
        """The channel has failed already."""
