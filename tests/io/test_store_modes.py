"""Write modes in an object store: what happens to the objects that a target already holds."""

import itertools
import tempfile
from pathlib import Path

import polars as pl
import pytest
from contexts import context
from stores import Store

from arrowstream import ErrorHandler, Pipeline, Sink, Source
from arrowstream.core.batch import Batch
from arrowstream.errors import ArrowstreamError, SchemaError, SinkError, StageError

pytestmark = pytest.mark.once

FIRST = pl.DataFrame({"k": ["a", "b"], "x": [1, 2]})
SECOND = pl.DataFrame({"k": ["b", "c"], "x": [3, 4]})
NONE = FIRST.clear()
_numbers = itertools.count()


@pytest.fixture(scope="module")
def store():
    store = Store()
    yield store
    store.stop()


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    """The folder for temporary files, in which no run may leave anything."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    assert list(folder.iterdir()) == []


@pytest.fixture
def out(store):
    """The URL of an empty folder."""
    bucket = f"modes-{next(_numbers)}"
    store.files.create_dir(bucket)
    yield f"s3://{bucket}/out/"
    store.fails = None


def names(store, out):
    bucket = out.split("/")[2]
    return [key.removeprefix("out/") for key in store.keys(bucket)]


def write(store, rows, url, **options):
    sink = Sink.to_file(url, storage_options=store.options, **options)
    return Pipeline.builder().source(Source.from_frame(rows)).sink(sink).build().run_sync()


def prepared(store, rows, url, **options):
    writer = Sink.to_file(url, storage_options=store.options, **options).open(rows.schema, context())
    writer.write(Batch(rows))
    try:
        writer.prepare(0)
    except BaseException:
        writer.abort()
        raise
    return writer


def read(store, url):
    rows = Pipeline.builder().source(Source.from_file(url, storage_options=store.options)).collect_sync()
    return rows.select("k", "x").sort("x", "k").rows()


FOLDERS = (
    {},
    {"format": "ndjson", "max_rows_per_file": 1, "compression": "gzip"},
    {"format": "ipc", "max_bytes_per_file": 1},
    {"partition_by": "k", "format": "csv"},
)


def test_a_run_without_rows_leaves_what_is_there(store, out):
    write(store, FIRST, out, mode="append")
    kept = names(store, out)
    write(store, NONE, out, mode="append")
    assert names(store, out) == kept


@pytest.mark.untraced
@pytest.mark.parametrize("options", FOLDERS)
def test_append_and_overwrite(store, out, options):
    partitioned = "partition_by" in options
    write(store, NONE, out, mode="append", **options)
    first = names(store, out)
    assert len(first) == 1  # without rows, for its columns
    write(store, FIRST, out, mode="append", **options)
    assert read(store, out) == FIRST.rows()
    write(store, SECOND, out, mode="append", **options)
    both = sorted([*FIRST.rows(), *SECOND.rows()], key=lambda row: row[1])
    kept = names(store, out)
    assert read(store, out) == both and first[0] not in kept
    write(store, NONE, out, mode="append", **options)
    assert names(store, out) == kept
    if partitioned:
        write(store, NONE, out, mode="overwrite_partitions", **options)
        assert names(store, out) == kept
        write(store, SECOND, out, mode="overwrite_partitions", **options)
        assert read(store, out) == [("a", 1), ("b", 3), ("c", 4)]
        assert [name for name in names(store, out) if name in kept] == [
            name for name in kept if "k=a" in name
        ]
    write(store, SECOND, out, mode="overwrite", **options)
    assert read(store, out) == SECOND.rows() and not set(names(store, out)) & set(kept)
    write(store, NONE, out, overwrite=True, **options)
    assert len(names(store, out)) == 1


def test_new_objects_come_before_old_ones_go(store, out):
    write(store, FIRST, out, partition_by="k")
    store.calls.clear()
    write(store, SECOND, out, partition_by="k", mode="overwrite")
    methods = [method for method, _ in store.calls if method in ("PUT", "POST", "DELETE")]
    first = methods.index("DELETE")
    assert methods[:first].count("PUT") == 2 and methods[first:].count("DELETE") == 2
    assert "DELETE" not in methods[:first] and set(methods[first:]) <= {
        "DELETE",
        "PUT",
    }  # PUT: the empty folder


def test_other_objects_stay(store, out):
    bucket = out.split("/")[2]
    others = ["_meta.parquet", "k=a/.x.parquet", "notes/x.parquet", "readme.txt"]
    for name in others:
        store.put(f"{bucket}/out/{name}", b"mine")
    store.put(f"{bucket}/output/x.parquet", b"mine")
    for mode in ("error", "overwrite", "overwrite_partitions"):
        write(store, FIRST, out, partition_by="k", mode=mode)
        assert set(names(store, out)) >= {*others, "output/x.parquet"}
        assert len(names(store, out)) == 7


@pytest.mark.parametrize("mode", ["append", "overwrite_partitions"])
def test_rows_that_do_not_fit(store, out, mode):
    write(store, FIRST, out, partition_by="k")
    before = names(store, out)
    for rows, options, error, message in (
        (FIRST.with_columns(y=1), {"partition_by": "k"}, SchemaError, "has no column 'y'"),
        (
            FIRST.with_columns(x=pl.lit("1")),
            {"partition_by": "k"},
            SchemaError,
            "has another type in column 'x'",
        ),
        (FIRST, {"partition_by": "k", "format": "csv"}, SinkError, "holds data files of another format"),
        (FIRST.select("x", l="k"), {"partition_by": "l"}, SinkError, "is partitioned by other columns"),
    ):
        with pytest.raises(error, match=message) as failed:
            write(store, rows, out, mode=mode, **options)
        assert out in failed.value.what
    assert names(store, out) == before
    store.put(f"{out.split('/')[2]}/out/k=a/a.parquet", b"damaged")
    with pytest.raises(SinkError, match=r"those of .*a\.parquet, which cannot be read"):
        write(store, FIRST, out, mode=mode, partition_by="k")


@pytest.mark.parametrize("mode", ["append", "overwrite", "overwrite_partitions", "error"])
def test_an_upload_that_fails_leaves_the_old_rows(store, out, mode, caplog):
    """Objects that were uploaded before the failure are deleted; where the store refuses that, a log names them."""
    if mode != "error":
        write(store, FIRST, out, partition_by="k")
    before = names(store, out)
    for part in ("k=c", "k="):
        store.fails = ("POST PUT", part, "AccessDenied")
        with pytest.raises(SinkError, match="cannot be written"):
            write(store, SECOND, out, mode=mode, partition_by="k")
        store.fails = None
        assert names(store, out) == before and "is left" not in caplog.text
    writer = prepared(store, SECOND, out, mode=mode, partition_by="k")
    store.fails = ("POST PUT", "k=c", "AccessDenied")
    with pytest.raises(SinkError, match="cannot be written"):
        writer.commit({})
    store.fails = ("DELETE", "k=b", "AccessDenied")
    writer.abort()
    store.fails = None
    (left,) = set(names(store, out)) - set(before)
    assert "k=b" in left and f"{left} is left of a run that failed" in caplog.text


def test_a_commit_that_is_tried_again(store, out):
    write(store, FIRST, out, partition_by="k")
    old = names(store, out)
    writer = prepared(store, SECOND, out, mode="overwrite", partition_by="k")
    store.fails = ("POST PUT", "k=c", "AccessDenied")
    with pytest.raises(SinkError, match="cannot be written"):
        writer.commit({})
    store.fails = ("DELETE", "k=a", "AccessDenied")
    with pytest.raises(SinkError, match="cannot be deleted, though all new objects are in place"):
        writer.commit({})
    store.fails = None
    assert [name for name in names(store, out) if name in old] == ["k=a/part-00000.parquet"]
    writer.commit({})
    writer.close()
    assert read(store, out) == SECOND.rows()


def test_new_objects_stay_if_an_old_one_cannot_be_deleted(store, out):
    write(store, FIRST, out, partition_by="k")
    store.fails = ("DELETE", "k=a", "AccessDenied")
    with pytest.raises(SinkError, match="though all new objects are in place"):
        write(store, SECOND, out, mode="overwrite", partition_by="k")
    store.fails = None
    assert read(store, out) == [FIRST.rows()[0], *SECOND.rows()]


@pytest.mark.untraced
def test_others_who_write_meanwhile(store, out):
    write(store, FIRST, out, partition_by="k")
    appending, replacing, elsewhere, everything = (
        Sink.to_file(out, storage_options=store.options, mode=mode, partition_by="k").open(
            SECOND.schema, context()
        )
        for mode in ("append", "overwrite_partitions", "overwrite_partitions", "overwrite")
    )
    for writer, rows in (
        (appending, SECOND),
        (replacing, SECOND),
        (elsewhere, FIRST.head(1)),
        (everything, SECOND),
    ):
        writer.write(Batch(rows))
    write(store, SECOND, out, mode="append", partition_by="k")
    for writer in (appending, elsewhere):
        writer.commit(writer.prepare(0))
        writer.close()
    for writer in (replacing, everything):
        with pytest.raises(SinkError, match="was written since this run began"):
            writer.prepare(0)
        writer.abort()
    assert read(store, out) == [("a", 1), ("b", 2), ("b", 3), ("b", 3), ("c", 4), ("c", 4)]


def test_two_runs_into_an_empty_folder(store, out):
    first, second = (
        Sink.to_file(out, storage_options=store.options).open(FIRST.schema, context()) for _ in range(2)
    )
    for writer, rows in ((first, FIRST), (second, SECOND)):
        writer.write(Batch(rows))
    first.commit(first.prepare(0))
    first.close()
    with pytest.raises(SinkError, match=r"part-00000\.parquet was written since this run began"):
        second.prepare(0)
    second.abort()
    assert read(store, out) == FIRST.rows()


def test_an_old_object_that_is_gone_already(store, out):
    write(store, FIRST, out)
    writer = prepared(store, SECOND, out, mode="overwrite")
    store.files.delete_file(f"{out.removeprefix('s3://')}part-00000.parquet")
    writer.commit({})
    writer.close()
    assert read(store, out) == SECOND.rows()


def test_single_objects(store, out):
    for suffix in ("parquet", "avro", "csv", "ndjson.gz"):
        url = f"{out}x.{suffix}"
        write(store, NONE, url, mode="error")
        write(store, FIRST, url, mode="error")  # replaces an object without rows
        with pytest.raises(SinkError, match="already holds rows") as error:
            write(store, SECOND, url, mode="error")
        assert "end the URL with '/'" in error.value.hint
        assert read(store, url) == FIRST.rows()
        write(store, SECOND, url)
        assert read(store, url) == SECOND.rows()
    store.fails = ("HEAD", "x.csv", "AccessDenied")
    with pytest.raises(SinkError, match="cannot be written"):
        write(store, FIRST, f"{out}x.csv", mode="error")


def test_a_folder_that_cannot_be_listed_and_a_disk_that_cannot_be_written(store, out, monkeypatch):
    store.fails = ("GET", "list-type", "AccessDenied")
    with pytest.raises(SinkError, match="cannot be written"):
        write(store, FIRST, out, mode="overwrite")
    store.fails = None
    with monkeypatch.context() as patch:
        patch.setattr(Path, "mkdir", lambda *_, **__: (_ for _ in ()).throw(OSError(28, "no space")))
        with pytest.raises(SinkError, match="cannot write"):
            write(store, FIRST, out)
    assert names(store, out) == []


@pytest.mark.untraced
def test_names_that_no_file_may_have(store, out):
    """Only the objects have them: the files on this machine have short names in a folder of their own."""
    long = "x" * 400
    for key in ("-", "~", f"{long}.csv"):
        write(store, FIRST, f"{out}{key}", format="csv")
    write(store, FIRST, f"{out}{long}/", format="csv")
    write(store, FIRST, f"{out}data.csv/")
    assert names(store, out) == [
        *("-", "data.csv/part-00000.csv"),
        *(f"{long}.csv", f"{long}/part-00000.csv", "~"),
    ]


def failing(batch):
    if batch.num_rows > 1 or batch.column("x")[0].as_py() != 2:
        return batch
    raise ValueError("boom")


@pytest.mark.untraced
def test_dead_letters_of_earlier_runs_stay(store, out):
    letters = out.removesuffix("/")

    def run(place, rows):
        sink = Sink.to_file(place, storage_options=store.options)
        rows = (
            Pipeline.builder().source(Source.from_frame(rows, batch_rows=1)).map(failing, schema=FIRST.schema)
        )
        return rows.on_error(ErrorHandler.dead_letter(sink)).collect_sync().height

    for place in (f"{letters}/", f"{letters}.csv", f"{letters}.parquet"):
        assert run(place, FIRST) == 1
        assert read(store, place) == [("b", 2)]
    assert run(f"{letters}/", FIRST) == 1
    assert read(store, f"{letters}/") == [("b", 2), ("b", 2)]
    for suffix in ("csv", "parquet"):
        with pytest.raises(SinkError, match="already holds rows"):
            run(f"{letters}.{suffix}", FIRST)


@pytest.mark.untraced
def test_bad_rows_and_late_rows_of_earlier_runs_stay(store, out, tmp_path):
    (tmp_path / "x.csv").write_text("x\n1\noops\n3\n")
    times = pl.DataFrame({"t": [10, 20, 5], "x": [1, 2, 3]}).with_columns(pl.col("t").cast(pl.Datetime("us")))
    for run in (1, 2):
        bad = Sink.to_file(f"{out}bad/", storage_options=store.options, format="ndjson")
        source = Source.from_file(tmp_path / "x.csv", schema={"x": pl.Int64}, bad_rows=bad)
        assert Pipeline.builder().source(source).collect_sync()["x"].to_list() == [1, 3]
        late = Sink.to_file(f"{out}late/", storage_options=store.options)
        rows = Pipeline.builder().source(Source.from_frame(times, batch_rows=1).with_event_time("t"))
        rows.window("1us", on="t", late=late).agg(n=pl.len()).collect_sync()
        for place in ("bad", "late"):
            kept = Source.from_file(f"{out}{place}/", storage_options=store.options)
            assert Pipeline.builder().source(kept).collect_sync().height == run, place


def test_a_run_that_fails_changes_nothing(store, out):
    write(store, FIRST, out)
    before = names(store, out)
    rows = Pipeline.builder().source(Source.from_frame(FIRST, batch_rows=1)).map(failing, schema=FIRST.schema)
    for mode in ("append", "overwrite"):
        with pytest.raises(StageError, match="boom"):
            rows.sink(Sink.to_file(out, storage_options=store.options, mode=mode)).build().run_sync()
    assert names(store, out) == before


def test_guarantees():
    for url, options, guarantee in (
        ("s3://b/x.csv", {}, "atomic"),
        ("s3://b/x/", {}, "they appear one after the other"),
        ("s3://b/x/", {"mode": "append"}, "they appear one after the other"),
        ("s3://b/x/", {"mode": "overwrite"}, "then old ones are deleted"),
        ("s3://b/x/", {"mode": "overwrite_partitions", "partition_by": "k"}, "then old ones are deleted"),
    ):
        sink = Sink.to_file(url, **options)
        assert guarantee in sink.guarantee
        assert sink.side_output is sink.side_output
    with pytest.raises(ArrowstreamError, match="no mode"):
        Sink.to_file("s3://b/x/", mode="replace")
