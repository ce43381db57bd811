"""Rows that wait for the encoder of a file keep no more memory than they need."""

import polars as pl
import pytest

from arrowstream import Pipeline, Sink, Source
from arrowstream.core.batch import EXPORTS_SLICES_WRONGLY
from arrowstream.io.files import folder_writer
from arrowstream.io.files.folder_writer import FolderWriter
from arrowstream.io.files.output import row_buffer
from arrowstream.io.files.output.frame_queue import FrameQueue
from arrowstream.io.files.output.row_buffer import frame_bytes
from arrowstream.io.files.output.trimmed import is_trimmed, trimmed
from arrowstream.testing import TestSink

LONG = pl.Series("long", [f"a text of more than 12 bytes: {number}" for number in range(40_000)])
NULLS = pl.Series("nulls", [None, "another text of more than 12 bytes"] * 20_000)
SHORT = pl.Series("short", ["short", ""] * 20_000)
ROWS = pl.DataFrame([LONG, NULLS, SHORT, pl.Series("x", range(40_000))])


def content(texts: pl.Series) -> set[tuple[int, int]]:
    """Addresses and sizes of the memory of long texts."""
    while isinstance(texts.dtype, pl.Struct | pl.List | pl.Array):
        is_struct = isinstance(texts.dtype, pl.Struct)
        texts = texts.struct.field("inner") if is_struct else texts.explode()
    arrays = [chunk.to_arrow(compat_level=pl.CompatLevel.newest()) for chunk in texts.get_chunks()]
    return {(part.address, part.size) for array in arrays for part in array.buffers()[2:] if part.size}


@pytest.mark.parametrize("chosen", [slice(0, 10_000), slice(None, None, 4), slice(1, None, 3)])
def test_chosen_rows_keep_only_the_memory_of_their_texts(chosen: slice) -> None:
    few = ROWS[chosen]
    kept, unused = trimmed(few)
    assert kept.equals(few) and unused == 0
    assert kept.schema == few.schema
    needed = int(few["long"].str.len_bytes().sum())
    assert needed <= sum(size for _, size in content(kept["long"])) <= needed + needed // 4
    assert content(kept["short"]) == set()


def test_rows_that_need_most_of_their_memory_are_not_copied() -> None:
    wide = ROWS.with_columns(pl.col("x").alias(f"y{number}") for number in range(16))
    for rows in (ROWS, ROWS[:38_000], ROWS.clear(), ROWS.select("x"), ROWS[1::2], wide[1::3]):
        kept, _ = trimmed(rows)
        assert kept.equals(rows)
        texts = rows.select(pl.col(pl.String)).columns
        assert all(content(kept[name]) == content(rows[name]) for name in texts)


def test_rows_keep_at_most_half_as_much_again_as_they_take() -> None:
    for columns in ([LONG], [LONG, NULLS, SHORT], [LONG, NULLS, *(SHORT.alias(f"y{n}") for n in range(4))]):
        rows = pl.DataFrame(columns)
        for step in range(1, 9):
            few = rows[::step]
            kept, unused = trimmed(few)
            assert kept.equals(few)
            assert unused == sum(size for name in kept.columns for _, size in content(kept[name])) - sum(
                int(kept[name].str.len_bytes().sum()) for name in ("long", "nulls") if name in kept.columns
            )
            assert unused <= frame_bytes(few) // 2
            assert is_trimmed(few) == all(content(few[name]) == content(kept[name]) for name in few.columns)


def test_short_texts_cut_out_of_long_ones_keep_none_of_them() -> None:
    parts = ROWS.select(pl.col("long").str.slice(5, 6), pl.col("nulls").str.slice(0, 12))
    rows = pl.concat([parts[3:], parts], rechunk=False)
    views = pl.concat([parts, ROWS.select("long", "nulls")])[: parts.height]
    for few in (rows, views):
        kept, _ = trimmed(few)
        assert kept.equals(few)
        assert kept.n_chunks() == few.n_chunks()
        assert content(kept["long"]) == content(kept["nulls"]) == set()


def test_batches_of_one_block_share_its_memory() -> None:
    parts = pl.concat([ROWS[start : start + 8_000] for start in range(0, 40_000, 8_000)], rechunk=False)
    assert parts.n_chunks() == 5
    assert content(trimmed(parts)[0]["long"]) == content(ROWS["long"])


INSIDE = {
    "bytes": pl.col("long").cast(pl.Binary),
    "list": pl.concat_list("long", pl.col("long").str.slice(2)),
    "array": pl.concat_arr("long", "long"),
    "struct": pl.struct("x", inner="long"),
    "lists of structs": pl.concat_list(pl.struct("x", inner=pl.concat_list("long"))),
    "null lists": pl.when(pl.col("x") % 8 > 0).then(pl.concat_list(pl.col("long").cast(pl.Binary))),
}


@pytest.mark.parametrize("kind", INSIDE)
def test_bytes_and_texts_inside_of_others_keep_only_their_memory(kind: str) -> None:
    rows = ROWS.select(INSIDE[kind].alias("a"), "x")
    # Polars 1 takes lists of structs that were cut for as large as all of them.
    for few in (rows[::4], rows[1:].filter(pl.col("x") % 4 == 1)):
        kept, unused = trimmed(few)
        assert kept.equals(few) and kept.schema == few.schema and unused == 0
        if EXPORTS_SLICES_WRONGLY and rows["a"].dtype.is_nested():
            continue  # these cannot be looked into
        assert 3 * sum(size for _, size in content(kept["a"])) < sum(size for _, size in content(rows["a"]))
    assert is_trimmed(rows)
    for few in (rows.clear(), rows[:0], rows[:1]):
        assert trimmed(few)[0].equals(few)
    named = rows[::4].rename({"a": "\0a"})
    assert trimmed(named)[0].equals(named)


@pytest.fixture
def waiting(monkeypatch) -> list[pl.DataFrame]:
    """The frames that wait for an encoder."""
    frames: list[pl.DataFrame] = []
    put = FrameQueue.put

    def noted(queue, frame, nbytes, interrupted):
        frames.append(frame)
        put(queue, frame, nbytes, interrupted)

    monkeypatch.setattr(FrameQueue, "put", noted)
    return frames


def test_slices_of_what_was_read_are_not_copied(tmp_path, waiting) -> None:
    source, target = tmp_path / "in.parquet", tmp_path / "out.parquet"
    ROWS.write_parquet(source)
    read = Source.from_file(source, batch_rows=5_000)
    Pipeline.builder().source(read).sink(Sink.to_file(target)).build().run_sync()
    assert pl.read_parquet(target).equals(ROWS)
    assert [frame.height for frame in waiting] == [5_000] * 8
    assert len({frozenset(content(frame["long"])) for frame in waiting}) == 1


def test_slices_of_what_a_filter_in_the_read_has_left_keep_only_their_texts(tmp_path, waiting) -> None:
    source, target = tmp_path / "in.parquet", tmp_path / "out.parquet"
    ROWS.write_parquet(source)
    read = Pipeline.builder().source(Source.from_file(source, batch_rows=2_000)).filter(pl.col("x") % 4 == 0)
    read.sink(Sink.to_file(target)).build().run_sync()
    chosen = ROWS[::4]
    assert pl.read_parquet(target).equals(chosen)
    needed = int(chosen["long"].str.len_bytes().sum())
    kept = {part for frame in waiting for part in content(frame["long"])}
    assert sum(size for _, size in kept) <= needed + needed // 4


@pytest.mark.parametrize("format", ["arrow", "parquet"])
def test_few_rows_that_a_filter_in_the_read_has_left_keep_none_of_the_others(tmp_path, format) -> None:
    source = tmp_path / f"in.{format}"
    rows = ROWS.with_columns(a=INSIDE["lists of structs"], b=INSIDE["bytes"])
    rows.write_ipc(source) if format == "arrow" else rows.write_parquet(source)
    batches: list[pl.DataFrame] = []

    def noted(frame: pl.DataFrame) -> pl.DataFrame:
        batches.append(frame)
        return frame

    read = Pipeline.builder().source(Source.from_file(source)).filter(pl.col("x") % 100 == 3)
    read.map(noted, frame="polars", schema=rows.schema).sink(TestSink()).build().run_sync()
    few = pl.concat(batches)
    assert few.equals(rows.filter(pl.col("x") % 100 == 3))
    needed = int(few["long"].str.len_bytes().sum())
    for name in ("b", "long") if EXPORTS_SLICES_WRONGLY else ("a", "b", "long"):
        assert sum(size for frame in batches for _, size in content(frame[name])) <= 2 * needed


def test_rows_wait_for_a_file_without_the_texts_that_were_left_out(tmp_path, waiting) -> None:
    target = tmp_path / "out.parquet"
    rows = Pipeline.builder().source(Source.from_frame(ROWS)).filter(pl.col("x") % 4 == 0)
    rows.sink(Sink.to_file(target)).build().run_sync()
    chosen = ROWS[::4]
    assert pl.read_parquet(target).equals(chosen)
    assert pl.concat(waiting).equals(chosen)
    needed = int(chosen["long"].str.len_bytes().sum())
    assert sum(size for frame in waiting for _, size in content(frame["long"])) <= needed + needed // 4


def test_rows_of_a_rare_partition_do_not_keep_the_memory_of_the_others(tmp_path, monkeypatch) -> None:
    kept: list[int] = []
    end = FolderWriter._end

    def noted(writer):
        frames = [frame for partition in writer._folders.values() for frame in partition.peek()]
        kept.append(sum(size for _, size in set().union(*(content(frame["long"]) for frame in frames))))
        end(writer)

    monkeypatch.setattr(FolderWriter, "_end", noted)
    monkeypatch.setattr(row_buffer, "UNIT_BYTES", 1 << 20)
    monkeypatch.setattr(folder_writer, "WAITING_BYTES", 1 << 20)
    rows = ROWS.select("x", "long", rare=pl.col("x") % 1_000 == 0)
    target = tmp_path / "out"
    # Each with texts of its own.
    parts = [rows.with_columns(pl.col("long") + str(number)) for number in range(20)]
    frames = Pipeline.builder().source(Source.from_frame(parts))
    frames.sink(Sink.to_file(target, format="parquet", partition_by=["rare"])).build().run_sync()
    assert pl.scan_parquet(target / "rare=true").collect().height == 20 * 40
    assert kept[0] < 4 << 20


def test_slices_of_rows_that_need_their_memory_go_to_partitions_as_they_are(tmp_path, monkeypatch) -> None:
    def forbidden(rows: pl.DataFrame) -> None:
        raise AssertionError("a slice was looked at again")

    monkeypatch.setattr(folder_writer, "trimmed", forbidden)
    rows = ROWS.select("x", "long", odd=pl.col("x") % 2)[:30_000]
    rows.write_parquet(tmp_path / "in.parquet")
    source = Source.from_file(tmp_path / "in.parquet", batch_rows=10_000)
    sink = Sink.to_file(tmp_path / "out", format="parquet", partition_by=["odd"])
    Pipeline.builder().source(source).sink(sink).build().run_sync()
    found = pl.scan_parquet(tmp_path / "out", hive_partitioning=True).select(rows.columns).sort("x").collect()
    assert found.equals(rows)


def test_what_waits_counts_as_the_memory_that_it_keeps(tmp_path, monkeypatch) -> None:
    sizes: list[int] = []
    monkeypatch.setattr(FrameQueue, "put", lambda queue, frame, nbytes, interrupted: sizes.append(nbytes))
    kept = ROWS.select("long", "x")[:36_000]
    assert is_trimmed(kept)
    Pipeline.builder().source(Source.from_frame(kept)).sink(
        Sink.to_file(tmp_path / "out.parquet")
    ).build().run_sync()
    unused = int(LONG[36_000:].str.len_bytes().sum())
    assert unused > 100_000 and sizes == [frame_bytes(kept) + unused]
