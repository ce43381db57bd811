"""Python memory of one more step, by tracemalloc: in a pipeline that is built, and in one that runs.

Measured over pipelines of the same kind with few and with many steps, so that what every pipeline has
cancels out. The expressions themselves are the user's and made before; so are the rows.
"""

from __future__ import annotations

import gc
import sys
import tracemalloc
from collections.abc import Callable

import polars as pl
import pyarrow as pa

from arrowstream import Builder, Pipeline, Sink, Source
from benchmarks.data import record
from benchmarks.harness import Figure, Scale, Section

_STEPS = {"full": (8, 72), "quick": (8, 40), "tiny": (1, 3)}
_EXPRESSIONS = [pl.col("x") + number for number in range(max(map(max, _STEPS.values())))]
_ROWS = [record(2_000)] * 3


def run(scale: Scale) -> Section:
    """KB a step, fused and opaque, built and running."""
    few, many = _STEPS[scale]
    figures = []
    for kind, add, budget in (
        ("fused stage", _fused, 1.0),
        ("opaque stage with its channel", _opaque, 8.0),
    ):
        built = (_built(add, many) - _built(add, few)) / (many - few)
        running = (_running(add, many) - _running(add, few)) / (many - few)
        figures += [
            Figure(f"one more {kind}, built", built / 1024, "KB", at_most=budget),
            Figure(f"one more {kind}, built and running", running / 1024, "KB", at_most=budget),
        ]
    return Section("Memory", tuple(figures))


def _fused(builder: Builder, number: int) -> Builder:
    return builder.with_columns(x=_EXPRESSIONS[number])


def _opaque(builder: Builder, number: int) -> Builder:
    return builder.batch(rows=1_000 + number)


def _pipeline(
    add: Callable[[Builder, int], Builder], count: int, sink: Callable[[pa.RecordBatch], None]
) -> Pipeline:
    builder = Pipeline.builder().source(Source.from_frame(_ROWS))
    for number in range(count):
        builder = add(builder, number)
    return builder.sink(Sink.to_fn(sink)).build()


def _built(add: Callable[[Builder, int], Builder], count: int) -> int:
    """Bytes that stay allocated once the pipeline is built."""
    _pipeline(add, count, lambda batch: None)  # fills the caches that pipelines share
    with _Traced() as traced:
        pipeline = _pipeline(add, count, lambda batch: None)
        built = traced.now()
        assert pipeline.name
    return built


def _running(add: Callable[[Builder, int], Builder], count: int) -> int:
    """Bytes that are allocated, at a batch's arrival in the sink, since before the pipeline was built."""
    _pipeline(add, count, lambda batch: None).run_sync()
    seen: list[int] = []
    with _Traced() as traced:
        _pipeline(add, count, lambda batch: seen.append(traced.now())).run_sync()
    return seen[-1]


class _Traced:
    """Bytes of Python memory allocated since the beginning of the ``with``."""

    def __enter__(self) -> _Traced:
        tracemalloc.start()
        self._before = self._allocated()
        return self

    def now(self) -> int:
        return self._allocated() - self._before

    def __exit__(self, *_: object) -> None:
        tracemalloc.stop()

    @staticmethod
    def _allocated() -> int:
        gc.collect()
        # The interpreter's own cache of looked-up methods, some 200 KB at most, fills by chance.
        sys._clear_type_cache()
        return tracemalloc.get_traced_memory()[0]
