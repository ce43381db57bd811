"""Error handlers as values: what may be written, in which order, and how long retries wait."""

from dataclasses import FrozenInstanceError
from datetime import timedelta
from random import Random
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given

from arrowstream import Sink
from arrowstream.errors import PlanError
from arrowstream.policies.handlers import ErrorHandler, check_handlers

pytestmark = pytest.mark.once

RETRY, LOG, SKIP = ErrorHandler.retry(3), ErrorHandler.log(), ErrorHandler.skip()
DEAD, FAIL = ErrorHandler.dead_letter(object()), ErrorHandler.fail()


@pytest.mark.parametrize(
    "handlers",
    [
        (),
        (RETRY,),
        (LOG,),
        (SKIP,),
        (DEAD,),
        (FAIL,),
        (RETRY, LOG, SKIP),
        (RETRY, LOG, DEAD),
        (RETRY, LOG, FAIL),
        (LOG, RETRY, LOG, FAIL),
        (RETRY, RETRY, SKIP),
    ],
    ids=lambda handlers: ", ".join(handler.describe() for handler in handlers) or "none",
)
def test_orders_that_have_a_meaning(handlers: Any) -> None:
    check_handlers(handlers)


@pytest.mark.parametrize("last", [SKIP, DEAD, FAIL])
@pytest.mark.parametrize("after", [RETRY, LOG, SKIP, DEAD, FAIL])
def test_nothing_comes_after_one_that_leaves_nothing_to_do(last: ErrorHandler, after: ErrorHandler) -> None:
    with pytest.raises(PlanError) as caught:
        check_handlers((RETRY, last, after))
    assert str(caught.value) == "\n".join(
        [
            f"{after.describe()} comes after {last.describe()}, which leaves nothing to do",
            "  expected: retry(...) and log() first, then one of skip(), dead_letter(...) and fail()",
            f"  found: {RETRY.describe()}, {last.describe()}, {after.describe()}",
            "  hint: handlers act in the order given: change it, or take one away",
        ]
    )


def test_a_later_stranger_is_shown_where_an_earlier_one_is_at_fault() -> None:
    with pytest.raises(PlanError, match=r"found: skip\(\), log\(\), 5"):
        check_handlers((SKIP, LOG, 5))


def test_logging_twice_in_a_row_is_refused() -> None:
    with pytest.raises(PlanError, match="twice"):
        check_handlers((LOG, LOG))


@pytest.mark.parametrize("stranger", [ErrorHandler.skip, ErrorHandler, "skip", None])
def test_only_handlers_are_handlers(stranger: Any) -> None:
    with pytest.raises(PlanError, match="takes error handlers"):
        check_handlers((RETRY, stranger))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"times": 0}, "times.*at least 1.*found: 0"),
        ({"times": -1}, "times"),
        ({"times": True}, "times"),
        ({"times": 1.5}, "times"),
        ({"delay": -1}, "negative"),
        ({"delay": "soon"}, "is not a duration"),
        ({"delay": float("inf")}, "delay.*finite.*inf"),
        ({"delay": float("nan")}, "delay"),
        ({"factor": 0.99}, "factor"),
        ({"factor": float("inf")}, "factor"),
        ({"factor": float("nan")}, "factor"),
        ({"jitter": -0.01}, "jitter"),
        ({"jitter": 1.01}, "jitter"),
        ({"budget": -1}, "negative"),
        ({"budget": float("inf")}, "budget"),
        ({"budget": []}, "is not a duration"),
        ({"delay": 0.1, "max_delay": "1ms"}, r"max_delay.*at least the delay, 0.1 s.*0.001 s"),
        ({"max_delay": object()}, "is not a duration"),
    ],
)
def test_retries_that_make_no_sense(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(PlanError, match=f"(?s){message}"):
        ErrorHandler.retry(**{"times": 3, **arguments})


def waits(seed: int = 0, **arguments: Any) -> list[float]:
    return list(ErrorHandler.retry(**arguments).waits(Random(seed)))


def test_waits_double_up_to_the_longest() -> None:
    assert waits(times=5, delay=1, jitter=0, max_delay=6) == [1, 2, 4, 6, 6]
    assert waits(times=3, delay=timedelta(seconds=2), factor=1, jitter=0) == [2, 2, 2]
    assert waits(times=3, delay=0) == [0, 0, 0]


def test_what_is_not_named_is_as_the_settings_say() -> None:
    settled = ErrorHandler.retry().settled(5, 0.25)
    assert (settled.times, settled.delay) == (5, 0.25)
    assert settled.describe() == "retry(5, delay=0.25 s)"
    assert ErrorHandler.retry(2, "1s").settled(5, 0.25) == ErrorHandler.retry(2, "1s")
    assert ErrorHandler.retry(max_delay="1ms").settled(5, 0.25).delay == 0.001
    assert len(waits()) == 3


def test_waits_are_at_most_a_minute_unless_the_first_one_is_longer() -> None:
    assert waits(times=3, delay="40s", jitter=0) == [40, 60, 60]
    assert waits(times=3, delay="2m", jitter=0) == [120, 120, 120]
    assert waits(times=2_000, delay=1, factor=1e300, jitter=0)[-1] == 60


def test_by_default_the_first_wait_is_up_to_100_ms_and_half_of_it_left_to_chance() -> None:
    found = [waits(seed, times=2) for seed in range(200)]
    assert 0.05 <= min(first for first, _ in found) < 0.06
    assert 0.09 < max(first for first, _ in found) <= 0.1
    assert 0.1 <= min(second for _, second in found) < 0.12


@given(seed=st.integers(), jitter=st.floats(0, 1), factor=st.floats(1, 10), times=st.integers(1, 10))
def test_chance_only_shortens_waits(seed: int, jitter: float, factor: float, times: int) -> None:
    longest = waits(times=times, delay=1, factor=factor, jitter=0)
    found = waits(seed, times=times, delay=1, factor=factor, jitter=jitter)
    assert found == waits(seed, times=times, delay=1, factor=factor, jitter=jitter)
    assert len(found) == times
    for wait, most in zip(found, longest, strict=True):
        assert most * (1 - jitter) <= wait <= most


def test_dead_letters_need_a_sink() -> None:
    with pytest.raises(PlanError, match=r"dead_letter\(\) needs a sink"):
        ErrorHandler.dead_letter(None)


def test_handlers_are_values() -> None:
    assert ErrorHandler.retry(3, "1s") == ErrorHandler.retry(3, 1.0)
    assert ErrorHandler.skip() != ErrorHandler.skip(whole_batch=True)
    with pytest.raises(FrozenInstanceError):
        SKIP.whole_batch = True  # type: ignore[misc]


def test_texts() -> None:
    sink = Sink.to_fn(print)
    texts = {
        ErrorHandler.retry(3): "retry(3, delay=0.1 s)",
        ErrorHandler.retry(3, "2s", budget="1m"): "retry(3, delay=2 s, budget=60 s)",
        ErrorHandler.log(): "log()",
        ErrorHandler.skip(): "skip()",
        ErrorHandler.skip(whole_batch=True): "skip(whole_batch=True)",
        ErrorHandler.dead_letter(sink): f"dead_letter({sink.label})",
        ErrorHandler.dead_letter(7, whole_batch=True): "dead_letter(int, whole_batch=True)",
        ErrorHandler.fail(): "fail()",
    }
    for handler, text in texts.items():
        assert handler.describe() == text
