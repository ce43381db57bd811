"""The calls of libcudf's functions of text, each with the arguments that give Polars' meaning."""

from __future__ import annotations

from functools import partial

import pyarrow as pa

from arrowstream.expressions.program import Literal
from arrowstream.gpu import libraries as cuda
from arrowstream.gpu.kernels.tree import OperationFunction
from arrowstream.gpu.text_limit import check_text
from arrowstream.gpu.work import Work

_TEXT, _INT32 = pa.large_string(), pa.int32()


def _text(work: Work, value: str | None) -> cuda.plc.Scalar:
    return work.scalar(Literal(value, _TEXT))


def count_bytes(work: Work, values: cuda.plc.Column) -> cuda.plc.Column:
    """Return the number of bytes of each text, as int32."""
    return cuda.plc.strings.attributes.count_bytes(values, stream=work.stream)


def count_characters(work: Work, values: cuda.plc.Column) -> cuda.plc.Column:
    """Return the number of characters of each text, as int32."""
    return cuda.plc.strings.attributes.count_characters(values, stream=work.stream)


def upper(work: Work, values: cuda.plc.Column) -> cuda.plc.Column:
    """Return ASCII text in capitals."""
    return cuda.plc.strings.case.to_upper(values, stream=work.stream)


def lower(work: Work, values: cuda.plc.Column) -> cuda.plc.Column:
    """Return ASCII text in small letters."""
    return cuda.plc.strings.case.to_lower(values, stream=work.stream)


def contains(text: str) -> OperationFunction:
    """Return the call that finds which texts contain `text`."""

    def run(work: Work, values: cuda.plc.Column) -> cuda.plc.Column:
        return cuda.plc.strings.find.contains(values, _text(work, text), stream=work.stream)

    return run


def starts_with(text: str) -> OperationFunction:
    """Return the call that finds which texts start with `text`."""

    def run(work: Work, values: cuda.plc.Column) -> cuda.plc.Column:
        return cuda.plc.strings.find.starts_with(values, _text(work, text), stream=work.stream)

    return run


def ends_with(text: str) -> OperationFunction:
    """Return the call that finds which texts end with `text`."""

    def run(work: Work, values: cuda.plc.Column) -> cuda.plc.Column:
        return cuda.plc.strings.find.ends_with(values, _text(work, text), stream=work.stream)

    return run


def place(text: str) -> OperationFunction:
    """Return the call that gives the place of `text` in each text, in characters; -1 if it is not there."""

    def run(work: Work, values: cuda.plc.Column) -> cuda.plc.Column:
        return cuda.plc.strings.find.find(values, _text(work, text), 0, -1, stream=work.stream)

    return run


def replaced(old: str, new: str, times: int) -> OperationFunction:
    """Return the call that replaces `old` by `new`, as often as `times` says; -1 for everywhere."""
    growth = max(1, -(-len(new.encode()) // len(old.encode())))

    def run(work: Work, values: cuda.plc.Column) -> cuda.plc.Column:
        check_text([values.device_buffer_size() * growth])
        return cuda.plc.strings.replace.replace(
            values, _text(work, old), _text(work, new), times, stream=work.stream
        )

    return run


def stripped(side: str, characters: str) -> OperationFunction:
    """Return the call that strips characters, of which there is one at least: none would mean blanks."""

    def run(work: Work, values: cuda.plc.Column) -> cuda.plc.Column:
        where = cuda.plc.strings.SideType[side]
        return cuda.plc.strings.strip.strip(values, where, _text(work, characters), stream=work.stream)

    return run


def sliced(start: int | None, stop: int | None) -> OperationFunction:
    """Return the call that cuts out the characters ``[start, stop)``."""

    def run(work: Work, values: cuda.plc.Column) -> cuda.plc.Column:
        # A null scalar means "to the end"; leaving the argument out would mean 0.
        first, last, step = (work.scalar(Literal(value, _INT32)) for value in (start, stop, 1))
        return cuda.plc.strings.slice.slice_strings(values, first, last, step, stream=work.stream)

    return run


def padded(side: str, width: int, fill: str) -> OperationFunction:
    """Return the call that fills text up on one side."""

    def run(work: Work, values: cuda.plc.Column) -> cuda.plc.Column:
        check_text([values.device_buffer_size() + values.size() * max(width, 0) * len(fill.encode())])
        where = cuda.plc.strings.SideType[side]
        return cuda.plc.strings.padding.pad(values, width, where, fill, stream=work.stream)

    return run


def joined(separator: str, ignore_nulls: bool) -> OperationFunction:
    """Return the call that joins texts, with a separator between them."""

    def run(work: Work, *values: cuda.plc.Column | cuda.plc.Scalar) -> cuda.plc.Column:
        columns = [work.column(value) for value in values]
        between = columns[0].size() * len(separator.encode()) * len(columns)
        check_text([sum(column.device_buffer_size() for column in columns) + between])
        policy = cuda.plc.strings.combine.SeparatorOnNulls
        concatenate = partial(
            cuda.plc.strings.combine.concatenate, cuda.plc.Table(columns), _text(work, separator)
        )
        if ignore_nulls:
            return concatenate(_text(work, ""), None, policy.NO, stream=work.stream)
        # A null scalar makes null of a row with a null; leaving the argument out would replace it by "".
        return concatenate(_text(work, None), None, policy.YES, stream=work.stream)

    return run
