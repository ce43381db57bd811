"""Masking of secrets in printed text, logs and errors."""

from __future__ import annotations

import re
from typing import Any

MASK = "***"

_SECRET_KEY = re.compile(r"(?:^|_)(?:password|passwd|token|secret)$", re.IGNORECASE)
# A password may hold any character except those that end it; the text after the last @ before the path is the host.
_URL_PASSWORD = re.compile(r"(?P<before>[a-z][a-z0-9+.-]*://[^:/?#\s]*:)[^/?#\s]*(?P<after>@)", re.IGNORECASE)


def masked(key: str, value: Any) -> Any:
    """Return a value that may be shown: masked if its key names a secret, and without passwords in URLs.

    Examples
    --------
    >>> masked("kafka_password", "hunter2"), masked("max_retries", 3)
    ('***', 3)
    >>> masked("url", "postgresql://me:hunter2@db:5432/sales")
    'postgresql://me:***@db:5432/sales'
    """
    if _SECRET_KEY.search(key) and value is not None:
        return MASK
    if isinstance(value, str):
        return _URL_PASSWORD.sub(rf"\g<before>{MASK}\g<after>", value)
    return value
