"""A source of messages in several partitions, and a format, as small as the contracts allow."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl
import pyarrow as pa

from arrowstream.core.batch import Batch, Element
from arrowstream.core.messages import VALUE, Decoded, Decoder, Decoding
from arrowstream.core.position import Position
from arrowstream.core.snapshot_store import SourcePosition
from arrowstream.core.step_context import StepContext
from arrowstream.errors import BadMessage
from arrowstream.io.source import Query, Reader, SourceSpec


@dataclass(frozen=True)
class Numbers(Decoder):
    """Messages of comma-separated numbers in ASCII: a row of column ``x`` for each number."""

    column: str | None = "x"
    waits: bool = False  # type: ignore[misc]

    @property
    def label(self) -> str:
        return "numbers"

    @property
    def schema(self) -> pl.Schema | None:
        return None if self.column is None else pl.Schema({self.column: pl.Int64()})

    def settled(self, values: pa.LargeBinaryArray) -> Decoder:
        return Numbers(f"x{len(values)}", self.waits)

    def open(self, context: StepContext) -> Decoding:
        return _Numbers(self)


class _Numbers(Decoding):
    def __init__(self, decoder: Numbers) -> None:
        self.decoder = decoder
        self.closed = False

    def decode(self, values: pa.LargeBinaryArray) -> Decoded:
        parts = [message.split(b",") for message in values.to_pylist()]
        for index, part in enumerate(parts):
            if not all(number.isdigit() for number in part):
                raise BadMessage("not numbers", index=index, found=repr(values[index].as_py()))
        numbers = [int(number) for part in parts for number in part]
        frame = pl.DataFrame({self.decoder.column or "x": numbers}, schema=self.decoder.schema)
        counts = np.array([len(part) for part in parts], np.int64)
        return Decoded(frame, None if (counts == 1).all() else counts)


def messages(origin: str, start: int, *values: bytes, **others: Sequence[object]) -> Batch:
    """A batch of messages of one partition, from offset `start` on."""
    frame = pl.DataFrame({VALUE: list(values), **others}, schema_overrides={VALUE: pl.Binary})
    return Batch(frame, Position(origin, start, start + len(values), unit="offsets"))


@dataclass(frozen=True)
class Messages(SourceSpec):
    """These elements, decoded."""

    elements: tuple[Element, ...]
    numbers: Numbers = Numbers()
    others: pl.Schema = field(default_factory=pl.Schema)
    partitioned: bool = True  # type: ignore[misc]

    @property
    def label(self) -> str:
        return "messages"

    @property
    def decoder(self) -> Decoder | None:
        return self.numbers

    @property
    def message_schema(self) -> pl.Schema:
        return pl.Schema({VALUE: pl.Binary(), **self.others})

    def schema(self) -> pl.Schema | None:
        return None if self.numbers.schema is None else self.message_schema

    def open(
        self, context: StepContext, query: Query | None = None, resume: SourcePosition | None = None
    ) -> Reader:
        return _Replay(self.elements)


class _Replay(Reader):
    def __init__(self, elements: Sequence[Element]) -> None:
        self._elements = iter(elements)

    async def read(self) -> Element | None:
        return next(self._elements, None)

    async def close(self) -> None:
        return
