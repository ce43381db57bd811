"""Hive partitions: rows with the same values in some columns go to a folder named after those values.

In ``day=2013-01-01/part-00000.parquet`` the column ``day`` is not in the file but in the path. Values are
percent-encoded as Hive does, so that no value can lead out of its folder; null is ``__HIVE_DEFAULT_PARTITION__``.
Polars, DuckDB and Spark read this layout.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import polars as pl

from arrowstream.core.hints import did_you_mean
from arrowstream.errors import SchemaError

NAMES: Final = 100_000
"""Most names of folders that are kept: an endless run may write into ever new ones."""

NULL: Final = "__HIVE_DEFAULT_PARTITION__"

# Hive's own list (FileUtils.charToEscape), and the remaining control characters.
_ESCAPED: Final = re.compile(r"""[\x00-\x1f\x7f"#%'*/:=?\\{\[\]^]""")
_TYPES: Final = (
    "integers, booleans, strings, categoricals, enums, dates, or datetimes in ms or us without zone"
)


@dataclass(frozen=True, slots=True)
class HivePartitions:
    """Split of frames by the values of `columns`; without columns, all rows go to the top folder.

    Parameters
    ----------
    columns
        Names of the columns, the outermost folder first.

    Examples
    --------
    >>> frame = pl.DataFrame({"k": ["a/b", None, "a/b"], "x": [1, 2, 3]})
    >>> [(folder, rows["x"].to_list()) for folder, rows in HivePartitions(("k",)).split(frame)]
    [('k=a%2Fb/', [1, 3]), ('k=__HIVE_DEFAULT_PARTITION__/', [2])]
    """

    columns: tuple[str, ...]
    _folders: dict[tuple[Any, ...], str] = field(default_factory=dict, compare=False, repr=False)

    def check(self, schema: pl.Schema) -> None:
        """Raise SchemaError unless frames of this schema can be partitioned by the columns."""
        for name in self.columns:
            if name not in schema:
                raise SchemaError(
                    f"there is no column {name!r} to partition by",
                    expected=f"one of {', '.join(map(repr, schema))}",
                    found=repr(name),
                    hint=did_you_mean(name, schema)
                    or f"compute the column before the sink; if it is a folder {name}=... of the source, "
                    "give the paths as a list, or the folder above it",
                )
            if _ESCAPED.search(name):
                raise SchemaError(
                    f"column {name!r} cannot name a folder: readers do not decode the names of columns",
                    expected="a name without any of \" # % ' * / : = ? \\ { [ ] ^",
                    found=repr(name),
                    hint="rename the column before the sink",
                )
            if not _names_folders(schema[name]):
                raise SchemaError(
                    f"column {name!r} of type {schema[name]} cannot be partitioned by",
                    expected=_TYPES,
                    found=str(schema[name]),
                    hint=f"cast it first, for instance with_columns({name}=pl.col({name!r}).cast(pl.String))",
                )
        if len(set(self.columns)) < len(self.columns):
            raise SchemaError(
                "a column is named twice in partition_by",
                found=", ".join(map(repr, self.columns)),
                hint="name each column once",
            )
        if self.columns and len(self.columns) == len(schema):
            raise SchemaError(
                "every column is partitioned by, so nothing is left for the files",
                expected=f"fewer than all of {', '.join(map(repr, schema))}",
                found=", ".join(map(repr, self.columns)),
                hint="partition by fewer columns, or keep a copy of one under another name",
            )

    def file_schema(self, schema: pl.Schema) -> pl.Schema:
        """Return the schema of the files: `schema` without the partition columns."""
        return pl.Schema({name: dtype for name, dtype in schema.items() if name not in self.columns})

    def split(self, frame: pl.DataFrame) -> Iterator[tuple[str, pl.DataFrame]]:
        """Yield each folder with its rows of `frame`, in their order, without the partition columns."""
        groups = frame.partition_by(*self.columns, maintain_order=True, include_key=False, as_dict=True)
        self._name(list(groups), frame.schema)
        for values, rows in groups.items():
            yield self._folders[values], rows

    def _name(self, groups: list[tuple[Any, ...]], schema: pl.Schema) -> None:
        """Name the folders of groups that have no name yet."""
        new = [values for values in groups if values not in self._folders]
        if len(self._folders) + len(new) > NAMES:
            self._folders.clear()
            new = groups
        # Column by column: a query for each value would take longer than the files of the partitions.
        texts = [
            [f"{name}={text}/" for text in encode([values[place] for values in new], schema[name])]
            for place, name in enumerate(self.columns)
        ]
        self._folders.update((values, "".join(parts)) for values, *parts in zip(new, *texts, strict=True))


def encode(values: list[object], dtype: pl.DataType) -> list[str]:
    """Return values of one type as they are written in the names of folders, after ``column=``.

    Examples
    --------
    >>> encode(["50%", None], pl.String()), encode([True], pl.Boolean())
    (['50%25', '__HIVE_DEFAULT_PARTITION__'], ['true'])
    """
    texts: list[str | None] = pl.Series(values, dtype=dtype).cast(pl.String).to_list()
    return [NULL if text is None else _escaped(text) for text in texts]


def _escaped(text: str) -> str:
    if text == NULL:
        # A text that equals the name for null; readers that compare before they decode see the difference.
        return "%5F" + text[1:]
    return _ESCAPED.sub(lambda found: f"%{ord(found[0]):02X}", text)


def _names_folders(dtype: pl.DataType) -> bool:
    if isinstance(dtype, pl.Datetime):
        # Nanoseconds would be lost on the way through Python's datetime, and zones when read back.
        return dtype.time_unit != "ns" and dtype.time_zone is None
    return dtype.is_integer() or isinstance(dtype, (pl.Boolean, pl.String, pl.Categorical, pl.Enum, pl.Date))
