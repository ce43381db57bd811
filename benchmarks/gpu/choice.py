"""The cost model's choice around the size at which the GPU begins to pay: next to both sides, in whole runs."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping

from arrowstream import Pipeline, Source
from arrowstream.testing import TestSink
from benchmarks.gpu.chains import SIZES, crossover, seconds
from benchmarks.gpu.subject import CHAINS, Chain, Subject, rows
from benchmarks.harness import ROUNDS, Figure, Scale, Section, in_turn, timed

AROUND = (0.5, 0.9, 1.1, 2.0)
BATCHES = {"full": 200, "quick": 50, "tiny": 2}
CLOSE = 0.9
"""Speed of the choice, as a share of the better side's, at least."""


def run(subject: Subject, scale: Scale) -> Section:
    """Return the speed of the choice over that of the better side, for each chain and size."""
    figures = []
    for chain in CHAINS:
        ways: Mapping[int, Mapping[str, float]] = {
            size: seconds(subject, chain, size, scale) for size in SIZES[scale]
        }
        pays = crossover(ways)
        middle = pays if pays < float("inf") else max(ways)
        figures += [_at(subject, scale, chain, max(1, int(middle * share))) for share in AROUND]
    return Section("The cost model's choice over the better side", tuple(figures))


def _at(subject: Subject, scale: Scale, chain: Chain, size: int) -> Figure:
    data = [rows(size, seed) for seed in range(4)] * (BATCHES[scale] // 4 or 1)

    def pinned(backend: str) -> Callable[[], object]:
        builder = chain.steps(Pipeline.builder().source(Source.from_frame(data)))
        if backend != "auto":
            builder = builder.backend(backend)
        pipeline = builder.sink(TestSink()).build()
        return pipeline.run_sync

    sides = (subject.backend, "polars")
    rivals = {name: timed(pinned(name)) for name in ("auto", *sides)}
    measured = in_turn(rivals, ROUNDS[scale] + 1)
    medians = {name: statistics.median(times[1:]) for name, times in measured.items()}
    better = min(sides, key=lambda name: medians[name])
    return Figure(
        f"{chain.name}, batches of {size:,} rows",
        medians[better] / medians["auto"],
        "x",
        at_least=CLOSE,
        note=f"the better side is {better}",
    )
