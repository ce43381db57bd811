"""The formats of messages that TCP carries."""

from __future__ import annotations

from typing import Final, Literal, get_args

from arrowstream.core.mistakes.explain import nearest_value
from arrowstream.errors import PlanError
from arrowstream.io.messages.csv import CsvOptions
from arrowstream.io.messages.formats import MessageFormat

TcpFormat = Literal["ndjson", "json", "csv", "arrow"]
"""A format of messages, and how they are divided; ``"json"`` is another name of ``"ndjson"``."""

_FORMATS: Final[dict[str, MessageFormat]] = {"ndjson": "json", "json": "json", "csv": "csv", "arrow": "arrow"}


def message_format(call: str, format: str) -> MessageFormat:
    """Return the format of the messages alone.

    Raises
    ------
    PlanError
        TCP does not carry this format.
    """
    found = _FORMATS.get(format) if isinstance(format, str) else None
    if found is None:
        known = get_args(TcpFormat)
        raise PlanError(
            f"{call}() does not know this format",
            expected=", ".join(map(repr, known)),
            found=repr(format),
            hint=nearest_value(str(format), known),
        )
    return found


def csv_options(call: str, format: str, delimiter: str | None) -> CsvOptions | None:
    """Return the options of the messages; None for the defaults of the format.

    Raises
    ------
    PlanError
        The format has no delimiter, or not this one.
    """
    if delimiter is None:
        return None
    if format != "csv":
        raise PlanError(
            f"{call}(delimiter=...) is for CSV", expected='format="csv"', found=f"format={format!r}"
        )
    return CsvOptions(delimiter)
