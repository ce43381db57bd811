"""The files that are left to read after an earlier run."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable

from arrowstream.errors import SourceError
from arrowstream.io.files.listing import ListedFile
from arrowstream.io.files.reading.done_files import DoneFiles
from arrowstream.io.files.reading.progress import ReadProgress
from arrowstream.io.files.reading.stamps import check_unchanged, stamp_of


def remaining(files: Iterable[ListedFile], progress: ReadProgress) -> list[ListedFile]:
    """Return the files to read, in order: those that an earlier run has begun, then those that are new.

    Parameters
    ----------
    files
        The files that are there, in order.
    progress
        What the earlier run has read.

    Raises
    ------
    SourceError
        A file that was read to its end has changed, or one of which a part was read is gone.
    """
    begun = progress.start.files
    if not begun and not progress.done:
        return list(files)
    wanted = Counter(stamp.path for stamp in begun)
    there: defaultdict[str, list[ListedFile]] = defaultdict(list)
    new = []
    for file in new_files(files, progress.done):
        path = str(file.path)
        if wanted[path] > len(there[path]):
            there[path].append(file)
        else:
            new.append(file)
    for stamp in begun:
        if len(there[stamp.path]) < wanted[stamp.path]:
            raise SourceError(
                f"{stamp.path} is gone, of which an earlier run handed out the first rows",
                position=stamp.path,
                expected=f"the file of {stamp.size:,} bytes, among the files that the source reads",
                found="no such file",
                hint="put the file back, or start from the beginning: from_checkpoint='ignore'",
            )
    return [*(there[stamp.path].pop(0) for stamp in begun), *new]


def new_files(files: Iterable[ListedFile], done: DoneFiles) -> list[ListedFile]:
    """Return the files that have not been read, in order.

    Raises
    ------
    SourceError
        A file that has been read to its end has changed.
    """
    seen = Counter[str]()
    new = []
    for file in files:
        path = str(file.path)
        seen[path] += 1
        if seen[path] > done.count(path):
            new.append(file)
        elif seen[path] == 1:
            check_unchanged(
                done.stamp(path),
                stamp_of(file.path),
                None,
                "read it",
                "new rows belong into a new file, as each file is read once: put the file back as it was, move it "
                "away, or start from the beginning: from_checkpoint='ignore'",
            )
    return new
