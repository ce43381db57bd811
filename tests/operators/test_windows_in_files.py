"""Windows whose state lies in files: closing them costs little, and what comes out is in memory."""

from __future__ import annotations

import errno
import mmap
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

import polars as pl
import pytest
from contexts import context
from polars.testing import assert_frame_equal
from windowing import end, feed, joined

from arrowstream.errors import StageError
from arrowstream.operators.window import windows
from arrowstream.operators.windows import run_store
from arrowstream.operators.windows.pane_store import PaneStore
from arrowstream.state import spill_file
from arrowstream.state.memory import StateMemory

S = 1_000_000
SPILL: dict[str, Any] = {"max_bytes": 20_000, "on_full": "spill"}


def events(count: int, span: int) -> pl.DataFrame:
    """Rows all over so many seconds, with keys of text that is too long to lie inside a column of views."""
    number = pl.int_range(count, eager=True)
    key = "a key of some letters, " + (number % 7).cast(pl.String)
    return pl.DataFrame({"ts": number * 7919 % span * S, "k": key, "x": number})


def open_files() -> int:
    return sum(1 for _ in Path("/dev/fd").iterdir())


@pytest.mark.once
@pytest.mark.untraced
@pytest.mark.parametrize("every", [10, 5])
@pytest.mark.parametrize("marked", [False, True])
def test_small_windows_close_together(every: int, marked: bool) -> None:
    rows = events(2_900, 2_000)
    exprs = [pl.col("x").sum(), pl.len()]
    expected = windows(lambda made: made, 10, every=every, on="ts", by="k").agg(*exprs)
    operator = windows(lambda made: made, 10, every=every, on="ts", by="k", **SPILL).agg(*exprs)
    parts: list[Any] = [rows[start : start + 100] for start in range(0, rows.height, 100)]
    if marked:
        parts.append(1_500 * S)
    process: Any = operator.start(rows.schema, context())
    grouped = PaneStore._reduced
    with (
        mock.patch.object(run_store, "_LEAST_BYTES", 20_000),
        mock.patch.object(PaneStore, "_reduced", autospec=True, side_effect=grouped) as reduced,
    ):
        out = feed(process, parts)
        # What is aside is grouped once, and not for each of the windows.
        taken_in = reduced.call_count
        out += end(process)
        assert reduced.call_count <= taken_in + 1
    frames = [each for each in out if isinstance(each, pl.DataFrame)]
    assert 3 < len(frames) < 200
    plain = expected.start(rows.schema, context())
    assert_frame_equal(
        joined(operator, rows.schema, out), joined(expected, rows.schema, feed(plain, parts) + end(plain))
    )


def test_what_comes_out_holds_no_file() -> None:
    """Whoever keeps rows would keep the files, too, in which the text of their keys lies."""
    rows = events(2_000, 40)
    exprs = [pl.len(), pl.col("k").first().alias("first"), pl.col("k").alias("all")]
    operator = windows(lambda made: made, 10, on="ts", by="k", **SPILL).agg(*exprs)
    before = open_files()
    process: Any = operator.start(rows.schema, context())
    feed(process, [rows[:1_000], rows[1_000:]])
    assert process.statistics().filed and open_files() > before
    kept = end(process)
    assert open_files() == before
    assert pl.concat(kept)["len"].sum() == rows.height


def no_room(*_: Any, **__: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def no_file(*_: Any, **__: Any) -> None:
    raise OSError(errno.EMFILE, "Too many open files")


@pytest.mark.parametrize(
    "broken", [(pl.DataFrame, "write_ipc", no_room), (tempfile, "TemporaryFile", no_file)]
)
@pytest.mark.parametrize("after", [1, 3])
def test_a_disk_that_fails_is_remembered_and_no_half_of_a_batch_comes_out(
    broken: tuple[Any, str, Any], after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where it fails while files are merged."""
    monkeypatch.setattr(run_store, "_FAN", 3)
    monkeypatch.setattr(spill_file, "_UNNAMED", None)
    rows = events(2_000, 40)
    operator = windows(lambda made: made, 10, on="ts", by="x", **SPILL).agg(pl.len())
    process: Any = operator.start(rows.schema, context())
    feed(process, [rows] * (after - 1))
    where, name, fails = broken
    monkeypatch.setattr(where, name, fails)
    with pytest.raises(StageError, match="state cannot be spilled"):
        feed(process, [rows])
    # There is room again, but nobody knows what of the batch is in the state.
    monkeypatch.undo()
    for again in (
        lambda: feed(process, [rows]),
        process.snapshot,
        lambda: end(process),
        lambda: feed(process, [10 * S]),
    ):
        with pytest.raises(StageError, match="state cannot be spilled"):
            again()


def test_files_that_cannot_be_mapped_are_remembered_too(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = StateMemory(1, spills=True)
    with monkeypatch.context() as context:
        context.setattr(mmap, "mmap", no_file)
        with pytest.raises(OSError, match="Too many open files"):
            memory.in_file([pl.DataFrame({"x": [1]})])
    for asked in (memory.check, memory.check_whole):
        with pytest.raises(OSError, match="Too many open files"):
            asked()
