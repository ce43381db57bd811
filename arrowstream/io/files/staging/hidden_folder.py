"""A hidden folder in which files wait until they get their final names."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from pathlib import Path

from arrowstream.errors import SinkError
from arrowstream.io.files.sink_errors import sink_errors
from arrowstream.io.files.staging.base import Staging, nested, remove_empty, remove_tree
from arrowstream.io.files.staging.claim import Claim, claimed
from arrowstream.io.files.staging.leftovers import clear_leftovers
from arrowstream.io.files.staging.unfinished import hidden_name


class HiddenFolder(Staging):
    """Hidden folder of files that wait, next to their target or in it.

    Parameters
    ----------
    target
        The final folder, without symbolic links.
    made
        Folders that are missing, outermost first; those that were made are removed if the files are discarded.

    Raises
    ------
    SinkError
        The folder cannot be made.
    """

    _staged: Path
    _claim: Claim

    def __init__(self, target: Path, made: list[Path]) -> None:
        self._target = target
        self._made = made
        try:
            with sink_errors("cannot write to", target):
                self._begin()
        except SinkError:
            remove_empty(reversed(self._made))
            raise

    @abstractmethod
    def _begin(self) -> None:
        """Look at the target, and `_hide` the folder."""

    def _clear(self) -> None:
        """Remove what killed runs left in the target and next to it."""
        clear_leftovers(self._target, "")
        clear_leftovers(self._target.parent, self._target.name)

    def _hide(self, make: Callable[[Path], None], *, inside: bool = False) -> str:
        """Make the hidden folder, in the target if `inside`; return the name of the run."""
        target = self._target
        token, self._staged, self._claim = claimed(
            lambda token: (
                target / hidden_name("", token)
                if inside
                else target.with_name(hidden_name(target.name, token))
            ),
            make,
        )
        return token

    @property
    def folder(self) -> Path:
        return self._staged

    def path(self, name: str) -> str:
        with sink_errors("cannot write to", f"{self._target}/{name}"):
            return nested(str(self._staged), name)

    def discard(self) -> None:
        remove_tree(self._staged)
        remove_empty(reversed(self._made))
        self._claim.release()
