"""How many requests a run makes to an object store, and that fewer of them show no old content."""

import io

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from stores import Store

from arrowstream import Pipeline, Sink, Source
from arrowstream.errors import SinkError, SourceError
from arrowstream.io.files.remote import object as objects
from arrowstream.io.files.remote.object import RemoteObject
from arrowstream.io.files.remote.urls import remote_path

pytestmark = pytest.mark.once

ROWS = pl.DataFrame({"x": [1, 2, 3], "s": ["a", "b", None]})
OTHER = ROWS.with_columns(pl.col("x") + 5)


@pytest.fixture(scope="module")
def store():
    store = Store()
    store.files.create_dir("counted")
    yield store
    store.stop()


def put(store, name, rows):
    buffer = io.BytesIO()
    getattr(rows, f"write_{name.rpartition('.')[2].replace('arrow', 'ipc')}")(buffer)
    store.put(f"counted/{name}", buffer.getvalue())


def reading(store, name, **options):
    return Pipeline.builder().source(
        Source.from_file(f"s3://counted/{name}", storage_options=store.options, **options)
    )


def write(store, name, **options):
    sink = Sink.to_file(f"s3://counted/{name}", storage_options=store.options, **options)
    Pipeline.builder().source(Source.from_frame(ROWS)).sink(sink).build().run_sync()


def methods(store):
    found = [method for method, _ in store.calls]
    store.calls.clear()
    return found


@pytest.mark.untraced
@pytest.mark.parametrize("format", ["parquet", "arrow", "csv", "ndjson", "json", "avro"])
def test_a_small_object_is_fetched_once(store, format):
    """Looked at by the build and by the run; fetched and confirmed by the build alone, also if both are repeated."""
    name = f"one.{format}"
    put(store, name, ROWS)
    methods(store)
    builder = reading(store, name)
    assert_frame_equal(builder.collect_sync(), ROWS)
    assert methods(store) == ["HEAD", "GET", "HEAD", "HEAD"]
    found = reading(store, name).filter(pl.col("x") > 1).select("x").collect_sync()
    assert found["x"].to_list() == [2, 3]
    assert methods(store) == ["HEAD", "HEAD"]
    put(store, name, OTHER)  # between two runs of one pipeline
    assert_frame_equal(builder.collect_sync(), OTHER)


@pytest.mark.untraced
def test_a_pattern_is_listed_once_by_the_build_and_once_by_the_run(store):
    for number in range(3):
        put(store, f"p/{number}.parquet", ROWS)
    methods(store)
    builder = reading(store, "p/*.parquet")
    assert builder.collect_sync().height == 9
    # An object of the pattern's name is looked for as well; the build reads the schemas of a few objects.
    build, run = ["HEAD", "GET"] + ["HEAD", "GET", "HEAD"] * 3, ["HEAD", "GET"] + ["HEAD"] * 3
    assert sorted(methods(store)) == sorted(build + run)
    put(store, "p/3.parquet", ROWS)
    assert builder.collect_sync().height == 12


def test_writing_looks_once_at_what_is_there_and_uploads_once(store):
    for name, options, expected in (
        ("w.parquet", {}, ["PUT"]),
        ("new.parquet", {"mode": "error"}, ["HEAD", "PUT"]),
        ("f/", {"mode": "append"}, ["GET", "PUT"]),
    ):
        methods(store)
        write(store, name, **options)
        # pyarrow 19 uploads in parts, which begin and end with a POST.
        assert [method for method in methods(store) if method != "POST"] == expected
    with pytest.raises(SinkError, match="already holds rows"):
        write(store, "new.parquet", mode="error")


@pytest.mark.untraced
def test_each_run_of_a_sink_looks_at_the_place_again(store):
    sink = Sink.to_file("s3://counted/again.csv", mode="error", storage_options=store.options)
    pipeline = Pipeline.builder().source(Source.from_frame(ROWS)).sink(sink).build()
    for _ in range(2):
        pipeline.run_sync()
        with pytest.raises(SinkError, match="already holds rows"):
            pipeline.run_sync()
        store.files.delete_file("counted/again.csv")


def test_a_small_object_that_is_replaced_before_it_is_fetched(store, monkeypatch):
    put(store, "x.csv", ROWS)
    path = remote_path("s3://counted/x.csv", reading_options(store))
    opened = RemoteObject(path)
    put(store, "x.csv", OTHER)
    with pytest.raises(SourceError, match="changed while it was read"):
        opened.read(0, 5)
    # What was fetched stays as it was when it was confirmed.
    opened = RemoteObject(remote_path("s3://counted/x.csv", reading_options(store)))
    assert opened.read(0, 5) == b"x,s\n6"
    put(store, "x.csv", ROWS)
    opened.check()
    assert opened.read(4, 1) == b"6" and opened.read(100, 5) == b""
    assert RemoteObject(remote_path("s3://counted/x.csv", reading_options(store))).read(4, 1) == b"1"


@pytest.mark.untraced
def test_few_small_objects_are_kept(store):
    options = reading_options(store)
    for number in range(objects._KEPT + 2):
        store.put(f"counted/{number}.txt", b"%d" % number)
        assert RemoteObject(remote_path(f"s3://counted/{number}.txt", options)).read(0, 9) == b"%d" % number
    assert len(objects._kept) == objects._KEPT


def reading_options(store):
    return Source.from_file("s3://counted/any.csv", storage_options=store.options).storage_options


def test_an_object_without_an_entity_tag_is_not_kept(store, monkeypatch):
    """Other content may have been written in the same second."""
    put(store, "tagless.parquet", ROWS)
    path = remote_path("s3://counted/tagless.parquet", reading_options(store))
    tell = objects.status_in
    for exact in (True, False):
        status = tell(objects.opened(path))._replace(exact=exact, tag=f"tag {exact}")
        monkeypatch.setattr(objects, "status_in", lambda native, status=status: status)
        monkeypatch.setattr(RemoteObject, "check", lambda found: None)
        found = RemoteObject(path)
        assert found.content and ((path, status) in objects._kept) is exact
