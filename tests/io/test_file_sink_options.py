"""Order of the rows, row groups, statistics and levels of compression of the files that a sink writes."""

import polars as pl
import pyarrow.parquet as pq
import pytest
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from arrowstream import Pipeline, Settings, Sink, Source
from arrowstream.core.memory_budget import MemoryBudget
from arrowstream.errors import PlanError, SchemaError, SinkError
from arrowstream.io.files.destination import resolved
from arrowstream.io.files.output.encoders import encoder_for
from arrowstream.io.files.output.sorting_encoder import SortingEncoder
from arrowstream.io.files.output.streaming_sink import encoded, encoded_files
from arrowstream.io.files.sink import FileSink


@given(
    rows=st.lists(st.tuples(st.integers(-3, 3) | st.none(), st.text(max_size=2)), max_size=30),
    cut=st.integers(1, 9),
    path=st.sampled_from(["o.parquet", "o.csv", "o.ndjson.gz", "o.arrow", "o/"]),
)
@settings(max_examples=examples(150))
def test_rows_of_each_file_are_sorted(rows, cut, path, tmp_path_factory):
    folder = tmp_path_factory.mktemp("sorted")
    frame = pl.DataFrame(rows, schema={"k": pl.Int64, "s": pl.String}, orient="row").with_row_index("n")
    options = {"max_rows_per_file": 7} if path == "o/" else {}
    sink = Sink.to_file(f"{folder}/{path}", sort_by="k", **options)
    Pipeline.builder().source(Source.from_frame(frame, batch_rows=cut)).sink(sink).build().run_sync()
    pieces = list(frame.iter_slices(7)) if options and rows else [frame]
    expected = pl.concat(piece.sort("k", maintain_order=True) for piece in pieces)
    if rows:
        found = (
            Pipeline.builder()
            .source(Source.from_file(f"{folder}/{path}", schema=expected.schema))
            .collect_sync()
        )
        assert found["n"].to_list() == expected["n"].to_list()


def test_sorted_partitions_and_large_files(tmp_path, monkeypatch):
    frame = pl.DataFrame({"k": [1, 2] * 20_000, "x": range(40_000, 0, -1)})
    monkeypatch.setattr(resolved, "unit_rows", lambda format: 1_000)
    for path, options in ((f"{tmp_path}/p/", {"partition_by": "k"}), (f"{tmp_path}/o.parquet", {})):
        sink = Sink.to_file(path, sort_by=["x"], row_group_size=5_000, **options)
        Pipeline.builder().source(Source.from_frame(frame, batch_rows=3_000)).sink(sink).build().run_sync()
    for path in (*tmp_path.rglob("part-*"), tmp_path / "o.parquet"):
        assert pl.read_parquet(path)["x"].is_sorted()
        assert pq.read_metadata(path).row_group(0).num_rows == 5_000


def test_small_partitions_are_sorted_within_the_memory_that_one_of_them_needs(tmp_path):
    frame = pl.DataFrame({"k": [number % 40 for number in range(160_000)], "x": range(160_000, 0, -1)})
    sink = Sink.to_file(f"{tmp_path}/o/", sort_by="x", partition_by="k")
    pipeline = Pipeline.builder().source(Source.from_frame(frame)).sink(sink)
    pipeline.build(settings=Settings(state_memory_mb=1)).run_sync()
    found = [pl.read_parquet(path)["x"] for path in tmp_path.rglob("part-*")]
    assert [len(values) for values in found] == [4_000] * 40
    assert all(values.is_sorted() for values in found)


def test_a_sort_that_exceeds_the_memory_limit_ends_the_run_and_names_the_way_out(tmp_path):
    rows = Pipeline.builder().source(Source.from_frame(pl.DataFrame({"x": range(200_000)})))
    for path, options in (("o.parquet", {}), ("o/", {"max_rows_per_file": 150_000})):
        pipeline = rows.sink(Sink.to_file(f"{tmp_path}/{path}", sort_by="x", **options))
        with pytest.raises(SinkError, match="sort_by holds all rows of a file") as caught:
            pipeline.build(settings=Settings(state_memory_mb=1)).run_sync()
        assert "max_rows_per_file" in caught.value.hint
    fits = Sink.to_file(f"{tmp_path}/o/", sort_by="x", max_rows_per_file=20_000)
    small = Source.from_frame(pl.DataFrame({"x": range(20_000)}))
    Pipeline.builder().source(small).sink(fits).build(settings=Settings(state_memory_mb=1)).run_sync()
    assert list(tmp_path.iterdir()) == [tmp_path / "o"]


@pytest.mark.untraced
@pytest.mark.parametrize("statistics", [True, False])
@pytest.mark.parametrize(("compression", "level"), [("zstd", 22), ("gzip", 1), ("zstd", None)])
def test_parquet_files_have_the_groups_levels_and_statistics_that_were_asked_for(
    tmp_path, statistics, compression, level
):
    frame = pl.DataFrame({"x": range(1_000)})
    sink = Sink.to_file(
        tmp_path / "o.parquet",
        row_group_size=300,
        statistics=statistics,
        compression=compression,
        compression_level=level,
    )
    Pipeline.builder().source(Source.from_frame(frame)).sink(sink).build().run_sync()
    found = pq.read_metadata(tmp_path / "o.parquet")
    groups = [found.row_group(number) for number in range(found.num_row_groups)]
    assert [group.num_rows for group in groups] == [300, 300, 300, 100]
    assert all(group.column(0).compression == compression.upper() for group in groups)
    assert all(bool(group.column(0).statistics) == statistics for group in groups)
    assert pl.read_parquet(tmp_path / "o.parquet").equals(frame)


def test_compressed_text_has_the_level_that_was_asked_for(tmp_path):
    frame = pl.DataFrame({"x": [number * 7_919 % 10_007 for number in range(20_000)]})
    sizes = []
    for level in (1, 9):
        sink = Sink.to_file(tmp_path / f"{level}.csv.gz", compression_level=level)
        Pipeline.builder().source(Source.from_frame(frame)).sink(sink).build().run_sync()
        assert pl.read_csv(tmp_path / f"{level}.csv.gz").equals(frame)
        sizes.append((tmp_path / f"{level}.csv.gz").stat().st_size)
    assert sizes[1] < sizes[0]


@pytest.mark.parametrize(
    ("path", "options", "message"),
    [
        ("o.parquet", {"compression_level": 23}, "compression_level=23 does not fit"),
        ("o.parquet", {"compression_level": 1, "compression": "snappy"}, "compression_level=1 does not fit"),
        ("o.csv", {"compression_level": 1}, "compression_level=1 does not fit"),
        ("o.arrow", {"compression_level": 1, "compression": "zstd"}, "compression_level=1 does not fit"),
        ("o.csv", {"row_group_size": 5}, "row_group_size is the number of rows"),
        ("o.parquet", {"row_group_size": 0}, "row_group_size is the number of rows"),
        ("o.csv", {"statistics": False}, "statistics are a part of Parquet files"),
        ("o.parquet", {"sort_by": "z"}, "there is no column 'z' in the files to sort by"),
        ("o/", {"sort_by": "k", "partition_by": "k"}, "there is no column 'k' in the files to sort by"),
        ("o.parquet", {"sort_by": ["k", "l"]}, "rows are not sorted by column 'l'"),
        ("o.parquet", {"partition_by": "k"}, "looks like a file"),
    ],
)
def test_options_that_do_not_fit_are_refused(path, options, message):
    with pytest.raises((PlanError, SchemaError), match=message) as caught:
        FileSink.of(path, **options).check(pl.Schema({"k": pl.Int64, "l": pl.List(pl.Int64)}))
    assert caught.value.expected and caught.value.hint


def test_files_are_sorted_however_they_are_encoded():
    rows, memory = pl.DataFrame({"x": [3, 1, 2]}), MemoryBudget(1_000)
    encoder = SortingEncoder(encoder_for("csv", rows.schema, None), ["x"], memory, "sink", 2)
    assert encoded(rows, encoder) == b"x\n1\n2\n3\n"
    assert list(encoded_files([rows, rows[:2]], encoder)) == [b"x\n1\n2\n3\n", b"x\n1\n3\n"]
    target = Bytes()
    encoder.encode(iter(()), target)
    encoder.encode_lazy(rows.lazy(), rows, target)  # as it is: only whole files are sorted
    assert bytes(target) == b"x\nx\n3\n1\n2\n"
    assert memory.held == 0 and memory.peak > 0


class Bytes(bytearray):
    """Target of an encoder."""

    def add(self, data):
        self.extend(data)
