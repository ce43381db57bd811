"""Which files a source reads: those that its paths name now."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from arrowstream.errors import SourceError
from arrowstream.io.files.formats import Format, detect
from arrowstream.io.files.listing import ListedFile, find_files, first_file
from arrowstream.io.files.remote.options import StorageOptions
from arrowstream.io.files.together.alike import has_content


@dataclass(frozen=True, slots=True)
class Selection:
    """Files of a source, as its arguments describe them.

    Parameters
    ----------
    paths
        Files, globs and folders, as the user wrote them.
    format
        Format of the files; None to take it from their names.
    listed
        Whether the user wrote a list: folders ``key=value`` in its paths are partitions too.
    storage_options
        Options of the object store, if a path is a URL.
    sheet
        Sheet of Excel files.
    include_file_paths
        Name of a column with the path of each row's file; None for no such column.
    skip_empty
        Whether files without content are left out.
    watched
        Whether files come while the source is read: there may be none yet.
    """

    paths: tuple[str, ...]
    format: Format | None
    listed: bool
    storage_options: StorageOptions | None
    sheet: str | int | None
    include_file_paths: str | None
    skip_empty: bool
    watched: bool

    @property
    def first(self) -> ListedFile:
        """A file that has the format and the partition keys of all files."""
        if self.watched:
            files, _ = self.files()
            return files[0] if files else self.stand_in
        options = self.storage_options
        return self._with_options(first_file(self.paths, self.format, listed=self.listed, options=options))

    @property
    def stand_in(self) -> ListedFile:
        """A file of the format that the files will have, while there is none.

        Raises
        ------
        PlanError
            Neither `format` nor the pattern tells the format.
        """
        place = Path(self.paths[0])
        return self._with_options(ListedFile(place, detect(place, self.format)))

    def files(self) -> tuple[tuple[ListedFile, ...], tuple[ListedFile, ...]]:
        """Return the files to read, and those without content that are left out.

        If no file has content, the first one is among both: it stands for their format.
        """
        options = self.storage_options
        files = find_files(self.paths, self.format, listed=self.listed, options=options, watched=self.watched)
        files = tuple(map(self._with_options, files))
        if not self.skip_empty:
            return files, ()
        empty = [not has_content(file.path, file.kind) for file in files]
        full = tuple(file for file, is_empty in zip(files, empty, strict=True) if not is_empty)
        return full or files[:1], tuple(file for file, is_empty in zip(files, empty, strict=True) if is_empty)

    def _with_options(self, file: ListedFile) -> ListedFile:
        """Return a file with the sheet to read, and with its path as a column like a partition, if asked for."""
        if self.sheet is not None:
            file = replace(file, kind=replace(file.kind, sheet=self.sheet))
        if self.include_file_paths is None:
            return file
        path = str(file.path)
        try:
            path.encode()
        except UnicodeEncodeError as error:
            raise SourceError(
                f"the path of a file is not UTF-8, as a value of column {self.include_file_paths!r} must be",
                found=ascii(path),
                hint="rename the file, or leave out include_file_paths",
            ) from error
        return replace(file, partitions=(*file.partitions, (self.include_file_paths, path)))
