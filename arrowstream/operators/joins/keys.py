"""The keys of a join: names on both sides, and the type in which they are compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import polars as pl

from arrowstream.core.hints import did_you_mean
from arrowstream.core.rows.frame_of import frame_of
from arrowstream.errors import PlanError, SchemaError
from arrowstream.operators.arguments import parse_keys
from arrowstream.state.arrays import Array

_TEXT = frozenset({pl.String, pl.Categorical, pl.Enum})


@dataclass(frozen=True, slots=True)
class JoinKeys:
    """The key columns of both sides, in pairs.

    Parameters
    ----------
    left
        Names of the key columns of the stream.
    right
        Names of the key columns of the other side, as many.
    nulls_equal
        Whether a null is equal to a null; otherwise a row with a null among its keys has no partner.
    step
        Name of the builder's method, for errors.
    """

    left: tuple[str, ...]
    right: tuple[str, ...]
    nulls_equal: bool = False
    step: str = "join"

    @classmethod
    def of(cls, on: Any, left_on: Any, right_on: Any, nulls_equal: bool) -> JoinKeys:
        """Make the keys from the arguments of a join.

        Raises
        ------
        PlanError
            There are no keys, both `on` and the others are given, or the sides have different numbers of keys.
        """
        if (on is None) == (left_on is None and right_on is None):
            raise PlanError(
                "join() takes its keys once",
                expected="on=, or left_on= and right_on=",
                found="none" if on is None else "on= with left_on= or right_on=",
                hint='columns of one name on both sides are on="k"',
            )
        sides = [("on", on)] * 2 if on is not None else [("left_on", left_on), ("right_on", right_on)]
        left = parse_keys("join", sides[0][1], sides[0][0])
        right = parse_keys("join", sides[1][1], sides[1][0], repeated=True)
        if not left or len(left) != len(right):
            raise PlanError(
                "join() takes as many keys on one side as on the other",
                expected="at least one pair of columns",
                found=f"left: {', '.join(left) or 'none'}; right: {', '.join(right) or 'none'}",
            )
        return cls(left, right, nulls_equal)

    def describe(self) -> str:
        """Return the arguments for `explain()`."""
        left, right = (names[0] if len(names) == 1 else list(names) for names in (self.left, self.right))
        text = f"on={left!r}" if left == right else f"left_on={left!r}, right_on={right!r}"
        return f"{text}, nulls_equal=True" if self.nulls_equal else text

    def types(self, left: pl.Schema, right: pl.Schema) -> pl.Schema:
        """Return the types in which the keys are compared, under the names of the stream's columns.

        Raises
        ------
        SchemaError
            A column is missing, or the two types of a pair cannot be compared.
        """
        return pl.Schema(
            {
                name: self._common(
                    name,
                    self._found(name, left, "the stream"),
                    other,
                    self._found(other, right, "the other side"),
                )
                for name, other in zip(self.left, self.right, strict=True)
            }
        )

    def of_left(self, rows: pl.DataFrame, types: pl.Schema) -> pl.DataFrame:
        """Return the keys of rows of the stream in their common types."""
        return _as(frame_of(rows[name] for name in self.left), types)

    def of_right(self, rows: pl.DataFrame, types: pl.Schema) -> pl.DataFrame:
        """Return the keys of rows of the other side, in the same columns as those of the stream."""
        keys = frame_of(rows[other].alias(name) for name, other in zip(self.left, self.right, strict=True))
        return _as(keys, types)

    def _found(self, name: str, schema: pl.Schema, side: str) -> pl.DataType:
        if name not in schema:
            raise SchemaError(
                f"{self.step}() names a column that {side} does not have",
                expected=f"one of the columns {', '.join(schema.names())}",
                found=name,
                hint=did_you_mean(name, schema),
            )
        return schema[name]

    def _common(self, left_name: str, left: pl.DataType, right_name: str, right: pl.DataType) -> pl.DataType:
        kinds = {left.base_type(), right.base_type()}
        if left == right and not left.is_nested() and left != pl.Object:
            return pl.String() if kinds == {pl.Categorical} else left
        if kinds <= _TEXT:
            return pl.String()
        if left.is_integer() and right.is_integer():
            common = pl.concat(
                [pl.DataFrame(schema={"k": left}), pl.DataFrame(schema={"k": right})], how="vertical_relaxed"
            ).schema["k"]
            if common.is_integer() and common != pl.Int128:
                return common
        raise SchemaError(
            f"{self.step}() cannot compare these keys",
            expected="columns of one type, or of integers that one type holds, or of text; none of them nested",
            found=f"{left_name} {left} and {right_name} {right}",
            hint="cast one of them to the type of the other before the join",
        )


def _as(keys: pl.DataFrame, types: pl.Schema) -> pl.DataFrame:
    return keys if keys.schema == types else keys.cast(types)


def null_keys(keys: pl.DataFrame) -> Array | None:
    """Return whether each row has a null among its keys (rows,), bool; None if no row has."""
    columns = [column for column in keys.get_columns() if column.null_count()]
    if not columns:
        return None
    nulls = columns[0].is_null()
    for column in columns[1:]:
        nulls |= column.is_null()
    return nulls.to_numpy()
