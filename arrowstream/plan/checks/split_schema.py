"""Where streams meet, their rows must be of one schema; where they part, each row must name its way."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from arrowstream.errors import SchemaError
from arrowstream.operators.route import Router
from arrowstream.plan.checks.row_local import check
from arrowstream.plan.graph import Split


def router_of(name: str, split: Split, schema: pl.Schema) -> Router:
    """What gives each row of `schema` its way.

    Raises
    ------
    PlanError, SchemaError
        The selector looks at other rows, does not fit the columns, or gives no names.
    """
    router = Router(
        split.selector, tuple(branch.name for branch in split.branches), split.otherwise is not None
    )
    check(router, schema, name)
    router.check(schema)
    return router


def merged_schema(name: str, outputs: Mapping[str, pl.Schema | None]) -> pl.Schema | None:
    """The one schema of all branches that go on; None if there is no such branch.

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
