"""Errors that the message formats share."""

from __future__ import annotations

import polars as pl

from arrowstream.errors import BadMessage, SchemaError, SinkError

_SHOWN = 80
"""Most bytes of a message in an error."""


def unreadable(format: str, index: int, expected: str, reason: str, message: bytes) -> BadMessage:
    """Return the error for a message that cannot be read.

    Parameters
    ----------
    format
        Name of the format, as it is written in text.
    index
        Place of the message among those that were read together.
    expected
        What a message of this format is.
    reason
        Why this one is none.
    message
        Its bytes.
    """
    cut = "..." if len(message) > _SHOWN else ""
    return BadMessage(
        f"a message cannot be read as {format}",
        index=index,
        expected=expected,
        found=f"{message[:_SHOWN]!r}{cut}: {reason}" if message else "an empty message",
        hint="on_error(ErrorHandler.skip()) leaves such messages out, dead_letter(sink) keeps them",
    )


def unwritable(error: BaseException) -> SinkError:
    """Return the error for rows that an encoder refuses."""
    return SinkError(
        "rows cannot be written as messages",
        found=str(error).partition("\n")[0],
        hint="look at the values of the columns",
    )


def no_columns(found: str) -> SchemaError:
    """Return the error for messages whose columns are not known."""
    return SchemaError(
        "the columns of the messages are not known",
        expected="names and types of at least one column",
        found=found,
        hint="give them: schema={'name': pl.String, ...}",
    )


def some_columns(schema: pl.Schema | None, found: str) -> pl.Schema:
    """Return the schema; raise SchemaError if it is not given, because of what was `found`, or has no columns."""
    if schema:
        return schema
    raise no_columns(found if schema is None else "schema= without columns")
