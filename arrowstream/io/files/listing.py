"""Listing of the files that a path, a glob, a list or a folder names, with the Hive partitions of their folders."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from difflib import get_close_matches
from itertools import islice, takewhile
from pathlib import Path
from urllib.parse import unquote

from arrowstream.core.hints import other_file
from arrowstream.errors import PlanError, SourceError
from arrowstream.io.files.formats import FileKind, detect, kind_of, known_suffixes
from arrowstream.io.files.paths import local
from arrowstream.io.files.remote import listing as remote_listing
from arrowstream.io.files.remote.options import StorageOptions
from arrowstream.io.files.remote.urls import RemotePath, is_url, remote_path
from arrowstream.io.files.search.glob import is_pattern, matches
from arrowstream.io.files.search.walk import files_in
from arrowstream.io.files.staging.unfinished import is_being_written, is_partition

PathPartitions = tuple[tuple[str, str | None], ...]
"""Hive partitions: key and value, which is None for null."""

NO_VALUE = "__HIVE_DEFAULT_PARTITION__"
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class ListedFile:
    """A file to read.

    Parameters
    ----------
    path
        Path of the file, or place of an object.
    kind
        Format, compression and delimiter.
    partitions
        Hive partitions ``key=value`` from the folders above it; a value of None stands for null.
    """

    path: Path | RemotePath
    kind: FileKind
    partitions: PathPartitions = ()


def find_files(
    paths: Iterable[str],
    format: str | None = None,
    *,
    listed: bool = False,
    options: StorageOptions | None = None,
    watched: bool = False,
) -> tuple[ListedFile, ...]:
    """Return every file that `paths` name; those of a folder or glob in the order of their names.

    Parameters
    ----------
    paths
        Files, globs and folders.
    format
        Format of the files; None to take it from their names.
    listed
        Whether the user wrote a list: folders ``key=value`` in the paths themselves are partitions too, if all paths
        have the same keys.
    options
        Options of the object store, for URLs.
    watched
        Whether files come while a folder on this machine is read: it may hold none yet, a glob may match none, and
        files that are still being written, by their names, are left out.

    Raises
    ------
    SourceError
        A file does not exist, nothing matches a glob, or a folder holds no data files or cannot be listed.
    PlanError
        A suffix names no known format, or the files differ in format or partition keys.
    """
    paths = tuple(paths)
    above = _partitions_above(paths) if listed else {}
    files = [
        file
        for path in paths
        for file in _under(above.get(path, ()), _found(path, format, options, watched=watched))
    ]
    first = files[0] if files else None
    if watched and paths and first is None:
        return ()
    if first is None:
        raise PlanError("there is no file to read", expected="at least one path", found="an empty list")
    for file in files:
        if file.kind.format != first.kind.format or file.kind.delimiter != first.kind.delimiter:
            raise PlanError(
                "the files do not have one format",
                expected=f"{first.kind.format}, as {first.path} has",
                found=f"{file.kind.format} in {file.path}",
                hint="narrow them down with a glob such as 'folder/*.csv'",
            )
        if tuple(key for key, _ in file.partitions) != tuple(key for key, _ in first.partitions):
            raise PlanError(
                "the files are not partitioned by the same columns",
                expected=f"{_keys(first)} in the folders above {file.path}",
                found=_keys(file),
                hint="read folders that are partitioned in another way by a source of their own",
            )
    return tuple(files)


def first_file(
    paths: Sequence[str],
    format: str | None = None,
    *,
    listed: bool = False,
    options: StorageOptions | None = None,
) -> ListedFile:
    """Return the first file that `paths` name, without listing all of them. Raises as `find_files` does."""
    if not paths:
        return find_files(paths, format)[0]
    above = _partitions_above(paths) if listed else {}
    return _under(above.get(paths[0], ()), _found(paths[0], format, options, 1))[0]


def _partitions_above(paths: Sequence[str]) -> dict[str, PathPartitions]:
    """Return the partitions in the paths themselves, by path; none if the paths differ in their keys."""
    with _searching(", ".join(paths)):
        above = {path: _fixed_partitions(*_place(path)) for path in paths}
    keys = {tuple(key for key, _ in partitions) for partitions in above.values()}
    return above if len(keys) == 1 else {}


def _place(path: str) -> tuple[Path, bool]:
    """Return a local path, or the key of a URL as if it were one, and whether it is that of a folder."""
    if not is_url(path):
        return local(path), local(path).is_dir()
    place = remote_path(path)
    return Path("/", place.key), not place.name or (is_partition(place.name) and kind_of(place.name) is None)


def _fixed_partitions(path: Path, is_folder: bool) -> PathPartitions:
    """Return the partitions of the folders that all files of a path have: before a wildcard, or above a file."""
    parts = list(takewhile(lambda part: not is_pattern(part), path.parts))
    folder = Path(*parts)
    if len(parts) == len(path.parts) and not is_folder:
        folder = folder.parent
    return _partitions(folder, Path(folder.anchor))


def _under(above: PathPartitions, files: list[ListedFile]) -> list[ListedFile]:
    if not above:
        return files
    return [replace(file, partitions=(*above, *file.partitions)) for file in files]


def _found(
    path: str,
    format: str | None,
    options: StorageOptions | None,
    count: int | None = None,
    *,
    watched: bool = False,
) -> list[ListedFile]:
    if is_url(path):
        place = remote_path(path)
        if options is not None and options.scheme == place.scheme:
            place = replace(place, options=options)
        return list(islice(_objects(place, format), count))
    with _searching(path):
        return list(islice(_expand(path, format, watched=watched), count))


@contextmanager
def _searching(path: str) -> Iterator[None]:
    try:
        yield
    # RuntimeError: "~" of a user without a home; ValueError: "**" next to other characters.
    except (OSError, RuntimeError, ValueError) as error:
        folder = f" in {error.filename}" if isinstance(error, OSError) and error.filename != path else ""
        raise SourceError(
            f"{path} cannot be looked for",
            found=(error.strerror if isinstance(error, OSError) else None) or str(error),
            hint=f"check the path{folder}, and that you may read there",
        ) from error


def _expand(path: str, format: str | None, *, watched: bool) -> Iterator[ListedFile]:
    root = local(path)
    while root.name == "**":  # all files below a folder, as for the folder alone
        root = root.parent
    if root.is_dir():
        yield from _in_folder(root, root, format, watched=watched)
    elif root.exists():
        yield ListedFile(root, detect(root, format))
    elif not is_pattern(str(root)):
        raise _missing(f"there is no file {path}", root)
    else:
        yield from _matching(root, format, watched=watched)


def _objects(place: RemotePath, format: str | None) -> Iterator[ListedFile]:
    """Yield the data files that a URL names."""
    folder, found = remote_listing.listed(place)
    alone = len(found) == 1 and found[0].key == place.key
    others = []
    for path in found:
        kind = kind_of(path.name)
        if format is None and kind is None and not alone:
            others.append(path.name)
            continue
        above = Path("/", path.key).parent
        partitions = () if alone else _partitions(above, Path("/", folder))
        yield ListedFile(path, detect(path.name, format), partitions)
    if len(others) == len(found):
        raise _no_data(str(place), others)


def _matching(pattern: Path, format: str | None, *, watched: bool) -> Iterator[ListedFile]:
    """Yield the files that match a glob, and those inside folders that match it, without hidden ones."""
    parts = pattern.parts
    # The parts before the first wildcard are a plain folder; only those after it may be partitions.
    fixed = next(i for i, part in enumerate(parts) if is_pattern(part))
    base = Path(*parts[:fixed])
    found = sorted(matches(base, parts[fixed:]))
    if watched:
        found = [path for path in found if not is_being_written(path.name)]
    if not found and not (watched and base.is_dir()):
        raise _missing(f"no file matches {pattern}", pattern)
    for path in found:
        if path.is_dir():
            yield from _in_folder(path, base, format, watched=watched)
        else:
            yield ListedFile(path, detect(path, format), _partitions(path.parent, base))


def _in_folder(folder: Path, base: Path, format: str | None, *, watched: bool) -> Iterator[ListedFile]:
    """Yield the data files of a folder, at any depth."""
    found = False
    others: list[str] = []
    parent, partitions = str(folder), _partitions(folder, base)
    for path in files_in(folder):
        if watched and is_being_written(path.name):
            continue
        kind = kind_of(path)
        if format is None and kind is None:
            others.append(str(path.relative_to(folder)))
            continue
        found = True
        if (above := str(path).rpartition("/")[0]) != parent:
            parent, partitions = above, _partitions(path.parent, base)
        yield ListedFile(path, detect(path, format) if format or kind is None else kind, partitions)
    if not found and not watched:
        raise _no_data(str(folder), others)


def _no_data(folder: str, others: list[str]) -> SourceError:
    return SourceError(
        f"there are no data files in the folder {folder}",
        expected=f"files named {known_suffixes()}",
        found=_some(others) if others else "an empty folder",
        hint="pass format= if the names do not tell it; format='lines' reads any text line by line"
        if others
        else "check the path",
    )


def _partitions(folder: Path, base: Path) -> PathPartitions:
    pairs = (part.partition("=") for part in folder.relative_to(base).parts)
    # Compared before decoding: a text equal to Hive's name for null has one of its characters escaped.
    return tuple(
        (_utf8(unquote(key), folder), None if value == NO_VALUE else _utf8(unquote(value), folder))
        for key, equals, value in pairs
        if key and equals
    )


def _utf8(text: str, folder: Path) -> str:
    """Return `text`; raise SourceError if it is not UTF-8, as no column can hold it."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise SourceError(
            f"the name of a partition is not UTF-8: {folder}",
            expected="folders key=value whose names are UTF-8",
            found=ascii(text),
            hint="rename the folder, or percent-encode the value as in day=caf%C3%A9",
        ) from error
    return text


def _missing(what: str, path: Path) -> SourceError:
    """Make the error for a missing path: where its link leads, or which names its folder has."""
    if path.is_symlink():
        return SourceError(
            what,
            found=f"a link to {path.readlink()}, which does not exist",
            hint="check where the link leads",
        )
    folder = path.parent
    while not folder.is_dir():
        folder = folder.parent
    names = sorted(entry.name for entry in folder.iterdir()) if _readable(folder) else []
    wanted = path.relative_to(folder).parts[0]
    close = get_close_matches(wanted, names, _SHOWN, 0.5)
    return SourceError(
        what,
        found=f"in {folder.resolve()}: {_some(close or names)}"
        if names
        else f"nothing that can be listed in {folder.resolve()}",
        hint=other_file(wanted, close[0])
        if close
        else "check the path; it is relative to the current folder",
    )


def _readable(folder: Path) -> bool:
    try:
        next(folder.iterdir(), None)
    except OSError:
        return False
    return True


def _some(names: list[str]) -> str:
    more = f", … ({len(names)} in all)" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _keys(file: ListedFile) -> str:
    return ", ".join(f"{key}=" for key, _ in file.partitions) or "no key=value folders"
