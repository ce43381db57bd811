"""The rows of one epoch as the bytes of a file, before they are appended to the text file of a sink."""

from __future__ import annotations

from pathlib import Path

from arrowstream.core.checkpoints.durable import sync
from arrowstream.io.files.sink_errors import sink_errors
from arrowstream.io.files.staging.base import Publication, remove


class StagedRows(Publication):
    """A file in the sink's folder of the checkpoints.

    Parameters
    ----------
    path
        The file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def prepare(self) -> None:
        """Make the name of the file durable; its bytes are."""
        with sink_errors("cannot finish", self.path):
            sync(self.path.parent)

    def publish(self) -> None:
        """Leave the file where it is: its bytes are appended once the checkpoint is complete."""
        return

    def discard(self) -> None:
        remove([self.path])
