"""A sink that has written some rows of a batch: handlers see the others, and no row is written twice."""

from itertools import groupby
from typing import Any

import polars as pl
import pytest

from arrowstream import ErrorHandler, Pipeline, Source
from arrowstream.core.batch import Batch
from arrowstream.core.step_context import StepContext
from arrowstream.errors import SinkError, UndeliveredRows
from arrowstream.io.sink import SinkSpec
from arrowstream.io.writer import Writer
from arrowstream.testing import TestSink

pytestmark = pytest.mark.once

ROWS = pl.DataFrame({"x": range(10)})


class Shelf(SinkSpec, Writer):
    """A sink that takes each row but the bad ones, each of which it takes after some attempts.

    Parameters
    ----------
    bad
        Rows, each with the number of attempts that it fails.
    breaks
        Numbers of attempts that fail before a row is taken.
    """

    def __init__(self, bad: dict[int, int], breaks: tuple[int, ...] = ()) -> None:
        self.bad = bad
        self.breaks = breaks
        self.taken: list[int] = []
        self.attempts = 0

    label, guarantee = "shelf", "none"

    def check(self, schema: pl.Schema) -> None:
        pass

    def open(self, schema: pl.Schema, context: StepContext) -> Writer:
        return self

    async def write(self, batch: Batch) -> None:
        self.attempts += 1
        if self.attempts in self.breaks:
            raise OSError("broken")
        values = batch.polars()["x"].to_list()
        refused = [self.bad.get(value, 0) >= self.attempts for value in values]
        self.taken += [value for value, bad in zip(values, refused, strict=True) if not bad]
        parts, row = [], 0
        for bad, run in groupby(refused):
            length = len(list(run))
            if bad:
                parts.append((row, length, f"refused {values[row]}"))
            row += length
        if parts:
            raise UndeliveredRows("some rows are refused", parts=parts, found="reasons")

    async def abort(self) -> None:
        pass


def run(shelf: Shelf, *handlers: ErrorHandler, limit: int | None = None) -> Any:
    sink: Any = shelf
    for handler in handlers:
        sink = sink.on_error(handler)
    return Pipeline.builder().source(Source.from_frame(ROWS)).sink(sink).build().run_sync(limit=limit)


def test_without_a_handler_the_error_says_which() -> None:
    with pytest.raises(UndeliveredRows, match="some rows are refused") as caught:
        run(Shelf({3: 9, 4: 9, 8: 9}))
    assert caught.value.parts == ((3, 2, "refused 3"), (8, 1, "refused 8"))
    assert caught.value.rows == 3 and caught.value.stage == "sink"
    assert isinstance(caught.value, SinkError)


def test_a_retry_is_of_the_rows_that_are_left() -> None:
    shelf = Shelf({3: 1, 4: 2, 8: 2})
    report = run(shelf, ErrorHandler.retry(2, "1ms"))
    assert shelf.taken == [0, 1, 2, 5, 6, 7, 9, 3, 4, 8] and shelf.attempts == 3
    assert report.rows_out == 10


def test_rows_that_are_left_when_a_retry_breaks() -> None:
    shelf = Shelf({3: 1, 8: 9}, breaks=(2,))
    run(shelf, ErrorHandler.retry(1, "1ms"), ErrorHandler.skip())
    assert shelf.taken == [0, 1, 2, 4, 5, 6, 7, 9, 3] and shelf.attempts == 4


@pytest.mark.parametrize("whole_batch", [True, False])
@pytest.mark.parametrize("retries", [0, 2])
def test_dead_letters_are_the_refused_rows(whole_batch: bool, retries: int) -> None:
    shelf, letters = Shelf({3: 9, 4: 9, 8: 9}), TestSink()
    handlers = [ErrorHandler.retry(retries, "1ms")] if retries else []
    report = run(shelf, *handlers, ErrorHandler.dead_letter(letters, whole_batch=whole_batch))
    frame = letters.frame()
    assert frame["x"].to_list() == [3, 4, 8]
    assert frame["position"].to_list()[2] == "frame rows 8-9"
    first = ["refused 3", "refused 3"] if not retries else ["refused 3"] * 3
    assert frame["error"].to_list()[:2] == first[:2]
    assert shelf.taken == [0, 1, 2, 5, 6, 7, 9] and shelf.attempts == 1 + retries
    assert report.rows_out == 7


def test_a_part_with_refused_rows_in_the_search_for_failing_rows() -> None:
    shelf = Shelf({1: 9, 6: 9}, breaks=(1,))
    letters = TestSink()
    run(shelf, ErrorHandler.dead_letter(letters))
    assert letters.frame()["x"].to_list() == [1, 6]
    assert shelf.taken == [0, 2, 3, 4, 5, 7, 8, 9]


def test_a_limit_counts_what_was_delivered() -> None:
    shelf = Shelf({1: 1})
    report = run(shelf, ErrorHandler.skip(), limit=5)
    assert shelf.taken == [0, 2, 3, 4, 5] and report.rows_out == 5
