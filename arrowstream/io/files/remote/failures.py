"""Failures of object stores and web servers as errors with a hint."""

from __future__ import annotations

import re
from typing import Final, TypeVar

from arrowstream.config.masking import MASK
from arrowstream.errors import StageError
from arrowstream.io.files.remote.urls import RemotePath

_CREDENTIALS: Final = {
    "s3": "pass storage_options={'aws_access_key_id': ..., 'aws_secret_access_key': ..., 'aws_region': ...}, "
    "or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; for public data {'aws_skip_signature': True}",
    "gs": "set GOOGLE_APPLICATION_CREDENTIALS, or run 'gcloud auth application-default login'",
    "az": "pass storage_options={'azure_storage_account_name': ..., 'azure_storage_account_key': ...}",
    "http": "the server asks for credentials: use a signed URL",
    "https": "the server asks for credentials: use a signed URL",
}
_KINDS: Final = (
    (r"NO_SUCH_BUCKET|NoSuchBucket", "missing bucket"),
    (r"RESOURCE_NOT_FOUND|Not Found|not found|NoSuchKey|does not exist|[Nn]o such", "missing"),
    (
        r"ACCESS_DENIED|AccessDenied|Forbidden|\b40[13]\b|SignatureDoesNotMatch|InvalidAccessKeyId|INVALID_ACCESS_KEY"
        r"|CredentialsNotLoaded|credential|Unauthorized|MISSING_AUTHENTICATION",
        "denied",
    ),
    (
        r"NETWORK_CONNECTION|[Cc]onnect|dns error|timed? ?out|resolve host|Name or service|error sending request"
        r"|Temporary failure|refused|reset by peer|IncompleteRead",
        "network",
    ),
    (r"HTTP Error (?:408|429|5\d\d)|SLOW_DOWN|SERVICE_UNAVAILABLE|INTERNAL_FAILURE", "busy"),
    (r"Empty path component", "slashes"),
    (r"[Rr]ange request not supported", "ranges"),
)

Error = TypeVar("Error", bound=StageError)


def store_error(kind: type[Error], what: str, path: RemotePath, error: BaseException) -> Error:
    """Make the error for a call that an object store or web server refused, or that did not reach it.

    Parameters
    ----------
    kind
        `SourceError` or `SinkError`.
    what
        The failed deed, such as ``"cannot be read"``.
    path
        Place that was read or written.
    error
        Error of the library that made the call.
    """
    hide_query(error, path)
    text = str(error) or type(error).__name__
    found = next((name for pattern, name in _KINDS if re.search(pattern, text)), "other")
    hint = {
        "missing bucket": "check the name of the bucket, and storage_options for its region and endpoint",
        "missing": f"check the {'URL' if path.is_web else 'bucket and the key'}",
        "denied": _CREDENTIALS[path.scheme],
        "network": "check the network"
        if path.is_web
        else "check the network, and storage_options for the endpoint",
        "ranges": "that server sends whole files only: download the file first",
        "busy": "the server failed each time that it was asked: try again later",
        "slashes": "keys with an empty name between two slashes are not supported: rename the object",
        "other": "check the URL" if path.is_web else "check the URL and storage_options",
    }[found]
    return kind(f"{path} {what}", position=str(path), found=_said(text, path), hint=hint)


def hide_query(error: BaseException, path: RemotePath) -> None:
    """Mask the query of a URL, which may be a signature, in an error that becomes the cause of another."""
    if path.is_web and "?" in path.key:
        error.args = tuple(_masked(each) if isinstance(each, str) else each for each in error.args)


def _masked(text: str) -> str:
    return re.sub(r"\?[^\s)\"']+", f"?{MASK}", text)


def _said(text: str, path: RemotePath) -> str:
    """Return what the store said in one line: its message without requests, headers and signatures."""
    line = text.replace(path.url, str(path)).splitlines()[0]
    message = re.search(r"<Code>(.*?)</Code>.*?<Message>(.*?)</Message>", text, re.DOTALL)
    if message is not None:
        return f"{message[1]}: {message[2]}"
    # Polars ends a message with a place, which may be one that it opened before.
    line = re.sub(r" \((?:path|location): .*", "", line)
    return _masked(line)
