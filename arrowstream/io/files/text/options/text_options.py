"""How text files are written: delimiter, quotes, header, nulls, encoding."""

from __future__ import annotations

import codecs
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from encodings.aliases import aliases
from typing import Final

from arrowstream.core.checks import check_whole
from arrowstream.core.hints import did_you_mean
from arrowstream.errors import PlanError

UTF8: Final = "utf8"
LOSSY: Final = "utf8-lossy"

_FOR_HOST_NAMES: Final = frozenset({"idna", "punycode"})
"""Encodings of Python for the labels of host names, not for text."""

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
        if not _is_null_values(self.null_values):
            raise PlanError(
                "null_values are texts",
                expected="a text, a list of texts, or a dict from columns to one text each, such as {'x': 'NA'}",
                found=repr(self.null_values),
                hint="write numbers in quotes: the values are compared before they are parsed",
            )
        if not _is_text_encoding(self.encoding):
            raise PlanError(
                f"encoding has no choice {self.encoding!r}",
                expected="'utf8', 'utf8-lossy', or an encoding of Python for text such as 'cp1252' or 'utf-16'",
                found=repr(self.encoding),
                hint=did_you_mean(str(self.encoding).lower(), (UTF8, LOSSY, *aliases.values())),
            )

    @property
    def for_csv(self) -> tuple[str, ...]:
        """Names of the options that only CSV has and that are set, without the delimiter."""
        plain = TextOptions()
        names = [field.name for field in fields(self) if field.name not in ("delimiter", "names", "encoding")]
        return tuple(name for name in names if getattr(self, name) != getattr(plain, name))

    @property
    def identity(self) -> tuple[str, ...]:
        """Options that are set, but for `delimiter` and `names`, in the form by which a checkpoint knows them."""
        found = {name: getattr(self, name) for name in self.for_csv}
        if "null_values" in found:
            found["null_values"] = _in_one_form(found["null_values"])
        encoding = self.encoding if self.encoding == LOSSY else codecs.lookup(self.encoding).name
        if encoding != codecs.lookup(UTF8).name:
            found["encoding"] = encoding
        return tuple(f"{name}={value!r}" for name, value in found.items())

    @property
    def begins_with_header(self) -> bool:
        """True if the bytes of a file begin with the header, as UTF-8, and records without comments follow."""
        return (
            self.has_header and not self.skip_lines and self.comment_prefix is None and self.encoding == UTF8
        )


def _in_one_form(values: NullValues) -> list[str] | dict[str, str]:
    """Return the same values, in an order and a form that do not depend on how they were written."""
    if isinstance(values, Mapping):
        return dict(sorted(values.items()))
    return sorted({values} if isinstance(values, str) else set(values))


def _is_null_values(values: object) -> bool:
    if isinstance(values, Mapping):
        return all(isinstance(text, str) for text in (*values, *values.values()))
    return (
        values is None
        or isinstance(values, str)
        or (isinstance(values, Sequence) and all(isinstance(text, str) for text in values))
    )


def _is_text_encoding(name: object) -> bool:
    """Return whether any text of ASCII can be read in an encoding, in pieces."""
    if not isinstance(name, str):
        return False
    if name == LOSSY:
        return True
    try:
        "".encode(name)  # refuses codecs between bytes, such as base64, and between texts, such as rot13
        return codecs.lookup(name).name not in _FOR_HOST_NAMES
    except (LookupError, ValueError):
        return False


def _is_sign(text: object) -> bool:
    return isinstance(text, str) and len(text) == 1 and text.isascii() and text not in "\r\n"
