"""What probes have noted, as coverage.py's tracer would have."""

from collections.abc import Iterable
from pathlib import Path

import coverage
from coverage.python import PythonFileReporter

from tools.probes.instrument import OTHER, Fact

Arc = tuple[int, int]
"""The lines from which and to which the code went; a negative one is outside."""


def arcs(path: Path, noted: Iterable[Fact], known: Iterable[Fact], settings: coverage.Coverage) -> set[Arc]:
    """Return the ways that the code of a file went.

    Parameters
    ----------
    path
        The file.
    noted
        What was reached of it.
    known
        All that its probes may say.
    settings
        Those of coverage.py.
    """
    noted = set(noted)
    found = {(-line, line) if line == to else (line, to) for line, to in noted if to != OTHER}
    others = {line for line, to in noted if to == OTHER}
    if others:
        parser = PythonFileReporter(str(path), settings)
        possible, named = parser.arcs(), parser.translate_arcs(known)
        for line in parser.translate_lines(others):
            # Of the ways from a line, each but one has a probe that names it; where two had none, both are missed.
            unnamed = {(start, to) for start, to in possible if start == line} - named
            found |= unnamed if len(unnamed) == 1 else set()
    return found
