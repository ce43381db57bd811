"""`debounce`: a row comes out exactly when its key has been silent, against a row-by-row model."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import hypothesis.strategies as st
import polars as pl
import pytest
from contexts import context
from hypothesis import given
from snapshots import held_rows

from arrowstream import Pipeline, Source, channel
from arrowstream.core.batch import Batch, Watermark
from arrowstream.errors import PlanError, SchemaError
from arrowstream.operators import debounce
from arrowstream.operators.base import TimedProcess
from arrowstream.operators.debounce import Debounce
from arrowstream.testing import ManualClock, TestSink

SCHEMA = pl.Schema({"k": pl.Int64, "x": pl.Int64})
QUIET = 100


def start(by: Any = "k") -> TimedProcess:
    process = Debounce.of(QUIET / 1e9, by).start(SCHEMA, context())
    assert isinstance(process, TimedProcess)
    return process


def rows(elements: Iterable[Any]) -> list[Any]:
    out: list[Any] = []
    for item in elements:
        if isinstance(item, Batch):
            out += item.polars().rows()
        else:
            out.append(f"mark {item.time_us}" if isinstance(item, Watermark) else "idle")
    return out


def batch(*pairs: tuple[int | None, int]) -> Batch:
    return Batch(pl.DataFrame(pairs, schema=SCHEMA, orient="row"))


def test_the_last_of_a_run_comes_out_after_silence() -> None:
    process = start()
    assert process.deadline_ns is None
    process.set_time(10)
    assert rows(process.process(batch((1, 1), (2, 2), (1, 3)))) == []
    assert process.deadline_ns == 110
    process.set_time(60)
    assert rows(process.process(batch((1, 4)))) == []
    assert rows(process.process(batch())) == []
    assert rows(process.on_timer(109)) == []
    assert rows(process.on_timer(110)) == [(2, 2)]
    assert process.deadline_ns == 160
    process.set_time(160)
    assert rows(process.on_timer(160)) == [(1, 4)]
    assert process.deadline_ns is None and process.accepts_input


def test_without_keys_there_is_one_run() -> None:
    process = start(None)
    process.set_time(0)
    assert rows(process.process(batch((1, 1), (2, 2)))) == []
    assert rows(process.process(batch((3, 3), (4, 4)))) == []
    assert rows(process.finish()) == [(4, 4)]


def test_a_mark_waits_until_the_rows_before_it_are_out_or_replaced() -> None:
    process = start()
    assert rows(process.on_watermark(1)) == ["mark 1"]
    process.set_time(0)
    assert rows(process.process(batch((1, 1), (2, 2)))) == []
    assert rows([*process.on_watermark(2), *process.on_watermark(3)]) == []
    process.set_time(50)
    assert rows(process.process(batch((1, 4)))) == []
    assert rows(process.on_watermark(4)) == []
    assert rows(process.on_timer(100)) == [(2, 2), "mark 3"]
    assert rows(process.on_timer(150)) == [(1, 4), "mark 4"]


STEPS = st.lists(
    st.tuples(
        st.lists(st.tuples(st.none() | st.integers(0, 4), st.integers(0, 99)), max_size=4),
        st.integers(0, 150),
    ),
    max_size=12,
)


@given(steps=STEPS, cut=st.integers(0, 12), by_key=st.booleans(), forget=st.sampled_from([-1, 65_536]))
def test_equals_a_model_of_rows(
    steps: list[tuple[list[tuple[int | None, int]], int]], cut: int, by_key: bool, forget: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            debounce, "_FORGOTTEN", forget
        )  # -1: begin the index anew whenever it has twice the keys
        process, now = start("k" if by_key else None), 0
        held: dict[int | None, tuple[int, tuple[int | None, int]]] = {}
        for place, (pairs, pause) in enumerate(steps):
            if place == cut:
                state, process = process.snapshot(), start("k" if by_key else None)
                process.restore(state)
                held = {key: (-QUIET, row) for key, (_, row) in held.items()}
            process.set_time(now)
            assert rows(process.on_timer(now)) == due(held, now)
            process.process(batch(*pairs))
            for pair in pairs:
                key = pair[0] if by_key else None
                held.pop(key, None)
                held[key] = (now, pair)
            now += pause
        assert rows(process.finish()) == due(held, now + QUIET)


def due(held: dict[int | None, tuple[int, tuple[int | None, int]]], now: int) -> list[tuple[int | None, int]]:
    out = {key: row for key, (since, row) in held.items() if since + QUIET <= now}
    for key in out:
        del held[key]
    return list(out.values())


def test_marks_are_in_the_snapshot() -> None:
    first, second = start(), start()
    first.set_time(0)
    for pairs, mark in [([(1, 1)], 1), ([(2, 2)], 2)]:
        first.process(batch(*pairs))
        assert rows(first.on_watermark(mark)) == []
    second.restore(first.snapshot())
    assert second.deadline_ns == 0
    assert rows(second.finish()) == [(1, 1), "mark 1", (2, 2), "mark 2"]


def test_keys_that_are_gone_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(debounce, "_FORGOTTEN", 10)
    process = start()
    for turn in range(50):
        process.set_time(turn * 60)
        process.process(batch(*((turn * 5 + key, turn) for key in range(5))))
        assert rows(process.on_watermark(turn)) == []
        assert len(rows(process.on_timer(turn * 60))) == (0 if turn < 2 else 6)
    assert process.statistics().keys < 40  # type: ignore[attr-defined]


@pytest.mark.parametrize("by", [None, "k"])
def test_rows_that_were_replaced_are_let_go_while_a_key_never_rests(by: str | None) -> None:
    process, seen = start(by), []
    for turn in range(500):
        process.set_time(turn // 10)
        seen += rows(process.process(batch(*((key, turn) for key in range(8)))))
        assert rows(process.on_watermark(turn)) == []
        assert process.statistics().entries <= 40  # type: ignore[attr-defined]
    assert seen and seen == sorted(seen, key=lambda mark: int(mark.split()[1]))
    *left, last = rows(process.finish())
    assert last == "mark 499"
    assert [item for item in left if "mark" not in item] == [(key, 499) for key in range(0 if by else 7, 8)]


@pytest.mark.untraced
def test_a_sweep_waits_until_there_may_be_enough_to_let_go() -> None:
    swept: list[int] = []
    process: Any = start()
    for turn in range(300):
        process.process(batch((turn, turn)))
        swept += [turn + 1] * (process.statistics().sweeps - len(swept))
    # Nothing can be let go here, so each sweep is after twice as many batches as the one before.
    assert len(swept) < 8 and all(later > 2 * earlier for earlier, later in pairwise(swept))
    assert len(rows(process.finish())) == 300


def test_the_index_of_keys_is_begun_anew_only_when_most_are_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(debounce, "_FORGOTTEN", 10)
    process: Any = start()
    for turn in range(20):
        process.set_time(turn)
        process.process(batch((turn, turn)))
    assert process.statistics().rebuilds == 0
    assert len(rows(process.on_timer(QUIET + 15))) == 16
    process.process(batch((30, 0)))  # 20 keys for 4 rows: one or two more may be
    assert (process.statistics().rebuilds, process.statistics().keys) == (1, 5)


def test_many_rows_in_few_batches_are_let_go_too() -> None:
    process = start()
    for turn in range(10):
        process.process(batch((-turn, turn), *((key, turn) for key in range(300))))
    assert process.statistics().rows <= 1024 + 600  # type: ignore[attr-defined]
    assert rows(process.finish()) == [
        *((-turn, turn) for turn in range(1, 10)),
        *((key, 9) for key in range(300)),
    ]


def test_silence_of_the_source_is_told_behind_the_rows_unless_more_come() -> None:
    process = start()
    assert rows(process.on_idle()) == ["idle"]
    process.process(batch((1, 1)))
    assert rows([*process.on_watermark(1), *process.on_idle(), *process.on_idle()]) == []
    assert held_rows(process).height == 1
    process.process(batch((2, 2)))
    assert rows([*process.on_idle(), *process.on_watermark(2), *process.on_idle()]) == []
    assert rows(process.finish()) == [(1, 1), "mark 1", (2, 2), "mark 2", "idle"]


def test_in_a_running_pipeline() -> None:
    async def run() -> list[list[tuple[int, int]]]:
        clock, sink = ManualClock(), TestSink()
        sender, receiver = channel()
        source = Source.from_channel(receiver, schema=SCHEMA)
        pipeline = Pipeline.builder().source(source).debounce("1s", by="k").sink(sink).build(clock=clock)
        running = asyncio.create_task(pipeline.run())
        seen = []
        for pairs in ([(1, 1), (2, 2)], [(1, 3)], [], [(2, 4)]):
            await sender.send(pl.DataFrame(pairs, schema=SCHEMA, orient="row"))
            await clock.advance(0.6)
            seen.append(sink.frame().rows())
        sender.close()
        await running
        return [*seen, sink.frame().rows()]

    assert asyncio.run(run()) == [[], [(2, 2)], [(2, 2), (1, 3)], [(2, 2), (1, 3)], [(2, 2), (1, 3), (2, 4)]]


def test_arguments_are_checked() -> None:
    with pytest.raises(PlanError, match="not a duration"):
        Debounce.of("soon")
    with pytest.raises(SchemaError, match="not there"):
        Debounce.of("1s", "z").output_schema(SCHEMA)


def test_text_and_schema() -> None:
    assert Debounce.of("200ms", ["a", "b"]).describe() == "debounce(200ms, by=[a, b])"
    assert Debounce.of("200ms").describe() == "debounce(200ms)"
    source = Source.from_frame(pl.DataFrame(schema=SCHEMA))
    assert Pipeline.builder().source(source).debounce("1s", by=["k"]).schema() == SCHEMA
