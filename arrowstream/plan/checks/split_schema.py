"""The check that lines which meet have the same schema."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from arrowstream.errors import SchemaError


def merged_schema(name: str, outputs: Mapping[str, pl.Schema | None]) -> pl.Schema | None:
    """Return the one schema of all branches that go on; None if every branch ends in a sink.

    Parameters
    ----------
    name
        The stage that errors name.
    outputs
        The schema after each branch that goes on.

    Raises
    ------
    SchemaError
        The schemas differ.
    """
    first, *others = outputs.items() if outputs else [(None, None)]
    for branch, schema in others:
        same_schema(name, f"the rows of branch {branch!r}", schema, first[1])
    return first[1]


def same_schema(name: str, what: str, found: pl.Schema | None, expected: pl.Schema | None) -> None:
    """Raise SchemaError unless both schemas have the same columns and types, in the same order."""
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
