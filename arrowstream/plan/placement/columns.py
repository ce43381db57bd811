"""Which columns of a batch cross over: those that a device reads go there, those that it has made come back."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from arrowstream.backends.base import DeviceEvaluator, Evaluator


class ColumnUse(NamedTuple):
    """What a stage does on a device with the columns that come in.

    Parameters
    ----------
    reads
        The columns that have to be there.
    passes
        For each column that comes out unchanged, the name that it had.
    """

    reads: frozenset[str]
    passes: Mapping[str, str]


def column_use(evaluate: Evaluator, columns: Collection[str]) -> ColumnUse:
    """Return the use of columns by a device's evaluator; all cross over if it does not say which it reads."""
    if isinstance(evaluate, DeviceEvaluator):
        return ColumnUse(evaluate.reads, evaluate.passed)
    return ColumnUse(frozenset(columns), {})


def names_before(names: Iterable[str], passes: Mapping[str, str]) -> frozenset[str]:
    """Return the names that columns had before a stage, of those that only pass it."""
    return frozenset(passes[name] for name in names if name in passes)


def needed(uses: Sequence[ColumnUse]) -> frozenset[str]:
    """Return the columns of the rows before the first of several stages that any of them reads on a device."""
    found: frozenset[str] = frozenset()
    for use in reversed(uses):
        found = use.reads | names_before(found, use.passes)
    return found


def unchanged(uses: Sequence[ColumnUse], columns: Collection[str]) -> frozenset[str]:
    """Return the columns after several stages that are those of `columns` before them, perhaps under other names."""
    left = frozenset(columns)
    for use in uses:
        left = frozenset(name for name, source in use.passes.items() if source in left)
    return left
