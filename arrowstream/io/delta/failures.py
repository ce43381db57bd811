"""Failures of `deltalake`, of the disk and of object stores as errors that name the table."""

from __future__ import annotations

from contextlib import AbstractContextManager

import pyarrow as pa

from arrowstream.io.delta.location import DeltaLocation
from arrowstream.io.lake import failures


def writing(location: DeltaLocation) -> AbstractContextManager[None]:
    """Raise the failure of a write in the block as a SinkError."""
    return failures.writing(
        f"the Delta table {location}", _failures(), lambda: (location.options or {}).values()
    )


def reading(location: DeltaLocation) -> AbstractContextManager[None]:
    """Raise the failure of a read in the block as a SourceError."""
    return failures.reading(
        f"the Delta table {location}", _failures(), lambda: (location.options or {}).values()
    )


def _failures() -> tuple[type[BaseException], ...]:
    from deltalake.exceptions import DeltaError

    return DeltaError, OSError, pa.ArrowException
