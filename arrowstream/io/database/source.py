"""`DatabaseSource`: the rows of a query."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from arrowstream.core.checks import check_name, check_whole
from arrowstream.core.duration import Duration, period
from arrowstream.core.mistakes.explain import explain_names
from arrowstream.core.mistakes.other_names import SOURCE
from arrowstream.core.snapshot_store import SourcePosition
from arrowstream.core.step_context import StepContext
from arrowstream.errors import PlanError
from arrowstream.io.database.address import DatabaseAddress
from arrowstream.io.database.query import DatabaseQuery
from arrowstream.io.source import BlockingReader, Query, Reader, SourceSpec


@explain_names("a source", SOURCE)
@dataclass(frozen=True, slots=True)
class DatabaseSource(SourceSpec):
    """The rows of a query. See `Source.from_database`.

    Parameters
    ----------
    query
        The query, and how its rows are read.
    """

    query: DatabaseQuery

    @classmethod
    def of(
        cls,
        uri: object,
        query: object,
        *,
        declared: pl.Schema | None,
        partition_on: str | None,
        partitions: int,
        poll: Duration | None,
        increasing: str | None,
    ) -> DatabaseSource:
        """Return the source that `Source.from_database` describes; the arguments are those of that method.

        Raises
        ------
        PlanError
            An argument does not fit.
        """
        address = DatabaseAddress.of("from_database", uri)
        text = query.strip().rstrip(";").rstrip() if isinstance(query, str) else ""
        if not text:
            raise PlanError("from_database takes a query", expected="the text of a SELECT", found=repr(query))
        for what, name in (("partition_on", partition_on), ("increasing", increasing)):
            if name is not None:
                check_name(f"from_database({what}=...)", name)
        check_whole("from_database(partitions=...)", partitions)
        if partition_on is not None and increasing is not None:
            raise PlanError(
                "from_database reads by ranges or by an increasing column",
                expected="partition_on or increasing",
                found="both",
            )
        if poll is not None and increasing is None:
            raise PlanError(
                "from_database(poll=...) needs a column that says which rows are new",
                expected='increasing="id", a column whose values only grow',
            )
        looks = period("from_database(poll=...)", poll)
        how = (declared or pl.Schema(), partition_on, partitions, looks, increasing)
        return cls(DatabaseQuery(address, text, *how))

    @property
    def label(self) -> str:
        query, how = self.query, ""
        if query.partition_on is not None:
            how = f" ({query.partitions} ranges of {query.partition_on})"
        elif query.increasing is not None:
            every = "" if query.poll is None else f", polled every {query.poll:g} s"
            how = f" (by {query.increasing}{every})"
        return f"database {query.address.label}{how}"

    @property
    def endless(self) -> bool:
        return self.query.poll is not None

    @property
    def identity(self) -> str:
        return self._known_as(self.query.address.identity)

    @property
    def identity_in_full(self) -> str:
        return self._known_as(self.query.address.identity_in_full)

    def _known_as(self, database: str) -> str:
        return f"database {database} by {self.query.increasing}: {self.query.text!r}"

    @property
    def resumable(self) -> bool:
        return self.query.increasing is not None

    @property
    def at_hand(self) -> bool:
        return False

    def schema(self) -> pl.Schema:
        from arrowstream.io.database.reading.query import OpenQuery

        with OpenQuery(self.query) as query:
            return query.schema

    def open(
        self, context: StepContext, query: Query | None = None, resume: SourcePosition | None = None
    ) -> Reader | BlockingReader:
        from arrowstream.io.database.reading.increasing import IncreasingReader
        from arrowstream.io.database.reading.query import QueryReader
        from arrowstream.io.database.reading.ranges import RangesReader

        if self.query.partition_on is not None:
            return RangesReader(self.query, self.query.partition_on)
        if self.query.increasing is not None:
            return IncreasingReader(self.query, self.query.increasing, context, resume)
        return QueryReader(self.query)
