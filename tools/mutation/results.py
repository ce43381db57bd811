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


def latest(folder: Path) -> dict[str, Result]:
    """The last result of each mutant, by its key."""
    file = folder / "results.jsonl"
    lines = file.read_text().splitlines() if file.exists() else []
    results = (Result(**json.loads(line)) for line in lines)
    return {result.key: result for result in results}


def store(folder: Path, result: Result) -> None:
    """Write one down."""
    with _writing, (folder / "results.jsonl").open("a") as file:
        print(json.dumps(asdict(result)), file=file)
