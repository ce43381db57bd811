"""Record of the files that an exchange of two folders replaces, so that another run can finish it.

The record is in the target from before the exchange, and so in the replaced folder after it: a hidden folder without
a record is one that never became visible, and holds nothing that anybody needs.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Final

from arrowstream.core.checkpoints.durable import sync
from arrowstream.io.files.staging.base import remove
from arrowstream.io.files.staging.contents import Contents, Versions
from arrowstream.io.files.staging.unfinished import KEPT, SUFFIX, hidden_name

_SUFFIX: Final = ".replacing"
_NAME: Final = re.compile(rf"\.(\d+-[0-9a-f]+){re.escape(_SUFFIX)}")


class Replaced:
    """The record of one run.

    Parameters
    ----------
    folder
        The target, or the folder that was one.
    token
        Name of the run.
    """

    def __init__(self, folder: Path, token: str) -> None:
        self.name: Final = f".{token}{_SUFFIX}"
        self._path = folder / self.name

    def exists(self) -> bool:
        """Return True if the folder has the record."""
        return self._path.exists()

    def write(self, contents: Contents) -> None:
        """Write what is replaced and what stays, and make it durable."""
        self._path.write_text(json.dumps(contents.versions))
        sync(self._path)
        sync(self._path.parent)

    def read(self) -> dict[str, Versions]:
        """Return the `versions` that were written; nothing if the record is not complete, as before any exchange."""
        try:
            found: dict[str, Versions] = json.loads(self._path.read_text())
        except ValueError:
            return {}
        return found

    def remove(self) -> None:
        """Remove the record."""
        remove([self._path])


def clear_replaced(contents: Contents, replaced: Path, record: Replaced) -> tuple[Path, list[Path]]:
    """Remove the replaced folder; return its path and the files that had to stay in it, if any.

    It is renamed then, so that no run takes it for a leftover.
    """
    stuck = contents.clear(replaced, record.name)
    record.remove()
    try:
        replaced.rmdir()
    except FileNotFoundError:
        return replaced, []
    except OSError:
        kept = replaced.with_name(replaced.name.removesuffix(SUFFIX).removesuffix(KEPT) + KEPT)
        replaced.rename(kept)
        return kept, [kept / path.relative_to(replaced) for path in stuck]
    return replaced, []


def finish_replaced(target: Path, replaced: Path, record: Replaced) -> None:
    """Remove the folder that a killed run has replaced by `target`, after moving what others put into it."""
    clear_replaced(Contents.after_exchange(target, replaced, record.read()), replaced, record)


def clear_records(target: Path) -> None:
    """Remove the records of runs that were killed before their exchange."""
    for path in target.glob(f".*{_SUFFIX}"):
        match = _NAME.fullmatch(path.name)
        if match and not target.with_name(hidden_name(target.name, match[1])).exists():
            remove([path])
