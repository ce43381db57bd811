"""Messages become rows: the first step after a source of messages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import polars as pl
import pyarrow as pa

from arrowstream.core.batch import Batch, Element, Partitions
from arrowstream.core.messages import VALUE, Decoded, Decoder
from arrowstream.core.step_context import StepContext
from arrowstream.errors import BadMessage, PlanError
from arrowstream.operators.base import AsyncProcess, Operator, Process


@dataclass(frozen=True, slots=True)
class Decode(Operator):
    """The rows of the messages in the column ``value``, with the other columns of each message after them.

    Parameters
    ----------
    decoder
        The format.
    by_partition
        Whether the event time that follows needs the partitions of the source.

    Raises
    ------
    PlanError
        A column of the messages has the name of another column of the source.
    """

    name: ClassVar[str] = "decode"
    passes_rows_on: ClassVar[bool] = True
    repeatable: ClassVar[bool] = True
    decoder: Decoder
    by_partition: bool = False

    def settled(self, first: Batch) -> Decode:
        """Return the step with the columns that the first messages show."""
        return replace(self, decoder=self.decoder.settled(_values(first)))

    def output_schema(self, schema: pl.Schema) -> pl.Schema:
        columns = self.decoder.schema
        assert columns is not None
        others = {name: dtype for name, dtype in schema.items() if name != VALUE}
        both = [name for name in columns if name in others]
        if both:
            raise PlanError(
                f"messages have a column {both[0]!r}, and so has the source itself",
                expected="different names",
                found=f"the columns {', '.join(columns)} of messages, and {', '.join(others)} of the source",
                hint=f'give the other one a name: metadata={{"{both[0]}": "message_{both[0]}"}}',
            )
        return pl.Schema({**columns, **others})

    def start(self, schema: pl.Schema, context: StepContext) -> Process | AsyncProcess:
        return _WaitingDecode(self, context) if self.decoder.waits else _Decode(self, context)

    def describe(self) -> str:
        return f"decode({self.decoder.label})"


class _Decode(Process):
    __slots__ = ("_decoding", "_operator")

    def __init__(self, operator: Decode, context: StepContext) -> None:
        self._operator = operator
        self._decoding = operator.decoder.open(context)

    def process(self, batch: Batch) -> Iterable[Element]:
        values = _values(batch)
        try:
            decoded = self._decoding.decode(values)
        except BadMessage as error:
            place = batch.slice(error.index, 1).position
            error.position = None if place is None else str(place)
            raise
        return _rows(batch, decoded)

    def on_partitions(self, origins: frozenset[str]) -> Iterable[Element]:
        return (Partitions(origins),) if self._operator.by_partition else ()

    def snapshot(self) -> Iterator[pa.RecordBatch]:
        return iter(())

    def restore(self, batches: Iterator[pa.RecordBatch]) -> None:
        """Ignore the snapshot: the step has no state."""

    def finish(self) -> Iterable[Element]:
        return ()

    def close(self) -> None:
        """Release what the decoder holds."""
        self._decoding.close()


class _WaitingDecode(AsyncProcess):
    """Decodes on a worker thread, where it may wait for a schema registry."""

    busy_while_awaited: ClassVar[bool] = True

    def __init__(self, operator: Decode, context: StepContext) -> None:
        self._decode = _Decode(operator, context)
        self._threads = context.threads

    async def process(self, batch: Batch) -> Iterable[Batch]:
        out = await self._threads.call(self._decode.process, batch)
        return [element for element in out if isinstance(element, Batch)]

    async def on_partitions(self, origins: frozenset[str]) -> Iterable[Element]:
        return self._decode.on_partitions(origins)

    async def close(self) -> None:
        await self._threads.call(self._decode.close)


def _values(batch: Batch) -> pa.LargeBinaryArray:
    return batch.arrow().column(VALUE)


def _rows(batch: Batch, decoded: Decoded) -> list[Element]:
    """Return the rows of the messages with their other columns; those of different partitions apart.

    The position says which rows come from which partition only while each message is one row.
    """
    if decoded.rows is None:
        return [batch.with_rows(_joined(decoded.frame, _others(batch)))]
    found: list[Element] = []
    message = row = 0
    for messages, _ in batch.pieces():
        counts = decoded.rows[message : message + messages]
        rows = int(counts.sum())
        part = batch.slice(message, messages)
        others = _others(part)
        if others.width:
            others = others[np.repeat(np.arange(messages), counts)]
        found.append(part.with_rows(_joined(decoded.frame.slice(row, rows), others)))
        message, row = message + messages, row + rows
    return found


def _others(batch: Batch) -> pl.DataFrame:
    return batch.polars().drop(VALUE)


def _joined(frame: pl.DataFrame, others: pl.DataFrame) -> pl.DataFrame:
    return frame.hstack(others) if others.width else frame
