"""Secrets that are written as a place: ``env:NAME`` for a variable of the environment, ``file:PATH`` for a file."""

from __future__ import annotations

import os
from pathlib import Path

from arrowstream.errors import ArrowstreamError, PlanError


def read_secret(what: str, text: str) -> str:
    """Return a secret: what a variable or the first line of a file holds, or `text` itself.

    Parameters
    ----------
    what
        The option, for errors, such as ``password``.
    text
        ``env:NAME``, ``file:PATH``, or the secret.

    Raises
    ------
    PlanError
        The variable is not set, or the file cannot be read. The message holds no secret.

    Examples
    --------
    >>> os.environ["KAFKA_PASSWORD"] = "hunter2"
    >>> read_secret("password", "env:KAFKA_PASSWORD"), read_secret("password", "swordfish")
    ('hunter2', 'swordfish')
    """
    kind, colon, place = text.partition(":")
    if colon and kind == "env":
        secret = os.environ.get(place)
        if secret is None:
            raise _missing(what, text, "a variable that is set", f"set the variable {place}")
        return secret
    if colon and kind == "file":
        try:
            return Path(place).expanduser().read_text(encoding="utf-8").partition("\n")[0].rstrip("\r")
        except (OSError, UnicodeDecodeError) as error:
            hint = "write the secret into the first line of this file"
            raise _missing(what, text, f"a readable file ({type(error).__name__})", hint) from error
    return text


def _missing(what: str, text: str, expected: str, hint: str) -> ArrowstreamError:
    return PlanError(f"the secret {what!r} cannot be read", expected=expected, found=text, hint=hint)
