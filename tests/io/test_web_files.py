"""Files of a web server as sources: what it sends, refuses, breaks off and replaces."""

import gzip
import io
import os
import traceback
import zipfile
from urllib.parse import quote

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from stores import Web

from arrowstream import Pipeline, Source
from arrowstream.errors import SourceError
from arrowstream.io.files.remote import web as requests
from arrowstream.io.files.remote.object import RemoteBytes, RemoteObject
from arrowstream.io.files.remote.urls import remote_path
from arrowstream.io.files.remote.web import WebStream
from arrowstream.io.files.tables import open_file

pytestmark = pytest.mark.once

ROWS = pl.DataFrame({"x": range(3000), "y": [None if n % 7 == 0 else f"text {n}" for n in range(3000)]})


def read(path, **options):
    return Pipeline.builder().source(Source.from_file(path, **options)).collect_sync()


@pytest.fixture(autouse=True)
def no_waits(monkeypatch):
    monkeypatch.setattr(requests, "WAITS_S", (0.0, 0.0, 0.0))


@pytest.fixture
def web(tmp_path):
    ROWS.write_parquet(tmp_path / "x.parquet")
    ROWS.write_csv(tmp_path / "x.csv")
    ROWS.write_ipc(tmp_path / "x.arrow")
    (tmp_path / "y.csv.gz").write_bytes(gzip.compress((tmp_path / "x.csv").read_bytes()))
    web = Web(tmp_path)
    yield web
    web.stop()


def test_files_of_a_web_server(web, tmp_path):
    for name in (
        "x.parquet",
        "x.arrow",
        "x.csv",
        "y.csv.gz",
        "x.csv?signature=hunter2",
        "x.parquet?s=hunter2",
    ):
        assert_frame_equal(read(f"{web.url}/{name}"), ROWS)
    source = Source.from_file(f"{web.url}/x.csv?signature=hunter2")
    assert source.label == f"file {web.url}/x.csv?*** (csv, 1 file)"
    assert "hunter2" not in repr(source) and f"paths=('{web.url}/x.csv?***',)" in repr(source)
    for name in ("none.csv?signature=hunter2", "none.parquet"):
        with pytest.raises(SourceError, match="cannot be read") as error:
            read(f"{web.url}/{name}")
        assert "404" in error.value.found and error.value.hint == "check the URL"
        assert "hunter2" not in str(error.value)
    with pytest.raises(SourceError, match="cannot be read") as error:
        read("http://127.0.0.1:1/x.csv")
    assert "check the network" in error.value.hint
    stream = RemoteBytes(remote_path(f"{web.url}/x.csv"))
    assert not stream.seekable() and stream.readable()
    with pytest.raises(io.UnsupportedOperation):
        stream.seek(0)
    assert stream.read(3) == b"x,y" and stream.tell() == 3
    stream.close()


def test_a_web_server_that_sends_whole_files_only(web, tmp_path):
    whole = Web(tmp_path, ranges=False)
    try:
        assert_frame_equal(read(f"{whole.url}/x.csv"), ROWS)
        with pytest.raises(SourceError, match="cannot be read") as error:
            read(f"{whole.url}/x.arrow")
        assert error.value.hint == "that server sends whole files only: download the file first"
    finally:
        whole.stop()


FORMATS = ("x.csv", "x.parquet", "x.arrow", "y.csv.gz")


@pytest.mark.untraced
@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("fails", [[503], [500, 429, 504], ["cut"], ["cut", "cut", "cut"], ["HEAD"]])
def test_failures_that_pass(web, name, fails):
    """Requests are made again, a file that breaks off goes on, and a URL that is signed for GET needs no HEAD."""
    if name == "x.parquet" and fails == ["HEAD"]:
        assert open_file(remote_path(f"{web.url}/{name}")).size > 0  # Polars itself asks with GET
    web.fails += fails
    assert_frame_equal(read(f"{web.url}/{name}?signature=hunter2"), ROWS)
    assert web.fails in ([], ["HEAD"])


@pytest.mark.parametrize("name", FORMATS)
def test_failures_that_stay(web, name):
    for fails, found, hint in (
        ([503] * 4, "HTTP Error 503: Service Unavailable", "try again later"),
        ([404], "HTTP Error 404: Not Found", "check the URL"),
        (["HEAD", 403], "HTTP Error 403: Forbidden", "signed URL"),
    ):
        web.fails += fails
        if fails[0] == "HEAD":
            (web.root / name).unlink()
            found, hint = "HTTP Error 404: Not Found", "check the URL"
        with pytest.raises(SourceError, match="cannot be read") as error:
            read(f"{web.url}/{name}?signature=hunter2")
        assert error.value.found == found and hint in error.value.hint
        web.fails.clear()


def test_an_answer_that_breaks_off_again_and_again(web, monkeypatch):
    path = remote_path(f"{web.url}/x.csv")
    web.fails += ["cut"] * 9
    with pytest.raises(SourceError, match=r"x.csv cannot be read") as error:
        RemoteBytes(path).readall()
    assert error.value.hint == "check the network" and web.fails == []
    web.fails += ["cut"] * 8
    stream = RemoteBytes(path)
    assert stream.readall() == (web.root / "x.csv").read_bytes() and web.fails == []
    stream.close()
    with pytest.raises(OSError, match="no file"):
        raise_from(monkeypatch, path, OSError("no file"))
    with pytest.raises(ConnectionResetError):
        raise_from(monkeypatch, path, ConnectionResetError(), size=-1)


def raise_from(monkeypatch, path, failure, size=10):
    """Read an answer that raises `failure`."""
    stream = WebStream(path)

    class Broken:
        def read(self, most):
            raise failure

    stream._answer.close()
    stream._answer = Broken()
    stream._status = stream._status._replace(size=size)
    stream.read(5)


def test_a_file_that_is_replaced_while_it_is_read(web):
    path = remote_path(f"{web.url}/x.csv?signature=hunter2")
    for content in (b"x\n" * 9, (web.root / "x.csv").read_bytes()):
        web.fails.append("cut")
        stream, ranges = RemoteBytes(path), RemoteObject(path)
        begin = stream.read(10)
        (web.root / "x.csv").write_bytes(content)
        os.utime(web.root / "x.csv", (0, 0))
        for read_on in (stream.readall, lambda opened=ranges: opened.read(3, 5), ranges.check):
            with pytest.raises(SourceError, match=r"x\.csv\?\*\*\* changed while it was read") as error:
                read_on()
        size = len(content)
        assert error.value.found == (f"{size} bytes" if size == 18 else "other content of the same size")
        assert begin == b"x,y\n0,\n1,t"
        stream.close()
        (web.root / "x.csv").write_bytes(ROWS.write_csv().encode())


def test_a_whole_file_in_place_of_the_rest(web, tmp_path):
    whole = Web(tmp_path, ranges=False)
    try:
        whole.fails.append("cut")
        with pytest.raises(SourceError, match="cannot be read") as error:
            RemoteBytes(remote_path(f"{whole.url}/x.csv")).readall()
        assert error.value.hint == "that server sends whole files only: download the file first"
    finally:
        whole.stop()


def test_empty_files_archives_and_names_that_must_be_escaped(web):
    (web.root / "empty.csv").write_bytes(b"")
    with zipfile.ZipFile(web.root / "z.csv.zip", "w") as archive:
        archive.writestr("z.csv", ROWS.write_csv())
    assert_frame_equal(read(f"{web.url}/z.csv.zip?signature=hunter2"), ROWS)
    for name in ("a b.csv", "ü.csv", "100%.csv", "a+b&c=d;e.csv", "a b.parquet", "ü.parquet"):
        ROWS.write_csv(web.root / name) if name.endswith("csv") else ROWS.write_parquet(web.root / name)
        for written in {quote(name), name} - {"100%.csv"}:
            assert_frame_equal(read(f"{web.url}/{written}"), ROWS)
    web.fails.append("HEAD")
    assert RemoteObject(remote_path(f"{web.url}/empty.csv")).size == 0
    assert read([f"{web.url}/empty.csv", f"{web.url}/x.csv"], skip_empty=True).height == ROWS.height


def test_no_traceback_shows_a_signature(web):
    source = Source.from_file(f"{web.url}/x.parquet?signature=hunter2")
    source.schema()
    path = remote_path(f"{web.url}/x.parquet?signature=hunter2")
    failure = OSError(f"object-store error: it failed (location: {path.url}) (path: {path.url})")
    shown = open_file(path).unreachable(failure)
    assert shown.found == "object-store error: it failed"
    shown.__cause__ = failure
    assert "hunter2" not in "".join(traceback.format_exception(shown))
    failure = pl.exceptions.ComputeError(f"bad bytes in '{path.url}'")
    assert open_file(path).text(failure).endswith("x.parquet?***'") and "hunter2" not in str(failure)
    (web.root / "x.parquet").unlink()
    with pytest.raises(SourceError) as error:
        Pipeline.builder().source(source).collect_sync()
    assert "hunter2" not in "".join(traceback.format_exception(error.value))
