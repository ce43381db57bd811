"""The lengths of TUMBLE, HOP and SESSION: which ones windows can have."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl
from sqlglot import exp

from arrowstream.sql.expressions import literals
from arrowstream.sql.expressions.typed import name_of
from arrowstream.sql.places import QueryText

_DAY_US = 86_400_000_000


def check_lengths(query: QueryText, kind: str, written: Sequence[exp.Expr], dtype: pl.DataType) -> None:
    """Raise for lengths that no window has.

    Parameters
    ----------
    query
        The text.
    kind
        ``TUMBLE``, ``HOP`` or ``SESSION``.
    written
        The lengths: for HOP from one start to the next, and the size.
    dtype
        The type of the event times, whose unit a length is a multiple of.

    Raises
    ------
    QueryError
        A length is not above zero, mixes months with shorter times, or is not a multiple of the unit.
    """
    lengths = [literals.interval(query, each) for each in written]
    for node, length in zip(written, lengths, strict=True):
        _check_one(query, kind, node, length, dtype)
    if kind == "HOP":
        _check_both(query, written, lengths)


def _check_one(
    query: QueryText, kind: str, node: exp.Expr, length: tuple[int, int], dtype: pl.DataType
) -> None:
    months, microseconds = length
    if (months and microseconds) or (months and kind == "SESSION"):
        raise query.error(
            node,
            f"a length of {kind} has no months" if kind == "SESSION" else "months differ in length from days",
            expected="days or shorter times" if kind == "SESSION" else "months, or days and shorter times",
            found=query.source(node),
        )
    if months + microseconds <= 0:
        raise query.error(
            node,
            f"a length of {kind} is too short",
            expected="such as INTERVAL '10' SECOND",
            found=query.source(node),
        )
    unit = _DAY_US if dtype == pl.Date else 1
    if isinstance(dtype, pl.Datetime) and dtype.time_unit == "ms":
        unit = 1_000
    if microseconds % unit:
        raise query.error(
            node,
            f"windows begin and end at times that {name_of(dtype)} cannot hold",
            expected="whole days" if dtype == pl.Date else "whole milliseconds",
            found=query.source(node),
            hint="give the column a finer type where the table is read, such as TIMESTAMP",
        )


def _check_both(query: QueryText, written: Sequence[exp.Expr], lengths: Sequence[tuple[int, int]]) -> None:
    (every, size), node = lengths, written[0]
    if bool(every[0]) != bool(size[0]):
        raise query.error(
            node,
            "the lengths of HOP mix months with shorter times, so that windows differ in number",
            expected="both of months, or neither",
            found=", ".join(query.source(each) for each in written),
        )
    if every > size:
        raise query.error(
            node,
            "HOP goes from one start to the next by more than the size, so that rows between windows are lost",
            expected=f"at most {query.source(written[1])}, or the lengths the other way round",
            found=query.source(node),
            hint="filter those rows out by WHERE, and write TUMBLE",
        )
