"""Sheets of Excel files, which are read whole."""

from __future__ import annotations

import io
from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING

import polars as pl

from arrowstream.core.hints import did_you_mean
from arrowstream.errors import ArrowstreamError, MissingExtra, SourceError, UnreadableData
from arrowstream.io.files.columnar.damage import failed_steps
from arrowstream.io.files.columnar.given_types import Adapt
from arrowstream.io.files.columnar.open_file import OpenFile
from arrowstream.io.files.read_ahead import Piece

if TYPE_CHECKING:
    from fastexcel import ExcelReader


class Sheet:
    """One sheet of an Excel file, whose first row that is not blank names the columns.

    Parameters
    ----------
    file
        The open file.
    sheet
        Name of the sheet, or its number from 1.

    Raises
    ------
    MissingExtra
        The library that reads Excel files is not installed.
    SourceError
        The file cannot be read, or does not have the sheet.
    """

    def __init__(self, file: OpenFile, sheet: str | int) -> None:
        self._file = file
        self._sheet = sheet

    @property
    def schema(self) -> pl.Schema:
        """Names and types of the columns."""
        return self._frame.schema

    @property
    def rows(self) -> None:
        """None: the number of rows is known only when the sheet is read."""
        return None

    @cached_property
    def _frame(self) -> pl.DataFrame:
        content = self._file.read(0, self._file.size)
        self._file.check()
        name = self._name(_opened(self._file, content))
        try:
            frame = _rows(content, name)
        except Exception as error:  # calamine's errors derive from nothing that Polars exports
            raise _damaged(self._file, error) from error
        if not frame.width:
            raise UnreadableData(
                f"sheet {name!r} of {self._file.path} is empty",
                position=str(self._file.path),
                expected="a first row that names the columns",
                found="no cell with a value",
                hint="choose another sheet: sheet='name'",
            )
        return frame

    def _name(self, reader: ExcelReader) -> str:
        names = reader.sheet_names
        if self._sheet in names:
            return str(self._sheet)
        if isinstance(self._sheet, int) and 1 <= self._sheet <= len(names):
            return names[self._sheet - 1]
        raise SourceError(
            f"{self._file.path} has no sheet {self._sheet!r}",
            position=str(self._file.path),
            expected=f"one of {', '.join(map(repr, names))}, or a number from 1 to {len(names)}",
            found=repr(self._sheet),
            hint=did_you_mean(str(self._sheet), names),
        )

    def pieces(self, columns: tuple[str, ...], adapt: Adapt) -> Iterator[Piece]:
        """Yield all rows as one piece; `columns` are those that are needed."""
        frame = self._frame

        def explain(error: BaseException, first_row: int) -> ArrowstreamError:
            wrong = adapt.misfit(frame.select(columns), first_row)
            return wrong or failed_steps(self._file, error, first_row, frame.height)

        yield Piece(
            self._file.path, frame.height, self._file.size, lambda: adapt(frame.lazy()).collect(), explain
        )


def _rows(content: bytes, sheet: str) -> pl.DataFrame:
    """Return the rows of a sheet that have a value. A column of texts has all texts, and all digits of numbers."""

    def read(types: dict[str, pl.DataType] | None = None) -> pl.DataFrame:
        # From all rows: a type of the first rows would make nulls of what does not fit it.
        return pl.read_excel(
            io.BytesIO(content),
            sheet_name=sheet,
            infer_schema_length=None,
            schema_overrides=types,
            drop_empty_rows=False,
            raise_if_empty=False,
        )

    frame = read()
    texts = [name for name, dtype in frame.schema.items() if dtype == pl.String]
    if texts:
        # Texts such as NA are null unless the type is given.
        frame = read({name: pl.String() for name in texts})
    rounded = frame.select(pl.col(texts).cast(pl.Float64, strict=False))
    mixed = [name for name in texts if rounded[name].count()]
    if mixed:
        # calamine writes nine decimals of a number among texts: 1e-10 would be "0".
        exact = read({name: pl.Float64() for name in mixed})
        for name in mixed:
            lost = exact[name] != rounded[name]
            frame = frame.with_columns(
                pl.when(lost).then(exact[name].cast(pl.String)).otherwise(name).alias(name)
            )
    return frame.filter(~pl.all_horizontal(pl.all().is_null())) if frame.width else frame


def _opened(file: OpenFile, content: bytes) -> ExcelReader:
    try:
        import fastexcel
    except ImportError as error:
        raise MissingExtra(
            f"reading {file.path} needs the extra 'excel', which is not installed",
            hint="pip install 'arrowstream[excel]'",
        ) from error
    try:
        return fastexcel.read_excel(content)
    except fastexcel.FastExcelError as error:
        raise _damaged(file, error) from error


def _damaged(file: OpenFile, error: Exception) -> SourceError:
    return UnreadableData(
        f"{file.path} cannot be read as an Excel file",
        position=str(file.path),
        expected="a complete .xlsx workbook without a password",
        found=file.text(error) if file.size else "an empty file",
        hint="the file is damaged, was not copied completely, or is another format: open it and save it as .xlsx",
    )
