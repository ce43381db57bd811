"""TLS contexts from the files that a user names."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from os import fspath

from arrowstream.errors import SinkError, SourceError, StageError
from arrowstream.io.tcp.options import Tls


def server_context(tls: Tls) -> ssl.SSLContext:
    """Return the context of a source.

    Raises
    ------
    SourceError
        A file cannot be read, or is not a certificate or key.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if tls.ca is not None:
        context.verify_mode = ssl.CERT_REQUIRED
    return _with_files(context, tls, SourceError)


def client_context(tls: Tls) -> ssl.SSLContext:
    """Return the context of a sink.

    Raises
    ------
    SinkError
        A file cannot be read, or is not a certificate or key.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if tls.ca is None:
        context.load_default_certs()
    return _with_files(context, tls, SinkError)


def _with_files(context: ssl.SSLContext, tls: Tls, error: Callable[..., StageError]) -> ssl.SSLContext:
    try:
        if tls.certificate is not None and tls.key is not None:
            context.load_cert_chain(fspath(tls.certificate), fspath(tls.key))
        if tls.ca is not None:
            context.load_verify_locations(fspath(tls.ca))
    except OSError as cause:  # as ssl.SSLError is
        raise error(
            "the files of tls= cannot be used",
            expected="certificates and an unencrypted private key in PEM files",
            found=f"certificate {tls.certificate}, key {tls.key}, ca {tls.ca}: {cause}",
        ) from cause
    return context
