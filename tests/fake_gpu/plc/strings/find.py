"""Search in strings (cpp/src/strings/search/find.cu)."""

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from fake_gpu.calls import call
from fake_gpu.plc.column import Column, made
from fake_gpu.plc.scalar import Scalar
from fake_gpu.texts import BOOLEAN, COUNT, mapped, require_text, text


@call
def find(
    input: Column, target: Column | Scalar, start: int = 0, stop: int = -1, stream: Any = None, mr: Any = None
) -> Column:
    """The place of a text in characters, or -1, as INT32."""
    require_text(input, target)
    if isinstance(target, Column):
        raise NotImplementedError("the fake finds one text only")
    wanted = text(target, "target")
    if start < 0 or (stop > 0 and start > stop):
        raise RuntimeError("CUDF failure: Parameter start must be less than stop.")
    end = None if stop < 0 else stop
    if not wanted:
        return mapped(input, lambda value: start if start <= len(value) else -1, COUNT, pa.int32(), stream)
    return mapped(input, lambda value: value.find(wanted, start, end), COUNT, pa.int32(), stream)


@call
def contains(input: Column, target: Column | Scalar, stream: Any = None, mr: Any = None) -> Column:
    return _tested(input, target, pc.match_substring, lambda value, part: part in value, stream)


@call
def starts_with(input: Column, target: Column | Scalar, stream: Any = None, mr: Any = None) -> Column:
    return _tested(input, target, pc.starts_with, str.startswith, stream)


@call
def ends_with(input: Column, target: Column | Scalar, stream: Any = None, mr: Any = None) -> Column:
    return _tested(input, target, pc.ends_with, str.endswith, stream)


def _tested(
    input: Column,
    target: Column | Scalar,
    by_pattern: Callable[..., pa.Array],
    by_text: Callable[[str, str], bool],
    stream: Any,
) -> Column:
    """An empty target is in each string; a target that is null, of a column, is in none."""
    require_text(input, target)
    if isinstance(target, Scalar):
        if not input.size():
            return made(pa.array([], pa.bool_()), BOOLEAN, stream)
        return made(by_pattern(input.array(), pattern=text(target, "target")), BOOLEAN, stream)
    if target.size() != input.size():
        raise RuntimeError("CUDF failure: strings and targets column must be the same size")
    pairs = zip(input.array().to_pylist(), target.array().to_pylist(), strict=True)
    found = [None if value is None else part is not None and by_text(value, part) for value, part in pairs]
    return made(pa.array(found, pa.bool_()), BOOLEAN, stream)
