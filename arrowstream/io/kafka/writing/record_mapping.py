"""Rows as the records of topics and partitions."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from arrowstream.core.batch import to_record
from arrowstream.core.messages import Encoder, Encoding
from arrowstream.core.step_context import StepContext
from arrowstream.errors import SinkError
from arrowstream.io.kafka.message_columns import MessageColumns
from arrowstream.io.kafka.records.buffers import Integers
from arrowstream.io.kafka.records.encode import EncodableRecords
from arrowstream.io.kafka.topics import is_topic_name
from arrowstream.io.kafka.writing.groups import PartitionGroup, sorted_by
from arrowstream.io.kafka.writing.partitions import Chooser

_NO_VALUE: Final = pa.scalar(None, pa.large_binary())


@dataclass(frozen=True, slots=True, eq=False)
class RowTopics:
    """The topics of the rows of a batch.

    Parameters
    ----------
    names
        Each topic once.
    codes
        For each row, the place of its topic among the names.
    """

    names: Sequence[str]
    codes: Integers


class RecordMapping:
    """How the rows of a sink become records.

    Parameters
    ----------
    columns
        What becomes which part of a record.
    topic
        The topic, where no column has it.
    encoder
        How rows become values.
    schema
        Names and types of the rows.
    most_bytes
        Most bytes of a record batch.
    context
        The run that the sink belongs to.
    """

    def __init__(
        self,
        columns: MessageColumns,
        topic: str | None,
        encoder: Encoder,
        schema: pl.Schema,
        most_bytes: int,
        context: StepContext,
    ) -> None:
        self._columns = columns
        self._topic = topic
        self._encoder = encoder
        self._schema = columns.value_schema(schema)
        self._context = context
        self._encodings: dict[str | None, Encoding] = {}
        self._most_bytes = most_bytes
        self._chooser = Chooser()

    def topics(self, frame: pl.DataFrame) -> RowTopics:
        """Return the topics of the rows.

        Raises
        ------
        SinkError
            A row has no topic, or one that cannot be a topic's name.
        """
        if self._topic is not None:
            return RowTopics([self._topic], np.zeros(frame.height, np.int64))
        assert self._columns.topic is not None
        column = frame[self._columns.topic].cast(pl.String)
        encoded = pc.dictionary_encode(_arrow(column), null_encoding="encode")
        codes = encoded.indices.to_numpy().astype(np.int64)
        names = encoded.dictionary.to_pylist()
        for code, name in enumerate(names):
            if name is None or not is_topic_name(name):
                raise SinkError(
                    f"a row has no topic in the column {self._columns.topic!r}",
                    expected="1 to 249 letters, digits, '.', '_' and '-'",
                    found=f"{name!r} in row {int((codes == code).argmax()):,} of the batch",
                )
        return RowTopics(names, codes)

    def groups(
        self, frame: pl.DataFrame, topics: RowTopics, partitions: Mapping[str, int]
    ) -> list[PartitionGroup]:
        """Return the records of the rows, grouped by topic and partition.

        Parameters
        ----------
        frame
            The rows, at least one.
        topics
            Their topics.
        partitions
            Number of partitions of each topic.

        Raises
        ------
        SinkError
            A row has a partition or time that cannot be, or a value that cannot be written.
        """
        counts = np.array([partitions[name] for name in topics.names], np.int64)
        keys = None if self._columns.key is None else _key(frame[self._columns.key])
        given = None if self._columns.partition is None else frame[self._columns.partition]
        numbers = self._chooser.choose(keys, given, topics.codes, counts)
        bases = np.cumsum(counts) - counts
        order, bounds = sorted_by(bases[topics.codes] + numbers)
        rows = np.arange(frame.height) if order is None else order
        if order is not None:
            frame = frame[order]
            keys = None if keys is None else keys.take(pa.array(order))
        places = [(topics.names[topics.codes[rows[first]]], int(numbers[rows[first]])) for first, _ in bounds]
        times = self._times(frame, rows)
        if self._encoder.rows_per_message == "many":
            value = frame[self._schema.names()]
            return [
                group
                for place, (first, last) in zip(places, bounds, strict=True)
                for group in self._messages(place, value, rows, times, first, last)
            ]
        values = self._values(frame, places, bounds)
        headers = None if self._columns.headers is None else _headers(frame[[self._columns.headers]])
        return [
            PartitionGroup(
                place,
                EncodableRecords(
                    *(None if each is None else each[first:last] for each in (values, keys, times, headers))
                ),
                rows[first:last],
            )
            for place, (first, last) in zip(places, bounds, strict=True)
        ]

    def _values(
        self, frame: pl.DataFrame, places: Sequence[tuple[str, int]], bounds: Sequence[tuple[int, int]]
    ) -> Any:
        """Return the values of rows that are sorted by topic."""
        value = frame[self._schema.names()]
        ends = {topic: last for (topic, _), (_, last) in zip(places, bounds, strict=True)}
        parts = []
        first = 0
        # Rows of topics that share their encoder are encoded together.
        for topic, last in ends.items():
            if last < value.height and self._is_shared(topic):
                continue
            parts.append(self._encoding(topic).encode(value.slice(first, last - first)))
            first = last
        values = parts[0] if len(parts) == 1 else pa.concat_arrays(parts)
        if self._columns.tombstone is None:
            return values
        gone = _arrow(frame[self._columns.tombstone].fill_null(False))
        return pc.if_else(gone, _NO_VALUE, values)

    def _messages(
        self, place: tuple[str, int], value: pl.DataFrame, rows: Integers, times: Any, first: int, last: int
    ) -> Iterator[PartitionGroup]:
        """Return rows as a message, or as several if one is too large."""
        encoded = self._encoding(place[0]).encode(value.slice(first, last - first))
        latest = pa.array([pc.max(times[first:last]).as_py()], pa.int64())
        columns = EncodableRecords(encoded, None, latest)
        if last - first > 1 and len(columns.split(self._most_bytes).too_large):
            middle = (first + last) // 2
            yield from self._messages(place, value, rows, times, first, middle)
            yield from self._messages(place, value, rows, times, middle, last)
        else:
            yield PartitionGroup(place, columns, rows[first:last], one_each=False)

    def _times(self, frame: pl.DataFrame, rows: Integers) -> Any:
        """Return the time of each record in ms."""
        now = time.time_ns() // 1_000_000
        if self._columns.timestamp is None:
            return pa.array(np.full(frame.height, now))
        column = frame[self._columns.timestamp]
        if column.dtype != pl.Int64:
            column = column.dt.timestamp("ms")
        before = column < 0
        if before.any():
            row = before.arg_max() or 0
            raise SinkError(
                f"a time in the column {self._columns.timestamp!r} is before 1970",
                expected="times of Kafka records from 1970 on",
                found=f"{frame[self._columns.timestamp][row]} in row {int(rows[row]):,} of the batch",
            )
        return _arrow(column.fill_null(now))

    def _encoding(self, topic: str) -> Encoding:
        """Return what encodes the rows of a topic."""
        name = None if self._is_shared(topic) else topic
        found = self._encodings.get(name)
        if found is None:
            found = self._encoder.for_topic(topic).open(self._schema, self._context)
            self._encodings[name] = found
        return found

    def _is_shared(self, topic: str) -> bool:
        """Return whether a topic has the encoder of all topics."""
        return self._encoder.for_topic(topic) is self._encoder

    def close(self) -> None:
        """Release what the encoders hold."""
        for encoding in self._encodings.values():
            encoding.close()


def _key(column: pl.Series) -> Any:
    return _arrow(column if column.dtype == pl.Binary else column.cast(pl.String))


def _headers(frame: pl.DataFrame) -> Any:
    return to_record(frame).column(0)


def _arrow(column: pl.Series) -> Any:
    return column.to_arrow(compat_level=pl.CompatLevel.oldest())
