"""``python -m tools.broken_messages.child KIND FIRST END SEED``: tries messages, one line of JSON a step.

Damaged messages can abort a process from inside a library; so they are tried in one that may die.
"""

from __future__ import annotations

import json
import resource
import sys
from typing import Any

from tools.broken_messages.kinds import tried

MOST_MEMORY = 1 << 30
"""Most bytes of memory of the process."""


def memory() -> int:
    """Return the most bytes of memory that this process had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def main() -> None:
    """Try the messages of these numbers."""
    kind, first, end, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    for number in range(first, end):

        def say(step: str, *more: Any, number: int = number) -> None:
            print(json.dumps([number, step, *more]), flush=True)

        say("done", *tried(kind, number, seed, say), memory())


if __name__ == "__main__":
    main()
