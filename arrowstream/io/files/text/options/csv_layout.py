"""How CSV is written: delimiter, header, quotes, nulls, numbers and times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any, Final, Literal

import polars as pl

from arrowstream.core.checks import check_whole
from arrowstream.core.mistakes.explain import nearest_value
from arrowstream.errors import PlanError, SchemaError
from arrowstream.io.files.text.options.text_options import TextOptions

QuoteStyle = Literal["necessary", "always", "non_numeric"]
QUOTE_STYLES: Final[tuple[QuoteStyle, ...]] = ("necessary", "always", "non_numeric")

_IN_VALUES: Final = "+-.:"
"""Signs that numbers and times contain, which Polars does not quote."""

_MOMENTS: Final = [datetime(2013, 12, 31, 23, 59, 59, 123456), datetime(2013, 1, 2, 3, 4, 5)]
_TIMES: Final[dict[str, Sequence[object]]] = {
    "date_format": [moment.date() for moment in _MOMENTS],
    "datetime_format": [moment.replace(tzinfo=UTC) for moment in _MOMENTS],
    "time_format": [moment.time() for moment in _MOMENTS],
}
"""Values that each format is tried with, of two digits and of one digit: before that, a format may put a space."""


@dataclass(frozen=True, slots=True)
class CsvLayout:
    """How CSV files are written; the names are those of `TextOptions`, with which they are read.

    Parameters
    ----------
    delimiter
        One ASCII character between two fields; None for a comma, or a tab if the name ends in ``.tsv``.
    quote_char
        One ASCII character around fields that hold a delimiter, a quote or a line end.
    has_header
        Whether the first record names the columns.
    null_values
        Text that stands for null; None for an empty field.
    decimal_comma
        Whether a comma, and not a point, is before the decimals of a number.
    quote_style
        Which fields are in quotes: those for which it is ``"necessary"``, ``"always"`` all of them, or all that are
        ``"non_numeric"``.
    date_format, datetime_format, time_format
        Formats of dates and times as in `strftime`; None for ISO 8601.
    float_precision
        Number of decimals of floats; None for as many as are needed.

    Raises
    ------
    PlanError
        An option has a value that it cannot have, or two contradict each other.
    """

    delimiter: str | None = None
    quote_char: str = '"'
    has_header: bool = True
    null_values: str | None = None
    decimal_comma: bool = False
    quote_style: QuoteStyle = "necessary"
    date_format: str | None = None
    datetime_format: str | None = None
    time_format: str | None = None
    float_precision: int | None = None

    def __post_init__(self) -> None:
        delimiter = "\t" if self.delimiter is None else self.delimiter
        if self.quote_char is None:
            raise PlanError(
                "CSV is written with quotes where fields need them",
                expected='a quote_char such as "\'"',
                found="quote_char=None",
                hint="leave it out",
            )
        TextOptions(delimiter, self.quote_char, decimal_comma=self.decimal_comma)
        if delimiter.isalnum() or delimiter in _IN_VALUES:
            raise PlanError(
                f"{delimiter!r} cannot be between fields, because numbers and times contain it",
                expected="a delimiter such as ';', '\\t' or '|'",
                found=f"delimiter={delimiter!r}",
            )
        if self.null_values is not None and not isinstance(self.null_values, str):
            raise PlanError(
                "null_values of a sink is one text",
                expected="the text that is written for null, such as 'NA'",
                found=repr(self.null_values),
            )
        if self.quote_style not in QUOTE_STYLES:
            raise PlanError(
                f"quote_style has no choice {self.quote_style!r}",
                expected=", ".join(map(repr, QUOTE_STYLES)),
                found=repr(self.quote_style),
                hint=nearest_value(str(self.quote_style), QUOTE_STYLES),
            )
        if self.float_precision is not None:
            check_whole("float_precision", self.float_precision, least=0)
        self._check_unquoted("null_values", self.null_values or "")
        for name, values in _TIMES.items():
            if (format := getattr(self, name)) is not None:
                self._check_unquoted(name, _formatted(name, format, values))

    def check_columns(self, schema: pl.Schema) -> None:
        """Raise SchemaError if times without a zone cannot have the format, which shows the zone."""
        if self.datetime_format is None:
            return
        try:
            pl.Series(_MOMENTS).dt.to_string(self.datetime_format)
        except pl.exceptions.PolarsError:
            for name, dtype in schema.items():
                if isinstance(dtype, pl.Datetime) and dtype.time_zone is None:
                    raise SchemaError(
                        f"datetime_format={self.datetime_format!r} shows the zone, and column {name!r} has none",
                        expected="a time in a zone, such as Datetime('us', 'UTC')",
                        found=str(dtype),
                        hint="give it its zone by dt.replace_time_zone before, or leave the zone out of the format",
                    ) from None

    def _check_unquoted(self, name: str, text: str) -> None:
        """Raise PlanError if a text that Polars does not quote would end a field."""
        found = [sign for sign in (self.delimiter or ",", self.quote_char, "\n", "\r") if sign in text]
        if found:
            raise PlanError(
                f"{name}={getattr(self, name)!r} gives text with {found[0]!r} in it, which would end a field",
                expected="text without delimiter, quotes and line ends",
                found=repr(text),
                hint=None if found[0] in "\r\n" else "pass another delimiter=, or change the text",
            )

    @property
    def given(self) -> tuple[str, ...]:
        """Names of the options that are set."""
        names = (field.name for field in fields(self))
        return tuple(name for name in names if getattr(self, name) != getattr(PLAIN, name))

    @property
    def identity(self) -> tuple[str, ...]:
        """Options that are set, but for the delimiter, by which a checkpoint knows how rows are written."""
        return tuple(f"{name}={getattr(self, name)!r}" for name in self.given if name != "delimiter")

    def arguments(self, delimiter: str) -> dict[str, Any]:
        """Return the arguments of Polars' `sink_csv` for files with this delimiter, all but the header."""
        names = ("quote_char", "decimal_comma", "quote_style", "float_precision", *_TIMES)
        options = {name: getattr(self, name) for name in names}
        return {**options, "separator": delimiter, "null_value": self.null_values}


PLAIN: Final = CsvLayout()
"""The layout without any option."""


def _formatted(name: str, format: object, values: Sequence[object]) -> str:
    """Return dates or times in a format, joined; raise PlanError if it is none."""
    try:
        assert isinstance(format, str) and format
        return "".join(pl.Series(values).dt.to_string(format))
    except (AssertionError, pl.exceptions.PolarsError):
        raise PlanError(
            f"this is no {name}",
            expected="directives of strftime, such as '%d.%m.%Y' or '%H:%M'",
            found=repr(format),
        ) from None
