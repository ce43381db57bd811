"""Object stores and web servers, read in ranges of bytes.

Polars reads and writes tables in object stores, but gives no bytes of them: those of text, and the footers of tables,
come from pyarrow's file systems, and from web servers by the standard library. These are imported when the first
URL is read.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from typing import Any, Final

from arrowstream.errors import SourceError, UnreadableData
from arrowstream.io.files.remote.failures import store_error
from arrowstream.io.files.remote.options import StorageOptions
from arrowstream.io.files.remote.status import Status
from arrowstream.io.files.remote.urls import RemotePath
from arrowstream.io.files.remote.web import web_status

_CONNECT_S: Final = 10
_REQUEST_S: Final = 60
"""Longest waits for a connection and for an answer, in seconds."""


@lru_cache(maxsize=32)
def _store(scheme: str, bucket: str, options: StorageOptions) -> Any:
    from pyarrow import fs

    if scheme == "gs":
        return fs.GcsFileSystem(anonymous=options.is_on("skip_signature"))
    if scheme == "az":
        return fs.AzureFileSystem(options.get("account_name"), account_key=options.get("account_key"))
    protocol, _, endpoint = (options.get("endpoint_url") or "").rpartition("://")
    region = options.get("region") or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if region is None and not endpoint:
        region = fs.resolve_s3_region(bucket)
    # Small objects take one request, which has no parts that a failure leaves; pyarrow 19 has no such option.
    small_at_once = "allow_delayed_open" in (fs.S3FileSystem.__doc__ or "")
    return fs.S3FileSystem(
        access_key=options.get("access_key_id"),
        secret_key=options.get("secret_access_key"),
        session_token=options.get("session_token"),
        anonymous=options.is_on("skip_signature"),
        region=region,
        scheme=protocol or None,
        endpoint_override=endpoint or None,
        force_virtual_addressing=options.is_on("virtual_hosted_style_request"),
        connect_timeout=_CONNECT_S,
        request_timeout=_REQUEST_S,
        **({"allow_delayed_open": True} if small_at_once else {}),
    )


def store_of(path: RemotePath) -> Any:
    """Return pyarrow's file system of an object store, the same for all objects of a bucket."""
    return _store(path.scheme, path.bucket, path.options)


@contextmanager
def reading(path: RemotePath) -> Iterator[None]:
    """Raise the failure of a call to the store in the block as a SourceError."""
    try:
        yield
    except SourceError:
        raise
    # Exceptions of pyarrow and http.client have no other base in common.
    except Exception as error:
        raise store_error(UnreadableData, "cannot be read", path, error) from error


def opened(path: RemotePath) -> Any:
    """Return an object of a store as an open file of pyarrow, the same for each call with one value of `path`."""
    if not path.opened:
        path.opened.append(_open(path))
    return path.opened[0]


def _open(path: RemotePath) -> Any:
    return store_of(path).open_input_file(f"{path.bucket}/{path.key}")


def status_of(path: RemotePath) -> Status:
    """Return the size of an object and the tag of its content as the store says them now.

    Raises
    ------
    OSError
        It does not exist, or cannot be read.
    """
    if path.is_web:
        return web_status(path)
    with _open(path) as file:
        return status_in(file)


def status_in(file: Any) -> Status:
    """Return the status of an object as it was when a file of pyarrow was opened."""
    found = {name.lower(): value for name, value in file.metadata().items()}
    tag = found.get("etag") or found.get("last-modified") or b""
    return Status(file.size(), tag.decode(), exact=bool(found.get("etag")))


def exists(path: RemotePath) -> bool:
    """Return whether a store has an object of this key, not only others below it; if so, it is opened."""
    try:
        opened(path)
    except FileNotFoundError:
        return False
    return True


def has_bucket(path: RemotePath) -> bool:
    """Return whether the store has the bucket."""
    from pyarrow import fs

    found: bool = store_of(path).get_file_info(path.bucket).type != fs.FileType.NotFound
    return found


def objects_below(path: RemotePath) -> list[str]:
    """Return the keys of all objects whose key begins with that of a folder, sorted."""
    from pyarrow import fs

    folder = f"{path.bucket}/{path.key}".rstrip("/")
    selector = fs.FileSelector(folder, recursive=True, allow_not_found=True)
    found = store_of(path).get_file_info(selector)
    cut = len(path.bucket) + 1
    return sorted(info.path[cut:] for info in found if info.type == fs.FileType.File)


def delete(path: RemotePath) -> None:
    """Delete an object, which may have been deleted already.

    Raises
    ------
    OSError
        The store refuses, or cannot be reached.
    """
    with suppress(FileNotFoundError):
        store_of(path).delete_file(f"{path.bucket}/{path.key}")
