"""Failures of `pyiceberg`, of the disk, of catalogs and object stores as errors that name the table."""

from __future__ import annotations

from contextlib import AbstractContextManager

from arrowstream.io.iceberg.location import IcebergLocation
from arrowstream.io.lake import failures

_FAILURES = (Exception,)
"""The errors of pyiceberg and of the clients of its catalogs derive from nothing in common."""


def writing(location: IcebergLocation) -> AbstractContextManager[None]:
    """Raise the failure of a write in the block as a SinkError."""
    return failures.writing(f"the Iceberg table {location}", _FAILURES, location.catalog.secrets)


def reading(location: IcebergLocation) -> AbstractContextManager[None]:
    """Raise the failure of a read in the block as a SourceError."""
    return failures.reading(f"the Iceberg table {location}", _FAILURES, location.catalog.secrets)
