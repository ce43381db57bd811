"""Paths as users write them: checked at once, and resolved the same way by source and sink."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

from arrowstream.config.masking import masked
from arrowstream.errors import PlanError
from arrowstream.io.files.remote.urls import is_url, remote_path

_URL: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/(/?)")
_STANDARD: Final = "-"
_STDIN: Final = "/dev/stdin"
_SERVED: Final = "s3://, gs://, az://, https:// or file://"
# `Path` turns "s3://bucket" into "s3:/bucket". Any other "name:/..." may be a folder.
_SCHEMES: Final = frozenset(
    {"abfs", "abfss", "adl", "azure", "az", "file", "ftp", "gcs", "gs", "hdfs", "hf", "http", "https"}
    | {"memory", "oss", "s3", "s3a", "s3n", "sftp", "ssh", "wasb", "wasbs"}
)
# The URLs that other programs write for the stores that are read here.
_SAME_STORE: Final = {
    **dict.fromkeys(("s3a", "s3n"), "s3://bucket/key"),
    "gcs": "gs://bucket/key",
    **dict.fromkeys(
        ("abfs", "abfss", "azure", "wasb", "wasbs"),
        "az://container/key, with the account in storage_options={'azure_storage_account_name': ...}",
    ),
}


def path_text(step: str, path: Any, *, urls: bool = False) -> str:
    """Return a path as text, from text or any `os.PathLike` of text; that of a ``file://`` URL is its path.

    Parameters
    ----------
    step
        Name of the step that takes the path, for errors: ``to_file``.
    path
        Path as the user wrote it.
    urls
        Whether URLs of object stores and web servers are taken.

    Raises
    ------
    PlanError
        `path` is not a path, is one of bytes, is empty, cannot be the name of a file, or is a URL that is not taken.

    Examples
    --------
    >>> path_text("from_file", Path("trips/2013.csv"))
    'trips/2013.csv'
    """
    text = os.fspath(path) if isinstance(path, str | os.PathLike) else path
    if not isinstance(text, str):
        raise PlanError(
            f"{step}() needs a path",
            expected="text or a pathlib.Path, such as 'trips/2013.csv'",
            found=f"{type(path).__name__} {path!r}",
        )
    if not text:
        raise PlanError(
            "the path is empty",
            expected="the name of a file or folder, such as 'trips/2013.csv'",
            found="''",
            hint="'./' is the current folder",
        )
    if "\0" in text or not _encodable(text):
        raise PlanError(
            "this cannot be the name of a file",
            expected="text without a zero byte that the file system can encode",
            found=ascii(text),
        )
    url = _URL.match(text)
    if url is None or not (url[2] or url[1].lower() in _SCHEMES):
        return text
    if url[1].lower() == "file":
        return _file_path(text, text[url.end() - len(url[2]) - 1 :])
    if urls and is_url(text):
        remote_path(text)  # checks it
        return text
    raise PlanError(
        f"{masked('url', text)} is a URL that is not read or written",
        expected=f"a path on this machine, or {_SERVED}",
        found=f"the scheme {url[1]}",
        hint=_url_hint(text, url[1]),
    )


def _url_hint(text: str, scheme: str) -> str:
    """Return how to write a URL of another scheme, or one that `Path` has shortened, where it can be read."""
    if "://" not in text and is_url(text.replace(":/", "://", 1)):
        return f"write the URL as text: pathlib makes {scheme}:/ of {scheme}://"
    same = _SAME_STORE.get(scheme.lower())
    if same is not None:
        return f"write {same}"
    return "copy it here first, or write a local file and copy that"


def _file_path(url: str, rest: str) -> str:
    """Return the path of a URL, of which `rest` follows the scheme: ``/path``, ``///path`` or ``//host/path``."""
    host, slash, path = rest[2:].partition("/") if rest.startswith("//") else ("", "/", rest[1:])
    if host not in ("", "localhost") or not slash:
        raise PlanError(
            f"{url} is on another machine",
            expected="file:///path, the path of a file on this machine",
            found=f"the host {host!r}",
            hint=f"write file:///{host}/{path}, with three slashes, or the path alone",
        )
    return unquote(f"/{path}")


class Paths(tuple[str, ...]):
    """Paths and URLs, printed without secrets."""

    __slots__ = ()

    def __repr__(self) -> str:
        return repr(tuple(map(printable, self)))


def source_paths(paths: Iterable[Any], *, has_format: bool) -> Paths:
    """Return the paths and URLs of a source as text; ``"-"`` is standard input.

    Parameters
    ----------
    paths
        Paths as the user wrote them.
    has_format
        Whether the user named the format, which standard input needs.

    Raises
    ------
    PlanError
        As `path_text` does; or the format of standard input is unknown.

    Examples
    --------
    >>> source_paths(["-"], has_format=True)
    ('/dev/stdin',)
    """
    texts = [path_text("from_file", path, urls=True) for path in paths]
    if _STANDARD in texts and not has_format:
        raise PlanError(
            "standard input has no name that tells its format",
            expected="format='csv', 'ndjson', 'json' or 'lines'",
            found="the path '-' without a format",
            hint="pass format=; a file of this name is './-'",
        )
    return Paths(_STDIN if text == _STANDARD else text for text in texts)


def local(text: str) -> Path:
    """Return the path with ``~`` and ``~name`` replaced by home folders.

    Raises
    ------
    RuntimeError
        The user has no home folder.
    """
    return _plain(text).expanduser()


def can_be_resumed(text: str) -> bool:
    """Return False for standard input, a pipe, a device, and a file of a web server, which may come only once."""
    if is_url(text):
        return not remote_path(text).is_web
    place = local(text)
    return text != _STDIN and (place.is_file() or place.is_dir() or not place.exists())


@lru_cache(maxsize=256)
def _plain(text: str) -> Path:
    """Return the path of a text; building and opening one sink asks for its path some 90 times."""
    return Path(text)


def printable(text: str) -> str:
    """Return a path for messages: with escapes for bytes that are not UTF-8, a URL without secrets."""
    if is_url(text):
        return str(remote_path(text))
    return text.encode("utf-8", "backslashreplace").decode()


def _encodable(text: str) -> bool:
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        return False
    return True
