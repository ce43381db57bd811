"""How text files are written: delimiter, quotes, header, nulls, encoding."""

from __future__ import annotations

import codecs
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Final

from arrowstream.core.checks import check_whole
from arrowstream.errors import PlanError

UTF8: Final = "utf8"
LOSSY: Final = "utf8-lossy"

NullValues = str | Sequence[str] | Mapping[str, str]
"""Texts that are null: in every column, or each in the column it is given for."""


@dataclass(frozen=True, slots=True)
class TextOptions:
    """How text files are written. All but `encoding` are for CSV.

    Parameters
    ----------
    delimiter
        One ASCII character between two fields.
    quote_char
        One ASCII character around fields that hold a delimiter or a line end; None if quotes are text.
    has_header
        Whether the first record names the columns.
    names
        Names of the columns of files without a header, if there are as many as fields.
    null_values
        Texts that are null, besides an empty field.
    comment_prefix
        Beginning of lines that are comments, or None.
    skip_lines
        Number of lines before the header.
    decimal_comma
        Whether a comma, and not a point, is before the decimals of a number.
    encoding
        Encoding of the text: ``"utf8"``, ``"utf8-lossy"`` or a name that Python knows.

    Raises
    ------
    PlanError
        An option has a value that it cannot have, or two contradict each other.
    """

    delimiter: str = ","
    quote_char: str | None = '"'
    has_header: bool = True
    names: tuple[str, ...] = ()
    null_values: NullValues | None = None
    comment_prefix: str | None = None
    skip_lines: int = 0
    decimal_comma: bool = False
    encoding: str = UTF8

    def __post_init__(self) -> None:
        if not _is_sign(self.delimiter) or self.delimiter == self.quote_char:
            raise PlanError(
                "this cannot be a delimiter",
                expected="one ASCII character, no quote and no line end, such as ';'",
                found=repr(self.delimiter),
            )
        if self.quote_char is not None and not _is_sign(self.quote_char):
            raise PlanError(
                "this cannot be a quote_char",
                expected='one ASCII character and no line end, such as "\'", or None',
                found=repr(self.quote_char),
            )
        if self.comment_prefix is not None and (
            not isinstance(self.comment_prefix, str)
            or not self.comment_prefix
            or "\n" in self.comment_prefix
            or self.comment_prefix[0] == self.quote_char
        ):
            raise PlanError(
                "this cannot be a comment_prefix",
                expected="text without a line end that begins with no quote, such as '#'",
                found=repr(self.comment_prefix),
            )
        check_whole("skip_lines", self.skip_lines, least=0)
        if self.decimal_comma and self.delimiter == ",":
            raise PlanError(
                "a comma cannot be in numbers and between fields",
                expected="another delimiter with decimal_comma=True",
                found="delimiter=','",
                hint="pass delimiter=';'",
            )
        if self.encoding not in (UTF8, LOSSY):
            try:
                codecs.lookup(self.encoding)
            except (LookupError, TypeError):
                raise PlanError(
                    f"encoding has no choice {self.encoding!r}",
                    expected="'utf8', 'utf8-lossy', or an encoding of Python such as 'cp1252' or 'utf-16'",
                    found=repr(self.encoding),
                ) from None

    @property
    def for_csv(self) -> tuple[str, ...]:
        """Names of the options that only CSV has and that are set, without the delimiter."""
        plain = TextOptions()
        names = [field.name for field in fields(self) if field.name not in ("delimiter", "names", "encoding")]
        return tuple(name for name in names if getattr(self, name) != getattr(plain, name))

    @property
    def begins_with_header(self) -> bool:
        """True if the bytes of a file begin with the header, as UTF-8, and records without comments follow."""
        return (
            self.has_header and not self.skip_lines and self.comment_prefix is None and self.encoding == UTF8
        )


def _is_sign(text: object) -> bool:
    return isinstance(text, str) and len(text) == 1 and text.isascii() and text not in "\r\n"
