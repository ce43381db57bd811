"""How far the event times of two tables may be apart, as the conditions of a join say it."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl
from sqlglot import exp

from arrowstream.sql.expressions import literals
from arrowstream.sql.places import QueryText


@dataclass(frozen=True, slots=True)
class TimeBound:
    """A bound on the time of the right less that of the left.

    Parameters
    ----------
    left, right
        The physical columns of event time.
    least_us, most_us
        The difference in microseconds; None for no bound.
    """

    left: str
    right: str
    least_us: int | None = None
    most_us: int | None = None

    def __and__(self, other: TimeBound) -> TimeBound:
        least = [each for each in (self.least_us, other.least_us) if each is not None]
        most = [each for each in (self.most_us, other.most_us) if each is not None]
        return TimeBound(self.left, self.right, max(least, default=None), min(most, default=None))

    @property
    def is_complete(self) -> bool:
        """Whether there is a bound in both directions."""
        return self.least_us is not None and self.most_us is not None


def time_bound(query: QueryText, node: exp.Expr, left: pl.Schema, right: pl.Schema) -> TimeBound | None:
    """Return the bound that a condition sets, such as ``a.ts <= b.ts + INTERVAL '10' SECOND``; None if it sets none.

    Parameters
    ----------
    query
        The text.
    node
        The condition, with the names of the builders' columns.
    left, right
        The columns of both sides.
    """
    if isinstance(node, exp.Between) and not node.args.get("negate"):
        low = time_bound(query, exp.GTE(this=node.this, expression=node.args["low"]), left, right)
        high = time_bound(query, exp.LTE(this=node.this, expression=node.args["high"]), left, right)
        if low is None or high is None or (low.left, low.right) != (high.left, high.right):
            return None
        return low & high
    if not isinstance(node, exp.GT | exp.GTE | exp.LT | exp.LTE | exp.EQ):
        return None
    one, other = _time(query, node.this), _time(query, node.expression)
    if one is None or other is None:
        return None
    kind: type[exp.Expr] = type(node)
    if one[0] in right and other[0] in left:
        one, other, kind = other, one, _MIRRORED[kind]
    if one[0] not in left or other[0] not in right or left[one[0]] != right[other[0]]:
        return None
    dtype = left[one[0]]
    if not isinstance(dtype, pl.Datetime):
        return None
    return _whole((one[0], other[0]), kind, one[1] - other[1], dtype.time_unit)


def _whole(names: tuple[str, str], kind: type[exp.Expr], apart: int, unit: str) -> TimeBound | None:
    """Return the bound of whole ticks, as all differences are, where the left and `apart` are `kind` the right."""
    tick = {"ns": None, "us": 1, "ms": 1_000}[unit]
    if tick is None and kind in (exp.GT, exp.LT):
        return None
    tick = tick or 1
    match kind:
        case exp.EQ:
            return None if apart % tick else TimeBound(*names, apart, apart)
        case exp.GTE:  # left + p >= right + q: the right is at most p - q later
            return TimeBound(*names, None, apart // tick * tick)
        case exp.GT:
            return TimeBound(*names, None, (-(-apart // tick) - 1) * tick)
        case exp.LTE:
            return TimeBound(*names, -(-apart // tick) * tick, None)
    return TimeBound(*names, (apart // tick + 1) * tick, None)


_MIRRORED: dict[type[exp.Expr], type[exp.Expr]] = {
    exp.GT: exp.LT,
    exp.LT: exp.GT,
    exp.GTE: exp.LTE,
    exp.LTE: exp.GTE,
    exp.EQ: exp.EQ,
}


def _time(query: QueryText, node: exp.Expr) -> tuple[str, int] | None:
    """Return a column and the microseconds that are added to it; None for another expression."""
    match node:
        case exp.Paren():
            return _time(query, node.this)
        case exp.Column():
            return node.name, 0
        case exp.Add() | exp.Sub() if isinstance(node.expression, exp.Interval):
            inner = _time(query, node.this)
            months, microseconds = literals.interval(query, node.expression)
            if inner is None or months:
                return None
            return inner[0], inner[1] + (microseconds if isinstance(node, exp.Add) else -microseconds)
        case exp.Add() if isinstance(node.this, exp.Interval):
            return _time(query, exp.Add(this=node.expression, expression=node.this))
    return None
