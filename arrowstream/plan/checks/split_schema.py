"""Where lines meet, their rows must have one schema."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from arrowstream.errors import SchemaError


def merged_schema(name: str, outputs: Mapping[str, pl.Schema | None]) -> pl.Schema | None:
    """The one schema of all branches that go on; None if every branch ends in a sink.

    Raises
    ------
    SchemaError
        They differ.
    """
    first, *others = outputs.items() if outputs else [(None, None)]
    for branch, schema in others:
        same_schema(name, f"the rows of branch {branch!r}", schema, first[1])
    return first[1]


def same_schema(name: str, what: str, found: pl.Schema | None, expected: pl.Schema | None) -> None:
    """Raise SchemaError unless what meets has one schema, in one order of columns."""
    if found != expected:
        raise SchemaError(
            f"{what} do not fit those they meet",
            stage=name,
            expected=_text(expected),
            found=_text(found),
            hint="end both with the same select(...), and cast(...) what differs in type",
        )


def _text(schema: pl.Schema | None) -> str:
    return ", ".join(f"{name}: {dtype}" for name, dtype in (schema or {}).items())
