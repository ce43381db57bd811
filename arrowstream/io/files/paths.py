"""What users write as a path: checked at once, and looked up the same way by source and sink."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, Final

from arrowstream.errors import PlanError

_URL: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/(/?)")
# `Path` makes "s3:/bucket" of "s3://bucket". Any other "name:/..." may be a folder's.
_SCHEMES: Final = frozenset(
    {"abfs", "abfss", "adl", "azure", "az", "file", "ftp", "gcs", "gs", "hdfs", "hf", "http", "https"}
    | {"memory", "oss", "s3", "s3a", "s3n", "sftp", "ssh", "wasb", "wasbs"}
)


def path_text(step: str, path: Any) -> str:
    """Return a path as text, from text or any `os.PathLike` of text.

    Parameters
    ----------
    step
        What takes the path, for errors: ``to_file``.
    path
        What the user wrote.

    Raises
    ------
    PlanError
        It is not a path, is one of bytes, is empty, cannot be the name of a file, or is a URL.

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
    if url is not None and (url[2] or url[1].lower() in _SCHEMES):
        raise PlanError(
            f"{text} is a URL, and only local files are read and written",
            expected="the path of a file or folder on this machine",
            found=f"the scheme {url[1]}",
            hint=f"write the path alone: /{text[url.end() :].lstrip('/')}"
            if url[1].lower() == "file"
            else "copy it here first, or write a local file and copy that",
        )
    return text


def local(text: str) -> Path:
    """The place a path means: ``~`` and ``~name`` are home folders.

    Raises
    ------
    RuntimeError
        A user has no home folder.
    """
    return Path(text).expanduser()


def printable(text: str) -> str:
    """A path for people: bytes of it that are not UTF-8 stand as escapes."""
    return text.encode("utf-8", "backslashreplace").decode()


def _encodable(text: str) -> bool:
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        return False
    return True
