"""Handlers at work: retries by a clock that jumps, logs, and every failing row found and told of once."""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Sequence
from random import Random
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from strategies import cuts

from arrowstream.core.batch import Batch, Element, Watermark
from arrowstream.core.position import Position
from arrowstream.errors import SchemaError, StageError, StageTimeout
from arrowstream.policies.dead_letter import dead_letter_schema
from arrowstream.policies.handlers import ErrorHandler
from arrowstream.runtime.failure.guard import Guard

pytestmark = pytest.mark.once

SKIP, FAIL, LOG = ErrorHandler.skip(), ErrorHandler.fail(), ErrorHandler.log()


class JumpingClock:
    """Sleeps take no time but move the clock."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.slept: list[float] = []

    def now_ns(self) -> int:
        return round(self.now_s * 1e9)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)
        self.slept.append(seconds)
        self.now_s += seconds


class Scene:
    """A guard with all it needs, and what became of it."""

    def __init__(self, *handlers: ErrorHandler) -> None:
        self.clock = JumpingClock()
        self.dead: list[pl.DataFrame] = []
        self.errors: list[int] = []
        self.tries: list[int] = []
        self.guard = Guard(
            "map", handlers, self.clock, Random(0), self._write, lambda rows: self.errors.append(rows)
        )

    async def _write(self, batch: Batch) -> None:
        self.dead.append(batch.polars())

    def run(
        self, batches: Sequence[Batch], attempt: Callable[[Batch], Awaitable[list[Element]]]
    ) -> list[Any]:
        async def counted(batch: Batch) -> list[Element]:
            self.tries.append(batch.num_rows)
            return await attempt(batch)

        async def main() -> list[Any]:
            return [out for batch in batches for out in await self.guard.run(batch, counted)]

        return asyncio.run(main())


def numbers(rows: int, start: int = 0, origin: str | None = "n.csv") -> Batch:
    frame = pl.DataFrame({"x": range(start, start + rows)}, schema={"x": pl.Int64})
    return Batch(frame, origin and Position(origin, start, start + rows))


def failing_on(*bad: int, times: float = math.inf) -> Callable[[Batch], Awaitable[list[Element]]]:
    """Doubles its rows; fails, so many times, where any of them is bad."""
    failures = 0

    async def attempt(batch: Batch) -> list[Element]:
        nonlocal failures
        await asyncio.sleep(0)
        values = batch.polars()["x"]
        for value in values.filter(values.is_in(bad)):
            if failures < times:
                failures += 1
                raise ValueError(f"{value} is bad\nand more of it")
        return [batch.with_rows(batch.polars() * 2)]

    return attempt


def values(out: list[Any]) -> list[int]:
    return [value for batch in out for value in batch.polars()["x"]]


def test_what_does_not_fail_costs_one_try() -> None:
    scene = Scene(ErrorHandler.retry(3), LOG, SKIP)
    assert values(scene.run([numbers(3)], failing_on())) == [0, 2, 4]
    assert (scene.tries, scene.clock.slept, scene.errors) == ([3], [], [])


# Retry


def test_retries_are_of_the_whole_batch_after_waits_that_grow() -> None:
    scene = Scene(ErrorHandler.retry(3, "1s", jitter=0), SKIP)
    assert values(scene.run([numbers(4)], failing_on(1, times=3))) == [0, 2, 4, 6]
    assert scene.tries == [4, 4, 4, 4]
    assert scene.clock.slept == [1, 2, 4]
    assert scene.errors == []


def test_the_first_try_that_succeeds_is_the_last() -> None:
    scene = Scene(ErrorHandler.retry(9, "1s", jitter=0))
    assert values(scene.run([numbers(1)], failing_on(0, times=1))) == [0]
    assert scene.clock.slept == [1]


def test_after_the_retries_a_failure_fails() -> None:
    scene = Scene(ErrorHandler.retry(2, "1s", jitter=0))
    with pytest.raises(StageError):
        scene.run([numbers(4)], failing_on(1))
    assert scene.tries == [4, 4, 4]
    assert scene.clock.slept == [1, 2]
    assert scene.errors == [4]


def test_what_is_told_is_the_last_failure() -> None:
    async def attempt(batch: Batch) -> list[Element]:
        raise ValueError(f"try {len(scene.tries)}")

    for last in (FAIL, ErrorHandler.dead_letter(object())):
        scene = Scene(ErrorHandler.retry(2), last)
        try:
            scene.run([numbers(1)], attempt)
        except StageError as error:
            assert error.what == "ValueError: try 3"
        else:
            assert scene.dead[0]["error"].to_list() == ["ValueError: try 3"]


def test_a_budget_ends_retries_that_would_begin_after_it() -> None:
    scene = Scene(ErrorHandler.retry(9, "1s", jitter=0, budget="7s"), SKIP)
    scene.run([numbers(1)], failing_on(0))
    assert scene.clock.slept == [1, 2, 4]


def test_a_shorter_wait_after_one_that_exceeds_the_budget_is_not_taken() -> None:
    scene = Scene(ErrorHandler.retry(9, "1s", jitter=1, budget="30s"), SKIP)
    scene.run([numbers(1)], failing_on(0))
    chance = Random(0)
    # After 16.7 s the next wait is one of 19 s, and the one after it would be one of 13 s.
    assert scene.clock.slept == [wait * (1 - chance.random()) for wait in (1, 2, 4, 8, 16)]


def test_a_budget_counts_the_time_that_tries_take() -> None:
    scene = Scene(ErrorHandler.retry(9, "1s", jitter=0, budget="7s"), SKIP)

    async def slow(batch: Batch) -> list[Element]:
        scene.clock.now_s += 3
        raise ValueError

    scene.run([numbers(1)], slow)
    assert scene.clock.slept == [1, 2]


def test_two_retries_act_one_after_the_other() -> None:
    scene = Scene(ErrorHandler.retry(2, "1s", jitter=0), ErrorHandler.retry(1, "60s", jitter=0), FAIL)
    assert values(scene.run([numbers(1)], failing_on(0, times=3))) == [0]
    assert scene.clock.slept == [1, 2, 60]


def test_waits_depend_on_chance_that_is_handed_in() -> None:
    scene = Scene(ErrorHandler.retry(2, "1s"), SKIP)
    scene.run([numbers(1)], failing_on(0))
    chance = Random(0)
    assert scene.clock.slept == [1 - 0.5 * chance.random(), 2 - chance.random()]


# Fail


@pytest.mark.parametrize("handlers", [(), (FAIL,), (LOG,)], ids=["none", "fail", "log"])
def test_a_failure_names_stage_position_and_cause(handlers: tuple[ErrorHandler, ...]) -> None:
    scene = Scene(*handlers)
    with pytest.raises(StageError) as caught:
        scene.run([numbers(4, 10)], failing_on(12))
    assert caught.value.what == "ValueError: 12 is bad"
    assert (caught.value.stage, caught.value.position) == ("map", "n.csv rows 10-14")
    assert isinstance(caught.value.__cause__, ValueError)
    assert scene.errors == [4]


def test_an_error_that_is_ours_already_stays_what_it_is() -> None:
    cause = KeyError("k")

    async def attempt(batch: Batch) -> list[Element]:
        raise SchemaError("no") from cause

    with pytest.raises(SchemaError) as caught:
        Scene(FAIL).run([numbers(1)], attempt)
    assert caught.value.stage == "map"
    assert caught.value.__cause__ is cause


def test_panics_of_polars_are_failures() -> None:
    async def attempt(batch: Batch) -> list[Element]:
        raise pl.exceptions.PanicException("boom")

    assert Scene(SKIP).run([numbers(2)], attempt) == []


# Skip and dead letters


@given(data=st.data(), rows=st.integers(0, 40), dead=st.booleans(), whole=st.booleans())
def test_good_rows_and_failed_ones_are_all_rows_once_and_in_order(
    data: st.DataObject, rows: int, dead: bool, whole: bool
) -> None:
    frame = numbers(rows).polars()
    bad = data.draw(st.sets(st.sampled_from(range(rows)), max_size=rows) if rows else st.just(set()))
    batches = []
    for part in data.draw(cuts(frame)):
        start = sum(batch.num_rows for batch in batches)
        batches.append(Batch(part, Position("n.csv", start, start + part.height)))
    handler = (
        ErrorHandler.dead_letter(object(), whole_batch=whole)
        if dead
        else ErrorHandler.skip(whole_batch=whole)
    )
    scene = Scene(handler)
    out = scene.run(batches, failing_on(*bad))
    failed = set(bad)
    if whole:
        failed = {row for batch in batches if bad & {*batch.polars()["x"]} for row in batch.polars()["x"]}
    assert values(out) == [2 * row for row in range(rows) if row not in failed]
    assert sum(scene.errors) == len(failed)
    if not dead:
        assert scene.dead == []
    elif failed:
        letters = pl.concat(scene.dead)
        assert letters.schema == dead_letter_schema(frame.schema)
        assert letters["x"].to_list() == sorted(failed)
        assert letters["position"].to_list() == [f"n.csv rows {row}-{row + 1}" for row in sorted(failed)]
        assert set(letters["stage"]) == {"map"}
        if not whole:
            assert letters["error"].to_list() == [f"ValueError: {row} is bad" for row in sorted(failed)]


@pytest.mark.parametrize("bad", [0, 1, 511, 512, 777, 1023])
def test_one_bad_row_costs_two_tries_a_halving(bad: int) -> None:
    scene = Scene(SKIP)
    scene.run([numbers(1024)], failing_on(bad))
    assert len(scene.tries) <= 2 * 11


@pytest.mark.untraced
def test_a_batch_of_bad_rows_costs_a_try_a_row() -> None:
    scene = Scene(SKIP)
    assert scene.run([numbers(1024)], failing_on(*range(1024))) == []
    assert len(scene.tries) == 1 + 9 + 1024
    assert scene.errors == [1024]


def test_good_rows_after_many_bad_ones_are_tried_together() -> None:
    scene = Scene(SKIP)
    assert len(values(scene.run([numbers(1024)], failing_on(*range(100), 900)))) == 923
    assert len(scene.tries) <= 1 + 9 + 100 + 2 * 2 * 10


@pytest.mark.untraced
@pytest.mark.parametrize("step", [1, 2, 3, 7, 100])
def test_all_tries_together_process_each_row_a_few_times_however_many_fail(step: int) -> None:
    scene = Scene(SKIP)
    scene.run([numbers(1024)], failing_on(*range(0, 1024, step)))
    assert sum(scene.tries) <= 5 * 1024
    assert len(scene.tries) <= 1024 * 1.6


def test_a_part_keeps_every_form_that_its_batch_has() -> None:
    batch = numbers(4, 10)
    batch.arrow()
    converted: list[bool] = []

    async def attempt(part: Batch) -> list[Element]:
        converted.append(not (part.has("arrow") and part.has("polars")))
        assert part.arrow().to_pylist() == part.polars().to_dicts()
        if 12 in part.polars()["x"]:
            raise ValueError
        return [part]

    assert values(Scene(SKIP).run([batch], attempt)) == [10, 11, 13]
    assert not any(converted)


def test_nothing_that_succeeded_is_tried_again() -> None:
    seen: list[int] = []
    attempt = failing_on(5)

    async def writing(batch: Batch) -> list[Element]:
        await attempt(batch)
        seen.extend(batch.polars()["x"])
        return []

    scene = Scene(ErrorHandler.retry(2), SKIP)
    assert scene.run([numbers(16)], writing) == []
    assert seen == [value for value in range(16) if value != 5]


def test_parts_are_tried_once_without_the_retries_of_the_whole() -> None:
    scene = Scene(ErrorHandler.retry(2), SKIP)
    scene.run([numbers(2)], failing_on(0))
    assert scene.tries == [2, 2, 2, 1, 1]
    assert len(scene.clock.slept) == 2


def test_a_batch_whose_parts_are_all_good_lost_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async def small_ones_only(batch: Batch) -> list[Element]:
        if batch.num_rows > 3:
            raise MemoryError
        return [batch]

    scene = Scene(LOG, ErrorHandler.dead_letter(object()))
    assert values(scene.run([numbers(10)], small_ones_only)) == list(range(10))
    assert (scene.errors, scene.dead, caplog.records) == ([], [], [])


def test_what_is_left_of_a_batch_is_one_batch_that_knows_its_places() -> None:
    (left,) = Scene(SKIP).run([numbers(8, 10)], failing_on(11, 12, 15))
    assert left.polars()["x"].to_list() == [20, 26, 28, 32, 34]
    assert left.polars().n_chunks() == 1
    places = [str(left.slice(row, 1).position) for row in range(5)]
    assert places == [f"n.csv rows {row}-{row + 1}" for row in (10, 13, 14, 16, 17)]
    assert str(left.position) == "n.csv rows 10-18"


def test_rows_that_are_added_or_left_out_keep_the_places_of_their_parts() -> None:
    async def attempt(batch: Batch) -> list[Element]:
        frame = batch.polars()
        if 2 in frame["x"]:
            raise ValueError
        return [batch.with_rows(frame if frame["x"][0] < 2 else pl.concat([frame[:1]] * 2))]

    (left,) = Scene(SKIP).run([numbers(6)], attempt)
    assert left.polars()["x"].to_list() == [0, 1, 3, 3, 4, 4]
    places = [str(left.slice(row, 1).position) for row in range(6)]
    assert places == [f"n.csv rows {place}" for place in ("0-1", "1-2", "3-4", "3-4", "4-5", "5-6")]


@pytest.mark.parametrize("origin", ["n.csv", None])
def test_what_came_in_at_another_time_or_place_stays_apart(origin: str | None) -> None:
    first, second, other = numbers(1, 0, origin), numbers(1, 1, origin), numbers(1, 2, "m.csv")
    second.ingest_ns = 5
    later = Batch(numbers(2, 3, "m.csv").arrow(), Position("m.csv", 3, 5))

    async def attempt(batch: Batch) -> list[Element]:
        if 1 in batch.polars()["x"]:
            raise ValueError
        return [first, first, second, other, later]

    out = Scene(SKIP).run([numbers(9, 0)], attempt)
    known = [(values([batch]), batch.position and batch.position.origin, batch.ingest_ns) for batch in out]
    # What the next part gave follows, if its place is known, too.
    third = [2, 3, 4, *([0, 0] if origin else [])]
    assert known[:3] == [([0, 0], origin, None), ([1], origin, 5), (third, "m.csv", None)]


def test_what_came_from_several_files_is_joined_all_the_same() -> None:
    async def attempt(batch: Batch) -> list[Element]:
        if 1 in batch.polars()["x"]:
            raise ValueError
        return [numbers(1, 5, "m.csv"), numbers(1, 2, "n.csv"), numbers(1, 9, None), numbers(1, 7)]

    first, unknown, *_ = Scene(SKIP).run([numbers(9)], attempt)
    assert [str(first.slice(row, 1).position) for row in (0, 1)] == ["m.csv rows 5-6", "n.csv rows 2-3"]
    assert (values([unknown]), unknown.position) == ([9], None)


def test_a_step_that_cuts_what_it_makes_is_not_undone() -> None:
    async def attempt(batch: Batch) -> list[Element]:
        if 0 in batch.polars()["x"]:
            raise ValueError
        rows = pl.concat([batch.polars()] * 12)
        return [batch.with_rows(rows[:3]), batch.with_rows(rows[:0]), batch.with_rows(rows[3:])]

    out = Scene(SKIP).run([numbers(4)], attempt)
    assert [batch.num_rows for batch in out] == [3, 9, 3, 21]


def test_marks_that_come_out_keep_their_place() -> None:
    attempt = failing_on(1)

    async def marking(batch: Batch) -> list[Element]:
        return [*await attempt(batch), Watermark(int(batch.polars()["x"][-1]))]

    out = Scene(SKIP).run([numbers(4)], marking)
    assert [item if isinstance(item, Watermark) else values([item]) for item in out] == [
        [0],
        Watermark(0),
        [4],
        Watermark(2),
        [6],
        Watermark(3),
    ]


def test_dead_letters_keep_what_the_batch_knew() -> None:
    written: list[Batch] = []

    async def write(batch: Batch) -> None:
        written.append(batch)

    guard = Guard("s", [ErrorHandler.dead_letter(object())], JumpingClock(), Random(0), write)
    batch = Batch(numbers(2).arrow(), Position("n.csv", 0, 900), 5)
    asyncio.run(guard.run(batch, failing_on(0)))
    assert [(letter.position, letter.ingest_ns) for letter in written] == [(Position("n.csv", 0, 900), 5)]
    expected = {
        "x": [0],
        "error": ["ValueError: 0 is bad"],
        "stage": ["s"],
        "position": ["n.csv rows 0-900"],
    }
    assert_frame_equal(written[0].polars(), pl.DataFrame(expected))


def test_dead_letters_that_cannot_be_written_end_the_run() -> None:
    async def write(batch: Batch) -> None:
        raise OSError("disk full")

    guard = Guard("s", [ErrorHandler.dead_letter(object())], JumpingClock(), Random(0), write)
    with pytest.raises(OSError, match="disk full"):
        asyncio.run(guard.run(numbers(1), failing_on(0)))


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError(), "ValueError: no message"),
        (KeyError("a\nb"), r"KeyError: 'a\nb'"),
        (StageError("broke", stage="other", position="p", hint="h"), "broke"),
        (SchemaError("does not fit", expected="x", found="y"), "does not fit; expected: x; found: y"),
    ],
)
def test_what_is_told_of_an_error_is_one_line(error: Exception, text: str) -> None:
    async def attempt(batch: Batch) -> list[Element]:
        raise error

    scene = Scene(ErrorHandler.dead_letter(object()))
    scene.run([numbers(1)], attempt)
    assert scene.dead[0]["error"].to_list() == [text]


def test_a_batch_that_takes_too_long_is_not_looked_through() -> None:
    async def attempt(batch: Batch) -> list[Element]:
        if batch.num_rows == 8:
            raise ValueError
        if 4 <= batch.polars()["x"][-1] < 6:
            raise StageTimeout("a batch took too long")
        return [batch]

    scene = Scene(ErrorHandler.dead_letter(object()))
    assert values(scene.run([numbers(8)], attempt)) == [0, 1, 2, 3, 6, 7]
    assert scene.tries == [8, 4, 2, 2]
    assert scene.dead[0]["x"].to_list() == [4, 5]
    assert scene.dead[0]["error"].unique().to_list() == ["a batch took too long"]


def test_a_batch_without_rows_may_fail_too() -> None:
    scene = Scene(ErrorHandler.dead_letter(object()))

    async def attempt(batch: Batch) -> list[Element]:
        raise ValueError

    assert scene.run([numbers(0)], attempt) == []
    assert [letters.height for letters in scene.dead] == [0]


# Log


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Callable[[], list[tuple[str, str]]]:
    caplog.set_level(logging.DEBUG, "arrowstream")
    return lambda: [(record.levelname, record.getMessage()) for record in caplog.records]


def test_a_failing_batch_is_logged_once_with_the_number_of_failing_rows(told: Any) -> None:
    scene = Scene(ErrorHandler.retry(2), LOG, SKIP)
    scene.run([numbers(10, 100)], failing_on(103, 107))
    message = (
        "stage map: 2 of 10 rows failed and are left out; "
        "the first at n.csv rows 103-104: ValueError: 103 is bad"
    )
    assert told() == [("WARNING", message)]


def test_a_log_can_be_read_by_machines(caplog: pytest.LogCaptureFixture) -> None:
    Scene(LOG, SKIP).run([numbers(10, 100), numbers(1, 3, None)], failing_on(3, 103))
    found = [vars(record) for record in caplog.records]
    assert [record["name"] for record in found] == ["arrowstream"] * 2
    assert [(record["stage"], record["rows"], record["position"]) for record in found] == [
        ("map", 1, "n.csv rows 103-104"),
        ("map", 1, None),
    ]


@pytest.mark.parametrize(
    ("last", "level", "message"),
    [
        (ErrorHandler.dead_letter(1), "WARNING", "1 of 3 rows failed and go to the dead letters; at n.csv rows 1-2"),
        (ErrorHandler.skip(whole_batch=True), "WARNING", "3 of 3 rows failed and are left out; at n.csv rows 0-3"),
        (FAIL, "ERROR", "3 of 3 rows failed and end the run; at n.csv rows 0-3"),
        (None, "ERROR", "3 of 3 rows failed and end the run; at n.csv rows 0-3"),
    ],
)  # fmt: skip
def test_a_log_tells_what_becomes_of_the_rows(
    last: ErrorHandler | None, level: str, message: str, told: Any
) -> None:
    scene = Scene(LOG) if last is None else Scene(LOG, last)
    try:
        scene.run([numbers(3)], failing_on(1))
    except StageError:
        assert level == "ERROR"
    assert told() == [(level, f"stage map: {message}: ValueError: 1 is bad")]


def test_without_a_position_a_log_says_so(told: Any) -> None:
    Scene(LOG, SKIP).run([numbers(1, origin=None)], failing_on(0))
    assert "; at an unknown position: ValueError" in told()[0][1]


def test_a_log_before_retries_tells_of_the_first_failure(told: Any) -> None:
    scene = Scene(LOG, ErrorHandler.retry(1), LOG, SKIP)
    scene.run([numbers(4)], failing_on(2))
    assert [message.split(";")[0] for _, message in told()] == [
        "stage map: 4 of 4 rows failed and are tried again",
        "stage map: 1 of 4 rows failed and are left out",
    ]
    told_of_success = Scene(LOG, ErrorHandler.retry(1), LOG, SKIP)
    told_of_success.run([numbers(4)], failing_on(2, times=1))
    assert [level for level, _ in told()] == ["WARNING"] * 3


# Cancellation


@pytest.mark.parametrize("stop", [asyncio.CancelledError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("after", [0, 1, 2])
def test_what_is_no_failure_goes_through_at_once(stop: type[BaseException], after: int) -> None:
    scene = Scene(LOG, ErrorHandler.retry(1), ErrorHandler.dead_letter(object()))

    async def attempt(batch: Batch) -> list[Element]:
        if len(scene.tries) > after:
            raise stop
        raise ValueError

    async def main() -> list[Element]:
        scene.tries.clear()

        async def counted(batch: Batch) -> list[Element]:
            scene.tries.append(batch.num_rows)
            return await attempt(batch)

        return await scene.guard.run(numbers(2), counted)

    coroutine = main()
    with pytest.raises(stop):
        while True:
            coroutine.send(None)
    assert len(scene.tries) == after + 1
    assert (scene.dead, scene.errors) == ([], [])


def test_other_tasks_get_their_turn_while_rows_are_searched() -> None:
    turns, clock = 0, JumpingClock()

    async def main() -> None:
        async def others() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        async def attempt(batch: Batch) -> list[Element]:
            clock.now_s += 0.001
            raise ValueError

        task = asyncio.create_task(others())
        await Guard("s", [SKIP], clock, Random(0)).run(numbers(50), attempt)
        task.cancel()

    asyncio.run(main())
    assert turns > 50
