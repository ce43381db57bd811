"""Addresses of databases: URIs, passwords that are never shown, and libraries that are missing."""

import importlib.util
import logging
import os
import re
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from contexts import context
from databases import ROWS, Database, new_database, opened

from arrowstream import Pipeline, Sink, Source
from arrowstream.core.batch import Batch
from arrowstream.errors import DatabaseBusy, MissingExtra, PlanError, SinkError, SourceError
from arrowstream.io.database.address import DatabaseAddress
from arrowstream.io.database.systems.duckdb import DuckdbDatabase
from arrowstream.io.database.systems.failures import sink_failure
from arrowstream.jobs.job import Job

pytestmark = pytest.mark.once

SECRET = "hunter2/@ü"
QUOTED = "hunter2%2F%40%C3%BC"


def address(uri: str) -> DatabaseAddress:
    return DatabaseAddress.of("to_database", uri)


URIS = {
    "sqlite:///out.db": ("sqlite out.db", "out.db"),
    "SQLite:////tmp/out.db": ("sqlite /tmp/out.db", "/tmp/out.db"),
    "duckdb:///~/a b.duckdb": ("duckdb ~/a b.duckdb", str(Path("~/a b.duckdb").expanduser())),
    "postgresql://h/d": ("postgresql h/d", "postgresql://h/d"),
    "postgres://h:1/d?sslmode=require": ("postgresql h:1/d", "postgresql://h:1/d?sslmode=require"),
    "postgresql://me@h/d": ("postgresql me@h/d", "postgresql://me@h/d"),
    f"postgresql://me:{QUOTED}@h/d": ("postgresql me@h/d", f"postgresql://me:{QUOTED}@h/d"),
    "postgresql://a%40b:env:DB_SECRET@h/d": ("postgresql a@b@h/d", f"postgresql://a%40b:{QUOTED}@h/d"),
    "postgresql://me:@h/d": ("postgresql me@h/d", "postgresql://me@h/d"),
    "postgresql://:x@h/d": ("postgresql h/d", "postgresql://:x@h/d"),
}


@pytest.mark.parametrize("uri", URIS)
def test_a_uri_names_a_database(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DB_SECRET", SECRET)
    found, (label, opened) = address(uri), URIS[uri]
    assert found.label == label
    assert (str(found.file) if found.is_file else found.server_uri(found.secret())) == opened
    assert (
        "hunter2" not in f"{found!r} {Sink.to_database(uri, 't')!r} {Source.from_database(uri, 'SELECT 1')!r}"
    )


def test_a_password_may_be_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(f"{SECRET}\nnot this\n", encoding="utf-8")
    found = address(f"postgresql://me:file:{tmp_path}/secret@h/d")
    assert found.server_uri(found.secret()) == f"postgresql://me:{QUOTED}@h/d"
    (tmp_path / "secret").unlink()
    with pytest.raises(PlanError, match="the secret 'password' cannot be read"):
        found.secret()


WRONG = {
    "out.db": "to_database takes the URI of a database",
    "mysql://h/d": "to_database has no driver for mysql://",
    "sqlite://out.db": "with three slashes",
    "sqlite:///": "takes the path of a database file",
    "duckdb:///:memory:": "takes the path of a database file",
    "sqlite:///file:x?mode=memory": "takes the path of a database file",
    "postgresql://me:a/b@h/d": "cannot read the login of the URI",
    "postgresql://h/d?user=me&password=hunter2": "takes the password from the login",
}


@pytest.mark.parametrize("uri", WRONG)
def test_a_uri_that_names_none(uri: str) -> None:
    with pytest.raises(PlanError, match=WRONG[uri]) as raised:
        address(uri)
    assert "hunter2" not in str(raised.value)
    with pytest.raises(PlanError, match="takes the URI of a database"):
        address(3)  # type: ignore[arg-type]


def test_a_scheme_that_is_misspelled_is_recognised() -> None:
    with pytest.raises(PlanError) as raised:
        address("postgressql://h/d")
    assert raised.value.hint == "did you mean 'postgresql'?"


def test_a_server_that_does_not_answer_is_named_without_the_password(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    server = "127.0.0.1:9/d"
    uri = f"postgresql://me:{QUOTED}@{server}"
    with pytest.raises(
        SinkError, match=rf"the database postgresql me@{re.escape(server)} cannot be opened"
    ) as sink:
        Sink.to_database(uri, "t").open(ROWS.schema, context("sink"))
    with pytest.raises(
        SourceError, match=rf"the database postgresql me@{re.escape(server)} cannot be opened"
    ) as source:
        Source.from_database(uri, "SELECT 1").schema()
    shown = f"{sink.value} {source.value} {caplog.text}"
    assert "Connection refused" in shown and "hunter2" not in shown


MESSAGES = {
    'connection to server at "h" (127.0.0.1), port 5432 failed: Connection refused': "start the server",
    'could not translate host name "h" to address: Name or service not known': "name of the host",
    'FATAL:  database "sales" does not exist': "CREATE DATABASE",
    'FATAL:  role "me" does not exist': "CREATE ROLE",
    "fe_sendauth: no password supplied": "env:NAME",
    'FATAL:  password authentication failed for user "me" with hunter2': "correct user and password",
    "server does not support SSL, but SSL was required": "sslmode=prefer",
    'no pg_hba.conf entry for host "h", user "me", database "d", no encryption': "sslmode=require",
    "SSL error: certificate verify failed": "sslrootcert",
    "FATAL:  sorry, too many clients already": "max_connections",
    "something else": None,
}


@pytest.mark.parametrize("message", MESSAGES)
def test_what_postgresql_says_comes_with_what_to_do(message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from adbc_driver_manager import OperationalError
    from adbc_driver_postgresql import dbapi

    def refuse(*arguments: object, **options: object) -> None:
        raise OperationalError(f"IO: [libpq] Failed to connect: {message}", status_code=10)  # type: ignore

    monkeypatch.setattr(dbapi, "connect", refuse)
    with pytest.raises(SourceError, match="the database postgresql me@h/d cannot be opened") as raised:
        Source.from_database("postgresql://me:hunter2@h/d", "SELECT 1").schema()
    hint = MESSAGES[message]
    assert hint in str(raised.value.hint) if hint is not None else raised.value.hint is None
    assert "hunter2" not in str(raised.value)


def test_a_server_without_the_database_or_tls_says_what_to_do(postgres: Database) -> None:
    base, _, _ = postgres.uri.partition("?")
    for uri, hint in (
        (f"{base.rpartition('/')[0]}/none", "CREATE DATABASE"),
        (f"{base}?sslmode=require", "sslmode=prefer"),
        (base.replace("arrowstream@", "nobody@"), "CREATE ROLE"),
    ):
        with pytest.raises(SourceError) as raised:
            Source.from_database(uri, "SELECT 1").schema()
        assert hint in str(raised.value.hint), raised.value


FILES: dict[str, tuple[str, str]] = {
    "none/x.db": ("no folder {at}/none", "make the folder"),
    "text/x.db": ("{at}/text is a file, not a folder", "correct the path"),
    "folder": ("{at}/folder is a folder", "{kind}:///{at}/folder/out.db"),
    "text": ("", "name another file"),
    "sqlite": ("{at}/sqlite is a database of SQLite", "sqlite:///{at}/sqlite"),
    "duckdb": ("{at}/duckdb is not a database of SQLite", "duckdb:///{at}/duckdb"),
}


@pytest.mark.parametrize("kind", ["sqlite", "duckdb"])
@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_no_database_of_its_kind(kind: str, name: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "text").write_text("neither of them, though long enough for a head")
    for other in ("sqlite", "duckdb"):
        new_database(other, tmp_path).execute("CREATE TABLE t (x integer)")
        (tmp_path / f"out.{other}").rename(tmp_path / other)
    if name == kind:
        return
    found, hint = (text.format(at=tmp_path, kind=kind) for text in FILES[name])
    uri = f"{kind}:///{tmp_path}/{name}"
    with pytest.raises(SinkError, match="cannot be opened") as sink:
        Sink.to_database(uri, "t").open(ROWS.schema, context("sink"))
    with pytest.raises(SourceError, match="cannot be opened") as source:
        Source.from_database(uri, "SELECT 1").schema()
    for error in (sink.value, source.value):
        assert found in str(error.found) and hint in str(error.hint)


def test_duckdb_may_open_a_file_of_sqlite_by_an_extension(
    duck: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    duck.execute("CREATE TABLE t (x integer)")
    monkeypatch.setattr(DuckdbDatabase, "rows", lambda self, sql, parameters=(): [("sqlite",)])
    with pytest.raises(SourceError, match="cannot be opened") as raised:
        duck.source("SELECT 1").schema()
    assert raised.value.found == f"{duck.path} is a database of SQLite"
    assert raised.value.hint == f"write sqlite:///{duck.path}"


def test_a_file_is_missing_or_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    source, sink = Source.from_database("sqlite:///x.db", "SELECT 1"), Sink.to_database("sqlite:///x.db", "t")
    with pytest.raises(SourceError) as missing:
        source.schema()
    assert missing.value.found == f"no file {tmp_path}/x.db"
    assert str(missing.value.hint).endswith(f"a relative path starts at {tmp_path}")
    (tmp_path / "x.db").write_bytes(b"")
    for closed, found, of in (
        (("x.db", os.R_OK), "no permission to read", (source, sink)),
        (("x.db", os.W_OK), "no permission to write", (sink,)),
        ((tmp_path.name, os.W_OK | os.X_OK), "no permission to write in the folder", (sink,)),
    ):
        monkeypatch.setattr(os, "access", lambda path, mode, closed=closed: (path.name, mode) != closed)
        for end in of:
            with pytest.raises((SourceError, SinkError)) as raised:
                end.schema() if end is source else sink.open(ROWS.schema, context("sink"))
            assert found in str(raised.value.found) and raised.value.hint is not None

    def refuse(path: Path) -> bool:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "is_dir", refuse)
    with pytest.raises(SourceError, match="Permission denied: ") as denied:
        source.schema()
    assert denied.value.hint == "let this process read the file and its folder"


def test_a_file_that_another_process_has_locked_may_be_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import duckdb

    def refuse(*arguments: object, **options: object) -> None:
        raise duckdb.IOException(
            'IO Error: Could not set lock on file "x": Conflicting lock is held in python (PID 7)'
        )

    monkeypatch.setattr(duckdb, "connect", refuse)
    with pytest.raises(DatabaseBusy, match="cannot be opened") as raised:
        Sink.to_database(f"duckdb:///{tmp_path}/x.db", "t").open(ROWS.schema, context("sink"))
    assert "PID 7" in str(raised.value.found) and "run again" in str(raised.value.hint)
    assert "WAL" not in str(raised.value.hint)


def test_a_disk_that_is_full_is_named() -> None:
    from adbc_driver_manager import OperationalError

    full = OperationalError("IO: [SQLite] failed to execute query: database or disk is full", status_code=10)  # type: ignore
    error = sink_failure(full, "t")
    assert (error.found, error.hint) == (
        "database or disk is full",
        "make room on the disk of the database, and run again",
    )


def test_a_database_that_repeats_the_password_is_silenced(
    postgres: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DB_SECRET", "hunter2")
    uri = postgres.uri.replace("arrowstream@", "arrowstream:env:DB_SECRET@")
    source = Source.from_database(uri, "SELECT * FROM hunter2")
    with pytest.raises(SourceError, match="cannot be read") as raised:
        source.schema()
    assert "hunter2" not in str(raised.value) and "***" in str(raised.value)
    postgres.execute("CREATE TABLE t (id text CHECK (id <> 'hunter2'))")
    writer = opened(Sink.to_database(uri, "t"), pl.Schema({"id": pl.String()}))
    with pytest.raises(SinkError) as refused:
        writer.write(Batch(pl.DataFrame({"id": ["hunter2"]})))
    writer.abort()
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(("scheme", "extra"), [("sqlite", "db"), ("postgresql", "db"), ("duckdb", "duckdb")])
def test_a_library_that_is_missing(scheme: str, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    uri = f"{scheme}:///x/y"
    steps = Pipeline.builder().source(Source.from_frame(ROWS)).sink(Sink.to_database(uri, "t"))
    for call in (steps.build, Source.from_database(uri, "SELECT 1").schema):
        with pytest.raises(MissingExtra, match=f"needs the extra '{extra}'") as raised:
            call()
        assert raised.value.hint == f"pip install 'arrowstream[{extra}]'"


JOB = """
[source]
kind = "database"
uri = "{scheme}:///in.db"
query = "SELECT id, name FROM t"
schema = {{ id = "Int32" }}
partition_on = "id"
partitions = 2

[sink]
kind = "database"
uri = "{scheme}:///{folder}out.db"
table = "u"
mode = "upsert"
key = "id"
batch_size = 10
"""


@pytest.mark.parametrize("scheme", ["sqlite", "duckdb"])
def test_a_job_reads_and_writes_files_next_to_it(
    scheme: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("/")
    jobs = tmp_path / "jobs"
    jobs.mkdir()
    first = Database(scheme, f"{scheme}:///{jobs}/in.db", jobs / "in.db")
    Pipeline.builder().source(Source.from_frame(ROWS)).sink(first.sink()).build().run_sync()
    for folder, path in (("", jobs / "out.db"), (f"{tmp_path}/", tmp_path / "out.db")):
        (jobs / "job.toml").write_text(JOB.format(scheme=scheme, folder=folder))
        job: Any = Job.load(jobs / "job.toml").pipeline()
        assert f"source: database {scheme} {jobs}/in.db (2 ranges of id)" in job.explain()
        assert f"sink: database {scheme} {path}, table u (upsert by id)" in job.explain()
        assert "guarantee: exactly once" in job.explain()
        job.run_sync()
        assert (
            Database(scheme, "", path).rows("SELECT * FROM u ORDER BY id") == ROWS.select("id", "name").rows()
        )
