"""Reading new rows by an increasing column: their order, ties, positions, and polls."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime
from typing import Any

import polars as pl
import pytest
from contexts import context
from databases import Database

from arrowstream import Pipeline, Source
from arrowstream.errors import SourceError
from arrowstream.io.source import Reader

pytestmark = pytest.mark.once


class Ended(Exception):
    """The script of a test has ended."""


class Script:
    """A clock whose sleeps run a script: what happens to the database between two polls."""

    def __init__(self, *events: Callable[[], None]) -> None:
        self.events = list(events)
        self.slept: list[float] = []

    def now_ns(self) -> int:
        return 0

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        if not self.events:
            raise Ended
        self.events.pop(0)()


def insert(database: Database, *rows: tuple[Any, str]) -> Callable[[], None]:
    values = ", ".join(f"({key!r}, '{x}')" for key, x in rows)
    return lambda: database.execute(f"INSERT INTO t VALUES {values}") if rows else None


def polled(
    source: Any, *events: Callable[[], None], resume: Any = None
) -> tuple[list[list[tuple[Any, ...]]], Any]:
    """The rows of each batch of a source while the script runs, and the position at its end."""

    async def run() -> tuple[list[list[tuple[Any, ...]]], Any]:
        reader = source.open(replace(context("source"), clock=Script(*events)), resume=resume)
        assert isinstance(reader, Reader)
        found = []
        try:
            while (batch := await reader.read()) is not None:
                found.append(batch.polars().rows())
        except Ended:
            pass
        finally:
            await reader.close()
        return found, reader.position()

    return asyncio.run(run())


def rows_of(batches: list[list[tuple[Any, ...]]]) -> list[tuple[Any, ...]]:
    return [row for rows in batches for row in rows]


@pytest.fixture
def table(database: Database) -> Database:
    database.execute("CREATE TABLE t (id integer, x text)")
    return database


def test_rows_come_in_the_order_of_the_column_and_after_a_position(table: Database) -> None:
    insert(table, (3, "c"), (1, "a"), (2, "b"))()
    table.execute("INSERT INTO t VALUES (NULL, 'never')")
    source = table.source(increasing="id")
    assert source.resumable
    found, position = polled(source)
    assert rows_of(found) == [(1, "a"), (2, "b"), (3, "c")]
    assert position == {"version": 1, "last": 3, "rows": 3}
    assert polled(source, resume=position) == ([], position)
    insert(table, (5, "e"), (3, "missed"), (4, "d"))()
    found, position = polled(source, resume=position)
    assert rows_of(found) == [(4, "d"), (5, "e")]
    assert position == {"version": 1, "last": 5, "rows": 5}
    with pytest.raises(SourceError, match="the source cannot continue after this position"):
        polled(source, resume={"version": 2, "last": 1, "rows": 1})


def test_a_poll_finds_new_rows_and_waits_for_others_of_the_latest_value(table: Database) -> None:
    source = table.source(increasing="id", poll="1s")
    found, position = polled(
        source,
        insert(table, (1, "a"), (2, "b")),  # the rows of 2 wait
        insert(table, (2, "c")),  # and wait, as there is another
        insert(table),  # and come, as there is none
        insert(table),
        insert(table, (3, "d")),
        insert(table, (4, "e")),  # those of 3 come, as there is a greater value
    )
    assert [[key for key, _ in rows] for rows in found] == [[1], [2, 2], [3]]
    assert sorted(found[1]) == [(2, "b"), (2, "c")]
    assert position == {"version": 1, "last": 3, "rows": 4}
    found, _ = polled(source, insert(table), resume=position)
    assert found == [[(4, "e")]]


def test_rows_of_one_value_in_many_batches_come_once(sqlite: Database) -> None:
    count = 150_000
    frame = pl.DataFrame({"id": [1] * 10 + [2] * count + [3] * 5, "x": pl.int_range(count + 15, eager=True)})
    Pipeline.builder().source(Source.from_frame(frame)).sink(sqlite.sink()).build().run_sync()
    source = sqlite.source("SELECT id, x FROM t", increasing="id")
    found, position = polled(source)
    assert [{key for key, _ in rows} for rows in found] == [{1}, {2}, {3}]
    assert sorted(x for rows in found for _, x in rows) == list(range(count + 15))
    assert position["rows"] == count + 15


TIMES: list[tuple[Any, list[Any]]] = [
    (
        pl.Datetime("us"),
        [datetime(2026, 1, 1, 0, 0, 0, 1), datetime(2026, 1, 1, 0, 0, 0, 2), datetime(2026, 1, 2)],
    ),
    (pl.Datetime("us", "UTC"), [datetime(2026, 1, 1), datetime(2026, 1, 1, 1), datetime(2026, 1, 2)]),
    (pl.Date, [date(1999, 12, 31), date(2026, 1, 1), date(2026, 1, 2)]),
    (pl.String, ["", "a'b", "é"]),
    (pl.Int16, [-5, 0, 7]),
]


def test_a_position_may_be_a_time_or_a_text(database: Database) -> None:
    for number, (dtype, values) in enumerate(TIMES):
        frame = pl.DataFrame({"id": pl.Series(values, dtype=dtype)})
        sink = database.sink(f"t{number}")
        Pipeline.builder().source(Source.from_frame(frame[:2])).sink(sink).build().run_sync()
        source = database.source(f"SELECT * FROM t{number}", increasing="id")
        found, position = polled(source)
        assert rows_of(found) == frame[:2].rows()
        Pipeline.builder().source(Source.from_frame(frame[2:])).sink(sink).build().run_sync()
        assert rows_of(polled(source, resume=position)[0]) == frame[2:].rows()


def test_a_poll_goes_on_in_a_run_until_its_limit(table: Database) -> None:
    insert(table, *((number, "x") for number in range(10)))()
    source = table.source(increasing="id", poll="1ms")
    assert Pipeline.builder().source(source).collect_sync(limit=10)["id"].to_list() == list(range(10))


def test_a_reader_that_never_read_is_closed(table: Database) -> None:
    reader = table.source(increasing="id").open(context("source"))
    assert isinstance(reader, Reader)
    assert reader.position() == {"version": 1, "last": None, "rows": 0}
    asyncio.run(reader.close())
