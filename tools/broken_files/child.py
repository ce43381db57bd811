"""``python -m tools.broken_files.child FOLDER FIRST END SEED``: tries files, one line of JSON for each step of it.

Damaged files can abort a process from inside a library; so they are tried in one that may die.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import polars as pl

from arrowstream import Pipeline, Sink, Source
from arrowstream.errors import ArrowstreamError
from arrowstream.io.messages.plain_json.reader import loops
from tools.broken_files import judges, originals
from tools.broken_files.damage import damaged
from tools.broken_files.judges import Judged, Refused, Row, Undetected, same

_TEXT = "arrowstream.io.files.text"


class Format(NamedTuple):
    """How files of a format are made, read and judged."""

    suffix: str
    sound: Callable[[random.Random], bytes]
    judge: Callable[[bytes, pl.Schema], Judged]
    schema: originals.Schema | None


FORMATS = (
    Format("csv", originals.csv, judges.csv, originals.CSV),
    Format("ndjson", originals.ndjson, judges.ndjson, originals.JSON),
    Format("json", originals.json_array, judges.json_array, originals.JSON),
    Format("parquet", originals.parquet, judges.parquet, None),
)


def make(number: int, seed: int) -> tuple[Format, bytes, bytes, int]:
    """Make a file by its number: its format, the sound bytes, the damaged ones, and the size of blocks to read."""
    draw = random.Random(f"{seed} {number}")
    format = FORMATS[number % len(FORMATS)]
    sound = format.sound(draw)
    return format, sound, damaged(sound, draw, format.schema is not None), draw.choice([1, 16, 64, 1 << 20])


def read(file: Path, format: Format) -> tuple[Judged, pl.Schema]:
    """Read a file with arrowstream; return its rows, the number of values that it says it left out, and the types."""
    rows: list[Row] = []
    source = Source.from_file(file, schema=format.schema)
    keep = Sink.to_fn(lambda batch: rows.extend(batch.to_pylist()))
    report = Pipeline.builder().source(source).sink(keep).build().run_sync()
    return Judged(rows, sum(note.count for note in report.notes)), source.schema()


def verdict(number: int, seed: int, folder: Path, say: Callable[[str], None]) -> tuple[str, str]:
    """Try a file; return what came of it in a word, and more about it."""
    format, sound, data, block = make(number, seed)
    file = folder / f"{number}.{format.suffix}"
    file.write_bytes(data)
    found: Judged | None = None
    schema, refusal = pl.Schema(format.schema or {}), ""
    say("arrowstream")
    try:
        # Every block is tried by the compiled loop, also after others that it does not read.
        with patch(f"{_TEXT}.file.BLOCK_BYTES", block), patch(f"{_TEXT}.json.plain_lines.TRIES", sys.maxsize):
            found, schema = read(file, format)
    except ArrowstreamError as error:
        refusal = str(error)
        if str(file) not in refusal:
            return "error without the file", refusal
    except BaseException as error:
        return "untyped error", repr(error)
    finally:
        file.unlink()
    say("reference")
    try:
        wanted = format.judge(data, schema)
    except Refused as refused:
        if found is None:
            return "refused", f"{refusal[:300]} / {refused}"
        if format.schema is None and same(found.rows, format.judge(sound, schema).rows):
            return "read in spite of damage elsewhere", ""
        if isinstance(refused, Undetected):
            return f"not detected: {refused}", ""
        return "DIFFERENT", f"read as {found}, refused by the reference: {refused}"
    if found is None:
        return "refused where the reference reads", refusal
    if not all(map(same, found.rows, wanted.rows)) or len(found.rows) != len(wanted.rows):
        return "DIFFERENT", f"read as {found}, by the reference as {wanted}"
    return (
        ("same", "") if found.lost == wanted.lost else ("DIFFERENT", f"{found.lost} lost, not {wanted.lost}")
    )


def main() -> None:
    """Try the files of these numbers."""
    folder, first, end, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    for loop in loops():
        loop.load()
    for number in range(first, end):

        def say(step: str, *more: Any, number: int = number) -> None:
            print(json.dumps([number, step, *more]), flush=True)

        say("done", *verdict(number, seed, folder, say))


if __name__ == "__main__":
    main()
