"""`FileLog`: names of the data files that a sink has written, so that those of a run that was killed are removed."""

from __future__ import annotations

import re
from pathlib import Path

_OPEN = "files-open.txt"
_NAME = re.compile(r"files-(\d+)\.txt")


class FileLog:
    """A list of files for each epoch that is not committed, in the sink's folder of the checkpoints.

    A name that is lost leaves a file that is not a part of the table, which costs nothing but its place on the disk.

    Parameters
    ----------
    folder
        The folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def note(self, path: str) -> None:
        """Note a file that is about to be written."""
        with (self._folder / _OPEN).open("a", encoding="utf-8") as file:
            file.write(f"{path}\n")

    def seal(self, epoch: int) -> None:
        """Note that the files since the last call are those of an epoch."""
        found = self._folder / _OPEN
        if found.exists():
            found.replace(self._folder / f"files-{epoch}.txt")

    def committed(self, epoch: int) -> None:
        """Forget the files of an epoch, which are part of the table."""
        (self._folder / f"files-{epoch}.txt").unlink(missing_ok=True)

    def take_leftovers(self, shown: int) -> list[str]:
        """Return the files that belong to no epoch up to `shown`, and forget all."""
        found: list[str] = []
        for path in self._folder.glob("files-*.txt"):
            match = _NAME.fullmatch(path.name)
            if match is None or int(match[1]) > shown:
                found += path.read_text(encoding="utf-8").splitlines()
            path.unlink()
        return found
