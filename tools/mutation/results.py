"""What has been tried, a line a mutant, so that a run can be interrupted and go on."""

from __future__ import annotations

import json
import threading
from dataclasses import asdict, dataclass
from pathlib import Path

_writing = threading.Lock()


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a mutant; `by` is the test that killed it."""

    key: str
    path: str
    line: int
    operator: str
    before: str
    after: str
    outcome: str
    by: str
    cpu_s: float


def every(folder: Path) -> list[Result]:
    """All results, in the order in which they came."""
    file = folder / "results.jsonl"
    lines = file.read_text().splitlines() if file.exists() else []
    return [Result(**json.loads(line)) for line in lines]


def latest(folder: Path) -> dict[str, Result]:
    """The last result of each mutant, by its key."""
    return {result.key: result for result in every(folder)}


def mended(folder: Path) -> set[str]:
    """The keys of mutants that no test noticed when they were first tried, and one does now."""
    first = {result.key: result for result in reversed(every(folder))}
    last = latest(folder)
    return {key for key in last if first[key].outcome != "killed" and last[key].outcome == "killed"}


def store(folder: Path, result: Result) -> None:
    """Write one down."""
    with _writing, (folder / "results.jsonl").open("a") as file:
        print(json.dumps(asdict(result)), file=file)
