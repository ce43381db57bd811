"""Step ids: the names of steps in `explain()`, metrics, reports and errors, and those of their saved state.

An id is made to be read: the first unnamed step of a kind has the name of its operator. It does not change with steps
that are added after it, or fused with it. A state id is made to be found again: it depends on what the step
does, not on any other step, but for equal ones, which are numbered in their order. `.named()` gives both.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from arrowstream.errors import PlanError

ENDS = ("source", "sink")
"""The ids of the two ends of a line."""

_NAME = re.compile(r"\w[\w.-]*")

_SIDE = re.compile("(?:late rows|dead letters|bad rows) of ")
"""How the id of a sink for rows that leave by the side begins; the id of what they leave follows."""


class IdentifiedOperator(Protocol):
    """An operator or composite, as far as an id depends on it.

    `name` is the name of the builder's method, `describe()` the line for `explain()`, and `identity` what of it does
    not change between two runs of one job.
    """

    @property
    def name(self) -> str: ...

    def describe(self) -> str: ...

    @property
    def identity(self) -> str: ...


class Identified(Protocol):
    """A step: its operator, and the id that the user gave it or None."""

    @property
    def operator(self) -> IdentifiedOperator: ...

    @property
    def id(self) -> str | None: ...


def step_ids(steps: Sequence[Identified]) -> tuple[str, ...]:
    """Return the id of each step of one line.

    The id of a named step is its name. The id of any other is the name of its operator if it is the first unnamed
    step of this operator, otherwise the operator's name and 4 hex digits of a hash of `describe()`. Equal ids get
    the endings ``.2``, ``.3``.

    Examples
    --------
    >>> import polars as pl
    >>> from arrowstream import Pipeline, Source
    >>> builder = Pipeline.builder().source(Source.from_frame(pl.DataFrame({"x": [1]})))
    >>> builder.filter(pl.col("x") > 0).filter(pl.col("x") > 1).filter(pl.lit(True)).named("all").graph.ids
    ('filter', 'filter-1bda', 'all')
    """
    return _ids(
        steps,
        lambda operator, taken: operator.name not in taken,
        lambda operator: operator.describe(),
    )


def state_ids(steps: Sequence[Identified]) -> tuple[str, ...]:
    """Return the id of the saved state of each step of one line.

    It is the step's name, or its operator's name and 4 hex digits of a hash of its `identity`, so that state is found
    wherever the step stands, and whatever its rate or the size of its queue.
    """
    return _ids(steps, lambda operator, taken: False, lambda operator: operator.identity)


def _ids(
    steps: Sequence[Identified],
    is_short: Callable[[IdentifiedOperator, set[str]], bool],
    text_of: Callable[[IdentifiedOperator], str],
) -> tuple[str, ...]:
    """Return names, short ids, which are those of the operators, and for others those with digits of a hash."""
    taken = {*ENDS, *(step.id for step in steps if step.id is not None)}
    found = []
    for step in steps:
        id = step.id
        if id is None:
            name = step.operator.name
            short = is_short(step.operator, taken)
            id = name if short else _numbered(f"{name}-{_digest(text_of(step.operator))}", taken)
        found.append(id)
        taken.add(id)
    return tuple(found)


def numbered(names: Sequence[str]) -> tuple[str, ...]:
    """Make names unique: the second and third of equal names end in ``.2`` and ``.3``.

    Examples
    --------
    >>> numbered(["orders", "pipeline", "pipeline"])
    ('orders', 'pipeline', 'pipeline.2')
    """
    taken = set(names)
    seen: set[str] = set()
    found = []
    for name in names:
        found.append(_numbered(name, taken) if name in seen else name)
        seen.add(name)
        taken.add(found[-1])
    return tuple(found)


class Prefix(NamedTuple):
    """The beginning of the ids of all steps of one line, and that of their state ids."""

    name: str = ""
    state: str = ""

    @classmethod
    def inside(cls, composite: str, state_id: str, line: str) -> Prefix:
        """Return the prefix of one line of a composite with this id and state id.

        Examples
        --------
        >>> Prefix.inside("split", "split-1bda", "km/h")
        Prefix(name='split/km%2Fh/', state='split-1bda/km%2Fh/')
        """
        return cls(inner_prefix(composite, line), inner_prefix(state_id, line))


def inner_prefix(composite: str, line: str) -> str:
    """Return the prefix of the ids inside one line of a composite, such as ``split/high/``.

    Examples
    --------
    >>> inner_prefix("split", "km/h")
    'split/km%2Fh/'
    """
    return f"{composite}/{line.replace('%', '%25').replace('/', '%2F')}/"


def inner_id(composite: str, line: str, id: str) -> str:
    """Return the id, in the pipeline of a step, of a part of the pipeline that runs inside of the step.

    Examples
    --------
    >>> inner_id("join", "airlines", "filter"), inner_id("join", "airlines", "bad rows of source")
    ('join/airlines/filter', 'bad rows of join/airlines/source')
    """
    side = _SIDE.match(id)
    start = "" if side is None else side[0]
    return f"{start}{inner_prefix(composite, line)}{id[len(start) :]}"


def check_name(name: str) -> None:
    """Check a name that a user gives to a step.

    Raises
    ------
    PlanError
        The name is not text, has other characters than letters, digits, ``_``, ``-`` and ``.``, or is ``source`` or
        ``sink``.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name) or name in ENDS:
        raise PlanError(
            "named() cannot use this name",
            expected="letters, digits, '_', '-' and '.', such as 'daily-totals'; not 'source' or 'sink'",
            found=repr(name),
        )


def _numbered(name: str, taken: set[str]) -> str:
    if name not in taken:
        return name
    number = 2
    while f"{name}.{number}" in taken:
        number += 1
    return f"{name}.{number}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:4]
