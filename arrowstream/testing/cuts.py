"""A check that the output of steps does not depend on where their input is cut into batches."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

import polars as pl

from arrowstream.backends.registry import backends
from arrowstream.core.checks import check_whole
from arrowstream.core.ingest import batches_of
from arrowstream.errors import ArrowstreamError, PlanError
from arrowstream.io.memory.function_sink import CollectSink
from arrowstream.io.source import SourceSpec
from arrowstream.operators.base import Expressions
from arrowstream.pipeline import Builder, Pipeline
from arrowstream.testing.frames import assert_frames_equal
from arrowstream.testing.source import TestSource

Steps = Callable[[Builder], Builder]
Cut = tuple[int, ...]
"""Row numbers where batches begin and end: ``(0, 2, 2, 5)`` is rows 0-2, an empty batch, rows 2-5."""

_ROW_BY_ROW = 200
"""Largest number of rows of a frame that is also tried with a batch for each row."""


def check_cut_independence(
    steps: Steps,
    frame: Any,
    *,
    examples: int = 20,
    seed: int = 0,
    any_order: bool = False,
    exact: bool = True,
    source: Callable[[TestSource], SourceSpec] = lambda source: source,
) -> None:
    """Raise unless `steps` give the same rows wherever `frame` is cut, and on every backend.

    The expected rows are those for the whole frame as one batch. They are compared with the rows for a batch for
    each row, for empty batches at both ends, and for random cuts; first with the backend that the engine
    chooses, then with every step of expressions pinned to each backend that can run it. A cut that fails
    is simplified as long as it still fails.

    Parameters
    ----------
    steps
        A function from a builder to a builder, as a user writes it.
    frame
        The input, Arrow-like: best 10 to 100 rows with nulls, repeated keys and extreme values.
    examples
        Number of random cuts to try for each backend.
    seed
        Seed of the random cuts; the same seed gives the same cuts.
    any_order
        Whether the order of the output is ignored, as after a merge of branches or streams.
    exact
        Whether floats must be equal; otherwise they may differ slightly, as sums in another order do.
    source
        A change to the source, such as ``lambda source: source.with_event_time("ts")``. Its `lateness` must
        be enough for all rows of `frame`: which rows are late for a window depends on the cut, and is reported.

    Raises
    ------
    AssertionError
        Rows differ, or the run fails for some cuts only; the message shows the simplest such cut as code.
    ArrowstreamError
        `steps` fail even for the whole frame as one batch.

    Examples
    --------
    >>> frame = pl.DataFrame({"x": [3, None, 1, 2, 2]})
    >>> check_cut_independence(lambda builder: builder.filter(pl.col("x") > 1).batch(rows=2), frame)
    """
    __tracebackhide__ = True
    check_whole("check_cut_independence(examples=...)", examples, least=0)
    whole = pl.concat([batch.polars() for batch in batches_of(frame)])
    trial = _Trial(steps, whole, source, any_order, exact)
    for backend in ("auto", *(backend.name for backend in backends())):
        pinned = trial.pinnable(backend) if backend != "auto" else frozenset()
        if backend != "auto" and not pinned:
            continue
        for cut in _cuts(whole.height, examples, random.Random(seed)):
            failure = trial.failure(cut, backend, pinned)
            if failure is not None:
                raise AssertionError(_format_failure(backend, *trial.simplest(cut, failure, backend, pinned)))


class _Trial:
    """Steps and their input, which are tried with one cut and one backend at a time."""

    def __init__(
        self,
        steps: Steps,
        whole: pl.DataFrame,
        source: Callable[[TestSource], SourceSpec],
        any_order: bool,
        exact: bool,
    ) -> None:
        self._steps = steps
        self._whole = whole
        self._source = source
        self._any_order = any_order
        self._exact = exact
        self._expected = self._built((0, whole.height)).collect_sync()

    def pinnable(self, backend: str) -> frozenset[int]:
        """Return the indexes of the unpinned steps of expressions that `backend` can run together."""
        chosen: frozenset[int] = frozenset()
        for place, step in enumerate(self._built((0, 0)).graph.steps):
            free = isinstance(step.operator, Expressions) and step.backend == "auto"
            if free and self._takes(chosen | {place}, backend):
                chosen |= {place}
        return chosen

    def failure(self, cut: Cut, backend: str, pinned: frozenset[int]) -> str | None:
        """Return a description of how the output differs, or None if it does not."""
        sink = CollectSink()
        try:
            pipeline = _pin(self._built(cut), backend, pinned).sink(sink).build()
            pipeline.run_sync()
        except ArrowstreamError as error:
            return f"the run fails: {error}"
        found = sink.frame()
        wrong = self._difference(found, self._any_order)
        if wrong is not None and any(stage.late_rows for stage in pipeline.metrics().stages.values()):
            wrong += "\nrows came late: give lateness=, or put .batch(rows=...) before with_event_time(...)"
        if wrong is not None and not self._any_order and self._difference(found, True) is None:
            wrong += "\nonly the order differs: pass any_order=True if it does not matter"
        return wrong

    def simplest(self, cut: Cut, failure: str, backend: str, pinned: frozenset[int]) -> tuple[Cut, str]:
        """Remove every place of the cut that is not needed for it to fail; return the cut and how it failed."""
        place = 1
        while place < len(cut) - 1:
            simpler = cut[:place] + cut[place + 1 :]
            wrong = self.failure(simpler, backend, pinned)
            if wrong is None:
                place += 1
            else:
                cut, failure, place = simpler, wrong, 1
        return cut, failure

    def _difference(self, found: pl.DataFrame, any_order: bool) -> str | None:
        try:
            assert_frames_equal(found, self._expected, any_order=any_order, exact=self._exact)
        except AssertionError as error:
            return str(error)
        return None

    def _built(self, cut: Cut) -> Builder:
        batches = [self._whole[start:stop] for start, stop in pairwise(cut)]
        source = self._source(TestSource.from_frames(batches, schema=self._whole.schema))
        built: object = self._steps(Pipeline.builder().source(source))
        if not isinstance(built, Builder):
            raise PlanError(
                "the steps to check are a function from a builder to a builder",
                expected="such as lambda rows: rows.filter(...), which returns what it has built",
                found=f"a function that returns {type(built).__name__}",
            )
        return built

    def _takes(self, places: frozenset[int], backend: str) -> bool:
        try:
            _pin(self._built((0, 0)), backend, places).collect_sync()
        except ArrowstreamError:
            return False
        return True


def _pin(builder: Builder, backend: str, places: frozenset[int]) -> Builder:
    steps = tuple(
        replace(step, backend=backend) if place in places else step
        for place, step in enumerate(builder.graph.steps)
    )
    return Builder(replace(builder.graph, steps=steps))


def _cuts(rows: int, examples: int, chance: random.Random) -> Iterator[Cut]:
    yield (0, rows)
    yield (0, 0, rows, rows)
    if rows <= _ROW_BY_ROW:
        yield tuple(range(rows + 1))
    for _ in range(examples):
        inner = sorted(chance.randint(0, rows) for _ in range(chance.randint(1, 8)))
        yield (0, *inner, rows)


def _format_failure(backend: str, cut: Cut, failure: str) -> str:
    batches = ", ".join(f"frame[{start}:{stop}]" for start, stop in pairwise(cut))
    lines = ["the rows depend on where the stream is cut"]
    if len(cut) == 2:
        lines = ["the rows depend on the backend, or differ from run to run"]
    lines += [f"  source:   Source.from_frame([{batches}])", f"  backend:  {backend}"]
    return "\n".join([*lines, *(f"  {line}" for line in failure.splitlines())])
