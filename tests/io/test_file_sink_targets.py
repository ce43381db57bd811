"""What a sink's path names: a file to replace, a link to follow, a device or pipe to write through, or nothing."""

import asyncio
import errno
import os
import select
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import polars as pl
import pytest
from contexts import context
from scripted import publish

from arrowstream import Pipeline, Sink, Source
from arrowstream.core.batch import Batch
from arrowstream.errors import PlanError, SinkError
from arrowstream.io.files.output import stream_file
from arrowstream.io.files.output.encoders import encoder_for
from arrowstream.io.files.output.output_file import Abandoned
from arrowstream.io.files.output.stream_file import StreamFile
from arrowstream.io.files.output.streaming_sink import encoded
from arrowstream.io.files.sink import FileSink
from arrowstream.io.files.source import FileSource
from arrowstream.io.files.staging import base

ROWS = pl.DataFrame({"k": ["a", "b"], "x": [1, 2]})


def run(sink, rows=ROWS):
    writer = sink.open(rows.schema, context())
    try:
        writer.write(Batch(rows))
        writer.commit(writer.prepare(0))
    except BaseException:
        writer.abort()
        raise


def listed(folder):
    return sorted(path.name for path in folder.iterdir())


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_a_replaced_file_keeps_its_mode_and_owner(tmp_path):
    path = tmp_path / "secret.csv"
    path.write_text("old\n")
    path.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(path, 1234, 4321)
    owner = path.stat().st_uid, path.stat().st_gid
    writer = FileSink.of(path).open(ROWS.schema, context())
    assert mode(next(tmp_path.glob(".secret*"))) == 0o600
    writer.write(Batch(ROWS))
    writer.commit(writer.prepare(0))
    assert pl.read_csv(path).equals(ROWS)
    assert (mode(path), (path.stat().st_uid, path.stat().st_gid)) == (0o640, owner)


def test_a_new_file_has_the_mode_that_the_process_gives(tmp_path):
    (tmp_path / "other").touch()
    run(FileSink.of(tmp_path / "out.csv"))
    assert mode(tmp_path / "out.csv") == mode(tmp_path / "other")


def test_an_owner_that_cannot_be_kept_costs_the_set_id_bits_and_is_logged(tmp_path, monkeypatch, caplog):
    path = tmp_path / "new"
    path.touch()
    old = os.stat_result((stat.S_IFREG | 0o4750, 0, 0, 1, 77, 77, 0, 0, 0, 0))

    def refuse(*arguments):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "chown", refuse)
    base.keep_mode_and_owner(path, old)
    assert mode(path) == 0o750
    assert "owner of the replaced file cannot be kept" in caplog.text


def test_a_replaced_folder_keeps_its_mode(tmp_path):
    folder = tmp_path / "out"
    run(FileSink.of(folder, partition_by="k"))
    (folder / "k=a" / "notes.txt").write_text("kept")
    folder.chmod(0o750)
    (folder / "k=a").chmod(0o711)
    run(FileSink.of(folder, partition_by="k", overwrite=True))
    assert (mode(folder), mode(folder / "k=a")) == (0o750, 0o711)
    assert (folder / "k=a" / "notes.txt").read_text() == "kept"


def test_a_file_or_folder_that_may_not_be_written_is_not_replaced(tmp_path, monkeypatch):
    path = tmp_path / "out.csv"
    path.write_text("old\n")
    (tmp_path / "folder").mkdir()
    monkeypatch.setattr(os, "access", lambda place, right: False)
    for target in (path, tmp_path / "folder"):
        with pytest.raises(SinkError, match="read-only") as caught:
            FileSink.of(target).open(ROWS.schema, context())
        assert caught.value.what == f"cannot write to {target}"
    assert path.read_text() == "old\n"
    assert listed(tmp_path) == ["folder", "out.csv"]


def test_a_symbolic_link_is_written_through(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "out.csv").write_text("old\n")
    link, dangling = tmp_path / "link.csv", tmp_path / "new.csv"
    link.symlink_to("real/out.csv")
    dangling.symlink_to("real/later.csv")
    for path, target in ((link, "out.csv"), (dangling, "later.csv")):
        run(FileSink.of(path))
        assert path.is_symlink()
        assert pl.read_csv(tmp_path / "real" / target).equals(ROWS)
    assert listed(tmp_path / "real") == ["later.csv", "out.csv"]


def test_a_symbolic_link_to_a_folder_is_written_through(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "new").symlink_to("later")
    run(FileSink.of(tmp_path / "link"))
    run(FileSink.of(f"{tmp_path}/new/"))
    run(FileSink.of(tmp_path / "link", overwrite=True))
    for name in ("link", "new"):
        assert (tmp_path / name).is_symlink()
        assert pl.read_parquet(tmp_path / name / "part-00000.parquet").equals(ROWS)


def test_a_link_in_a_circle_and_one_into_a_missing_folder_are_errors_of_the_sink(tmp_path):
    (tmp_path / "circle.csv").symlink_to("circle.csv")
    with pytest.raises(SinkError, match="circle"):
        FileSink.of(tmp_path / "circle.csv").check(ROWS.schema)
    (tmp_path / "lost.csv").symlink_to("missing/out.csv")
    with pytest.raises(SinkError, match="create the folder first"):
        FileSink.of(tmp_path / "lost.csv").open(ROWS.schema, context())


@pytest.mark.parametrize("change", ["fifo", "link", "folder"])
def test_what_took_the_place_of_the_target_meanwhile_is_not_replaced(tmp_path, change):
    path = tmp_path / "out.csv"
    writer = FileSink.of(path).open(ROWS.schema, context())
    writer.write(Batch(ROWS))
    {"fifo": os.mkfifo, "folder": Path.mkdir, "link": lambda p: p.symlink_to("x")}[change](path)
    before = path.lstat()
    with pytest.raises(SinkError, match=r"is a folder|not a regular file any more"):
        writer.commit(writer.prepare(0))
    writer.abort()
    assert path.lstat() == before
    assert listed(tmp_path) == ["out.csv"]


def test_the_home_folder_is_the_same_for_source_and_sink(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir("/")
    run(FileSink.of("~/out.csv"))
    run(FileSink.of("~/parts/", partition_by="k"))
    run(FileSink.of(Path("~/parts"), partition_by="k", overwrite=True))
    assert listed(tmp_path) == ["out.csv", "parts"]
    assert Pipeline.builder().source(Source.from_file("~/out.csv")).collect_sync().equals(ROWS)
    assert FileSink.of("~/out.csv").place == str(tmp_path / "out.csv")
    with pytest.raises(SinkError, match="home directory"):
        FileSink.of("~nobody-of-this-name/out.csv").check(ROWS.schema)


def test_two_sinks_of_one_file_by_two_names_are_refused(tmp_path):
    (tmp_path / "link.csv").symlink_to("out.csv")
    sinks = [Sink.to_file(tmp_path / name) for name in ("out.csv", "link.csv")]
    builder = Pipeline.builder().source(Source.from_frame(ROWS)).sink(Sink.fanout(sinks))
    with pytest.raises(PlanError, match="two sinks write to the same place"):
        builder.build()


@pytest.mark.parametrize("format", ["csv", "parquet", "json", "ipc"])
def test_a_pipe_is_written_through(tmp_path, format):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    found = []
    reader = threading.Thread(target=lambda: found.append(path.read_bytes()))
    reader.start()
    sink = Sink.to_file(path, format=format)
    assert sink.guarantee.startswith("none") and sink.needs_schema is True
    rows = pl.DataFrame({"x": range(100_000)})
    Pipeline.builder().source(Source.from_frame(rows, batch_rows=9_999)).sink(sink).build().run_sync()
    reader.join(30)
    assert stat.S_ISFIFO(path.stat().st_mode)
    assert found[0].startswith(encoded(rows, encoder_for(format, rows.schema, None))[:4])
    (tmp_path / f"copy.{format}").write_bytes(found[0])
    copy = Source.from_file(tmp_path / f"copy.{format}")
    assert Pipeline.builder().source(copy).collect_sync().equals(rows)


def test_a_pipe_that_nobody_reads_is_an_error_and_not_a_wait_without_end(tmp_path, monkeypatch):
    monkeypatch.setattr(stream_file, "READER_WAIT_S", 0.05)
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(SinkError, match="start its reader first"):
        run(FileSink.of(tmp_path / "pipe.csv"))


def test_a_pipe_waits_for_its_reader_and_only_for_that(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe.csv")
    readers = []

    def pause(seconds):
        readers.append(os.open(tmp_path / "pipe.csv", os.O_RDONLY | os.O_NONBLOCK))

    monkeypatch.setattr(stream_file.time, "sleep", pause)
    run(FileSink.of(tmp_path / "pipe.csv"))
    assert os.read(readers[0], 1000) == ROWS.write_csv().encode()
    os.close(readers[0])
    file = stream_file.StreamFile(tmp_path / "missing" / "pipe.csv")
    with pytest.raises(SinkError, match="No such file"):
        file.end(b"x")
    assert len(readers) == 1


def test_a_reader_that_goes_away_is_an_error_of_the_sink(tmp_path):
    os.mkfifo(tmp_path / "pipe.csv")
    handle = os.open(tmp_path / "pipe.csv", os.O_RDONLY | os.O_NONBLOCK)
    file = StreamFile(tmp_path / "pipe.csv")
    file.add(b"x\n")
    file.settle()
    os.close(handle)
    file.check()
    with pytest.raises(SinkError, match="the reader of that pipe has gone"):
        file.end(b"1\n")
    file.discard()
    file.discard()


def test_a_run_whose_reader_goes_away_fails(tmp_path, monkeypatch):
    monkeypatch.setattr(stream_file, "READER_WAIT_S", 0.05)
    os.mkfifo(tmp_path / "pipe.csv")
    handle = os.open(tmp_path / "pipe.csv", os.O_RDONLY | os.O_NONBLOCK)
    rows = pl.DataFrame({"x": range(200_000)})  # more than a pipe holds
    writer = FileSink.of(tmp_path / "pipe.csv").open(rows.schema, context())
    writer.write(Batch(rows))
    os.close(handle)
    keep = os.open(tmp_path / "pipe.csv", os.O_RDONLY | os.O_NONBLOCK)
    os.close(keep)
    with pytest.raises(SinkError, match=r"nobody reads|start its reader|reader of that pipe has gone"):
        publish(writer)
    writer.abort()
    writer.abort()


def test_an_abort_does_not_wait_for_a_reader_that_reads_nothing(tmp_path):
    os.mkfifo(tmp_path / "pipe.csv")
    handle = os.open(tmp_path / "pipe.csv", os.O_RDONLY | os.O_NONBLOCK)
    rows = pl.DataFrame({"x": range(1_000_000)})
    writer = FileSink.of(tmp_path / "pipe.csv").open(rows.schema, context())
    writer.write(Batch(rows))
    writer.abort()
    os.close(handle)


def test_a_stream_that_is_not_read_or_has_no_reader_is_given_up(tmp_path, monkeypatch):
    read, write = os.pipe()
    file = StreamFile(Path(f"/dev/fd/{write}"))

    def encode():
        with pytest.raises(Abandoned):
            file.add(bytes(1 << 20))
            file.settle()

    encoder = threading.Thread(target=encode)
    encoder.start()
    file.abandon()
    encoder.join(60)
    assert not encoder.is_alive()
    with pytest.raises(Abandoned):
        file.add(b"more")
    for handle in (read, write):
        os.close(handle)
    file.discard()
    monkeypatch.setattr(stream_file, "READER_WAIT_S", 0.05)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SinkError, match="start its reader first"):
        StreamFile(tmp_path / "pipe").end(b"x")


def test_a_stream_waits_for_a_reader_that_takes_its_time(monkeypatch):
    waited = threading.Event()

    class Polls:
        def __init__(self):
            self.polled = select.poll()
            self.register = self.polled.register

        def poll(self, ms):
            assert ms == stream_file._POLL_MS
            found = self.polled.poll(1)
            if not found:
                waited.set()
            return found

    names = {"poll": Polls, "POLLOUT": select.POLLOUT, "PIPE_BUF": select.PIPE_BUF}
    monkeypatch.setattr(stream_file, "select", SimpleNamespace(**names))
    read, write = os.pipe()
    file = StreamFile(Path(f"/dev/fd/{write}"))
    content = bytes(range(256)) * 1024
    file.add(content)
    encoder = threading.Thread(target=file.settle)
    encoder.start()
    assert waited.wait(60) and encoder.is_alive()
    found = b""
    while len(found) < len(content):
        found += os.read(read, 1 << 16)
    encoder.join(60)
    assert found == content and not encoder.is_alive()
    file.discard()
    for handle in (read, write):
        os.close(handle)


def test_what_a_stream_did_not_take_is_written_by_the_next_try(tmp_path, monkeypatch):
    """Any cut of the bytes, and a failure after each: in the end every byte was written once, in its place."""
    read, write = os.pipe()
    file = StreamFile(Path(f"/dev/fd/{write}"))
    real, turns = os.write, iter(range(1000))

    def some(handle, data):
        if next(turns) % 2:
            raise OSError(errno.EIO, "Input/output error")
        return real(handle, bytes(data)[:3])

    monkeypatch.setattr(os, "write", some)
    last = ROWS.write_csv().encode()
    for _ in range(20):
        try:
            file.end(last)
        except SinkError:
            last = b""
            continue
        break
    monkeypatch.undo()
    file.publish()
    os.close(write)
    with os.fdopen(read) as got:
        assert got.read() == ROWS.write_csv()


def test_a_device_is_written_through():
    before = Path("/dev/null").stat()
    sink = FileSink.of("/dev/null", format="csv", compression="gzip")
    assert sink.label == "file /dev/null (csv, gzip)"
    run(sink)
    after = Path("/dev/null").stat()
    assert stat.S_ISCHR(after.st_mode) and after.st_ino == before.st_ino


@pytest.mark.parametrize(
    ("format", "parts"),
    [
        ("csv", ["x\n0\n", "1\n", "2\n"]),
        ("ndjson", ['{"x":0}\n', '{"x":1}\n', '{"x":2}\n']),
        ("json", ['[{"x":0}', ',\n{"x":1}', ',\n{"x":2}']),
    ],
)
def test_rows_flow_into_a_pipe_while_the_run_goes_on(format, parts):
    read, write = os.pipe()
    found = []

    async def rows():
        for number in range(3):
            yield pl.DataFrame({"x": [number]})
            text = ""
            for _ in range(5_000):
                await asyncio.sleep(0.001)
                if select.select([read], [], [], 0)[0]:
                    text += os.read(read, 100).decode()
                if len(text) == len(parts[number]):
                    break
            found.append(text)

    sink = Sink.to_file(f"/dev/fd/{write}", format=format)
    Pipeline.builder().source(Source.from_fn(rows)).sink(sink).build().run_sync()
    for handle in (read, write):
        os.close(handle)
    assert found == parts


@pytest.mark.once
@pytest.mark.untraced
def test_standard_output_is_written_through_also_where_it_is_a_file(tmp_path):
    """As in ``{ echo first; arrowstream run job.toml; } > out.txt``."""
    code = (
        "import polars as pl\nfrom arrowstream import Pipeline, Sink, Source\n"
        "print('first', flush=True)\n"
        "rows = Pipeline.builder().source(Source.from_frame(pl.DataFrame({'x': [1, 2]})))\n"
        "rows.sink(Sink.to_file('/dev/stdout', format='csv')).build().run_sync()\n"
        "print('last')"
    )
    with (tmp_path / "out.txt").open("w") as out:
        subprocess.run([sys.executable, "-c", code], stdout=out, check=True, timeout=110)
    assert (tmp_path / "out.txt").read_text() == "first\nx\n1\n2\nlast\n"
    assert listed(tmp_path) == ["out.txt"]


def test_descriptors_have_many_names(tmp_path):
    (tmp_path / "link").symlink_to("/dev/fd/5")
    (tmp_path / "circle").symlink_to("circle")
    names = {"/dev/stderr": 2, "/proc/self/fd/7": 7, str(tmp_path / "link"): 5, "/dev/null": None}
    assert {name: stream_file.descriptor(Path(name)) for name in names} == names
    assert stream_file.descriptor(tmp_path / "circle") is None
    assert stream_file.is_stream(Path("/dev/fd/5")) and not stream_file.is_stream(tmp_path)


def test_sockets_and_disks_are_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("s.csv")
        with pytest.raises(SinkError, match="a socket"):
            FileSink.of("s.csv").check(ROWS.schema)
    disk = os.stat_result((stat.S_IFBLK | 0o660, *[0] * 9))
    monkeypatch.setattr(Path, "stat", lambda path, **options: disk)
    with pytest.raises(SinkError, match="a block device"):
        stream_file.is_stream(Path("disk"))


def test_a_device_as_a_folder_is_an_error():
    with pytest.raises(SinkError):
        FileSink.of("/dev/null/", format="csv").open(ROWS.schema, context())


@pytest.mark.parametrize(
    ("path", "message", "hint"),
    [
        ("ftp://host/out.parquet", "is a URL that is not read or written", "copy it here first"),
        (Path("gs://bucket/out.parquet"), "is a URL", "write the URL as text: pathlib makes gs:/ of gs://"),
        ("made-up+x://y", "is a URL", "copy it here first"),
        ("gcs://bucket/out.parquet", "is a URL", "write gs://bucket/key"),
        (Path("s3a://bucket/out.parquet"), "is a URL", "write s3://bucket/key"),
        ("abfss://box@me.dfs.core.windows.net/a.csv", "is a URL", "az://container/key, with the account in"),
        ("file://host/tmp/out.csv", "is on another machine", "write file:///host/tmp/out.csv, with three"),
        ("file://out.csv", "is on another machine", "with three slashes"),
        ("s3:///out.csv", "names no bucket", ""),
        ("https:///out.csv", "names no host", ""),
        (
            "s3://me:secret@bucket/out.csv",
            r"^s3://\*\*\*@bucket/out.csv contains credentials",
            "storage_options",
        ),
        ("", "the path is empty", "'./'"),
        ("a\0b.csv", "cannot be the name of a file", ""),
        ("\ud800.csv", "cannot be the name of a file", ""),
    ],
)
def test_paths_that_are_refused_at_once_by_source_and_sink(path, message, hint):
    for make in (Sink.to_file, Source.from_file, lambda path: Source.from_file(["good.csv", path])):
        with pytest.raises(PlanError, match=message) as caught:
            make(path)
        assert hint in (caught.value.hint or "")
        assert caught.value.expected


def test_a_file_url_is_a_path(tmp_path):
    for url in (
        f"file://{tmp_path}/a%20b.csv",
        f"FILE:{tmp_path}/a b.csv",
        f"file://localhost{tmp_path}/a b.csv",
    ):
        assert Sink.to_file(url).path == f"{tmp_path}/a b.csv"
        Pipeline.builder().source(Source.from_frame(ROWS)).sink(Sink.to_file(url)).build().run_sync()
        assert Source.from_file(url).paths == (f"{tmp_path}/a b.csv",)
        assert Pipeline.builder().source(Source.from_file(url)).collect_sync().height == ROWS.height


def test_what_is_no_path_is_refused():
    for make in (FileSink.of, FileSource.of):
        with pytest.raises(PlanError, match="needs a path"):
            make(5)


@pytest.mark.parametrize("path", ["c:\\x.csv", "c:/x.csv", "a:b/x.csv", "folder:/x.csv", "x://"])
def test_names_with_colons_are_names(path):
    assert FileSink.of(path).path == path
    assert Source.from_file([path]).paths == (path,)


class Named:
    """An `os.PathLike`, as libraries have them."""

    def __init__(self, path):
        self._path = path

    def __fspath__(self):
        return self._path


def test_paths_may_be_any_path_like(tmp_path):
    run(FileSink.of(Named(str(tmp_path / "out.csv"))))
    for source in (
        Source.from_file(Named(str(tmp_path / "out.csv"))),
        Source.from_file([Named(str(tmp_path))]),
    ):
        assert Pipeline.builder().source(source).collect_sync().equals(ROWS)


def test_a_name_that_is_not_utf8_is_written_and_read(tmp_path):
    name = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.parquet")
    run(FileSink.of(name))
    assert [os.fsencode(name) for name in listed(tmp_path)] == [b"caf\xe9.parquet"]
