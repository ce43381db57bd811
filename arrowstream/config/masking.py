"""Masking of secrets in printed text, logs and errors."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

MASK = "***"

_SECRET_KEY = re.compile(
    r"(?:^|_)(?:password|passwd|passphrase|pass|pwd|token|secret|credentials?|signature|sas|sig"
    r"|(?:api|access|account|private|sas|storage|secret|encryption)_key)$",
    re.IGNORECASE,
)
# A password may hold any character except those that end it; the text after the last @ before the path is the host.
_URL_PASSWORD = re.compile(
    r"(?P<before>[a-z][a-z0-9+.-]*://[^:/?#\s]*:)(?P<password>[^/?#\s]*)(?P<after>@)", re.IGNORECASE
)


_LOGIN = re.compile(r"(?<![^\s,/'\"\[(])[^\s,/'\"\[(]*@")


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


def without_logins(text: str) -> str:
    """Return a text of addresses with what stands before an ``@`` masked: it may be a login.

    Examples
    --------
    >>> without_logins("me:hunter2@db:9092, other:9092")
    '***@db:9092, other:9092'
    """
    return _LOGIN.sub(f"{MASK}@", text)


def secrets_in(key: str, text: str) -> Iterator[str]:
    """Yield the parts of an option's text that are secret: all of it, or the passwords in its URLs.

    Examples
    --------
    >>> list(secrets_in("api_key", "hunter2")), list(secrets_in("url", "ftp://me:hunter2@host/"))
    (['hunter2'], ['hunter2'])
    """
    if _SECRET_KEY.search(key):
        yield text
    yield from (found["password"] for found in _URL_PASSWORD.finditer(text))


def hidden(text: str, secrets: Iterable[str]) -> str:
    """Return a text with every secret masked, also where it is printed with escapes.

    Examples
    --------
    >>> hidden("no user 'me' with 'hunter2'", ["hunter2"])
    "no user 'me' with '***'"
    """
    forms = {form for secret in secrets for form in (secret, repr(secret)[1:-1], " ".join(secret.split()))}
    for form in sorted(forms - {""}, key=len, reverse=True):
        text = text.replace(form, MASK)
    return text
