"""What structures of state hold at a moment, frozen: for tests, and to find where memory goes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LogStatistics:
    """What a `FrameLog` holds.

    Parameters
    ----------
    runs, filed
        The rows of each run in memory, and of each one in a file; older ones first.
    copied
        Rows that were copied so far to join runs, or to leave out what is not needed any more.
    """

    runs: tuple[int, ...]
    filed: tuple[int, ...]
    copied: int


@dataclass(frozen=True, slots=True)
class KeyStatistics:
    """What a `KeyIndex` holds.

    Parameters
    ----------
    keys
        The number of keys.
    hash_places
        Places of the hash table; as few as there can be while keys are looked up directly.
    direct_places, direct_bytes
        Places of the array by key and the bytes of each; None and 0 while keys are hashed.
    log
        The keys themselves.
    """

    keys: int
    hash_places: int
    direct_places: int | None
    direct_bytes: int
    log: LogStatistics


@dataclass(frozen=True, slots=True)
class PaneStatistics:
    """What a `PaneStore` or a `SessionStore` holds.

    Parameters
    ----------
    aside
        Frames that were put aside and wait to be grouped or merged.
    runs, filed
        The groups of each run in memory, and of each one in a file.
    """

    aside: int
    runs: tuple[int, ...]
    filed: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class DebounceStatistics:
    """What a `debounce` holds.

    Parameters
    ----------
    entries, rows
        Batches and marks in the queue, and rows of these batches, with those that were replaced.
    keys
        Keys in the index, with those that are not held any more.
    sweeps, rebuilds
        How often replaced rows were swept out, and the index was built again.
    """

    entries: int
    rows: int
    keys: int
    sweeps: int
    rebuilds: int
