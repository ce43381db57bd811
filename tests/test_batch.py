"""A batch in its two forms."""

import subprocess
import sys
from decimal import Decimal

import polars as pl
import pyarrow as pa
import pytest

from arrowstream.core import batch as module
from arrowstream.core.batch import Batch, to_record
from arrowstream.core.position import Position
from arrowstream.errors import StageError

FRAME = pl.DataFrame({"x": [1, 2, 3], "s": ["a", "b", "c"]})


def test_each_form_is_made_once_from_the_other() -> None:
    batch = Batch(FRAME)
    assert batch.is_polars
    assert batch.arrow() is batch.arrow()
    other = Batch(batch.arrow())
    assert not other.is_polars
    assert other.polars() is other.polars()
    assert other.polars().equals(FRAME)


def test_a_frame_without_rows_is_still_a_record_of_its_schema() -> None:
    record = to_record(FRAME.clear())
    assert record.num_rows == 0
    assert record.schema.names == ["x", "s"]
    assert pl.DataFrame(Batch(record).polars()).schema == FRAME.schema


def test_a_frame_of_several_chunks_becomes_one_record() -> None:
    chunks = pl.concat([FRAME, FRAME], rechunk=False)
    assert to_record(chunks).num_rows == 6


def test_slices_share_memory_and_count_only_their_own_bytes() -> None:
    record = pa.RecordBatch.from_pydict({"x": pa.array(range(1000))})
    part = Batch(record, Position("f", 0, 1000), 7).slice(10, 5)
    assert (part.num_rows, part.nbytes, part.ingest_ns) == (5, 40, 7)
    assert part.arrow()["x"].buffers()[1].address == record["x"].buffers()[1].address
    assert Batch(FRAME).slice(1, 1).polars().rows() == [(2, "b")]
    assert Batch(pl.DataFrame({"x": range(1000)})).slice(0, 10).nbytes == 80


def test_every_form_can_be_asked_for_by_name() -> None:
    for rows in (FRAME, FRAME.to_arrow().to_batches()[0]):
        batch = Batch(rows)
        assert batch.form("arrow") is batch.arrow()
        assert batch.form("polars") is batch.polars()
        assert batch.has("arrow") and batch.has("polars") and not batch.has("elsewhere")


def test_texts_say_where_rows_came_from() -> None:
    assert repr(Batch(FRAME, Position("a.csv", 10, 13))) == "Batch(3 rows, a.csv rows 10-13)"
    assert repr(Batch(FRAME)) == "Batch(3 rows)"


def test_errors_teach() -> None:
    error = StageError("it failed", stage="filter", position="f rows 0-3", expected="a", found="b", hint="c")
    assert str(error).splitlines() == [
        "it failed (stage filter)",
        "  position: f rows 0-3",
        "  expected: a",
        "  found: b",
        "  hint: c",
    ]
    assert str(StageError("it failed")) == "it failed"


@pytest.mark.thorough
@pytest.mark.untraced
def test_threads_that_export_the_same_frame_do_not_wait_for_each_other() -> None:
    # In a process of its own: threads that wait inside of Polars never end.
    code = """
import threading
import polars as pl
from arrowstream.core.batch import Batch
from arrowstream.operators.functions.frame_forms import to_form
for export in (Batch.arrow, to_form("pandas")):
    for _ in range(300):
        rows = pl.DataFrame({"x": [1, 2] * 5, "y": ["a", "b"] * 5})
        frame = pl.concat([rows, rows], rechunk=False)
        barrier = threading.Barrier(4)
        def work():
            barrier.wait()
            export(Batch(frame))
            frame.dtypes
        threads = [threading.Thread(target=work, daemon=True) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=110)


@pytest.mark.parametrize("copied", [True, False])
def test_a_slice_of_decimals_keeps_its_values(copied: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nested columns, with which a frame is written and read once more, lay the decimals anywhere in memory."""
    values = [None, Decimal("-10000000.00"), Decimal("1.25")]
    frame = pl.DataFrame(
        {
            "x": pl.Series(values, dtype=pl.Decimal(12, 2)),
            "all": pl.Series([[value] for value in values], dtype=pl.List(pl.Decimal(12, 2))),
        }
    )
    if copied:  # as before Polars 2
        monkeypatch.setattr(module, "EXPORTS_SLICES_WRONGLY", True)
    record = Batch(frame).arrow()
    for at in range(3):
        assert Batch(record.slice(at, 1)).polars().rows() == [(values[at], [values[at]])]
