"""The check for independence of batch cuts finds what depends on them, and shows it simply."""

from collections.abc import Callable
from typing import Any

import polars as pl
import pytest
from scripted import ScriptedOperator, ScriptedProcess

from arrowstream import Builder
from arrowstream.backends.arrow.backend import ArrowBackend
from arrowstream.core.batch import Batch
from arrowstream.errors import ArrowstreamError, PlanError
from arrowstream.io.source import SourceSpec
from arrowstream.testing import TestSource, check_cut_independence, cuts

FRAME = pl.DataFrame({"x": [5, None, 3, 3, -1, 2**62, 0], "s": ["a", "b", None, "a", "", "c", "a"]})


def opaque(change: Callable[[Batch], list[Batch]]) -> Callable[[Builder], Builder]:
    """A step of one's own that does `change` to each batch, as a user might get it wrong."""

    class Changing(ScriptedProcess):
        def process(self, batch: Batch) -> list[Batch]:
            return change(batch)

    return lambda builder: Builder(builder.graph.with_step(ScriptedOperator("mine", Changing)))


def message(steps: Callable[[Builder], Builder], **options: object) -> str:
    with pytest.raises(AssertionError) as failed:
        check_cut_independence(steps, FRAME, **options)  # type: ignore[arg-type]
    return str(failed.value)


@pytest.mark.untraced
def test_good_steps_pass() -> None:
    check_cut_independence(lambda b: b.with_columns(y=pl.col("x") * 2).filter(pl.col("y") > 1), FRAME)
    check_cut_independence(lambda b: b.batch(rows=3).filter(s="a").batch(rows=2), FRAME)
    check_cut_independence(opaque(lambda batch: [batch]), FRAME.to_arrow())
    check_cut_independence(lambda b: b, FRAME[:0])


def test_rows_sorted_within_each_batch() -> None:
    def sort(batch: Batch) -> list[Batch]:
        return [batch.with_rows(batch.polars().sort("x", nulls_last=True))]

    assert message(opaque(sort)) == (
        "the rows depend on where the stream is cut\n"
        "  source:   Source.from_frame([frame[0:6], frame[6:7]])\n"
        "  backend:  auto\n"
        "  row 1 differs\n"
        "    expected: {'x': 0, 's': 'a'}\n"
        "    found:    {'x': 3, 's': None}\n"
        "  only the order differs: pass any_order=True if it does not matter"
    )
    check_cut_independence(opaque(sort), FRAME, any_order=True)


def test_a_batch_of_few_rows_that_fails() -> None:
    def fail(batch: Batch) -> list[Batch]:
        if 0 < batch.num_rows < 3:
            raise ValueError("too few")
        return [batch]

    text = message(opaque(fail))
    assert "frame[0:6], frame[6:7]" in text
    assert "the run fails: ValueError: too few (stage mine)" in text


def test_steps_that_fail_once_are_told_as_they_failed() -> None:
    runs: list[int] = []

    def once(batch: Batch) -> list[Batch]:
        runs.append(1)
        return [batch.with_rows(batch.polars().head(1))] if len(runs) == 2 else [batch]

    text = message(opaque(once))
    assert "Source.from_frame([frame[0:7]])" in text
    assert "7 rows expected, 1 found" in text


def test_steps_that_always_fail_are_no_matter_of_cuts() -> None:
    with pytest.raises(ArrowstreamError, match="conversion"):
        check_cut_independence(lambda b: b.cast({"s": pl.Int64}), FRAME)


def test_steps_that_differ_from_run_to_run() -> None:
    runs: list[int] = []

    def unsteady(batch: Batch) -> list[Batch]:
        runs.append(1)
        return [batch.with_rows(batch.polars().head(1 + len(runs)))]

    text = message(opaque(unsteady))
    assert text.startswith("the rows depend on the backend, or differ from run to run\n")
    assert "Source.from_frame([frame[0:7]])" in text


def test_a_backend_that_differs(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = ArrowBackend.prepare

    def prepare(self: ArrowBackend, segment: Any, program: Any) -> Any:
        evaluate = wrong(self, segment, program)
        return lambda batch: evaluate(batch).slice(0, 3)

    monkeypatch.setattr(ArrowBackend, "prepare", prepare)
    text = message(lambda b: b.with_columns(x=pl.col("x") + 1).backend("polars").filter(pl.col("x") < 9))
    assert "  backend:  a" in text  # the engine's choice, where that tries it, or the backend itself
    assert "differs\n" in text


def test_only_what_a_backend_can_run_is_pinned_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """`explode` is Polars' alone, `batch` nobody's, and what the user has pinned stays."""
    pinned: dict[str, frozenset[int]] = {}
    real = cuts._pin

    def pin(builder: Builder, backend: str, places: frozenset[int]) -> Builder:
        pinned[backend] = places
        return real(builder, backend, places)

    def steps(builder: Builder) -> Builder:
        positive = builder.filter(pl.col("x") > 0).batch(rows=2).filter(pl.col("x") > 1).backend("polars")
        return positive.with_columns(l=pl.concat_list("x", "x")).explode("l")

    monkeypatch.setattr(cuts, "_pin", pin)
    check_cut_independence(steps, FRAME, examples=1)
    assert pinned == {"auto": frozenset(), "arrow": frozenset({0}), "polars": frozenset({0, 3, 4})}


def test_a_long_frame_is_not_cut_row_by_row() -> None:
    most: list[int] = []

    def count(batch: Batch) -> list[Batch]:
        most.append(batch.num_rows)
        return [batch]

    check_cut_independence(opaque(count), pl.DataFrame({"x": range(1_000)}), examples=3)
    assert len(most) < 50


def test_the_source_may_be_dressed_up() -> None:
    labels: list[str] = []

    def dress(source: TestSource) -> SourceSpec:
        labels.append(source.label)
        return source.undeclared()

    check_cut_independence(lambda b: b.filter(pl.col("x") > 0), FRAME, examples=1, source=dress)
    assert set(labels) == {"test"}


@pytest.mark.untraced
def test_a_seed_chooses_the_cuts() -> None:
    def sizes_of(seed: int) -> list[int]:
        sizes: list[int] = []

        def note(batch: Batch) -> list[Batch]:
            sizes.append(batch.num_rows)
            return [batch]

        check_cut_independence(opaque(note), FRAME, examples=5, seed=seed)
        return sizes

    assert sizes_of(1) == sizes_of(1) != sizes_of(2)


@pytest.mark.untraced
def test_windows_of_event_time_may_be_checked_too() -> None:
    """What a step does on watermarks does not depend on cuts either, if the rows come in order."""
    frame = pl.DataFrame({"t": [1_000_000 * second for second in range(8)], "x": range(8)})
    check_cut_independence(
        lambda b: b.filter(pl.col("x") > 2), frame, source=lambda source: source.with_event_time("t")
    )


def test_a_function_that_returns_nothing() -> None:
    with pytest.raises(PlanError, match="found: a function that returns NoneType"):
        check_cut_independence(lambda rows: None, FRAME)  # type: ignore[arg-type, return-value]


def test_rows_that_came_late_are_told() -> None:
    frame = pl.DataFrame({"t": [1, 5_000_000, 20_000_000, 2, 3]})

    def seconds(rows: Builder) -> Builder:
        return rows.window("1s", on="t").agg(pl.len())

    with pytest.raises(
        AssertionError, match=r"\n  rows came late: give lateness=, or put .batch\(rows=...\)"
    ):
        check_cut_independence(seconds, frame, source=lambda source: source.with_event_time("t"))
    check_cut_independence(seconds, frame, source=lambda source: source.with_event_time("t", lateness="30s"))
    check_cut_independence(lambda rows: seconds(rows.batch(rows=2).with_event_time("t")), frame)
