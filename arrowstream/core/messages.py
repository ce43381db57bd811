"""Contract of message formats: a decoder makes rows of messages, an encoder makes messages of rows.

A message is one binary value, such as the value of a Kafka record or a frame of a TCP stream. Both work on whole
columns of messages and never loop over them in Python.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from arrowstream.core.step_context import StepContext

VALUE: Final = "value"
"""Name of the column (Binary, nullable) that holds the messages, in the batches of a source with a decoder."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """The rows of a column of messages.

    Parameters
    ----------
    frame
        The rows, in the order of their messages.
    rows
        Number of rows of each message, as int64 of shape ``(messages,)``; None if every message is one row.
    """

    frame: pl.DataFrame
    rows: npt.NDArray[np.int64] | None = None


class Decoder(ABC):
    """Immutable description of how messages become rows."""

    @property
    @abstractmethod
    def label(self) -> str:
        """The format, for `explain()` and errors, such as ``json``."""

    @property
    @abstractmethod
    def schema(self) -> pl.Schema | None:
        """Columns that come out of a message; None if only the first messages show them, by `settled`."""

    @property
    def waits(self) -> bool:
        """True if decoding may wait for something outside, such as a schema registry; it then runs on a thread."""
        return False

    def settled(self, values: pa.LargeBinaryArray) -> Decoder:
        """Return the same decoder with the schema that these messages show; called once, if `schema` is None.

        Raises
        ------
        SourceError, SchemaError
            The messages show no schema.
        """
        raise NotImplementedError(self.label)

    @abstractmethod
    def open(self, context: StepContext) -> Decoding:
        """Start decoding, in the run that `context` belongs to; `schema` is known by now."""


class Decoding(ABC):
    """A decoder while it runs. Any thread may call it, one call at a time."""

    @abstractmethod
    def decode(self, values: pa.LargeBinaryArray) -> Decoded:
        """Return the rows of these messages, in the decoder's schema; a null message is a row of nulls.

        Raises
        ------
        BadMessage
            A message cannot be read. The error says which is the first one; nothing else has happened.
        """

    def close(self) -> None:
        """Release all resources; called once."""
        return


class Encoder(ABC):
    """Immutable description of how rows become messages."""

    @property
    @abstractmethod
    def label(self) -> str:
        """The format, for `explain()` and errors, such as ``json``."""

    @property
    def rows_per_message(self) -> Literal["one", "many"]:
        """``"one"`` if every row is a message of its own, ``"many"`` if a message holds all rows of a call."""
        return "one"

    @property
    def is_json(self) -> bool:
        """True if null stands for NaN and infinity in the messages, which the report of a run then notes."""
        return False

    def for_topic(self, topic: str) -> Encoder:
        """Return the encoder for messages of one topic, which may name what it registers."""
        return self

    @abstractmethod
    def check(self, schema: pl.Schema) -> None:
        """Raise SchemaError or PlanError if rows of this schema cannot be written."""

    @abstractmethod
    def open(self, schema: pl.Schema, context: StepContext) -> Encoding:
        """Start encoding rows of `schema`, in the run that `context` belongs to."""


class Encoding(ABC):
    """An encoder while it runs. Any thread may call it, one call at a time."""

    @abstractmethod
    def encode(self, frame: pl.DataFrame) -> pa.LargeBinaryArray:
        """Return the messages: one for each row, or a single one if ``rows_per_message`` is ``"many"``.

        Raises
        ------
        SinkError
            A value cannot be written; nothing else has happened.
        """

    def close(self) -> None:
        """Release all resources; called once."""
        return
