"""Objects of a store that speaks S3 and files of a web server, as sources and sinks."""

import gzip
import io
import itertools
import json
import tempfile
import threading
import zipfile
from dataclasses import replace
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest
from contexts import context
from polars.testing import assert_frame_equal
from pyarrow import fs
from stores import Store

from arrowstream import ErrorHandler, Pipeline, Sink, Source
from arrowstream.core.batch import Batch
from arrowstream.errors import ArrowstreamError, PlanError, SinkError, SourceError, StageError
from arrowstream.io.files.columnar import parquet_pieces, scan
from arrowstream.io.files.columnar.damage import unreadable_schema
from arrowstream.io.files.remote import object as objects
from arrowstream.io.files.remote import stores
from arrowstream.io.files.remote.failures import store_error
from arrowstream.io.files.remote.object import RemoteBytes, RemoteObject, native
from arrowstream.io.files.remote.options import StorageOptions
from arrowstream.io.files.remote.urls import options_for, remote_path
from arrowstream.io.files.sink import FileSink
from arrowstream.io.files.source import FileSource
from arrowstream.io.files.tables import open_file
from arrowstream.jobs.job import Job

ROWS = pl.DataFrame({"x": range(3000), "y": [None if n % 7 == 0 else f"text {n}" for n in range(3000)]})
FORMATS = ("parquet", "arrow", "avro", "csv", "ndjson", "json", "csv.gz", "ndjson.zst")
_numbers = itertools.count()


@pytest.fixture(scope="module")
def store():
    store = Store()
    yield store
    store.stop()


@pytest.fixture
def bucket(store):
    """The name of an empty bucket."""
    name = f"bucket-{next(_numbers)}"
    store.files.create_dir(name)
    yield name
    store.fails = None


def read(path, **options):
    return Pipeline.builder().source(Source.from_file(path, **options)).collect_sync()


def write(frame, url, store, **options):
    sink = Sink.to_file(url, storage_options=store.options, **options)
    return Pipeline.builder().source(Source.from_frame(frame, batch_rows=1000)).sink(sink).build().run_sync()


def content(frame, method, **options):
    buffer = io.BytesIO()
    getattr(frame, method)(buffer, **options)
    return buffer.getvalue()


@pytest.fixture
def in_ranges(monkeypatch):
    """Objects are read in ranges, as large ones are."""
    monkeypatch.setattr(objects, "SMALL_BYTES", 0)


@pytest.mark.untraced
@pytest.mark.parametrize("format", FORMATS)
def test_what_is_written_is_read_again(store, bucket, format, tmp_path, monkeypatch):
    url = f"s3://{bucket}/a b/k=1/{format} [1] ä.{format}"
    write(ROWS, url, store)
    assert store.keys(bucket) == [url.removeprefix(f"s3://{bucket}/")]
    whole = read([url], storage_options=store.options, include_file_paths="path")
    monkeypatch.setattr(objects, "SMALL_BYTES", 0)
    found = read([url], storage_options=store.options, include_file_paths="path")
    assert_frame_equal(found, whole)
    assert_frame_equal(found.select("x", "y"), ROWS)
    assert found["x"].sum() == ROWS["x"].sum() and found["path"].unique().to_list() == [url]
    local = tmp_path / f"x.{format}"
    Pipeline.builder().source(Source.from_frame(ROWS)).sink(Sink.to_file(local)).build().run_sync()
    assert_frame_equal(found.select("x", "y"), read(local))
    write(ROWS.head(0), url, store)  # replaces the object
    if format in ("parquet", "arrow", "avro"):
        assert_frame_equal(read([url], storage_options=store.options).select("x", "y"), ROWS.head(0))


def test_folders_globs_and_lists(store, bucket):
    for key in (
        "t/day=1/a.parquet",
        "t/day=2/b.parquet",
        "t/_tmp/c.parquet",
        "t/.d.parquet",
        "u/[e].parquet",
    ):
        store.put(f"{bucket}/{key}", content(ROWS, "write_parquet"))
    store.put(f"{bucket}/t/readme.txt", b"hello")
    begin = f"s3://{bucket}"
    for pattern, files in (
        ("t", ["a", "b"]),
        ("t/", ["a", "b"]),
        ("t/**", ["a", "b"]),
        ("t/day=*", ["a", "b"]),
        ("t/day=[2-9]/*.parquet", ["b"]),
        ("t/day=[!2-9]/*.parquet", ["a"]),
        ("**/?.parquet", ["a", "b"]),
        ("t/**/b.parquet", ["b"]),
        ("t/_tmp/*.parquet", ["c"]),
        ("t/_tmp", ["c"]),
        ("t/.*.parquet", [".d"]),
        ("u/[[]e].parquet", ["[e]"]),
        (["t/day=1/a.parquet", "t/day=2/b.parquet"], ["a", "b"]),
        (["t/day=1/", "t/day=2/"], ["a", "b"]),
        (["t/day=1", "t/day=2"], ["a", "b"]),
        (["t/day=1/*", "t/day=2/b*"], ["a", "b"]),
    ):
        paths = [f"{begin}/{key}" for key in pattern] if isinstance(pattern, list) else f"{begin}/{pattern}"
        rows = read(paths, storage_options=store.options, include_file_paths="path")
        names = rows["path"].unique(maintain_order=True).str.split("/").list.last().to_list()
        assert names == [f"{name}.parquet" for name in files], pattern
        assert rows.height == ROWS.height * len(files)
        if isinstance(pattern, list) or pattern == "t/":
            assert rows["day"].unique(maintain_order=True).to_list() == [1, 2]
    source = Source.from_file(f"{begin}/t", storage_options=store.options)
    plan = Pipeline.builder().source(source).filter(pl.col("day") == 2).select("x")
    assert "files: 1 of 2" in plan.explain() and f"file {begin}/t (parquet, 2 files)" in plan.explain()
    assert plan.collect_sync().height == ROWS.height


def test_what_is_not_there(store, bucket):
    store.put(f"{bucket}/trips.csv", b"x\n1\n")
    store.put(f"{bucket}/notes/readme.txt", b"hello")
    for key, what, found, hint in (
        ("trip.csv", "there is no object", "nothing below that key", "check the bucket and the key"),
        ("none/*.csv", "no object matches", "nothing below that key", "check the bucket"),
        ("*.parquet", "no object matches", "notes/readme.txt, trips.csv", "check the bucket"),
        ("tr*/*/zz.parquet", "no object matches", "notes/readme.txt, trips.csv", "check the bucket"),
        ("trip.cs?", "no object matches", "notes/readme.txt, trips.csv", "did you mean 'trips.csv'?"),
        ("notes", "there are no data files in the folder", "readme.txt", "pass format="),
    ):
        with pytest.raises(SourceError, match=what) as error:
            read(f"s3://{bucket}/{key}", storage_options=store.options)
        assert error.value.found == (f"in its folder: {found}" if "trips" in found else found)
        assert hint in error.value.hint and f"s3://{bucket}/{key}" in error.value.what
    with pytest.raises(SourceError, match=r"there is no bucket 'no-such-bucket'"):
        read("s3://no-such-bucket/x.csv", storage_options=store.options)
    many = [f"{bucket}/many/{number}.txt" for number in range(7)]
    for key in many:
        store.put(key, b"")
    with pytest.raises(SourceError) as error:
        read(f"s3://{bucket}/many/*.csv", storage_options=store.options)
    assert "… (7 in all)" in error.value.found
    with pytest.raises(PlanError, match="does not tell a file format"):
        read(f"s3://{bucket}/many/1.txt", storage_options=store.options)


def test_empty_objects_and_zip_archives(store, bucket):
    store.put(f"{bucket}/a.csv", b"x\n1\n")
    store.put(f"{bucket}/b.csv", b"")
    assert read(f"s3://{bucket}/", storage_options=store.options, skip_empty=True).rows() == [(1,)]
    with pytest.raises(SourceError, match=r"b\.csv is empty"):
        read(f"s3://{bucket}/", storage_options=store.options)
    blank = {"c.csv": b"\xef\xbb\xbf\n \n", "d.csv.gz": gzip.compress(b"\n"), "e.csv.gz": b"\n"}
    for name, content in blank.items():
        store.put(f"{bucket}/blank/{name}", content)
        options = {"storage_options": store.options, "skip_empty": True, "schema": {"x": pl.Int64}}
        if name == "e.csv.gz":  # reading it says that it is damaged
            with pytest.raises(SourceError, match=r"e\.csv\.gz"):
                read(f"s3://{bucket}/blank/{name}", **options)
        else:
            assert read(f"s3://{bucket}/blank/{name}", **options).rows() == []
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("x.csv", "x\n5\n")
    store.put(f"{bucket}/c.csv.zip", archive.getvalue())
    assert read(f"s3://{bucket}/c.csv.zip", storage_options=store.options).rows() == [(5,)]


def test_large_objects_are_read_in_ranges(store, bucket, monkeypatch):
    monkeypatch.setattr(objects, "AHEAD_BYTES", 4096)
    for name in (scan, parquet_pieces):
        monkeypatch.setattr(name, "PIECE_BYTES", 9000)
    monkeypatch.setattr(parquet_pieces, "HUGE_BYTES", 20_000)
    store.put(f"{bucket}/x.csv", content(ROWS, "write_csv"))
    store.put(
        f"{bucket}/x.parquet", content(ROWS, "write_parquet", row_group_size=1000, compression="uncompressed")
    )
    store.put(f"{bucket}/y.parquet", content(ROWS, "write_parquet", compression="uncompressed"))
    store.put(f"{bucket}/x.arrow", content(ROWS, "write_ipc"))
    for name in ("x.csv", "x.parquet", "y.parquet", "x.arrow"):
        assert_frame_equal(read(f"s3://{bucket}/{name}", storage_options=store.options), ROWS)
    failing = Source.from_file(f"s3://{bucket}/y.parquet", storage_options=store.options)
    with pytest.raises(StageError, match="first steps") as error:
        Pipeline.builder().source(failing).select(pl.col("y").cast(pl.Int64)).collect_sync()
    assert f"s3://{bucket}/y.parquet rows" in str(error.value)


def test_broken_rows_have_their_place(store, bucket):
    store.put(f"{bucket}/x.csv", b"x\n" + b"1\n" * 12_000 + b"oops\n")
    with pytest.raises(SourceError, match=rf"row 12001 \(line 12002\) of s3://{bucket}/x.csv"):
        read(f"s3://{bucket}/x.csv", storage_options=store.options)
    for name, damaged in (
        ("x.parquet", content(ROWS, "write_parquet")[:-100]),
        ("x.arrow", content(ROWS, "write_ipc")[:-100]),
        ("x.avro", content(ROWS, "write_avro")[:-100]),
        ("y.parquet", b""),
        ("y.arrow", b"no arrow"),
    ):
        store.put(f"{bucket}/{name}", damaged)
        with pytest.raises(SourceError, match=rf"s3://{bucket}/{name} is not a complete"):
            read(f"s3://{bucket}/{name}", storage_options=store.options)
    whole = content(ROWS, "write_parquet", compression="uncompressed", use_pyarrow=False)
    store.put(f"{bucket}/z.parquet", whole[:4] + b"\xff" * 200 + whole[204:])
    with pytest.raises(SourceError, match="cannot be read to its end"):
        read(f"s3://{bucket}/z.parquet", storage_options=store.options)


@pytest.mark.once
def test_an_object_that_is_replaced_while_it_is_read(store, bucket, monkeypatch, in_ranges):
    monkeypatch.setattr(objects, "AHEAD_BYTES", 100)
    for name, method in (("x.csv", "write_csv"), ("x.parquet", "write_parquet"), ("x.arrow", "write_ipc")):
        store.put(f"{bucket}/{name}", content(ROWS, method))
        source = Source.from_file(f"s3://{bucket}/{name}", storage_options=store.options)
        source.schema()
        opened = open_file(remote_path(f"s3://{bucket}/{name}", source.storage_options))
        stream = RemoteBytes(remote_path(f"s3://{bucket}/{name}", source.storage_options))
        assert opened.is_regular and opened.size == stream.size
        stream.read(10)
        store.put(f"{bucket}/{name}", content(ROWS.head(10), method))
        with pytest.raises(SourceError, match="changed while it was read") as error:
            opened.check()
        assert error.value.found == f"{len(content(ROWS.head(10), method)):,} bytes"
        with pytest.raises(SourceError):
            opened.read_into(0, memoryview(bytearray(opened.size)))
            opened.check()
        with pytest.raises(SourceError):
            stream.readall()
        stream.close()
    stream = RemoteBytes(remote_path(f"s3://{bucket}/x.csv", source.storage_options))
    same_size = content(ROWS.head(10).with_columns(x=9 - pl.col("x")), "write_csv")
    assert len(same_size) == stream.size
    store.put(f"{bucket}/x.csv", same_size)  # within the same second
    with pytest.raises(SourceError, match="changed while it was read") as error:
        stream.readall()
    assert error.value.found == "other content of the same size"
    opened = open_file(remote_path(f"s3://{bucket}/x.csv", source.storage_options))
    with pytest.raises(SourceError, match="changed while it was read"):
        opened.read_into(0, memoryview(bytearray(opened.size + 1)))
    assert opened.read(opened.size, 5) == b""
    store.files.delete_file(f"{bucket}/x.csv")
    with pytest.raises(SourceError, match="cannot be read") as error:
        opened.check()
    assert error.value.hint == "check the bucket and the key"
    table = RemoteObject(remote_path(f"s3://{bucket}/x.parquet", source.storage_options))
    with pq.ParquetFile(native(table)) as file:
        assert file.metadata.num_rows == 10


def test_a_store_that_refuses(store, bucket, in_ranges):
    store.put(f"{bucket}/x.parquet", content(ROWS, "write_parquet"))
    store.put(f"{bucket}/x.csv", content(ROWS, "write_csv"))
    for format in ("parquet", "csv"):
        source = Source.from_file(f"s3://{bucket}/x.{format}", storage_options=store.options)
        store.fails = ("HEAD", bucket, "AccessDenied")
        with pytest.raises(SourceError, match=f"x.{format} cannot be read") as error:
            source.schema()
        assert "aws_access_key_id" in error.value.hint and "ACCESS_DENIED" in error.value.found
        assert "hunter2" not in str(error.value)
        store.fails = None
        source.schema()
        store.fails = ("GET", f"x.{format}", "AccessDenied")
        with pytest.raises(SourceError, match=f"x.{format} cannot be read") as error:
            Pipeline.builder().source(source).collect_sync()
        assert "aws_access_key_id" in error.value.hint and "hunter2" not in str(error.value)
        store.fails = None
    store.fails = ("GET", bucket, "AccessDenied")
    with pytest.raises(SourceError, match="cannot be read"):
        read(f"s3://{bucket}/*.csv", storage_options=store.options)
    with pytest.raises(SinkError, match="cannot be written") as failed:
        write(ROWS, f"s3://{bucket}/parts/", store)
    assert failed.value.stage == "sink"


def test_nobody_at_the_endpoint(monkeypatch):
    options = {
        "aws_access_key_id": "a",
        "aws_secret_access_key": "b",
        "aws_endpoint_url": "http://127.0.0.1:1",
    }
    monkeypatch.setattr(fs, "S3FileSystem", once(fs.S3FileSystem))
    with pytest.raises(SourceError, match=r"s3://bucket/x.csv cannot be read") as error:
        read("s3://bucket/x.csv", storage_options=options)
    assert error.value.hint == "check the network, and storage_options for the endpoint"


def once(make):
    """A file system that does not try again."""
    return lambda **given: make(**given, retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=1))


def test_a_run_that_fails_leaves_no_object_and_keeps_the_old_one(store, bucket, monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    url = f"s3://{bucket}/x.parquet"
    write(ROWS.head(5), url, store)

    def failing(batch):
        if batch.column("x")[0].as_py() >= 2000:
            raise ValueError("boom")
        return batch

    rows = (
        Pipeline.builder().source(Source.from_frame(ROWS, batch_rows=1000)).map(failing, schema=ROWS.schema)
    )
    for place in (url, f"s3://{bucket}/parts/"):
        with pytest.raises(StageError, match="boom"):
            rows.sink(Sink.to_file(place, storage_options=store.options)).build().run_sync()
    assert store.keys(bucket) == ["x.parquet"]
    assert read(url, storage_options=store.options).height == 5
    assert list(tmp_path.iterdir()) == []


def test_sinks_upload_after_all_have_prepared(store, bucket, monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()

    writer = Sink.to_file(f"s3://{bucket}/x.csv", storage_options=store.options).open(ROWS.schema, context())
    writer.write(Batch(ROWS))
    handle = writer.prepare(0)
    assert handle == {"objects": [f"s3://{bucket}/x.csv"], "replaced": []} and store.keys(bucket) == []
    writer.commit(handle)
    writer.commit(handle)
    writer.close()
    assert store.keys(bucket) == ["x.csv"]
    writer = Sink.to_file(f"s3://{bucket}/y.csv", storage_options=store.options).open(ROWS.schema, context())
    writer.write(Batch(ROWS))
    writer.prepare(0)
    writer.abort()
    assert store.keys(bucket) == ["x.csv"] and list((tmp_path / "temporary").iterdir()) == []

    before = {*threading.enumerate()}
    writer = Sink.to_file(f"s3://{bucket}/z.csv", storage_options=store.options).open(ROWS.schema, context())
    writer.write(Batch(ROWS))
    [encoder] = [
        thread for thread in {*threading.enumerate()} - before if thread.name == "arrowstream-encoder"
    ]
    writer.abort()
    assert not encoder.is_alive()
    assert store.keys(bucket) == ["x.csv"] and list((tmp_path / "temporary").iterdir()) == []


@pytest.mark.once
@pytest.mark.untraced
@pytest.mark.parametrize("part", ["partNumber=2", "uploads", "uploadId"])
def test_an_upload_that_fails_shows_nothing(store, bucket, part, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    wide = pl.DataFrame({"x": [f"{number:08}" * 10 for number in range(200_000)]})
    store.fails = ("POST" if part.startswith("upload") else "PUT", part, "AccessDenied")
    with pytest.raises(SinkError, match=f"s3://{bucket}/x.csv cannot be written") as error:
        write(wide, f"s3://{bucket}/x.csv", store)
    assert "aws_access_key_id" in str(error.value)
    store.fails = None
    assert store.keys(bucket) == [] and list(tmp_path.iterdir()) == []


def test_a_bucket_that_is_not_there(store):
    with pytest.raises(SinkError, match=r"s3://no-such-bucket/x.csv cannot be written") as error:
        write(ROWS, "s3://no-such-bucket/x.csv", store)
    assert "check the name of the bucket" in str(error.value) and "hunter2" not in str(error.value)


def test_parts_partitions_and_labels(store, bucket):
    begin = f"s3://{bucket}"
    write(ROWS, f"{begin}/parts/", store, max_rows_per_file=2000, format="csv", compression="gzip")
    write(ROWS.with_columns(k=pl.col("x") % 2), f"{begin}/by", store, partition_by="k")
    assert store.keys(bucket) == [
        *("by/k=0/part-00000.parquet", "by/k=1/part-00000.parquet"),
        *("parts/part-00000.csv.gz", "parts/part-00001.csv.gz"),
    ]
    assert_frame_equal(read(f"{begin}/parts/", storage_options=store.options), ROWS)
    assert read(f"{begin}/by", storage_options=store.options)["k"].sum() == 1500
    with pytest.raises(SinkError, match=rf"{begin}/by/ already holds data objects") as error:
        write(ROWS.with_columns(k=1), f"{begin}/by", store, partition_by="k")
    assert error.value.found == "2 objects, such as k=0/part-00000.parquet"
    write(ROWS, f"{begin}/once.csv", store, mode="error")
    with pytest.raises(SinkError, match=rf"{begin}/once.csv already holds rows") as error:
        write(ROWS, f"{begin}/once.csv", store, mode="error")
    assert error.value.found == "once.csv"
    write(ROWS.head(1), f"{begin}/once.csv", store, mode="overwrite")
    assert read(f"{begin}/once.csv", storage_options=store.options).height == 1
    whole = f"bucket-{next(_numbers)}"
    store.files.create_dir(whole)
    write(ROWS, f"s3://{whole}", store)
    assert store.keys(whole) == ["part-00000.parquet"]
    for url, options, label, guarantee in (
        ("s3://b/x.csv.gz", {}, "object s3://b/x.csv.gz (csv, gzip)", "atomic: the object appears"),
        ("s3://b/x/", {}, "objects s3://b/x/ (parquet, zstd)", "they appear one after the other"),
        ("gs://b/x", {"partition_by": ["a", "b"]}, "objects gs://b/x/a=*/b=*/ (parquet, zstd)", "one after"),
        ("az://c", {}, "objects az://c/ (parquet, zstd)", "one after"),
    ):
        sink = Sink.to_file(url, **options)
        assert sink.label == label and guarantee in sink.guarantee and sink.needs_schema
    assert Sink.to_file("s3://b/x.csv").place == "s3://b/x.csv"


def test_sinks_that_cannot_be(store, tmp_path):
    for make, message in (
        (lambda: Sink.to_file("https://host/x.csv?sig=abc"), r"https://host/x.csv\?\*\*\* cannot be written"),
        (lambda: Sink.to_file("s3://b/x.csv", mode="append"), "objects of a store cannot be appended to"),
        (lambda: Sink.to_file("s3://b/x/", mode="append", roll_every="1m"), "roll_every is for folders on"),
        (lambda: Sink.to_file(tmp_path / "x.csv", storage_options={}), "only URLs have storage options"),
        (lambda: Source.from_file(tmp_path / "x.csv", storage_options={}), "only URLs have storage options"),
        (lambda: FileSink.of("s3://b/x.csv"), "is a URL"),
    ):
        with pytest.raises(PlanError, match=message):
            make()
    url = "s3://b/x.csv"
    rows = Pipeline.builder().source(Source.from_frame(ROWS))
    with pytest.raises(PlanError, match="two sinks write to the same place"):
        rows.sink(Sink.fanout([Sink.to_file(url), Sink.to_file(url)])).build()
    for options, message in (
        ({"mode": "overwrite_partitions"}, "replaces the folders of partitions"),
        ({"partition_by": "x"}, "looks like a file"),
    ):
        with pytest.raises(PlanError, match=message):
            rows.sink(Sink.to_file(url, **options)).build()
    with pytest.raises(ArrowstreamError, match="cannot be written to a CSV file"):
        rows.with_columns(z=pl.concat_list("x")).sink(Sink.to_file(url)).build()


def test_dead_letters_may_go_to_a_store(store, bucket):
    def failing(batch):
        if 7 in batch.column("x").to_pylist():
            raise ValueError("boom")
        return batch

    rows = Pipeline.builder().source(Source.from_frame(ROWS.head(20))).map(failing, schema=ROWS.schema)
    letters = Sink.to_file(f"s3://{bucket}/letters.parquet", storage_options=store.options)
    out = rows.on_error(ErrorHandler.dead_letter(letters)).collect_sync()
    assert out.height == 19
    assert read(f"s3://{bucket}/letters.parquet", storage_options=store.options).height == 1


def test_secrets_are_never_shown(store, bucket, tmp_path):
    source = Source.from_file(f"s3://{bucket}/x.csv", storage_options=store.options)
    sink = Sink.to_file(f"s3://{bucket}/x.csv", storage_options=store.options)
    shown = f"{source!r} {sink!r} {sink.label} {source.label}"
    assert "hunter2" not in shown and "somebody" not in shown and store.endpoint in shown
    assert repr(StorageOptions.of("s3", {"endpoint": "http://me:pw@host"})).count("***") == 1
    with pytest.raises(PlanError, match="a storage option of s3:// is not known") as error:
        StorageOptions.of("s3", {"aws_secret_acces_key": "hunter2"})
    assert "hunter2" not in str(error.value) and error.value.hint == "did you mean 'aws_secret_access_key'?"
    with pytest.raises(PlanError, match="not text") as error:
        StorageOptions.of("s3", {"aws_region": ["hunter2"]})
    assert "hunter2" not in str(error.value) and "did you mean" not in error.value.hint
    with pytest.raises(PlanError, match="is not known") as error:
        Source.from_file("https://host/x.csv", storage_options={"token": "hunter2"})
    assert error.value.expected == "no storage options for this scheme"
    job = tmp_path / "job.toml"
    options = ", ".join(f'{name} = "{value}"' for name, value in store.options.items())
    text = f'[source]\nkind = "file"\npath = "s3://{bucket}/x.csv"\nstorage_options = {{ {options} }}\n'
    store.put(f"{bucket}/x.csv", b"x\n1\n")
    job.write_text(text + f'[sink]\nkind = "file"\npath = "{tmp_path}/out.csv"\n')
    Job.load(job).pipeline().run_sync()
    assert (tmp_path / "out.csv").read_text() == "x\n1\n"
    job.write_text(
        text.replace("aws_secret_access_key", "aws_key") + '[sink]\nkind = "file"\npath = "x.csv"\n'
    )
    with pytest.raises(ArrowstreamError, match="is not known") as error:
        Job.load(job).pipeline()
    assert "hunter2" not in str(error.value)


def test_options_of_every_store(monkeypatch):
    made = []
    for name in ("S3FileSystem", "GcsFileSystem", "AzureFileSystem"):
        monkeypatch.setattr(fs, name, lambda *args, name=name, **given: made.append((name, args, given)))
    monkeypatch.setattr(fs, "resolve_s3_region", lambda bucket: f"region of {bucket}")
    for variable in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(variable, raising=False)
    stores._store.cache_clear()
    for url, options in (
        ("s3://b/x", {}),
        ("s3://b/x", {"endpoint_url": "host:9000", "skip_signature": True, "token": "t"}),
        ("s3://b/x", {"AWS_DEFAULT_REGION": "r", "aws_virtual_hosted_style_request": "true"}),
        ("gs://b/x", {"google_skip_signature": "true"}),
        ("az://c/x", {"azure_storage_account_name": "me", "account_key": "k"}),
    ):
        path = remote_path(url, StorageOptions.of(url[:2], options))
        stores.store_of(path)
        stores.store_of(path)
    stores._store.cache_clear()
    names = [name for name, _, _ in made]
    assert names == ["S3FileSystem"] * 3 + ["GcsFileSystem", "AzureFileSystem"]
    given = [given for _, _, given in made]
    assert (
        given[0]["region"] == "region of b" and given[0]["access_key"] is None and not given[0]["anonymous"]
    )
    assert (
        given[1]["endpoint_override"] == "host:9000"
        and given[1]["anonymous"]
        and given[1]["session_token"] == "t"
    )
    assert given[2]["region"] == "r" and given[2]["force_virtual_addressing"]
    assert given[3] == {"anonymous": True}
    assert made[4][1] == ("me",) and given[4] == {"account_key": "k"}
    polars = StorageOptions.of("s3", {"endpoint_url": "http://h", "region": "r"}).for_polars()
    assert polars == {"aws_endpoint_url": "http://h", "aws_region": "r", "aws_allow_http": "true"}
    assert StorageOptions.of("az", {"account_name": "me"}).for_polars() == {
        "azure_storage_account_name": "me"
    }
    assert StorageOptions("gs").for_polars() is None


def test_what_stores_say_becomes_a_hint():
    path = remote_path("s3://b/x.csv")
    for text, found, hint in (
        ("AWS Error NO_SUCH_BUCKET during it", "AWS Error NO_SUCH_BUCKET during it", "name of the bucket"),
        ("No such file or directory", "No such file or directory", "check the bucket and the key"),
        ("<Error><Code>A</Code><Message>B</Message></Error>", "A: B", "check the URL"),
        (
            "Generic S3 error: timed out (path: s3://other/y)",
            "Generic S3 error: timed out",
            "check the network",
        ),
        (
            "GET http://h/x?X-Amz-Signature=abc went wrong\nmore",
            "GET http://h/x?*** went wrong",
            "check the URL",
        ),
        ("", "ValueError", "check the URL"),
        ("HTTP Error 503: busy", "HTTP Error 503: busy", "failed each time that it was asked"),
        ("Empty path component in path b/x//y", "Empty path component in path b/x//y", "rename the object"),
    ):
        error = store_error(SourceError, "cannot be read", path, ValueError(text))
        assert error.found == found and hint in error.hint


def test_a_read_of_polars_that_the_store_refuses(store, bucket):
    store.put(f"{bucket}/x.parquet", content(ROWS, "write_parquet"))
    opened = open_file(remote_path(f"s3://{bucket}/x.parquet", StorageOptions.of("s3", store.options)))
    assert opened.is_regular is True
    assert opened.unreachable(ValueError()) is None
    found = opened.unreachable(OSError("Forbidden"))
    assert isinstance(found, SourceError) and "aws_access_key_id" in found.hint
    refused = unreadable_schema(opened, OSError("Forbidden"), "Parquet", pq.read_schema)
    assert isinstance(refused, SourceError) and refused.hint == found.hint
    assert Path(opened.place).name == "x.parquet"


def test_a_restart_knows_an_object_by_its_tag(store, bucket):
    for number in range(2):
        store.put(f"{bucket}/{number}.csv", f"n\n{number}\n{number}\n".encode())
    source = FileSource.of(f"s3://{bucket}/*.csv").with_batch_rows(1)
    source = replace(source, storage_options=options_for(source.paths, store.options))

    def values(resume, batches):
        reader = source.open(context(), None, resume)
        found = [
            batch["n"][0] for batch in map(Batch.polars, itertools.islice(iter(reader.read, None), batches))
        ]
        position = json.loads(json.dumps(dict(reader.position())))
        reader.close()
        return found, position

    found, begun = values(None, 1)
    rest, end = values(begun, None)
    assert found + rest == [0, 0, 1, 1]
    store.put(f"{bucket}/0.csv", b"n\n7\n7\n")
    for position in (begun, end):
        with pytest.raises(
            SourceError, match=r"(?s)0.csv has changed since.*found: other content of the same size"
        ):
            values(position, None)
