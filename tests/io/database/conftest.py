"""The databases that the tests of this folder run on."""

import os
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import adbc_driver_postgresql.dbapi
import pytest
from databases import Database, new_database
from servers.postgresql import PostgresqlServer

_SCHEMAS = (f"test_{os.getpid()}_{number}" for number in count())
Server = tuple[Callable[[str], str], Any]


@pytest.fixture(scope="session")
def server(postgresql: PostgresqlServer) -> Iterator[Server]:
    """What makes URIs of PostgreSQL, and a connection to it."""
    with adbc_driver_postgresql.dbapi.connect(postgresql.uri("public"), autocommit=True) as connection:
        yield postgresql.uri, connection


@pytest.fixture(params=["sqlite", "duckdb", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    """An empty database of each system."""
    server = request.getfixturevalue("server") if request.param == "postgresql" else None
    return new_database(request.param, tmp_path, _SCHEMAS, server)


@pytest.fixture
def sqlite(tmp_path: Path) -> Database:
    """An empty SQLite database."""
    return new_database("sqlite", tmp_path, _SCHEMAS)


@pytest.fixture
def postgres(server: Server) -> Database:
    """A PostgreSQL schema without tables."""
    return new_database("postgresql", Path(), _SCHEMAS, server)


@pytest.fixture
def duck(tmp_path: Path) -> Database:
    """An empty DuckDB database."""
    return new_database("duckdb", tmp_path, _SCHEMAS)
