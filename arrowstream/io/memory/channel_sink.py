"""Batches into a channel that the surrounding program reads."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl
import pyarrow as pa

from arrowstream.core.batch import Batch
from arrowstream.core.channel import Sender
from arrowstream.core.mistakes.explain import explain_names
from arrowstream.core.mistakes.other_names import SINK
from arrowstream.core.step_context import StepContext
from arrowstream.io.sink import SinkSpec
from arrowstream.io.writer import Writer


@explain_names("a sink", SINK)
@dataclass(frozen=True, slots=True)
class ChannelSink(SinkSpec):
    """Sink that sends each batch as a `pyarrow.RecordBatch`, and ends the channel when the stream ends.

    Parameters
    ----------
    sender
        Sending end of the channel. `send` waits while the channel is full, which is backpressure on the source.
    """

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
        """Accept any schema."""

    def open(self, schema: pl.Schema, context: StepContext) -> Writer:
        return _ChannelWriter(self.sender)

    def on_never_opened(self, failure: BaseException | None) -> None:
        """End the channel, as its receiver waits even if the sink never opened."""
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
        """Do nothing: `on_failure` has ended the channel."""
