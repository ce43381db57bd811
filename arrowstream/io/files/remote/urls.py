"""URLs of files that other machines hold."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final
from urllib.parse import quote, unquote

from arrowstream.config.masking import MASK
from arrowstream.errors import PlanError
from arrowstream.io.files.remote.options import StorageOptions

_URL: Final = re.compile(r"(s3|gs|az|https?)://([^/?#]*)/?(.*)", re.IGNORECASE | re.DOTALL)
_AS_WRITTEN: Final = "%/?&=+,;:@!$'()*[]~#"
"""Characters that are sent to a web server as they are; others, such as spaces, are escaped."""


@dataclass(frozen=True, slots=True)
class RemotePath:
    """Place of an object in a store, or of a file on a web server.

    Parameters
    ----------
    scheme
        ``"s3"``, ``"gs"``, ``"az"``, ``"http"`` or ``"https"``.
    bucket
        Bucket or container; host and port of a web server.
    key
        Name of the object in the bucket; path and query on a web server.
    options
        Options of the store.

    Attributes
    ----------
    opened : list
        The open file of pyarrow, if listing has found the object by opening it: whatever reads it by this value reads
        the same content, without asking the store for its size and tag again.
    """

    scheme: str
    bucket: str
    key: str
    options: StorageOptions = field(repr=False)
    opened: list[Any] = field(default_factory=list, init=False, compare=False, repr=False)

    @property
    def is_web(self) -> bool:
        """True for a file on a web server, which cannot list any others."""
        return self.scheme in ("http", "https")

    @property
    def url(self) -> str:
        """The whole URL; it may contain a secret, as signed ones do in their query."""
        key = quote(self.key, safe=_AS_WRITTEN) if self.is_web else self.key
        return f"{self.scheme}://{self.bucket}/{key}"

    @property
    def name(self) -> str:
        """Last part of the path, which tells the format."""
        path = unquote(self.key.partition("?")[0]) if self.is_web else self.key
        return path.rpartition("/")[2]

    @property
    def is_folder(self) -> bool:
        """True for all objects of a bucket, or those whose keys begin with this one up to a ``/``."""
        return not self.key or self.key.endswith("/")

    def below(self, name: str) -> RemotePath:
        """Return the place of an object in this folder."""
        return replace(self, key=f"{self.key}{name}")

    def __str__(self) -> str:
        if self.is_web and "?" in self.key:
            return f"{self.scheme}://{self.bucket}/{self.key.partition('?')[0]}?{MASK}"
        return f"{self.scheme}://{self.bucket}/{self.key}"


def is_url(text: str) -> bool:
    """Return True for a URL of a scheme that is read and written.

    Examples
    --------
    >>> is_url("s3://bucket/trips.csv"), is_url("trips.csv"), is_url("ftp://host/trips.csv")
    (True, False, False)
    """
    return _URL.fullmatch(text) is not None


def remote_path(text: str, options: StorageOptions | None = None) -> RemotePath:
    """Return the place that a URL names.

    Raises
    ------
    PlanError
        The URL has no bucket or host, or contains a user name or password.
    """
    found = _URL.fullmatch(text)
    assert found is not None
    scheme, bucket, key = found[1].lower(), found[2], found[3]
    if not bucket:
        raise PlanError(
            f"{text} names no {'host' if scheme.startswith('http') else 'bucket'}",
            expected=f"{scheme}://{'host' if scheme.startswith('http') else 'bucket'}/path",
            found=repr(text),
        )
    if "@" in bucket:
        raise PlanError(
            f"{scheme}://{MASK}@{bucket.rpartition('@')[2]}/{key.partition('?')[0]} contains credentials",
            expected="a URL that may be shown in logs and errors",
            found="a user name or password before '@'",
            hint="pass them by storage_options, by the environment, or as the signature of the URL's query",
        )
    return RemotePath(scheme, bucket, key, options or StorageOptions(scheme))


def options_for(paths: Sequence[str], options: Mapping[str, Any]) -> StorageOptions:
    """Return the options of the object store that the first URL among some paths names.

    Raises
    ------
    PlanError
        An option is not known, or no path is a URL.
    """
    urls = [path for path in paths if is_url(path)]
    if not urls:
        raise PlanError(
            "only URLs have storage options",
            expected="a URL such as 's3://bucket/trips.parquet'",
            found=", ".join(paths),
            hint="leave out storage_options=",
        )
    return StorageOptions.of(remote_path(urls[0]).scheme, options)
