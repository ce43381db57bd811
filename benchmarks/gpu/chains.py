"""Rows a second of chains of steps: resident on the device, with transfers, and on the CPU; where the GPU pays."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping

from arrowstream.backends.base import Evaluator
from arrowstream.core.batch import Batch
from benchmarks.gpu.subject import CHAINS, Chain, Subject, resident, rows, segment
from benchmarks.harness import ROUNDS, Figure, Scale, Section, in_turn, timed

SIZES = {
    "full": (1_024, 4_096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304, 16_777_216),
    "quick": (4_096, 65_536, 1_048_576),
    "tiny": (64, 1_024),
}
FAST = 1e9
"""Rows a second that the device computes of resident rows at the largest size, at least."""

SHARE = 0.8
"""Share of the measured speed of transfers that a chain reaches which only waits for them, at least."""


def run(subject: Subject, scale: Scale, bare: Mapping[str, float]) -> Section:
    """Return the figures of every chain; `bare` has bytes a second of bare copies, by direction."""
    figures = []
    for chain in CHAINS:
        figures += _figures(subject, scale, chain, bare)
    return Section("Chains of steps", tuple(figures))


def _figures(subject: Subject, scale: Scale, chain: Chain, bare: Mapping[str, float]) -> list[Figure]:
    ways: dict[int, dict[str, float]] = {size: seconds(subject, chain, size, scale) for size in SIZES[scale]}
    largest = max(ways)
    last = ways[largest]
    sizes = f"batches of {largest:,} rows"
    least = chain.row_bytes[0] / bare["up"] + chain.row_bytes[1] / bare["down"]
    return [
        Figure(
            f"{chain.name}, resident",
            largest / last["resident"] / 1e6,
            "M rows/s",
            at_least=FAST / 1e6 if chain.name == "map + filter" else None,
            note=sizes,
        ),
        Figure(f"{chain.name}, with transfers", largest / last["gpu"] / 1e6, "M rows/s", note=sizes),
        Figure(
            f"{chain.name}, with transfers, of what bare copies allow",
            least * largest / last["gpu"],
            "x",
            at_least=SHARE if chain.name == "map + filter" else None,
        ),
        Figure(f"{chain.name}, on the CPU", largest / last["cpu"] / 1e6, "M rows/s", note=sizes),
        Figure(f"{chain.name}, pays from", crossover(ways), "rows a batch", note="inf: at no size"),
    ]


def seconds(subject: Subject, chain: Chain, size: int, scale: Scale) -> dict[str, float]:
    """Return the seconds of a batch: ``resident``, ``gpu`` with transfers, and ``cpu``, the faster backend there."""
    stage = segment(chain)
    device, evaluate = subject.device, stage.evaluators[subject.backend]
    record = rows(size)
    there = resident(subject, stage, record)

    def on_device() -> None:
        evaluate(there)
        device.run(device.synchronize)

    def through(evaluate: Evaluator) -> Callable[[], object]:
        return lambda: evaluate(Batch(record)).arrow()

    others = {name: other for name, other in stage.evaluators.items() if name != subject.backend}
    rivals: dict[str, Callable[[], object]] = {
        "resident": on_device,
        "gpu": through(evaluate),
        **{name: through(other) for name, other in others.items()},
    }
    measured = in_turn({name: timed(work) for name, work in rivals.items()}, ROUNDS[scale] + 1)
    # The first round loads kernels.
    medians = {name: statistics.median(times[1:]) for name, times in measured.items()}
    cpu = min(medians[name] for name in others)
    return {"resident": medians["resident"], "gpu": medians["gpu"], "cpu": cpu}


def crossover(ways: Mapping[int, Mapping[str, float]]) -> float:
    """Return the number of rows from which the GPU with its transfers is faster, on a line between measured sizes.

    Examples
    --------
    >>> crossover({10: {"gpu": 4.0, "cpu": 2.0}, 20: {"gpu": 4.0, "cpu": 8.0}})
    13.333333333333334
    >>> crossover({10: {"gpu": 4.0, "cpu": 2.0}})
    inf
    """
    before: tuple[int, float] | None = None
    for size in sorted(ways):
        lead = ways[size]["cpu"] - ways[size]["gpu"]
        if lead >= 0:
            if before is None:
                return float(size)
            smaller, behind = before
            return smaller + (size - smaller) * behind / (behind - lead)
        before = size, lead
    return float("inf")
