"""Format and compression of a file, from its name."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Literal, get_args

from arrowstream.core.mistakes.explain import nearest_value
from arrowstream.errors import PlanError
from arrowstream.io.files.text.options.csv_layout import PLAIN, CsvLayout

Format = Literal["parquet", "csv", "ndjson", "json", "ipc", "avro", "excel", "lines"]
WrittenFormat = Literal["parquet", "csv", "ndjson", "json", "ipc", "avro"]
"""Formats that are written too."""

Compression = Literal["gzip", "zstd", "zip"]

TEXT_FORMATS: Final[frozenset[Format]] = frozenset({"csv", "ndjson", "json", "lines"})
"""Formats that may be compressed as a whole, and whose types are inferred; the others know their types."""

SUFFIXES: Final[dict[str, Format]] = {
    ".parquet": "parquet",
    ".csv": "csv",
    ".tsv": "csv",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".json": "json",
    ".arrow": "ipc",
    ".ipc": "ipc",
    ".feather": "ipc",
    ".avro": "avro",
    ".xlsx": "excel",
    ".xlsm": "excel",
}
_SPOKEN: Final[dict[str, str]] = {
    "parquet": "a Parquet",
    "csv": "a CSV",
    "ndjson": "an NDJSON",
    "json": "a JSON",
    "ipc": "an Arrow IPC",
    "avro": "an Avro",
    "excel": "an Excel",
    "lines": "a text",
}
COMPRESSION_SUFFIXES: Final[dict[str, Compression]] = {".gz": "gzip", ".zst": "zstd", ".zip": "zip"}


@dataclass(frozen=True, slots=True)
class FileKind:
    """Format, compression, delimiter and sheet of a file.

    Parameters
    ----------
    format
        Format of the rows. ``"json"`` is an array of objects, or NDJSON under that name; ``"lines"`` is any text.
    compression
        Compression of the whole file; always None for formats that compress their columns themselves.
    delimiter
        Delimiter of CSV fields: a comma, or a tab if the name ends in ``.tsv``.
    sheet
        Sheet of an Excel file: its name, or its number from 1.
    layout
        How a CSV file is written, but for the delimiter.
    """

    format: Format
    compression: Compression | None = None
    delimiter: str = ","
    sheet: str | int = 1
    layout: CsvLayout = field(default=PLAIN, repr=False)

    def laid_out(self, layout: CsvLayout) -> FileKind:
        """Return this kind with CSV that is written in a layout, whose delimiter replaces that of the name."""
        return replace(self, delimiter=layout.delimiter or self.delimiter, layout=layout)


def kind_of(path: str | Path) -> FileKind | None:
    """Return the kind that a file's name implies, or None if the name implies none.

    Examples
    --------
    >>> kind_of("trips/2013.csv.gz")
    FileKind(format='csv', compression='gzip', delimiter=',', sheet=1)
    >>> kind_of("notes.txt") is None
    True
    """
    suffix, compression = _suffixes(path)
    format = SUFFIXES.get(suffix)
    if format is None or (compression is not None and format not in TEXT_FORMATS):
        return None
    return FileKind(format, compression, "\t" if suffix == ".tsv" else ",")


def detect(path: str | Path, format: str | None = None, *, written: bool = False) -> FileKind:
    """Return the kind of a file: of `format` if given, else of the format that the name implies.

    Errors name the formats that are written if `written`, else all.

    Raises
    ------
    PlanError
        `format` or the suffix names no known format, or the format cannot be compressed as a whole.

    Examples
    --------
    >>> detect("prices.txt", format="csv")
    FileKind(format='csv', compression=None, delimiter=',', sheet=1)
    """
    suffix, compression = _suffixes(path)
    chosen = format_named(format) if format is not None else SUFFIXES.get(suffix)
    if chosen is None:
        more = "; a folder ends with '/'" if written else "; 'lines' reads any text line by line"
        raise PlanError(
            f"the name {Path(path).name!r} does not tell a file format",
            expected=f"a suffix such as {known_suffixes(written=written)}",
            found=repr("".join(Path(path).suffixes[-2:])),
            hint=f"rename the file, or pass format= one of {_names(written=written)}{more}",
        )
    if compression is not None and chosen not in TEXT_FORMATS:
        raise PlanError(
            f"{Path(path).name!r}: {a_file(chosen)} is not compressed as a whole",
            expected=f"{a_file(chosen)} that compresses its own columns",
            found=f"the suffix {Path(path).suffix!r}",
            hint=f"unpack it, or name it without {Path(path).suffix!r} if it is plain {chosen}",
        )
    return FileKind(chosen, compression, "\t" if suffix == ".tsv" and chosen == "csv" else ",")


def format_named(name: str) -> Format:
    """Return `name` as a `Format`.

    Raises
    ------
    PlanError
        No format has this name.
    """
    for format in get_args(Format):
        if format == name:
            return format  # type: ignore[no-any-return]  # get_args gives Any
    raise PlanError(
        f"there is no file format {name!r}",
        expected=_names(),
        found=repr(name),
        hint=nearest_value(str(name), get_args(Format)) or "convert the file first",
    )


def a_file(format: Format) -> str:
    """Return the words for a file of a format, for a message.

    Examples
    --------
    >>> a_file("avro"), a_file("csv")
    ('an Avro file', 'a CSV file')
    """
    return f"{_SPOKEN[format]} file"


def known_suffixes(*, written: bool = False) -> str:
    """List all suffixes, or those of formats that are written, for a message."""
    formats = get_args(WrittenFormat if written else Format)
    suffixes = (suffix for suffix, format in SUFFIXES.items() if format in formats)
    packed = (suffix for suffix in COMPRESSION_SUFFIXES if not written or suffix != ".zip")
    return f"{', '.join(suffixes)} (text also with {', '.join(packed)})"


def _names(*, written: bool = False) -> str:
    return ", ".join(repr(name) for name in get_args(WrittenFormat if written else Format))


def _suffixes(path: str | Path) -> tuple[str, Compression | None]:
    """Return the format's suffix in lower case, and the compression that the suffix after it names."""
    name = str(path).rpartition("/")[2].lower()
    compression = COMPRESSION_SUFFIXES.get(_last_suffix(name))
    return _last_suffix(name.removesuffix(_last_suffix(name)) if compression else name), compression


def _last_suffix(name: str) -> str:
    """Return the suffix of a name as `pathlib` does, without the cost of a path."""
    stem, _, end = name.rpartition(".")
    return f".{end}" if stem and end else ""
