"""What the live page costs a run: one that nobody looks at, one that is open, and one with a stage that is chosen.

The same job runs four times a round: without a page, with one, and with one that another process asks once a second,
as a browser does: for the state, and, if a stage is chosen, for its last rows. Processor time of the whole process,
the page's server included, because what else runs on the machine moves the wall clock by more; which of the four
comes first changes from round to round. Of the rounds' own shares the median counts.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from itertools import cycle, islice

from arrowstream import Pipeline, Sink, Source
from benchmarks.data import DOUBLED, LARGE, record
from benchmarks.harness import Figure, Scale, Section

_ROWS = 1_000
_BATCHES = {"full": 100_000, "quick": 40_000, "tiny": 3}
_ROUNDS = {"full": 12, "quick": 7, "tiny": 2}
_MODES: dict[str, tuple[str, ...]] = {
    "none": (),
    "closed": (),
    "open": ("state",),
    "chosen": ("state", "tail?stage=sink&rows=20"),
}
"""What is asked for once a second."""

_VIEWER = """
import sys, time, urllib.request
while True:
    for path in sys.argv[2:]:
        with urllib.request.urlopen(sys.argv[1] + path) as answer:
            answer.read()
    print("seen", flush=True)
    time.sleep(1)
"""
"""What a browser asks for while the page is open, a line for each time."""


def run(scale: Scale) -> Section:
    """The share of a run's processor time that a page takes, closed and open."""
    batches = _BATCHES[scale]
    data = list(islice(cycle([record(_ROWS, seed) for seed in range(4)]), batches))
    source = Source.from_frame(data, batch_rows=_ROWS)
    # On one backend: a run that tries the other one more often takes longer for it.
    builder = Pipeline.builder().source(source).map(x=DOUBLED).backend("arrow").filter(LARGE).backend("arrow")
    pipeline = builder.sink(Sink.to_fn(lambda batch: None)).build()
    pipeline.run_sync()
    seen: dict[str, list[int]] = {"open": [], "chosen": []}
    names = tuple(_MODES)
    processor: dict[str, list[float]] = {mode: [] for mode in _MODES}
    wall: dict[str, list[float]] = {mode: [] for mode in _MODES}
    for number in range(_ROUNDS[scale]):
        for mode in names[number % 4 :] + names[: number % 4]:
            with _page(pipeline, mode, seen):
                begin, used = time.perf_counter(), time.process_time()
                pipeline.run_sync()
                processor[mode].append(time.process_time() - used)
                wall[mode].append(time.perf_counter() - begin)
    notes = {"closed": f"{statistics.median(processor['none']):.2f} s without a page"}
    for mode, counts in seen.items():
        notes[mode] = f"asked {statistics.median(counts):.0f} times in {statistics.median(wall[mode]):.1f} s"
    return Section(
        f"Live page, at batches of {_ROWS:,} rows (map + filter, in memory; processor time)",
        (
            _figure("page that nobody looks at", processor, wall, "closed", notes),
            _figure("page that is open", processor, wall, "open", notes),
            _figure("page with a stage that is chosen", processor, wall, "chosen", notes),
        ),
    )


def _figure(
    what: str,
    processor: dict[str, list[float]],
    wall: dict[str, list[float]],
    mode: str,
    notes: dict[str, str],
) -> Figure:
    low, share, high = statistics.quantiles(_shares(processor, mode))
    walls = statistics.median(_shares(wall, mode))
    count = len(processor[mode])
    return Figure(
        f"{what}, of the run's time",
        share,
        "%",
        at_most=2,
        note=f"half of {count} rounds between {low:.1f} and {high:.1f} %; by the clock {walls:.1f} %; {notes[mode]}",
    )


def _shares(measured: dict[str, list[float]], mode: str) -> list[float]:
    """For each round the percent by which a run with a page takes longer."""
    return [(run / base - 1) * 100 for run, base in zip(measured[mode], measured["none"], strict=True)]


@contextmanager
def _page(pipeline: Pipeline, mode: str, seen: dict[str, list[int]]) -> Iterator[None]:
    """A page of the pipeline and somebody who looks at it, as the mode says; how often is added to `seen`."""
    with nullcontext() if mode == "none" else pipeline.serve(port=0) as page:
        if page is None or mode == "closed":
            yield
            return
        command = [sys.executable, "-c", _VIEWER, page.url, *_MODES[mode]]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as viewer:
            assert viewer.stdout is not None
            assert viewer.stdout.readline() == "seen\n"
            try:
                yield
            finally:
                viewer.kill()
                seen[mode].append(len(viewer.stdout.readlines()))
