"""The common schema of a source's files, and the error for a file that does not have it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from arrowstream.core.hints import delimiter_hint, did_you_mean
from arrowstream.errors import PlanError, SchemaError, SourceError
from arrowstream.io.files.evolution import Evolution
from arrowstream.io.files.formats import TEXT_FORMATS
from arrowstream.io.files.listing import ListedFile
from arrowstream.io.files.tables import open_table
from arrowstream.io.files.text.options.text_options import NullValues, TextOptions
from arrowstream.io.files.text.types import check_readable, text_schema
from arrowstream.io.files.together.alike import has_content

CHECKED_AT_BUILD = 1000
"""Most files whose footers are all compared at `build()`; if there are more, each is compared when it is read."""


def table_schema(file: ListedFile) -> pl.Schema:
    """Return the schema of a file with typed columns; for Parquet and IPC read again only if the file changed."""
    return open_table(file).schema


def stored_schema(
    files: Sequence[ListedFile],
    options: TextOptions,
    given: pl.Schema,
    evolution: Evolution,
    *,
    aside: bool = False,
    skip_empty: bool = False,
    is_there: bool = True,
) -> pl.Schema:
    """Return the columns inside the files: names and types of the first file, and for text the types in `given`.

    Types are those that hold the values of all files, if `evolution` allows several. If it allows columns to be
    missing, those in `given` that the first file lacks are among the columns. If bad rows of text are put `aside`,
    they do not count. If files without content are skipped and no other is there, or if the first file only stands
    for those that will come, `given` has the columns.

    Raises
    ------
    SourceError
        A file cannot be read.
    SchemaError
        Files with typed columns differ, or `given` or `null_values` names a column that does not exist.
    """
    first = files[0]
    partitions = [key for key, _ in first.partitions]
    inside = pl.Schema({name: dtype for name, dtype in given.items() if name not in partitions})
    if not is_there or (skip_empty and not has_content(first.path, first.kind)):
        return _without_files(first, inside, is_there=is_there)
    columnar = first.kind.format not in TEXT_FORMATS
    schema = table_schema(first) if columnar else text_schema(first, options, inside, aside=aside)
    if evolution.missing_columns == "insert":
        _check_delimiter(first, schema, inside)
        schema = pl.Schema({**schema, **{name: inside[name] for name in inside if name not in schema}})
    if len(files) <= CHECKED_AT_BUILD and (columnar or evolution.widen):
        others = [
            table_schema(file) if columnar else text_schema(file, options, inside, aside=aside)
            for file in files[1:]
        ]
        for other in others:
            schema = evolution.widened(schema, other, text=not columnar)
        if columnar:
            for file, other in zip(files[1:], others, strict=True):
                check_columns(file, other, first, schema, evolution)
        else:
            schema = pl.Schema({name: inside.get(name, dtype) for name, dtype in schema.items()})
    unknown = [name for name in inside if name not in schema]
    if unknown:
        raise SchemaError(
            f"schema= names a column that {first.path} does not have: {unknown[0]!r}",
            expected=f"some of {', '.join(schema)}",
            found=", ".join(unknown),
            hint=did_you_mean(unknown[0], schema)
            or "name the columns as the file does, and rename them by a step of the pipeline; "
            "or pass missing_columns='insert' for a column of nulls",
        )
    _check_null_values(options.null_values, schema, first)
    return schema


def _without_files(first: ListedFile, given: pl.Schema, *, is_there: bool) -> pl.Schema:
    """Return the columns of a stream without rows yet: no file has content, or there is none."""
    if not given:
        raise SourceError(
            "no file has content" if is_there else f"no file is there yet in {first.path}",
            expected="at least one file with rows or a header, or the columns for a stream without rows",
            found=f"nothing but files without content, the first {first.path}" if is_there else "no file",
            hint="give the columns: schema={'name': pl.String, ...}",
        )
    if first.kind.format in TEXT_FORMATS:
        check_readable(first, given)
    return given


def _check_null_values(values: NullValues | None, schema: pl.Schema, first: ListedFile) -> None:
    unknown = [name for name in values if name not in schema] if isinstance(values, Mapping) else []
    if unknown:
        raise SchemaError(
            f"null_values= names a column that {first.path} does not have: {unknown[0]!r}",
            expected=f"some of {', '.join(schema)}",
            found=", ".join(unknown),
            hint=did_you_mean(unknown[0], schema) or "name the columns as the file does",
        )


def check_path_column(name: str, stored: pl.Schema, first: ListedFile) -> None:
    """Raise PlanError if the column of the files' paths, the last of the partitions, has the name of another one."""
    if name in stored or [key for key, _ in first.partitions].count(name) > 1:
        raise PlanError(
            f"the files have a column {name!r} already",
            expected="another name for the column of their paths",
            found=f"include_file_paths={name!r}",
            hint="choose a name that no column and no partition has",
        )


def check_columns(
    file: ListedFile, found: pl.Schema, first: ListedFile, expected: pl.Schema, evolution: Evolution
) -> None:
    """Raise SchemaError unless a file has the columns and types of the first one, in any order.

    Differences that `evolution` allows are not errors, but another delimiter is, which gave rows of nulls.
    """
    if evolution.missing_columns == "insert":
        _check_delimiter(file, found, expected)
    names = dict.fromkeys([*expected, *found])
    wrong = [name for name in names if not evolution.allows(found.get(name), expected.get(name))]
    missing = [name for name in wrong if name not in found]
    extra = [name for name in wrong if name not in expected]
    other = [name for name in wrong if name in found and name in expected]
    if not wrong:
        return
    name = (missing or extra or other)[0]
    if missing:
        what, hint = f"has no column {name!r}", _missing_hint(name, [each for each in found if each in extra])
    elif extra:
        what = f"has a column {name!r} more"
        hint = (
            "pass extra_columns='ignore' to leave it out, or missing_columns='insert' and its type in schema= "
            "to read it"
        )
    else:
        what = f"has another type in column {name!r}"
        hint = "read this file by a source of its own and cast"
        if not evolution.widen:
            hint = f"pass widen=True if one type holds the values of both exactly, or {hint}"
    raise SchemaError(
        f"{file.path} {what} than the files before it" if not missing else f"{file.path} {what}",
        expected=f"{_columns(expected, [*missing, *other]) or _names(expected)}, as in {first.path}",
        found=f"{_columns(found, [*extra, *other]) or _names(found)} in {file.path}",
        hint=hint,
    )


def _check_delimiter(file: ListedFile, found: pl.Schema, expected: pl.Schema) -> None:
    """Raise SchemaError if the only column of a file looks like a header with some of the expected names."""
    hints = (delimiter_hint(next(iter(found)), name) for name in expected) if len(found) == 1 else ()
    hint = next((hint for hint in hints if hint is not None), None)
    if hint is not None:
        raise SchemaError(
            f"{file.path} has none of the columns",
            expected=f"some of {', '.join(expected)}",
            found=", ".join(found),
            hint=f"read this file by a source of its own; {hint}",
        )


def _missing_hint(name: str, others: Sequence[str]) -> str:
    """Return a hint for a column that a file lacks, next to the names of columns that only this file has."""
    apart = "read this file by a source of its own"
    like = [each for each in others if each.strip().casefold() == name.strip().casefold()]
    if like:
        return f"the file has {like[0]!r}: {apart}, and rename the column in a step"
    if len(others) == 1 and (delimiter := delimiter_hint(others[0], name)) is not None:
        return f"{apart}; {delimiter}"
    return "pass missing_columns='insert' to read it as nulls there"


def check_names(
    file: ListedFile, found: Sequence[str], first: ListedFile, expected: pl.Schema, evolution: Evolution
) -> None:
    """Apply `check_columns` to a file whose header has names only."""
    known = {name: expected.get(name, pl.Unknown()) for name in found}
    check_columns(file, pl.Schema(known), first, expected, evolution)


def _columns(schema: pl.Schema, names: Sequence[str]) -> str:
    return ", ".join(name if schema[name] == pl.Unknown else f"{name}: {schema[name]}" for name in names)


def _names(schema: pl.Schema) -> str:
    return f"only {', '.join(schema)}"
